"""A vote by surprise: how rare what each detector says is for this very key, added up, against a budget of alerts.

Scores of different detectors cannot be compared, ranks can. Of each detector and key the last 23,000 to 46,000 values of r are remembered,
as counts in bins of an eighth of an octave, so a row takes the same work however much came before. All counts are integers: no result
depends on the order in which they are added up. docs/definitions.md has it step by step.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from offbeat.core.batch import F64, I32, I64, NULL_INT, Bools
from offbeat.core.compiled import compiled, compiled_inner
from offbeat.core.logarithms import ln
from offbeat.core.plan import BudgetPlan
from offbeat.core.rings import grown_rows
from offbeat.core.state import Arrays

_BINS, _BLOCK, _BLOCKS = 400, 20, 20
"""Bins, and after them the sums of blocks of bins."""
_ROW = 256
"""What a row adds to its bin."""
_PERIOD = 23_000
"""Values after which all counts are halved."""
_LEAST, _MOST = 2.0**-25, 2.0**25 * (1.0 - 2.0**-53)
"""Bounds of r: 50 octaves."""
_USUAL, _BEYOND = 2.0, 3.0
"""Decades that are nothing to speak of, once in 100 rows; and what a decade beyond the record counts for."""
_LN10 = 2.302585092994046
_SUM, _SEEN = range(2)
_NOW, _BEFORE = range(2)


@compiled
def _bin(r: float) -> int:
    """The number of the bin of a value within the bounds: an eighth of an octave by its leading bits."""
    m, e = math.frexp(r)
    return (e + 24) * 8 + int((m - 0.5) * 16.0)


@compiled
def _decades(x: float) -> float:
    """The decimal logarithm."""
    return ln(x) / _LN10


@compiled_inner
def _once(counts: npt.NDArray[np.int32], sums: I64, s: int, d: int, b: int) -> float:
    """In how many values there is one in bin b or beyond, that of the row at hand among them."""
    block = b // _BLOCK
    total = 0
    for j in range(b, (block + 1) * _BLOCK):
        total += counts[s, d, j]
    for j in range(block + 1, _BLOCKS):
        total += counts[s, d, _BINS + j]
    return float(sums[s, d, _SUM] / (_ROW + total))


@compiled_inner
def _record(records: F64, s: int, d: int) -> float:
    """The greatest value of this period and the one before."""
    return float(max(records[s, d, _NOW], records[s, d, _BEFORE]))


@compiled_inner
def _count(counts: npt.NDArray[np.int32], sums: I64, records: F64, s: int, d: int, b: int, r: float) -> bool:
    """Remember a value; says whether a period has ended, and all counts were halved."""
    counts[s, d, b] += _ROW
    counts[s, d, _BINS + b // _BLOCK] += _ROW
    sums[s, d, _SUM] += _ROW
    sums[s, d, _SEEN] += 1
    records[s, d, _NOW] = max(records[s, d, _NOW], r)
    if sums[s, d, _SEEN] % _PERIOD != 0:
        return False
    sums[s, d, _SUM] = 0
    for block in range(_BLOCKS):
        total = 0
        for j in range(block * _BLOCK, (block + 1) * _BLOCK):
            counts[s, d, j] //= 2
            total += counts[s, d, j]
        counts[s, d, _BINS + block] = total
        sums[s, d, _SUM] += total
    records[s, d, _BEFORE] = records[s, d, _NOW]
    records[s, d, _NOW] = 0.0
    return True


@compiled
def _weigh(
    rows: I64, slots: I32, time_ns: I64, score: F64, exceedance: F64, budget: float, unit_s: float, unit_rows: float, warm_up: int,
    counts: npt.NDArray[np.int32], sums: I64, records: F64, last: I64, passed: F64,
    once: F64, over: F64, voted: Bools, strength: F64, totals: F64, silent: Bools,
) -> None:  # fmt: skip
    """Weigh n rows of all keys, of each key in fold order; sets `voted` (d, n) at `rows`, and once, over, strength (d, n), totals, silent
    (n,) where there is something to say.
    """
    detectors = score.shape[0]
    for p in range(len(rows)):
        i = rows[p]
        s = slots[i]
        if last[s] != NULL_INT:
            passed[s] += (time_ns[i] - last[s]) / 1e9
        last[s] = time_ns[i]
        total = 0.0
        judged = False
        for d in range(detectors):
            voted[d, i] = False
            if score[d, i] != score[d, i]:
                continue
            judged = True
            r = max(_LEAST, min(_MOST, exceedance[d, i]))
            b = _bin(r)
            if sums[s, d, _SEEN] >= warm_up:
                once[d, i] = _once(counts, sums, s, d, b)
                over[d, i] = max(1.0, r / _record(records, s, d))
                if once[d, i] > 100.0 or over[d, i] > 1.0:
                    decades = _decades(once[d, i]) + _BEYOND * _decades(over[d, i]) - _USUAL
                    voted[d, i] = decades > 0.0
                    total += max(decades, 0.0)
            _count(counts, sums, records, s, d, b, r)
        if not judged:
            continue
        t = detectors
        silent[i] = sums[s, t, _SEEN] < warm_up
        totals[i] = total
        r = max(_LEAST, min(_MOST, total))
        b = _bin(r)
        fires = False
        if total > 0.0 and not silent[i]:
            rank = _decades(_once(counts, sums, s, t, b)) + max(0.0, r - _record(records, s, t))
            # In how many rows the budget may be spent.
            span = unit_rows
            if unit_rows == 0.0:
                span = unit_s * (sums[s, t, _SUM] / _ROW) / passed[s] if passed[s] > 0.0 else np.inf
            ahead = rank - _decades(span / budget)
            fires = ahead >= 0.0
            for d in range(detectors):
                if voted[d, i]:
                    strength[d, i] = 1.0 + ahead
        if not fires:
            for d in range(detectors):
                voted[d, i] = False
        if _count(counts, sums, records, s, t, b, r):
            passed[s] *= 0.5


class Surprise:
    """What each key is used to, and which rows of a batch surprise."""

    def __init__(self, detectors: int, budget: BudgetPlan) -> None:
        self._detectors, self._budget = detectors, budget
        self._counts = np.zeros((0, detectors + 1, _BINS + _BLOCKS), np.int32)
        """(slots, detectors and their sum, bins and blocks)"""
        self._sums: I64 = np.zeros((0, detectors + 1, 2), np.int64)
        self._records: F64 = np.zeros((0, detectors + 1, 2))
        self._last: I64 = np.zeros(0, np.int64)
        self._passed: F64 = np.zeros(0)
        """Seconds in the memory of the sums."""
        self._once: F64 = np.zeros((detectors, 0))
        self._over: F64 = np.zeros((detectors, 0))
        self.totals: F64 = np.zeros(0)
        """(n,) of the batch, the decades of all detectors together; NaN where none had a verdict."""
        self.silent: Bools = np.zeros(0, np.bool_)
        """(n,) of the batch, where too little is known of the key."""
        self.strength: F64 = np.zeros((detectors, 0))
        """(detectors, n) by how much the row surprises: 1 just within the budget, 1 more for each decade."""

    def begin(self, n: int) -> None:
        """A batch of n rows comes, in one or several parts."""
        shape = (self._detectors, n)
        self._once, self._over, self.strength = np.full(shape, np.nan), np.ones(shape), np.zeros(shape)
        self.totals, self.silent = np.full(n, np.nan), np.zeros(n, np.bool_)

    def weigh(self, rows: I64, keys: int, slots: I32, time_ns: I64, score: F64, exceedance: F64, voted: Bools) -> None:
        """Weigh the `rows` of a batch of n; score, exceedance (detectors, n). Sets `voted`: who surprises, in rows that are alerts."""
        self._grow(keys)
        _weigh(
            rows, slots, time_ns, score, exceedance,
            self._budget.alerts, self._budget.unit_ns / 1e9, float(self._budget.unit_rows), self._budget.warm_up,
            self._counts, self._sums, self._records, self._last, self._passed,
            self._once, self._over, voted, self.strength, self.totals, self.silent,
        )  # fmt: skip

    def told(self, d: int, index: I64) -> tuple[str, ...]:
        """How rare what detector d says of the rows at `index` is."""
        return tuple(map(_told, self._once[d, index].tolist(), self._over[d, index].tolist()))

    def _grow(self, keys: int) -> None:
        self._counts, self._sums, self._records = (grown_rows(each, keys) for each in (self._counts, self._sums, self._records))
        self._passed, self._last = grown_rows(self._passed, keys), grown_rows(self._last, keys, NULL_INT)

    def snapshot(self, slots: I64) -> Arrays:
        """State of the keys of some slots."""
        self._grow(int(slots.max(initial=-1)) + 1)
        kept: Arrays = {"counts": self._counts, "sums": self._sums, "records": self._records, "last": self._last, "passed": self._passed}
        return {name: array[slots] for name, array in kept.items()}

    def restore(self, arrays: Arrays) -> None:
        """Take over a snapshot; from then on its arrays belong to this object."""
        self._counts, self._sums, self._records = arrays["counts"], arrays["sums"], arrays["records"]
        self._last, self._passed = arrays["last"], arrays["passed"]


def _told(once: float, over: float) -> str:
    if once != once:
        return ""
    rare = f"once in {_rounded(once):,} rows of this key"
    return f"{rare}, {over:.3g} times its record" if over > 1.0 else rare


def _rounded(x: float) -> int:
    """To two digits."""
    whole = round(x)
    return round(whole, 2 - len(str(whole)))
