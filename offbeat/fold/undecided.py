"""Rows that no view of rows judged and that several views on other keys may: they are pending until their windows are judged [S6]."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from offbeat.core.batch import I32, I64, Bools
from offbeat.core.partials import ROWS, PartialLayout, PartialTable
from offbeat.core.state import Arrays

Verdict = Callable[[I32, I64], Bools]
"""(targets, starts) of n windows of a view → which of them got a verdict."""


@dataclass(frozen=True, slots=True)
class RowGroups:
    """Rows by the windows they fell into: c groups, v views."""

    targets: I32
    """(c, v) target of the window in each view, -1 where the view did not take the rows."""
    starts: I64
    """(c, v) start of that window, 0 without one."""
    rows: I64
    """(c,)"""

    @classmethod
    def none(cls, views: int) -> RowGroups:
        """No rows."""
        return cls(np.zeros((0, views), np.int32), np.zeros((0, views), np.int64), np.zeros(0, np.int64))

    @classmethod
    def together(cls, parts: Sequence[RowGroups]) -> RowGroups:
        """All of several."""
        targets, starts = np.concatenate([part.targets for part in parts]), np.concatenate([part.starts for part in parts])
        return cls(targets, starts, np.concatenate([part.rows for part in parts]))

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: I64 | Bools) -> RowGroups:
        """The groups at `index`."""
        return RowGroups(self.targets[index], self.starts[index], self.rows[index])

    def closed(self, until: Sequence[int]) -> Bools:
        """(c, v) which of the windows start before the times given by view."""
        closed: Bools = (self.targets >= 0) & (self.starts < np.array(until))
        return closed

    def scored(self, closed: Bools, verdicts: Sequence[Verdict]) -> Bools:
        """(c,) which groups have a verdict on some window that is `closed` (c, v)."""
        found = np.zeros(len(self), np.bool_)
        for v, verdict in enumerate(verdicts):
            here = np.flatnonzero(closed[:, v])
            found[here] |= verdict(self.targets[here, v], self.starts[here, v])
        return found

    def without(self, closed: Bools) -> RowGroups:
        """The same rows, which wait for their other windows alone."""
        return RowGroups(np.where(closed, np.int32(-1), self.targets), np.where(closed, np.int64(0), self.starts), self.rows)

    def arrays(self) -> Arrays:
        """State."""
        return {"targets": self.targets, "starts": self.starts, "rows": self.rows}


class Undecided:
    """The rows of one shard, counted by group: a row counts once, however many views it feeds."""

    def __init__(self, views: int) -> None:
        self._views = views
        self._clear()

    def _clear(self) -> None:
        layout = PartialLayout.of(())
        self._chain = [(PartialTable(layout), PartialTable(layout)) for _ in range(self._views)]
        """By view: (group so far, start) → a number, and (that number, target) → the group with this view."""

    def add(self, targets: Sequence[I32], starts: Sequence[I64], rows: I64 | None = None) -> None:
        """Count n rows, or n times so many `rows` (n,), by the windows of each view, -1 among `targets` where a view did not take them."""
        group: I64 = np.zeros(len(targets[0]), np.int64)
        for (by_start, by_target), target, start in zip(self._chain, targets, starts, strict=True):
            group = by_start.count(group.astype(np.int32), np.where(target < 0, 0, start))
            group = by_target.count(group.astype(np.int32), target.astype(np.int64), rows)

    def groups(self) -> RowGroups:
        """All rows."""
        if not self._views:
            return RowGroups.none(0)
        last = self._chain[-1][1].partials()
        group: I64 = np.arange(len(last))
        targets, starts = np.empty((len(last), self._views), np.int32), np.empty((len(last), self._views), np.int64)
        for v in range(self._views - 1, -1, -1):
            by_start, by_target = (table.partials() for table in self._chain[v])
            targets[:, v] = by_target.starts[group]
            between = by_target.targets[group]
            starts[:, v] = by_start.starts[between]
            group = by_start.targets[between].astype(np.int64)
        return RowGroups(targets, starts, last.ints[:, ROWS])

    def remove(self, until: Sequence[int]) -> RowGroups:
        """Take out the rows of which some window starts before the times given by view."""
        groups = self.groups()
        gone: Bools = np.any(groups.closed(until), axis=1)
        if gone.any():
            self.restore(groups.take(~gone))
        return groups.take(gone)

    def restore(self, groups: RowGroups) -> None:
        """Hold these rows and no others."""
        self._clear()
        if len(groups):
            self.add(list(groups.targets.T), list(groups.starts.T), groups.rows)

    def rows(self) -> int:
        """Rows counted."""
        return self._chain[-1][1].rows() if self._views else 0
