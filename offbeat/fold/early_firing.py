"""A look at open windows while rows come: those that crossed the limit of a detector that may say so early [S22]."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from offbeat.core.batch import F64, I8, I32, I64, Bools
from offbeat.core.compiled import compiled
from offbeat.core.partials import ROWS, PartialLayout, Partials, PartialTable
from offbeat.core.rings import grown_rows
from offbeat.core.state import Arrays
from offbeat.core.window_merge import WindowMerge
from offbeat.decide.block import AlertBlock
from offbeat.fold.view import View
from offbeat.fold.window_columns import WindowColumns

_UNKNOWN, _WATCHED, _DONE = range(3)


@compiled
def _touched(places: I64, states: I8, marks: I64, mark: int, out: I64) -> int:
    """Distinct places that are not done with, in the order of their first row; returns how many."""
    m = 0
    for i in range(len(places)):
        p = places[i]
        if p >= 0 and states[p] != _DONE and marks[p] != mark:
            marks[p] = mark
            out[m] = p
            m += 1
    return m


class FiredWindows:
    """Open windows of which something was said early."""

    def __init__(self) -> None:
        self._windows = PartialTable(PartialLayout.of(()))

    def __len__(self) -> int:
        return len(self._windows)

    def add(self, targets: I32, starts: I64) -> None:
        """Note that these windows were reported."""
        self._windows.count(targets, starts)

    def has(self, targets: I32, starts: I64) -> Bools:
        """(n,) which of these windows were reported."""
        found: Bools = self._windows.find(targets, starts) >= 0
        return found

    def drop(self, until_ns: int | None = None) -> None:
        """Forget windows that start before a time; all without one."""
        if until_ns is None:
            self._windows = PartialTable(PartialLayout.of(()))
        else:
            self._windows.take(until_ns)

    def arrays(self) -> Arrays:
        """State."""
        p = self._windows.partials()
        return {"targets": p.targets, "starts": p.starts}

    def restore(self, arrays: Arrays) -> None:
        """Take over what `arrays` gave."""
        self.drop()
        self.add(arrays["targets"], arrays["starts"])


class EarlyFiring:
    """Keeps, for the open windows of one shard, what is usual for them, so that a look costs little more than their columns."""

    def __init__(self, columns: WindowColumns, stage: WindowMerge) -> None:
        self._columns, self._stage = columns, stage
        self.forget()

    def forget(self) -> None:
        """Windows were closed: the others stand at other places, and after other windows."""
        self._states: I8 = np.zeros(0, np.int8)
        self._marks: I64 = np.zeros(0, np.int64)
        self._mark = 0
        self._features: F64 = np.zeros((0, 0))
        """By place in the shard's table: features of the windows before it."""

    def look(
        self,
        view: View,
        slots: I32,
        table: PartialTable,
        places: I64,
        skip: Callable[[Partials], Bools],
        revised: Callable[[Partials], I64],
    ) -> tuple[AlertBlock, Partials] | None:
        """Early alerts of the windows at `places` (n,) of a shard's table, with those windows; None where there is none.

        slots: the table's targets as slots of the stage. skip: which windows have had their say. revised: the windows' revisions.
        """
        self._states, self._marks = grown_rows(self._states, len(table)), grown_rows(self._marks, len(table))
        self._mark += 1
        found = np.empty(len(places), np.int64)
        places = found[: _touched(places, self._states, self._marks, self._mark, found)]
        fresh = self._states[places] == _UNKNOWN
        if fresh.any():
            self._meet(view, slots, table, places[fresh], skip)
            places = places[self._states[places] == _WATCHED]
        if not len(places):
            return None
        windows = _on(table.at(places), slots)
        rows = self._columns.rows(self._stage, windows, revised(windows))
        opinion = view.early(self._stage.keys, rows, self._features[places].T)
        if opinion.block is None:
            return None
        self._states[places[opinion.index]] = _DONE
        return opinion.block, windows.take(opinion.index)

    def _meet(self, view: View, slots: I32, table: PartialTable, places: I64, skip: Callable[[Partials], Bools]) -> None:
        """Windows that have not been looked at since others were closed."""
        windows = _on(table.at(places), slots)
        skipped = skip(windows)
        self._states[places] = np.where(skipped, _DONE, _WATCHED)
        places, windows = places[~skipped], windows.take(np.flatnonzero(~skipped))
        _, features = view.ahead(self._stage.keys, self._columns.rows(self._stage, windows, windows.ints[:, ROWS]))
        if self._features.shape[1] != len(features):
            self._features = np.zeros((0, len(features)))
        self._features = grown_rows(self._features, len(table))
        self._features[places] = features.T


def _on(windows: Partials, slots: I32) -> Partials:
    return Partials(slots[windows.targets], windows.starts, windows.ints, windows.floats)
