"""The oracle's sliding windows: two stacks of rows, done as docs/definitions.md words it. Imports nothing from the package."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from oracle_logic import Num, finite

Env = dict[str, Any]
"""What an expression may see: column → float, text or None; the exact integer of a fixed-point column under `name#`."""
State = tuple[float, ...] | None
"""Partial result of one aggregate; None is the identity."""


@dataclass(frozen=True)
class Agg:
    """`function` as in definitions.md; `argument` gives a float or None (an int or None for `sum_exact`)."""

    function: str
    argument: Callable[[Env], Any] = lambda _: None
    q: float = 0.5
    scale: int = 0


@dataclass(frozen=True)
class Window:
    name: str
    aggregates: Mapping[str, Agg]
    features: Mapping[str, Callable[[dict[str, Num]], Num]]
    duration_ns: int = 0
    rows: int = 0
    current: bool = False
    min_rows: int | None = None
    season_ns: int = 0
    """Of rows: only those in the same `slot_ns` of the season, by the clock of `zone`."""
    slot_ns: int = 0
    zone: str = "UTC"

    @property
    def least_rows(self) -> int:
        if self.min_rows is not None:
            return self.min_rows
        return self.rows if self.rows else 1


def _join_sum(a: tuple[float, ...], b: tuple[float, ...]) -> tuple[float, ...]:
    return (a[0] + b[0],)


def _join_moments(a: tuple[float, ...], b: tuple[float, ...]) -> tuple[float, ...]:
    n_a, mean_a, m2_a = a
    n_b, mean_b, m2_b = b
    n = n_a + n_b
    delta = mean_b - mean_a
    return n, mean_a + delta * (n_b / n), (m2_a + m2_b) + (delta * delta) * ((n_a * n_b) / n)


def _join(function: str, a: State, b: State) -> State:
    if a is None:
        return b
    if b is None:
        return a
    return _join_sum(a, b) if function == "sum" else _join_moments(a, b)


def _leaf(aggregate: Agg, env: Env) -> State:
    if aggregate.function not in {"sum", "mean", "std", "var"}:
        return None
    x = aggregate.argument(env)
    if x is None:
        return None
    return (float(x),) if aggregate.function == "sum" else (1.0, float(x), 0.0)


def quantile(values: list[float], q: float) -> Num:
    if not values:
        return None
    ordered = sorted(values)
    h = (len(ordered) - 1) * q
    k = math.floor(h)
    if k == len(ordered) - 1:
        return ordered[k]
    return finite(ordered[k] + (ordered[k + 1] - ordered[k]) * (h - k))


def mad(values: list[float]) -> Num:
    """Median of the distances from the median."""
    center = quantile(values, 0.5)
    if center is None:
        return None
    distances = sorted(abs(x - center) for x in values)
    half = len(distances) // 2
    if len(distances) % 2:
        return finite(distances[half])
    return finite(distances[half - 1] + (distances[half] - distances[half - 1]) * 0.5)


@dataclass
class _Held:
    time_ns: int
    env: Env
    leaves: dict[str, State]
    suffix: dict[str, State]


@dataclass
class SlidingWindow:
    """One window of one key."""

    spec: Window
    front: list[_Held] = field(default_factory=list)
    """The oldest row is last."""
    back: list[_Held] = field(default_factory=list)
    back_state: dict[str, State] = field(default_factory=dict)
    waiting: list[tuple[int, Env]] = field(default_factory=list)

    def held(self) -> list[_Held]:
        """Oldest first."""
        return self.front[::-1] + self.back

    def push(self, time_ns: int, env: Env) -> None:
        leaves = {name: _leaf(aggregate, env) for name, aggregate in self.spec.aggregates.items()}
        self.back.append(_Held(time_ns, env, leaves, {}))
        for name, aggregate in self.spec.aggregates.items():
            self.back_state[name] = _join(aggregate.function, self.back_state.get(name), leaves[name])

    def evict(self) -> None:
        if not self.front:
            suffix: dict[str, State] = {}
            for row in reversed(self.back):
                suffix = {name: _join(agg.function, row.leaves[name], suffix.get(name)) for name, agg in self.spec.aggregates.items()}
                row.suffix = suffix
                self.front.append(row)
            self.back = []
            self.back_state = {}
        self.front.pop()

    def oldest(self) -> _Held | None:
        if self.front:
            return self.front[-1]
        return self.back[0] if self.back else None

    def step(self, time_ns: int, env: Env) -> dict[str, Num]:
        """The row at hand arrives: push, evict, read."""
        if self.spec.current:
            self.push(time_ns, env)
        else:
            entering = [row for row in self.waiting if self.spec.rows or row[0] < time_ns]
            self.waiting = self.waiting[len(entering) :]
            for row in entering:
                self.push(*row)
            self.waiting.append((time_ns, env))
        while (row_out := self.oldest()) is not None and self._leaves(row_out, time_ns):
            self.evict()
        return self.read()

    def _leaves(self, oldest: _Held, now: int) -> bool:
        if self.spec.rows:
            return len(self.front) + len(self.back) > self.spec.rows
        start = now - self.spec.duration_ns
        return oldest.time_ns <= start if self.spec.current else oldest.time_ns < start

    def read(self) -> dict[str, Num]:
        """Features of the window as it stands."""
        held = self.held()
        if len(held) < self.spec.least_rows:
            return dict.fromkeys(self.spec.features)
        values = {name: self._aggregate(name, aggregate, held) for name, aggregate in self.spec.aggregates.items()}
        return {name: feature(values) for name, feature in self.spec.features.items()}

    def _aggregate(self, name: str, aggregate: Agg, held: list[_Held]) -> Num:
        function = aggregate.function
        if function in {"sum", "mean", "std", "var"}:
            return self._combined(name, function)
        if function == "count_rows":
            return float(len(held))
        if function in {"span", "rate"}:
            if not held:
                return None
            span = (held[-1].time_ns - held[0].time_ns) / 1e9
            if function == "span":
                return span
            return None if span == 0 else finite((len(held) - 1) / span)
        if function in {"first", "last"}:
            value: Num = aggregate.argument(held[0 if function == "first" else -1].env) if held else None
            return value
        present = [value for row in held if (value := aggregate.argument(row.env)) is not None]
        if function == "count":
            return float(len(present))
        if function == "distinct":
            return float(len(set(present)))  # -0.0 == 0.0, so they are one
        if not present:
            return None
        if function == "sum_exact":
            return float(sum(present)) / 10.0**aggregate.scale
        if function == "quantile":
            return quantile(present, aggregate.q)
        if function == "mad":
            return mad(present)
        extreme: float = min(present) if function == "min" else max(present)
        return extreme

    def _combined(self, name: str, function: str) -> Num:
        state = _join(function, self.front[-1].suffix[name] if self.front else None, self.back_state.get(name))
        if state is None:
            return None
        if function == "sum":
            return finite(state[0])
        n, mean, m2 = state
        if function == "mean":
            return finite(mean)
        if n < 2:
            return None
        variance = finite(m2 / (n - 1))
        return variance if function == "var" or variance is None else math.sqrt(variance)
