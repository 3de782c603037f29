"""Fixed-point columns as numbers: an exact integer n is n / 10^scale, with one rounding [S9]."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from offbeat.core.batch import F64, I64, NULL_INT
from offbeat.core.compiled import compiled

_EXACT = 2**53


class FixedPoint:
    """Turns the integers of some columns into numbers. `scales` are the columns' decimal digits, `rows` theirs in the matrix of numbers."""

    def __init__(self, scales: Sequence[int], rows: Sequence[int]) -> None:
        self._scales, self._rows = tuple(scales), np.array(rows, np.int64)
        self._divisors = np.array([10**scale for scale in scales], np.float64)

    def numbers(self, integers: I64, out: F64) -> None:
        """Fill the columns' rows of `out` (c, n) from `integers` (i, n), a row a column; null is NaN."""
        if not _divide(integers, self._divisors, self._rows, out):
            return
        # Beyond 2^53 the conversion to a double rounds as well; Python divides exact integers with one rounding.
        for c, scale in enumerate(self._scales):
            big = (integers[c] != NULL_INT) & (np.abs(integers[c]) > _EXACT)
            out[self._rows[c], big] = [n / 10**scale for n in integers[c, big].tolist()]


@compiled
def _divide(integers: I64, divisors: F64, rows: I64, out: F64) -> bool:
    """Each n / divisor, null as NaN; returns whether some integer is beyond 2^53, where it is not one rounding."""
    big = False
    for c in range(len(rows)):
        row, divisor = rows[c], divisors[c]
        for i in range(integers.shape[1]):
            n = integers[c, i]
            out[row, i] = np.nan if n == NULL_INT else n / divisor
            big = big or (n != NULL_INT and (n > _EXACT or n < -_EXACT))
    return big
