"""What a task tells the driver beside its rows: figures and words for the report, as JSON."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from offbeat.core.batch import NULL_INT
from offbeat.core.ledger import Ledger
from offbeat.core.plan import Plan
from offbeat.engines.delivery import WORST, Ranked, Worst
from offbeat.engines.file_faults import FileFaults
from offbeat.fold.fold import Fold, unseen_texts, untrained_in_all
from offbeat.fold.late_files import Lateness
from offbeat.fold.shard import Output


@dataclass(slots=True)
class Told:
    """Figures of one task, or of several."""

    ledger: Ledger = field(default_factory=Ledger)
    alerts: int = 0
    last_ns: int = NULL_INT
    rows_of: Counter[int] = field(default_factory=Counter)
    """Rows read, by number of their file."""
    late: dict[int, Lateness] = field(default_factory=dict)
    faults: FileFaults = field(default_factory=FileFaults)
    pairs: Counter[tuple[int, int, str]] = field(default_factory=Counter)
    first_aside: str | None = None
    untrained: list[tuple[int, list[str]]] = field(default_factory=list)
    """Of each bucket its rows, and why some detectors have no model."""
    unanswered: list[str] = field(default_factory=list)
    """Of each bucket with rows."""
    seen: list[dict[str, list[Any]]] = field(default_factory=list)
    """Of each bucket, see `Fold.seen_texts`."""
    worst: list[Ranked] = field(default_factory=list)
    notes: list[tuple[int, str]] = field(default_factory=list)
    """By number of the unit, what was found while it was read."""

    def note(self, out: Output, worst: Worst) -> None:
        """Something came of rows."""
        for block in out.alerts:
            worst.add(block)
            self.alerts += len(block)
        self.faults.note(out.quarantined)
        for rows in out.quarantined if self.first_aside is None else ():
            self.first_aside = f"row {rows.rows[0]} ({rows.reasons[0]}): {rows.raw[0][:100]}"
            break

    def close(self, plan: Plan, fold: Fold, bucket: int, worst: Worst) -> None:
        """The rows of a bucket are folded."""
        self.ledger.add(fold.shard_ledger(bucket))
        self.last_ns = max(self.last_ns, fold.last_ns)
        for number, of in fold.late_files().items():
            self.late.setdefault(number, Lateness()).add(of)
        self.pairs.update(fold.file_pairs())
        if fold.rows_in:
            self.untrained.append((fold.rows_in, fold.untrained()))
            self.unanswered.append(fold.unanswered())
            self.seen += fold.seen_texts()
        self.worst = worst.ranked(plan)

    def add(self, other: Told) -> None:
        """What another task tells."""
        self.ledger.add(other.ledger)
        self.alerts += other.alerts
        self.last_ns = max(self.last_ns, other.last_ns)
        self.rows_of.update(other.rows_of)
        for number, of in other.late.items():
            self.late.setdefault(number, Lateness()).add(of)
        self.faults.add(other.faults)
        self.pairs.update(other.pairs)
        self.first_aside = self.first_aside or other.first_aside
        self.untrained += other.untrained
        self.unanswered += other.unanswered
        self.seen += other.seen
        self.notes += other.notes
        self.worst = sorted([*self.worst, *other.worst], key=lambda each: each[0])[:WORST]

    def lacking(self) -> list[str]:
        """Why some detectors have no model for any key, in no bucket; as the one with the most rows says it."""
        return untrained_in_all([said for _, said in sorted(self.untrained, key=lambda each: -each[0])])

    def unasked(self) -> str:
        """As `Fold.unanswered`, of all buckets."""
        return self.unanswered[0] if len(set(self.unanswered)) == 1 else ""

    def unseen_words(self, plan: Plan) -> list[str]:
        """As `Fold.unseen`, of all buckets."""
        return unseen_texts(plan, self.seen)

    def as_json(self) -> bytes:
        """For the way to the driver."""
        kept: dict[str, Any] = {
            "ledger": self.ledger.as_dict(),
            "alerts": self.alerts,
            "last_ns": self.last_ns,
            "rows_of": sorted(self.rows_of.items()),
            "late": [(number, of.rows, of.behind_ns, of.back, of.forth) for number, of in sorted(self.late.items())],
            "faults": self.faults.document(),
            "pairs": [(*pair, n) for pair, n in sorted(self.pairs.items())],
            "first_aside": self.first_aside,
            "untrained": self.untrained,
            "unanswered": self.unanswered,
            "seen": self.seen,
            "worst": self.worst,
            "notes": self.notes,
        }
        return json.dumps(kept).encode()

    @classmethod
    def of(cls, data: bytes) -> Told:
        """What `as_json` gave."""
        kept = json.loads(data)
        return cls(
            ledger=Ledger.from_dict(kept["ledger"]),
            alerts=kept["alerts"],
            last_ns=kept["last_ns"],
            rows_of=Counter(dict(kept["rows_of"])),
            late={number: Lateness(*of) for number, *of in kept["late"]},
            faults=FileFaults.of(kept["faults"]),
            pairs=Counter({(one, other, key): n for one, other, key, n in kept["pairs"]}),
            first_aside=kept["first_aside"],
            untrained=[(rows, list(said)) for rows, said in kept["untrained"]],
            unanswered=kept["unanswered"],
            seen=kept["seen"],
            worst=[(tuple(rank), record) for rank, record in kept["worst"]],
            notes=[(number, note) for number, note in kept["notes"]],
        )
