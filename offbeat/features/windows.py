"""Keyed windows as a stage: built from the plan, fed with rows in fold order, its state plain arrays with a row per key slot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offbeat.core.batch import F64, I32, I64
from offbeat.core.exact import ExactArguments
from offbeat.core.machine import Machine
from offbeat.core.rings import grown_rows, no_free, stretch_capacity, stretches
from offbeat.features import kernels as k
from offbeat.core.plan import WindowPlan

_KINDS = {
    "count_rows": k.COUNT_ROWS, "count": k.COUNT, "sum": k.SUM, "sum_exact": k.SUM_EXACT, "mean": k.MEAN, "std": k.STD,
    "var": k.VAR, "min": k.MIN, "max": k.MAX, "first": k.FIRST, "last": k.LAST, "quantile": k.QUANTILE, "median": k.QUANTILE,
    "distinct": k.DISTINCT, "span": k.SPAN, "rate": k.RATE,
}
_STACKED = {k.SUM: k.AT_SUM, k.MEAN: k.AT_MEAN, k.STD: k.AT_MEAN, k.VAR: k.AT_MEAN, k.MIN: k.AT_MIN, k.MAX: k.AT_MAX}


@dataclass(frozen=True, slots=True)
class WindowRows:
    """What a window says of n rows."""

    features: F64
    """(features, n); NaN while the window holds too few rows."""
    n: I64
    """(n,) rows in the window."""
    from_ns: I64
    """(n,) time of the oldest row in it; NULL_INT when it is empty."""


class WindowFold:
    """One window for all keys of a shard.

    `columns` names the rows of the matrix given to `fold`, `fixed` those of the exact integers.
    """

    def __init__(self, plan: WindowPlan, columns: tuple[str, ...], fixed: tuple[str, ...]) -> None:
        self.plan = plan
        self._arguments = Machine(plan.arguments, columns)
        self._features = Machine(plan.feature_program, tuple(f"agg{i}" for i in range(len(plan.aggregates))))
        self._lay_out(fixed)
        arguments = len(plan.arguments.outputs)
        self._per_slot = {
            "offset": np.zeros(0, np.int64), "capacity": np.zeros(0, np.int64), "head": np.zeros(0, np.int64),
            "length": np.zeros(0, np.int64), "waiting": np.zeros(0, np.int64), "front": np.zeros(0, np.int64),
        }
        self._back = np.zeros((0, self._stack))
        self._running = np.zeros((0, self._counters), np.int64)
        self._sorted_n = np.zeros((0, 2 * self._sorted), np.int64)
        self._used = np.zeros(1, np.int64)
        self._free = no_free()
        self._times = np.zeros(0, np.int64)
        self._values = np.zeros((0, arguments))
        self._integers = np.zeros((0, len(self._exact)), np.int64)
        self._suffix = np.zeros((0, self._stack))
        self._ordered = np.zeros((0, self._sorted))

    def _lay_out(self, fixed: tuple[str, ...]) -> None:
        """Decide where each argument keeps its parts: only what some aggregate reads is kept."""
        program = self.plan.arguments
        layout = np.full((7, max(len(program.outputs), 0)), -1, np.int64)
        kinds, of, quantiles, scales = [], [], [], []
        summed: list[int] = []
        counters = [0]

        def counter() -> int:
            counters[0] += 1
            return counters[0] - 1

        exact: list[int] = []
        self._stack = self._sorted = 0
        for aggregate in self.plan.aggregates:
            kind, a = _KINDS[aggregate.function], aggregate.argument
            kinds.append(kind)
            quantiles.append(aggregate.q)
            scales.append(float(10**aggregate.scale))
            of.append(a)
            if kind in (k.COUNT, k.SUM_EXACT) and layout[k.AT_COUNT, a] < 0:
                layout[k.AT_COUNT, a] = counter()
            if kind == k.SUM_EXACT:
                summed.append(a)
                exact.append(counter())
                of[-1], quantiles[-1] = exact[-1], float(a)
            if kind in _STACKED:
                if layout[k.AT_N, a] < 0:
                    layout[k.AT_N, a] = self._stack
                    self._stack += 1
                part = _STACKED[kind]
                if layout[part, a] < 0:
                    layout[part, a] = self._stack
                    self._stack += 2 if part == k.AT_MEAN else 1
            if kind in (k.QUANTILE, k.DISTINCT) and layout[k.AT_SORTED, a] < 0:
                layout[k.AT_SORTED, a] = self._sorted
                self._sorted += 1
        self._counters = counters[0]
        self._exact_arguments = ExactArguments(program, fixed, tuple(summed))
        self._layout, self._exact = layout, np.array(exact, np.int64)
        self._kinds, self._of = np.array(kinds, np.int64), np.array(of, np.int64)
        self._quantiles, self._scales = np.array(quantiles, np.float64), np.array(scales, np.float64)

    def _grow_slots(self, slots: int) -> None:
        if len(self._back) < slots:
            for name, array in self._per_slot.items():
                self._per_slot[name] = grown_rows(array, slots)
            self._back = grown_rows(self._back, slots)
            self._running = grown_rows(self._running, slots)
            self._sorted_n = grown_rows(self._sorted_n, slots)

    def _grow_pool(self, elements: int) -> None:
        self._times = grown_rows(self._times, elements)
        self._values = grown_rows(self._values, elements)
        self._integers = grown_rows(self._integers, elements)
        self._suffix = grown_rows(self._suffix, elements)
        self._ordered = grown_rows(self._ordered, elements)

    def fold(self, slots: I32, time_ns: I64, columns: F64, integers: I64, keys: int) -> WindowRows:
        """Fold n rows in order; `columns` (c, n), `integers` (i, n), `keys` the number of slots in use."""
        n = len(slots)
        self._grow_slots(keys)
        arguments = self._arguments.run(columns)
        exact = self._exact_arguments.pick(arguments, integers)
        aggregates = np.empty((len(self._kinds), n))
        rows = WindowRows(np.empty((0, 0)), np.empty(n, np.int64), np.empty(n, np.int64))
        plan, p = self.plan, self._per_slot
        done = 0
        while n:
            done = k.fold(
                done, slots, time_ns, arguments, exact, plan.duration_ns, plan.rows, plan.current, plan.at_least,
                self._layout, self._exact, self._kinds, self._of, self._quantiles, self._scales,
                p["offset"], p["capacity"], p["head"], p["length"], p["waiting"], p["front"],
                self._back, self._running, self._sorted_n, self._used, self._free,
                self._times, self._values, self._integers, self._suffix, self._ordered, aggregates, rows.n, rows.from_ns,
            )  # fmt: skip
            if done == n:
                break
            self._grow_pool(2 * len(self._times) + 2 * plan.rows + 64)
        return WindowRows(self._features.run(aggregates), rows.n, rows.from_ns)

    def snapshot(self, keys: int) -> dict[str, np.ndarray]:
        """The state of the first `keys` slots: their rows in order, and how many stand in which part."""
        self._grow_slots(keys)
        p = self._per_slot
        sizes = p["length"][:keys] + p["waiting"][:keys]
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        total = int(starts[-1])
        out = {
            "length": p["length"][:keys].copy(), "waiting": p["waiting"][:keys].copy(), "front": p["front"][:keys].copy(),
            "times": np.empty(total, np.int64),
            "values": np.empty((total, self._values.shape[1])),
            "integers": np.empty((total, self._integers.shape[1]), np.int64),
        }
        k.gather(
            starts, p["offset"], p["capacity"], p["head"], self._times, self._values, self._integers,
            out["times"], out["values"], out["integers"],
        )  # fmt: skip
        return out

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over a snapshot; every aggregate is recomputed to the same bits."""
        keys = len(arrays["length"])
        self._grow_slots(keys)
        p = self._per_slot
        sizes = arrays["length"] + arrays["waiting"]
        capacity = stretch_capacity(sizes, self.plan.rows + 1 if self.plan.rows else 0)
        offset = np.cumsum(capacity) - capacity
        elements = int(capacity.sum())
        self._grow_pool(elements)
        self._used[0] = elements
        p["offset"][:keys], p["capacity"][:keys] = offset, capacity
        p["waiting"][:keys] = arrays["waiting"]
        places = stretches(offset, sizes)
        self._times[places] = arrays["times"]
        self._values[places] = arrays["values"]
        self._integers[places] = arrays["integers"]
        k.rebuild(
            arrays["front"], arrays["length"], self._layout, self._exact, p["offset"], p["capacity"], p["head"], p["length"],
            p["front"], self._back, self._running, self._sorted_n, self._values, self._integers, self._suffix, self._ordered,
        )  # fmt: skip
