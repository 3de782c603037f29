"""The ledger: where every row went [S6]."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


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

    def add(self, other: ViewCounts) -> None:
        self.windows += other.windows
        self.scored += other.scored
        self.warming_up += other.warming_up
        self.abstained += other.abstained
        self.no_spread = self.no_spread + other.no_spread

    def as_dict(self) -> dict[str, Any]:
        """The counts as `--json` prints them."""
        counts = {"windows": self.windows, "scored": self.scored, "warming_up": self.warming_up, "abstained": self.abstained}
        return {**counts, "no_spread": dict(sorted(self.no_spread.items()))}

    @classmethod
    def from_dict(cls, kept: dict[str, Any]) -> ViewCounts:
        """Take over what `as_dict` gave."""
        return cls(**{**kept, "no_spread": Counter(kept["no_spread"])})


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
