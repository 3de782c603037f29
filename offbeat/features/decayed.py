"""Windows over a key's whole past in which later rows count for more: exponentially weighted means, and forecasts by an autoregression.

Each takes a few numbers a key (and place of the season) and constant work a row. docs/definitions.md has the formulas step by step.
"""

from __future__ import annotations

import copy
import math
from typing import Self

import numpy as np

from offbeat.core.batch import F64, I32, I64, NULL_INT
from offbeat.core.compiled import compiled, compiled_inner
from offbeat.core.expression_machine import Machine
from offbeat.core.plan import WindowPlan
from offbeat.core.rings import grown_rows
from offbeat.features.changes import Changes
from offbeat.features.windows import WindowRows

_EWMA, _EWSTD, _AR, _STILL = range(4)
_KINDS = {"ewma": _EWMA, "ewstd": _EWSTD, "ar": _AR, "still": _STILL}
_COUNT, _MEAN, _SPREAD, _OF_MEANS = range(4)
"""Parts of a weighted mean: how many values there were, the mean, the mean square of the distances from it."""
_SEEN, _JUDGED, _ERROR, _POWER, _VALUES = range(5)
"""Parts of an autoregression of order p: how many values there were, how many forecasts were held against a value, their mean absolute
error, the mean power of what they were made of; then the last p values, the newest first, and p weights."""
_SAME, _VALUE, _OF_STILL = range(3)
"""Parts of a value that may stand still: how many values in a row are equal to the last one, itself among them, and that one."""
_RATE, _LEAST_SHARE, _MOST = 0.02, 0.01, 3.0
"""Normalised least mean squares: the step; the least share of a new row in the running means; an error that is more than so many mean ones
counts as so many, so that the odd rows that one looks for do not spoil the weights."""
_MAX = float(np.finfo(np.float64).max)


@compiled_inner
def _take(state: F64, s: int, at: int, x: float, rows: float) -> None:
    """Take x into the weighted mean at `at`."""
    k = state[s, at + _COUNT] + 1.0
    share = max(1.0 / k, 2.0 / (rows + 1.0))
    d = x - state[s, at + _MEAN]
    mean = state[s, at + _MEAN] + share * d
    spread = (1.0 - share) * (state[s, at + _SPREAD] + share * d * d)
    if k == 1.0 or not (abs(mean) <= _MAX and spread <= _MAX):
        k, mean, spread = 1.0, x, 0.0
    state[s, at + _COUNT] = k
    state[s, at + _MEAN] = mean
    state[s, at + _SPREAD] = spread


@compiled_inner
def _centre(state: F64, s: int, at: int, p: int) -> float:
    total = 0.0
    for i in range(p):
        total += state[s, at + _VALUES + i]
    return total / p


@compiled_inner
def _forecast(state: F64, s: int, at: int, p: int) -> float:
    """What the last p values lead to expect."""
    if state[s, at + _SEEN] < p:
        return math.nan
    centre = _centre(state, s, at, p)
    total = 0.0
    for i in range(p):
        total += state[s, at + _VALUES + p + i] * (state[s, at + _VALUES + i] - centre)
    return centre + total


@compiled_inner
def _learn(state: F64, s: int, at: int, p: int, x: float) -> bool:
    """Move the weights towards what would have foretold x; says whether all numbers are still finite."""
    error = x - _forecast(state, s, at, p)
    centre = _centre(state, s, at, p)
    power = 0.0
    for i in range(p):
        u = state[s, at + _VALUES + i] - centre
        power += u * u
    state[s, at + _JUDGED] += 1.0
    share = max(1.0 / state[s, at + _JUDGED], _LEAST_SHARE)
    fine = abs(error) <= _MAX and power <= _MAX
    usual, strong = state[s, at + _ERROR], state[s, at + _POWER]
    if usual > 0.0:
        error = max(-_MOST * usual, min(_MOST * usual, error))
    state[s, at + _ERROR] = usual + share * (abs(error) - usual)
    bounded = min(power, _MOST * _MOST * strong) if strong > 0.0 else power
    state[s, at + _POWER] = strong + share * (bounded - strong)
    divisor = max(power, state[s, at + _POWER])
    if fine and divisor > 0.0:
        step = _RATE * error / divisor
        for i in range(p):
            weight = state[s, at + _VALUES + p + i] + step * (state[s, at + _VALUES + i] - centre)
            state[s, at + _VALUES + p + i] = weight
            fine = fine and abs(weight) <= _MAX
    return bool(fine)


@compiled_inner
def _follow(state: F64, s: int, at: int, p: int, x: float) -> None:
    """Take x into the autoregression at `at`."""
    if state[s, at + _SEEN] >= p and not _learn(state, s, at, p, x):
        state[s, at + _SEEN] = 0.0
    if state[s, at + _SEEN] == 0.0:
        for i in range(_VALUES + 2 * p):
            state[s, at + i] = 0.0
        state[s, at + _VALUES + p] = 1.0  # to begin with, the last value is expected again
    for i in range(p - 1, 0, -1):
        state[s, at + _VALUES + i] = state[s, at + _VALUES + i - 1]
    state[s, at + _VALUES] = x
    state[s, at + _SEEN] += 1.0


@compiled_inner
def _update(state: F64, s: int, arguments: F64, i: int, parts: I64) -> None:
    for j in range(parts.shape[0]):
        x = arguments[parts[j, 1], i]
        if x != x:
            continue
        at = parts[j, 3]
        if parts[j, 0] == _AR:
            _follow(state, s, at, parts[j, 2], x)
        elif parts[j, 0] == _STILL:
            state[s, at + _SAME] = state[s, at + _SAME] + 1.0 if state[s, at + _VALUE] == x else 1.0
            state[s, at + _VALUE] = x
        else:
            _take(state, s, at, x, float(parts[j, 2]))


@compiled_inner
def _read(state: F64, s: int, kind: int, at: int, rows: int) -> float:
    if kind == _AR:
        value = _forecast(state, s, at, rows)
    elif kind == _STILL:
        value = state[s, at + _SAME] - 1.0 if state[s, at + _SAME] >= 1.0 else math.nan
    elif kind == _EWSTD:
        value = math.sqrt(state[s, at + _SPREAD]) if state[s, at + _COUNT] >= 2.0 else math.nan
    else:
        value = state[s, at + _MEAN] if state[s, at + _COUNT] >= 1.0 else math.nan
    return value if abs(value) <= _MAX else math.nan


@compiled
def _fold(
    slots: I32, time_ns: I64, arguments: F64, current: bool, min_rows: int, parts: I64, read: I64, state: F64, held: I64,
    out: F64, n: I64, first: I64,
) -> None:
    """Fill out (k, n). held (slots, 2): rows in the window, and the time of the first.

    parts: kind, argument, rows, place; read: kind, place, rows.
    """
    for i in range(len(slots)):
        s = slots[i]
        for turn in range(2):
            if (turn == 0) == current:
                if held[s, 0] == 0:
                    held[s, 1] = time_ns[i]
                held[s, 0] += 1
                _update(state, s, arguments, i, parts)
            else:
                n[i] = held[s, 0]
                first[i] = held[s, 1] if n[i] > 0 else NULL_INT
                for k in range(read.shape[0]):
                    out[k, i] = _read(state, s, read[k, 0], read[k, 1], read[k, 2]) if n[i] >= min_rows else math.nan


class DecayedFold:
    """One window of weighted means and forecasts, for all keys.

    `columns` names the rows of the matrix given to `fold`. Slots are keys times `places` of the season, plus the place.
    """

    def __init__(self, plan: WindowPlan, columns: tuple[str, ...], places: int = 1) -> None:
        self.plan = plan
        self._places = places
        self._changes = Changes(plan, columns)
        self._arguments = Machine(plan.arguments, columns, self._changes.names)
        self._features = Machine(plan.feature_program, tuple(f"agg{i}" for i in range(len(plan.aggregates))))
        parts: dict[tuple[int, int, int], int] = {}
        width, read = 0, []
        for aggregate in plan.aggregates:
            kind = _KINDS[aggregate.function]
            part = (_EWMA if kind == _EWSTD else kind, aggregate.argument, aggregate.rows)
            if part not in parts:
                parts[part] = width
                width += _VALUES + 2 * aggregate.rows if kind == _AR else _OF_STILL if kind == _STILL else _OF_MEANS
            read.append((kind, parts[part], aggregate.rows))
        self._parts = np.array([(*part, at) for part, at in parts.items()], np.int64).reshape(-1, 4)
        self._read = np.array(read, np.int64).reshape(-1, 3)
        self._state: F64 = np.zeros((0, width))
        self._held: I64 = np.zeros((0, 2), np.int64)

    def _grow_slots(self, slots: int) -> None:
        self._state, self._held = grown_rows(self._state, slots), grown_rows(self._held, slots)

    def fold(self, slots: I32, time_ns: I64, columns: F64, count: int) -> WindowRows:
        """Fold n rows in order; `columns` (c, n), `count` the number of slots in use."""
        n, plan = len(slots), self.plan
        self._grow_slots(count)
        changes = None
        if plan.neighbours:
            changes = self._changes.beside(self._owners(slots), -(-count // self._places), time_ns, columns, None)
        arguments = self._arguments.run(columns, changes)
        aggregates = np.empty((len(plan.aggregates), n))
        rows = WindowRows(np.empty((0, 0)), np.empty(n, np.int64), np.empty(n, np.int64))
        _fold(
            slots, time_ns, arguments, plan.current, plan.min_rows, self._parts, self._read, self._state, self._held,
            aggregates, rows.n, rows.from_ns,
        )  # fmt: skip
        return WindowRows(self._features.run(aggregates), rows.n, rows.from_ns)

    def excerpt(self, slots: I32, count: int) -> Self:
        """A copy in which n slots, of `count` in use, are 0 to n - 1: rows folded into it do not change this one."""
        self._grow_slots(count)
        other = copy.copy(self)
        other._places, other._changes = 1, self._changes.excerpt(self._owners(slots))
        other._state, other._held = self._state[slots], self._held[slots]
        return other

    def _owners(self, slots: I32) -> I32:
        """Slots of the keys themselves."""
        return slots if self._places == 1 else slots // np.int32(self._places)

    def snapshot(self, slots: I64) -> dict[str, np.ndarray]:
        """The state of some slots, all places of a key side by side."""
        self._grow_slots(int(slots.max(initial=-1)) + 1)
        keys = slots[:: self._places] // self._places
        return {"state": self._state[slots], "held": self._held[slots], **self._changes.snapshot(keys)}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over a snapshot; from then on its arrays belong to this object."""
        self._state, self._held = arrays["state"], arrays["held"]
        self._changes.restore(arrays)
