"""Early firing: an alert on a window that is still open, at the very row that crosses a limit of a detector that may say so [S22, R29]."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from offbeat.core.batch import F64, I8, I32, I64, Bools
from offbeat.core.compiled import compiled
from offbeat.core.partials import ROWS, Partials, PartialTable
from offbeat.core.rings import grown_rows
from offbeat.decide.block import AlertBlock
from offbeat.fold.rollup import RollupRows, Touched
from offbeat.fold.window_view import WindowView

_UNKNOWN, _WATCHED, _DONE = range(3)
Others = Callable[[Partials], Partials]
"""Adds to windows, given by slots of the stage and ordered by (start, slot), what other shards have of the same windows."""


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


class EarlyFiring:
    """Early alerts on the open windows of one shard.

    A detector that fires early holds from the row that crosses its limit until the window ends: the Plan proves it. So windows are looked
    at once for many rows, and only for those that crossed is the row found, by bisection. What lies before a window, and so what it is
    held against, stands still until windows are closed.
    """

    def __init__(self, view: WindowView) -> None:
        self._view = view
        self.forget()

    def forget(self) -> None:
        """Windows were closed: the others stand at other places, and after other windows."""
        self._states: I8 = np.zeros(0, np.int8)
        self._marks: I64 = np.zeros(0, np.int64)
        self._mark = 0
        self._features: F64 = np.zeros((0, 0))
        """By place in the shard's table: features of the windows before it."""

    def look(self, slots: I32, table: PartialTable, touched: Touched, others: Others) -> AlertBlock | None:
        """Early alerts of rows that were just folded into a shard's table.

        slots: the table's targets as slots of the stage. Nothing is remembered but which detectors fired.
        """
        view, fired = self._view, self._view.fired
        places = touched.places
        self._states, self._marks = grown_rows(self._states, len(table)), grown_rows(self._marks, len(table))
        self._mark += 1
        found = np.empty(len(places), np.int64)
        places = found[: _touched(places, self._states, self._marks, self._mark, found)]
        fresh = self._states[places] == _UNKNOWN
        if fresh.any():
            self._meet(slots, table, places[fresh])
            places = places[self._states[places] == _WATCHED]
        if not len(places):
            return None
        windows, order = _ordered(_on(table.at(places), slots))
        places = places[order]
        voted, alert = self._votes(others(windows), places)
        news = voted & ~_bits(fired.masks(windows.targets, windows.starts), len(voted))
        crossed = np.flatnonzero(alert & news.any(axis=0))
        if not len(crossed):
            return None
        if touched.rows is None:
            block = self._fire(others(windows.take(crossed)), places[crossed])
        else:
            history = _History(windows.take(crossed), places[crossed], touched, touched.rows, table)
            block = self._fire(*self._states_at(history, *self._events(history, news[:, crossed], others), others))
        full = np.bitwise_count(fired.masks(windows.targets, windows.starts)) == view.view.fires_early
        self._states[places[full]] = _DONE
        return block

    def _votes(self, windows: Partials, places: I64) -> tuple[Bools, Bools]:
        """(d, w) which detectors vote on windows at some places, and (w,) where that makes an alert."""
        rows = self._view.columns.rows(self._view.stage, windows, windows.ints[:, ROWS])
        return self._view.view.early_votes(self._view.stage.keys, rows, self._features[places].T)

    def _events(self, history: _History, news: Bools, others: Others) -> tuple[I64, I64]:
        """Where a detector that is `news` (d, w) first votes on an alert: windows, and which of their rows in the batch; in row order."""

        def first(holds: Callable[[Bools, Bools], Bools], wanted: Bools) -> I64:
            """(w,) the least number of rows after which it holds, for the windows wanted."""
            low, high = np.ones(len(history), np.int64), history.lengths.copy()
            while (searching := wanted & (low < high)).any():
                middle = (low + high) // 2
                now = holds(*self._votes(others(history.after(middle)), history.places))
                high = np.where(searching & now, middle, high)
                low = np.where(searching & ~now, middle + 1, low)
            return low

        every = np.ones(len(history), np.bool_)
        reached = first(lambda _, alert: alert, every)
        windows, numbers = [], []
        for d in np.flatnonzero(news.any(axis=1)).tolist():
            windows.append(np.flatnonzero(news[d]))
            numbers.append(np.maximum(first(partial(_of, d), news[d]), reached)[windows[-1]])
        window, number = np.concatenate(windows), np.concatenate(numbers)
        _, once = np.unique(history.rows(window, number), return_index=True)
        return window[once], number[once]

    def _states_at(self, history: _History, window: I64, number: I64, others: Others) -> tuple[Partials, I64]:
        """Windows as they are after so many of their rows in the batch, one of them perhaps at several moments, and their places."""
        order = np.lexsort((number, window))
        turn = np.empty(len(order), np.int64)
        turn[order] = np.arange(len(order)) - np.searchsorted(window[order], window[order])
        states, index = [], []
        for k in range(int(turn.max()) + 1):
            here, counts = np.flatnonzero(turn == k), np.ones(len(history), np.int64)
            counts[window[here]] = number[here]
            states.append(others(history.after(counts)).take(window[here]))
            index.append(here)
        return Partials.together(states).take(np.argsort(np.concatenate(index))), history.places[window]

    def _fire(self, windows: Partials, places: I64) -> AlertBlock | None:
        view = self._view
        features = self._features[places].T
        rows = view.columns.rows(view.stage, windows, view.early_revisions(windows))
        voted, _ = view.view.early_votes(view.stage.keys, rows, features)
        result = view.view.early(view.stage.keys, rows, features)
        detectors, at = np.nonzero(voted)
        view.fired.add(windows.targets[at], windows.starts[at], detectors.astype(np.int64))
        return result.block

    def _meet(self, slots: I32, table: PartialTable, places: I64) -> None:
        """Windows that have not been looked at since others were closed."""
        view = self._view
        windows = _on(table.at(places), slots)
        skipped = view.settled(windows)
        self._states[places] = np.where(skipped, _DONE, _WATCHED)
        places, windows = places[~skipped], windows.take(np.flatnonzero(~skipped))
        _, features = view.view.ahead(view.stage.keys, view.columns.rows(view.stage, windows, windows.ints[:, ROWS]))
        if self._features.shape[1] != len(features):
            self._features = np.zeros((0, len(features)))
        self._features = grown_rows(self._features, len(table))
        self._features[places] = features.T


class _History:
    """The rows of a few windows in a batch, and the windows after any number of them. Windows are ordered by (start, slot)."""

    def __init__(self, windows: Partials, places: I64, touched: Touched, rows: RollupRows, table: PartialTable) -> None:
        self._windows, self.places, self._layout = windows, places, table.layout
        own = np.full(int(max(touched.places.max(), places.max())) + 1, -1, np.int64)
        own[places] = np.arange(len(places))
        of = np.where(touched.places >= 0, own[touched.places], -1)
        mine = np.flatnonzero(of >= 0)
        self._rows = mine[np.argsort(of[mine], kind="stable")]
        """Rows by window, in their order."""
        self._of = of[self._rows]
        self.lengths: I64 = np.bincount(self._of, minlength=len(places)).astype(np.int64)
        self._begins = np.cumsum(self.lengths) - self.lengths
        self._ordinal = np.arange(len(self._rows)) - np.repeat(self._begins, self.lengths)
        self._folded = rows
        at = np.searchsorted(touched.before_places, places)
        at[at == len(touched.before_places)] = 0
        there = touched.before_places[at] == places if len(touched.before_places) else np.zeros(len(places), np.bool_)
        self._there = np.flatnonzero(there)
        """Windows that were there before the batch."""
        self._before = touched.before.take(at[self._there])

    def __len__(self) -> int:
        return len(self.places)

    def rows(self, windows: I64, numbers: I64) -> I64:
        """Places in the batch of n-th rows of windows, from 1."""
        rows: I64 = self._rows[self._begins[windows] + numbers - 1]
        return rows

    def after(self, counts: I64) -> Partials:
        """The windows after so many of their rows each, (w,) from 1."""
        table = PartialTable(self._layout)
        targets, starts = np.arange(len(self), dtype=np.int32), self._windows.starts
        rows = np.flatnonzero(self._ordinal < counts[self._of])
        of, at, folded = self._of[rows].astype(np.int32), self._rows[rows], self._folded
        if len(self._there):
            kept = self._before
            own = Partials(targets[self._there], kept.starts.copy(), kept.ints.copy(), kept.floats.copy(), kept.sets)
            table.restore(own)
        table.fold(of, starts[of], np.ascontiguousarray(folded.exact[:, at]), np.ascontiguousarray(folded.arguments[:, at]))
        found = table.at(table.find(targets, starts))
        return Partials(self._windows.targets, starts, found.ints, found.floats, found.sets)


def _of(d: int, voted: Bools, _: Bools) -> Bools:
    """(w,) whether detector d votes."""
    votes: Bools = voted[d]
    return votes


def _on(windows: Partials, slots: I32) -> Partials:
    return windows.of(slots[windows.targets])


def _ordered(windows: Partials) -> tuple[Partials, I64]:
    """Windows ordered by (start, target), and their order."""
    order = np.lexsort((windows.targets, windows.starts))
    return windows.take(order), order


def _bits(masks: I64, count: int) -> Bools:
    """(count, n) the bits of n masks."""
    bits: Bools = (masks[np.newaxis] >> np.arange(count)[:, np.newaxis]) & 1 == 1
    return bits
