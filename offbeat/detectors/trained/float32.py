"""Rows in single precision, as tree models compare them: half the memory, and no decision needs more."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from offbeat.core.batch import F64, I32
from offbeat.core.compiled import compiled

F32 = npt.NDArray[np.float32]

SINGLE = 2.0**-23
"""Relative difference between neighbours in single precision."""
_LARGEST = float(np.finfo(np.float32).max)


@compiled
def single(x: float) -> np.float32:
    """The nearest float32; values beyond its range are cut to its largest."""
    return np.float32(min(max(x, -_LARGEST), _LARGEST))


@compiled
def by_row(rows: F64) -> F32:
    """(n, k) rows as float32."""
    out = np.empty(rows.shape, np.float32)
    for i in range(rows.shape[0]):
        for f in range(rows.shape[1]):
            out[i, f] = single(rows[i, f])
    return out


@compiled
def by_column(rows: F64, start: int, count: int, columns: F32, ends: F32, varying: I32) -> int:
    """Copy rows[start : start + count] into `columns` (k, ≥ count), with each column's least and greatest value in `ends` (2, k).

    Returns how many columns vary; their numbers go into `varying`.
    """
    found = 0
    for f in range(rows.shape[1]):
        least = greatest = single(rows[start, f])
        for i in range(count):
            x = single(rows[start + i, f])
            columns[f, i] = x
            least = min(least, x)
            greatest = max(greatest, x)
        ends[0, f], ends[1, f] = least, greatest
        if least < greatest:
            varying[found] = f
            found += 1
    return found
