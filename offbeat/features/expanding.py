"""Windows over all of a key's past: exact integer sums that only grow [S10]."""

from __future__ import annotations

import copy
import math
from typing import Self

import numpy as np

from offbeat.core.batch import F64, I32, I64, NULL_INT
from offbeat.core.compiled import compiled
from offbeat.core.expression_machine import Machine
from offbeat.core.int128_sums import add128, double128
from offbeat.core.int128_variance import add_square, spread
from offbeat.core.plan import WindowPlan
from offbeat.core.rings import grown_rows
from offbeat.features.windows import WindowRows

_ROWS, _FIRST, _HEAD, _WAITING, _SUMS = range(5)
"""Columns of a slot's record: rows in the window, time of the first; where its queue begins and how many rows wait there; then, for each
argument, what follows."""
_N, _S1, _S1_HIGH, _S2, _S2_HIGH, _MIN, _MAX, _WIDTH = range(8)
_COUNT_ROWS, _COUNT, _SUM, _MEAN, _VAR, _STD, _LEAST, _GREATEST = range(8)
_FAR = 9e18
_KINDS = {
    "count_rows": _COUNT_ROWS, "count": _COUNT, "sum": _SUM, "mean": _MEAN, "var": _VAR, "std": _STD, "min": _LEAST, "max": _GREATEST
}  # fmt: skip


@compiled
def _absorb(record: I64, slot: int, queue: I64, at: int, arguments: int) -> None:
    """Take the row at place `at` of the slot's queue into the sums."""
    if record[slot, _ROWS] == 0:
        record[slot, _FIRST] = queue[slot, at, 0]
    record[slot, _ROWS] += 1
    for a in range(arguments):
        v = queue[slot, at, 1 + a]
        if v == NULL_INT:
            continue
        base = _SUMS + a * _WIDTH
        if record[slot, base + _N] == 0:
            record[slot, base + _MIN] = v
            record[slot, base + _MAX] = v
        record[slot, base + _N] += 1
        add128(record, slot, base + _S1, v, -1 if v < 0 else 0)
        add_square(record, slot, base + _S2, v)
        record[slot, base + _MIN] = min(record[slot, base + _MIN], v)
        record[slot, base + _MAX] = max(record[slot, base + _MAX], v)


@compiled
def _read(record: I64, slot: int, kind: int, argument: int, scale: float) -> float:
    if kind == _COUNT_ROWS:
        return float(record[slot, _ROWS])
    base = _SUMS + argument * _WIDTH
    n = record[slot, base + _N]
    if kind == _COUNT:
        return float(n)
    if n == 0:
        return np.nan
    if kind == _LEAST:
        return float(record[slot, base + _MIN] / scale)
    if kind == _GREATEST:
        return float(record[slot, base + _MAX] / scale)
    if kind <= _MEAN:
        total = double128(record[slot, base + _S1_HIGH], record[slot, base + _S1])
        return total / scale if kind == _SUM else (total / n) / scale
    if n < 2:
        return np.nan
    squares = spread(
        n, record[slot, base + _S1], record[slot, base + _S1_HIGH], record[slot, base + _S2], record[slot, base + _S2_HIGH]
    )
    variance = squares / (float(n) * float(n - 1))
    return math.sqrt(variance) / scale if kind == _STD else variance / (scale * scale)


@compiled
def _fold(
    begin: int, slots: I32, times: I64, whole: I64, current: bool, lag: int, cut: int, min_rows: int,
    kinds: I64, arguments: I64, scales: F64, record: I64, queue: I64, out: F64, n: I64, first: I64,
) -> int:
    """Fold rows `begin`…; returns their number, or the row for which the queue is too short."""
    width, m = queue.shape[1], whole.shape[0]
    for i in range(begin, len(slots)):
        s = slots[i]
        t = times[i]
        # With a cut, the window is everything before it, for every row.
        until = cut if cut != NULL_INT else t - lag
        while record[s, _WAITING] > 0 and queue[s, record[s, _HEAD], 0] < until:
            _absorb(record, s, queue, record[s, _HEAD], m)
            record[s, _HEAD] = record[s, _HEAD] + 1 if record[s, _HEAD] + 1 < width else 0
            record[s, _WAITING] -= 1
        if record[s, _WAITING] == width:
            return i
        at = record[s, _HEAD] + record[s, _WAITING]
        at -= width if at >= width else 0
        queue[s, at, 0] = t
        for a in range(m):
            queue[s, at, 1 + a] = whole[a, i]
        record[s, _WAITING] += 1
        if current:
            # The row is in its own window, and without a lag none waits before it.
            _absorb(record, s, queue, at, m)
            record[s, _WAITING] = 0
        n[i] = record[s, _ROWS]
        first[i] = record[s, _FIRST] if n[i] > 0 else NULL_INT
        told = n[i] >= min_rows and (cut == NULL_INT or t >= cut)
        for k in range(len(kinds)):
            out[k, i] = _read(record, s, kinds[k], arguments[k], scales[k]) if told else np.nan
    return len(slots)


@compiled
def _whole(arguments: F64, factors: F64, out: I64) -> None:
    """The exact integers behind doubles that are integers over a power of ten."""
    for a in range(len(factors)):
        for i in range(arguments.shape[1]):
            x = arguments[a, i]
            # A value that is only counted may be any number: clipping keeps it apart from the null.
            out[a, i] = NULL_INT if x != x else np.int64(min(max(np.rint(x * factors[a]), -_FAR), _FAR))


class ExpandingFold:
    """One window over all of the past, for all keys: the rows that lie more than its lag behind.

    Values are taken as the integers they are in the arguments' scale, up to 2^53 of its units; mean, variance and standard deviation
    (sample) come from exact sums, so they do not depend on the order of rows. `columns` names the rows of the matrix given to `fold`.
    With a `cut_ns`, the window is what lies before it, for rows from there on: features of earlier rows are null (`as_of.mode: fixed`).
    """

    def __init__(self, plan: WindowPlan, columns: tuple[str, ...], cut_ns: int = NULL_INT) -> None:
        self.plan = plan
        self.cut_ns = cut_ns
        self._arguments = Machine(plan.arguments, columns)
        self._features = Machine(plan.feature_program, tuple(f"agg{i}" for i in range(len(plan.aggregates))))
        self._scales = np.array([float(10**g.scale) for g in plan.aggregates])
        self._kinds = np.array([_KINDS[g.function] for g in plan.aggregates], np.int64)
        self._of = np.array([max(g.argument, 0) for g in plan.aggregates], np.int64)
        self._factors = np.ones(len(plan.arguments.outputs))
        for aggregate, scale in zip(plan.aggregates, self._scales, strict=True):
            if aggregate.argument >= 0:  # a count does not depend on the argument's scale
                self._factors[aggregate.argument] = max(scale, self._factors[aggregate.argument])
        self._record: I64 = np.zeros((0, _SUMS + _WIDTH * len(self._factors)), np.int64)
        self._queue: I64 = np.zeros((0, 2, 1 + len(self._factors)), np.int64)

    def _grow_slots(self, slots: int) -> None:
        self._record, self._queue = grown_rows(self._record, slots), grown_rows(self._queue, slots)

    def fold(self, slots: I32, time_ns: I64, columns: F64, keys: int) -> WindowRows:
        """Fold n rows in order; `columns` (c, n), `keys` the number of slots in use."""
        n, plan = len(slots), self.plan
        self._grow_slots(keys)
        arguments = self._arguments.run(columns)
        whole: I64 = np.empty(arguments.shape, np.int64)
        _whole(arguments, self._factors, whole)
        aggregates = np.empty((len(plan.aggregates), n))
        rows = WindowRows(np.empty((0, 0)), np.empty(n, np.int64), np.empty(n, np.int64))
        done = 0
        while n:
            done = _fold(
                done, slots, time_ns, whole, plan.current, plan.lag_ns, self.cut_ns, plan.min_rows, self._kinds, self._of, self._scales,
                self._record, self._queue, aggregates, rows.n, rows.from_ns,
            )  # fmt: skip
            if done == n:
                break
            self._widen(2 * self._queue.shape[1])
        return WindowRows(self._features.run(aggregates), rows.n, rows.from_ns)

    def excerpt(self, slots: I32, keys: int) -> Self:
        """A copy in which n slots, of `keys` in use, are 0 to n - 1: rows folded into it do not change this one."""
        self._grow_slots(keys)
        other = copy.copy(self)
        other._record, other._queue = self._record[slots], self._queue[slots]
        return other

    def _widen(self, width: int) -> None:
        """Longer queues, each from its beginning."""
        old = self._queue.shape[1]
        order = (self._record[:, [_HEAD]] + np.arange(old)) % old
        queue = np.zeros((len(self._queue), width, self._queue.shape[2]), np.int64)
        queue[:, :old] = np.take_along_axis(self._queue, order[:, :, np.newaxis], axis=1)
        self._record[:, _HEAD] = 0
        self._queue = queue

    def snapshot(self, slots: I64) -> dict[str, np.ndarray]:
        """The state of some slots."""
        self._grow_slots(int(slots.max(initial=-1)) + 1)
        return {"record": self._record[slots], "queue": self._queue[slots]}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over a snapshot; from then on its arrays belong to this object."""
        self._record, self._queue = arrays["record"], arrays["queue"]
