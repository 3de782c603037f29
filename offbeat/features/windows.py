"""Keyed windows as a stage: built from the plan, fed with rows in fold order, its state plain arrays with a row per key slot."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Self

import numpy as np

from offbeat.core.batch import F64, I32, I64
from offbeat.core.expression_machine import Machine
from offbeat.core.int128_sums import ExactArguments
from offbeat.core.plan import WindowPlan
from offbeat.core.rings import grown_rows, laid_out, next_capacity, no_free, stretches
from offbeat.features import kernels as k
from offbeat.features.changes import Changes

_KINDS = {
    "count_rows": k.COUNT_ROWS, "count": k.COUNT, "sum": k.SUM, "sum_exact": k.SUM_EXACT, "mean": k.MEAN, "std": k.STD,
    "var": k.VAR, "min": k.MIN, "max": k.MAX, "first": k.FIRST, "last": k.LAST, "quantile": k.QUANTILE, "median": k.QUANTILE,
    "mad": k.MAD, "distinct": k.DISTINCT, "span": k.SPAN, "rate": k.RATE,
}
_STACKED = {k.SUM: k.AT_SUM, k.MEAN: k.AT_MEAN, k.STD: k.AT_MEAN, k.VAR: k.AT_MEAN, k.MIN: k.AT_MIN, k.MAX: k.AT_MAX}


@dataclass(frozen=True, slots=True)
class WindowRows:
    """The features of a window for n rows."""

    features: F64
    """(features, n); NaN while the window holds too few rows."""
    n: I64
    """(n,) rows in the window."""
    from_ns: I64
    """(n,) time of the oldest row in it; NULL_INT when it is empty."""


class WindowFold:
    """One window for all keys of a shard.

    `columns` names the rows of the matrix given to `fold`, `fixed` those of the exact integers, `features` those of the features.
    """

    def __init__(self, plan: WindowPlan, columns: tuple[str, ...], fixed: tuple[str, ...], features: tuple[str, ...] = ()) -> None:
        self.plan = plan
        self._changes = Changes(plan, columns, features)
        self._arguments = Machine(plan.arguments, columns, self._changes.names)
        self._features = Machine(plan.feature_program, tuple(f"agg{i}" for i in range(len(plan.aggregates))))
        self._lay_out(fixed)
        self._clear()

    def _clear(self) -> None:
        self._ring = np.zeros((0, k.RING), np.int64)
        self._back = np.zeros((0, self._stack))
        self._running = np.zeros((0, self._counters), np.int64)
        self._sorted_n = np.zeros((0, 2 * self._sorted), np.int64)
        self._used = np.zeros(1, np.int64)
        self._free = no_free()
        self._times = np.zeros(0, np.int64)
        self._values = np.zeros((0, len(self.plan.arguments.outputs)))
        self._integers = np.zeros((0, len(self._exact)), np.int64)
        self._suffix = np.zeros((0, self._stack))
        self._ordered = np.zeros((0, self._sorted))

    def _lay_out(self, fixed: tuple[str, ...]) -> None:
        """Decide where each argument keeps its parts; only what some aggregate reads is kept."""
        program = self.plan.arguments
        layout = np.full((6, len(program.outputs)), -1, np.int64)
        counted: dict[int, int] = {}
        exact: list[int] = []
        summed: list[int] = []
        sorts: list[int] = []
        rows: list[tuple[int, int, int]] = []
        self._stack = 0
        for aggregate in self.plan.aggregates:
            kind, a = _KINDS[aggregate.function], aggregate.argument
            of = a
            if kind in (k.COUNT, k.SUM_EXACT):
                counted.setdefault(a, len(counted) + 2 * len(exact))
            if kind == k.SUM_EXACT:
                of = len(counted) + 2 * len(exact)
                summed.append(a)
                exact.append(of)
            if kind in _STACKED:
                if layout[k.AT_N, a] < 0:
                    layout[k.AT_N, a], self._stack = self._stack, self._stack + 1
                part = _STACKED[kind]
                if layout[part, a] < 0:
                    layout[part, a], self._stack = self._stack, self._stack + (2 if part == k.AT_MEAN else 1)
            if kind in (k.QUANTILE, k.DISTINCT, k.MAD) and layout[k.AT_SORTED, a] < 0:
                layout[k.AT_SORTED, a] = len(sorts)
                sorts.append(a)
            rows.append((kind, of, counted.get(a, -1)))
        self._sorted, self._counters = len(sorts), len(counted) + 2 * len(exact)
        self._exact_arguments = ExactArguments(fixed, tuple(summed), self.plan.aggregates)
        table = np.array(rows, np.int64).reshape(-1, 3).T.copy()
        self._read = (
            table[0], table[1], table[2],
            np.array([g.q for g in self.plan.aggregates], np.float64),
            np.array([float(10**g.scale) for g in self.plan.aggregates], np.float64),
        )  # fmt: skip
        self._layout = layout
        self._counted = np.array(list(counted.items()), np.int64).reshape(-1, 2)
        self._exact, self._sorts = np.array(exact, np.int64), np.array(sorts, np.int64)

    def _grow_slots(self, slots: int) -> None:
        if slots <= len(self._ring):
            return
        self._ring = grown_rows(self._ring, slots)
        self._back = grown_rows(self._back, slots)
        self._running = grown_rows(self._running, slots)
        self._sorted_n = grown_rows(self._sorted_n, slots)

    def _grow_pool(self, elements: int) -> None:
        self._times = grown_rows(self._times, elements)
        self._values = grown_rows(self._values, elements)
        self._integers = grown_rows(self._integers, elements)
        self._suffix = grown_rows(self._suffix, elements)
        self._ordered = grown_rows(self._ordered, elements)

    def fold(self, slots: I32, time_ns: I64, columns: F64, integers: I64, keys: int, features: F64 | None = None) -> WindowRows:
        """Fold n rows in order; `columns` (c, n), `integers` (i, n), `features` (f, n), `keys` the number of slots in use."""
        n, plan = len(slots), self.plan
        self._grow_slots(keys)
        arguments = self._arguments.run(columns, self._changes.beside(slots, keys, time_ns, columns, features))
        exact = self._exact_arguments.pick(arguments, integers)
        aggregates = np.empty((len(plan.aggregates), n))
        rows = WindowRows(np.empty((0, 0)), np.empty(n, np.int64), np.empty(n, np.int64))
        done = 0
        while n:
            done = k.fold(
                done, slots, time_ns, arguments, exact, plan.duration_ns, plan.lag_ns, plan.rows, plan.current, plan.min_rows,
                self._layout, self._counted, self._exact, self._sorts, *self._read,
                self._ring, self._back, self._running, self._sorted_n, self._used, self._free,
                self._times, self._values, self._integers, self._suffix, self._ordered, aggregates, rows.n, rows.from_ns,
            )  # fmt: skip
            if done == n:
                break
            largest = int(self._ring[:, k.CAPACITY].max(initial=0))
            self._grow_pool(int(self._used[0]) + next_capacity(largest, plan.rows + 2 if plan.rows else 0) + 64)
        return WindowRows(self._features.run(aggregates), rows.n, rows.from_ns)

    def snapshot(self, slots: I64) -> dict[str, np.ndarray]:
        """The state of some slots: their rows in order, and how many are in which part."""
        self._grow_slots(int(slots.max(initial=-1)) + 1)
        return self._kept(slots)

    def excerpt(self, slots: I32, keys: int) -> Self:
        """A copy in which n slots, of `keys` in use, are 0 to n - 1: rows folded into it do not change this one."""
        self._grow_slots(keys)
        other = copy.copy(self)
        other._changes = copy.copy(self._changes)
        other._clear()
        other.restore(self._kept(slots))
        return other

    def _kept(self, slots: I32 | I64) -> dict[str, np.ndarray]:
        ring = self._ring[slots]
        sizes = ring[:, k.LENGTH] + ring[:, k.WAITING]
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        total = int(starts[-1])
        times, values = np.empty(total, np.int64), np.empty((total, self._values.shape[1]))
        whole = np.empty((total, self._integers.shape[1]), np.int64)
        k.gather(starts, ring, self._times, self._values, self._integers, times, values, whole)
        return {
            "length": ring[:, k.LENGTH].copy(), "waiting": ring[:, k.WAITING].copy(), "front": ring[:, k.FRONT].copy(),
            "times": times, "values": values, "integers": whole,
            **self._changes.snapshot(slots),
        }  # fmt: skip

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over a snapshot; every aggregate is recomputed to the same bits."""
        keys = len(arrays["length"])
        self._grow_slots(keys)
        sizes = arrays["length"] + arrays["waiting"]
        offset, capacity = laid_out(sizes, self.plan.rows + 2 if self.plan.rows else 0)
        elements = int(capacity.sum())
        self._grow_pool(elements)
        self._used[0] = elements
        self._changes.restore(arrays)
        ring = self._ring[:keys]
        ring[:, k.OFFSET], ring[:, k.CAPACITY] = offset, capacity
        ring[:, k.LENGTH], ring[:, k.WAITING], ring[:, k.FRONT] = arrays["length"], arrays["waiting"], arrays["front"]
        places = stretches(offset, sizes)
        self._times[places] = arrays["times"]
        self._values[places] = arrays["values"]
        self._integers[places] = arrays["integers"]
        k.rebuild(
            keys, self._layout, self._counted, self._exact, self._sorts, ring, self._back, self._running, self._sorted_n,
            self._values, self._integers, self._suffix, self._ordered,
        )  # fmt: skip
