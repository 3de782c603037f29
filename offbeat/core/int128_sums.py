"""Exact integers under an aggregate: a fixed-point column as it is kept, a truth value as 0 or 1, summed in 128 bits [S10]."""

from __future__ import annotations

import numpy as np

from offbeat.core.batch import F64, I64, NULL_INT
from offbeat.core.compiled import compiled
from offbeat.core.plan import Aggregate


@compiled
def minus(a: int, b: int) -> int:
    """Difference a - b for b ≥ 0, not below the least int64."""
    return a - b if a >= NULL_INT + b else NULL_INT


@compiled
def add128(pairs: I64, row: int, at: int, low: int, high: int) -> None:
    """Add a 128-bit integer to the pair (low, high) at columns at, at + 1 of a row."""
    before = np.uint64(pairs[row, at])
    after = before + np.uint64(low)
    pairs[row, at] = np.int64(after)
    pairs[row, at + 1] += high + (1 if after < before else 0)


@compiled
def double128(high: int, low: int) -> float:
    """A 128-bit integer as the nearest double, ties to even: one rounding."""
    if high == (-1 if low < 0 else 0):
        return float(low)
    negative = high < 0
    h = np.uint64(high)
    x = np.uint64(low)
    if negative:
        x = ~x + np.uint64(1)
        h = ~h + (np.uint64(1) if x == np.uint64(0) else np.uint64(0))
    shift = 0
    sticky = np.uint64(0)
    while h != np.uint64(0):
        sticky |= x & np.uint64(1)
        x = (x >> np.uint64(1)) | (h << np.uint64(63))
        h >>= np.uint64(1)
        shift += 1
    # Of the bits shifted out it matters only whether any was set: x keeps 64 bits, a double 53.
    out = np.float64(x | sticky)
    for _ in range(shift):
        out *= 2.0
    return -out if negative else out


_OTHER, _CLOCK = -1, -2
"""Sources that are no column: a small whole number of the clock, and anything else."""


class ExactArguments:
    """Picks the exact form of chosen outputs of an argument program.

    `fixed` names the rows of the exact integers; `wanted` are output numbers of the program; `aggregates` are what is made of them.
    """

    def __init__(self, fixed: tuple[str, ...], wanted: tuple[int, ...], aggregates: tuple[Aggregate, ...]) -> None:
        columns = {a.argument: fixed.index(a.column) for a in aggregates if a.column in fixed}
        clocked = {a.argument for a in aggregates if a.function == "distinct"}
        sources = [(columns.get(argument, _CLOCK if argument in clocked else _OTHER), argument) for argument in wanted]
        self._sources = np.array(sources, np.int64).reshape(-1, 2)

    def pick(self, arguments: F64, integers: I64) -> I64:
        """(len(wanted), n) from `arguments` (a, n) and `integers` (i, n).

        What is no fixed-point column is cut to an integer; null stays null.
        """
        out = np.empty((len(self._sources), integers.shape[1]), np.int64)
        if out.size:
            _pick(self._sources, arguments, integers, out)
        return out


@compiled
def _pick(sources: I64, arguments: F64, integers: I64, out: I64) -> None:
    for row in range(len(sources)):
        source, argument = sources[row, 0], sources[row, 1]
        for i in range(out.shape[1]):
            x = arguments[argument, i]
            if x != x:
                out[row, i] = NULL_INT
            elif source >= 0:
                out[row, i] = integers[source, i]
            else:
                # Only counted, unless it is a truth value or of the clock: clipping keeps every number apart from the null.
                out[row, i] = np.int64(x if source == _CLOCK else min(max(x, -1.0), 1.0))
