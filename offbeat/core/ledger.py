"""The ledger: where every row went [S6]."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class DetectorCounts:
    """How a detector fared on the rows or windows that it judged [R9]."""

    verdicts: int = 0
    votes: int = 0
    warming_up: Counter[str] = field(default_factory=Counter)
    """Reason → rows without a verdict before the first one on their key."""
    none: Counter[str] = field(default_factory=Counter)
    """Reason → rows without a verdict after that."""
    nearest_ns: dict[str, int] = field(default_factory=dict)
    """Reason → least time since the row before of the key, over the rows in `none`; only where a window of time was empty."""

    def add(self, other: DetectorCounts) -> None:
        self.verdicts += other.verdicts
        self.votes += other.votes
        self.warming_up = self.warming_up + other.warming_up
        self.none = self.none + other.none
        for reason, gap in other.nearest_ns.items():
            self.nearest_ns[reason] = min(gap, self.nearest_ns.get(reason, gap))

    def as_dict(self) -> dict[str, Any]:
        """The counts as `--json` prints them."""
        reasons = {"none": dict(sorted(self.none.items())), "warming_up": dict(sorted(self.warming_up.items()))}
        return {"verdicts": self.verdicts, "votes": self.votes, **reasons, "nearest_ns": dict(sorted(self.nearest_ns.items()))}

    @classmethod
    def from_dict(cls, kept: dict[str, Any]) -> DetectorCounts:
        """Take over what `as_dict` gave."""
        reasons = {"none": Counter(kept["none"]), "warming_up": Counter(kept["warming_up"])}
        return cls(kept["verdicts"], kept["votes"], **reasons, nearest_ns=dict(kept["nearest_ns"]))


@dataclass(slots=True)
class ViewCounts:
    """Counts of a view's rows or closed windows by outcome."""

    windows: int = 0
    """Closed windows scored; 0 for a view of rows."""
    scored: int = 0
    warming_up: int = 0
    abstained: int = 0
    no_spread: Counter[str] = field(default_factory=Counter)
    """DETECTOR.VALUE of range detectors → rows or windows in which the value was left out because its baseline had no spread."""
    detectors: dict[str, DetectorCounts] = field(default_factory=dict)
    in_cooldown: int = 0
    """Rows or windows that the vote made alerts and that were not raised, as they came in the cooldown of a stronger one."""

    def add(self, other: ViewCounts) -> None:
        self.windows += other.windows
        self.scored += other.scored
        self.warming_up += other.warming_up
        self.abstained += other.abstained
        self.in_cooldown += other.in_cooldown
        self.no_spread = self.no_spread + other.no_spread
        for name, counts in other.detectors.items():
            self.detectors.setdefault(name, DetectorCounts()).add(counts)

    def copy(self) -> ViewCounts:
        """Counts of its own that are the same."""
        return ViewCounts.from_dict(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """The counts as `--json` prints them."""
        counts = {"windows": self.windows, "scored": self.scored, "warming_up": self.warming_up, "abstained": self.abstained}
        counts |= {"in_cooldown": self.in_cooldown}
        detectors = {name: found.as_dict() for name, found in self.detectors.items()}
        return {**counts, "no_spread": dict(sorted(self.no_spread.items())), "detectors": detectors}

    @classmethod
    def from_dict(cls, kept: dict[str, Any]) -> ViewCounts:
        """Take over what `as_dict` gave."""
        detectors = {name: DetectorCounts.from_dict(found) for name, found in kept.get("detectors", {}).items()}
        return cls(**{**kept, "no_spread": Counter(kept["no_spread"]), "detectors": detectors})


@dataclass(slots=True)
class Ledger:
    """Counts of rows; `rows_in` is always the sum of the others."""

    rows_in: int = 0
    scored: int = 0
    warming_up: int = 0
    late: int = 0
    duplicate: int = 0
    filtered: int = 0
    """Rows for which the source's condition `where` is false: not of this pipeline."""
    pending: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)
    views: dict[str, ViewCounts] = field(default_factory=dict)

    def accounted(self) -> int:
        """Sum of all parts: equal to `rows_in` at every moment."""
        parts = self.scored + self.warming_up + self.late + self.duplicate + self.filtered + self.pending
        return parts + sum(self.quarantined.values())

    def add(self, other: Ledger) -> None:
        """Add another shard's ledger."""
        self.rows_in += other.rows_in
        self.scored += other.scored
        self.warming_up += other.warming_up
        self.late += other.late
        self.duplicate += other.duplicate
        self.filtered += other.filtered
        self.pending += other.pending
        self.quarantined.update(other.quarantined)
        for name, counts in other.views.items():
            self.views.setdefault(name, ViewCounts()).add(counts)

    def as_dict(self) -> dict[str, Any]:
        """The ledger as `--json` prints it."""
        return {
            "rows_in": self.rows_in,
            "scored": self.scored,
            "warming_up": self.warming_up,
            "late": self.late,
            "duplicate": self.duplicate,
            "filtered": self.filtered,
            "pending": self.pending,
            "quarantined": {reason: n for reason, n in sorted(self.quarantined.items()) if n},
            "views": {name: counts.as_dict() for name, counts in self.views.items()},
        }

    @classmethod
    def from_dict(cls, kept: dict[str, Any]) -> Ledger:
        """Take over what `as_dict` gave."""
        views = {name: ViewCounts.from_dict(counts) for name, counts in kept["views"].items()}
        plain = {name: n for name, n in kept.items() if name not in ("quarantined", "views")}
        return cls(**plain, quarantined=Counter(kept["quarantined"]), views=views)
