"""Cholesky factors by own loops: every operation in a fixed order, the same bits on every machine [S11]."""

from __future__ import annotations

import math

from offbeat.core.batch import F64, I64
from offbeat.core.compiled import compiled

DEPENDENT = 1e-10
"""A column is linearly dependent on others where they leave at most so much of its variance unexplained [S20]."""
_SMALL, _LARGE = 2.0**-500, 2.0**500


@compiled
def independent(matrix: F64, columns: int, preferred: I64, order: I64) -> int:
    """Order columns by pivoted Cholesky of a correlation matrix; returns how many are linearly independent.

    `matrix` (≥ columns, ≥ columns): covariances, destroyed. `order`: on entry the columns to look at, on return these with the
    independent ones first. A column with preferred[c] > 0 comes before others with up to that many times its pivot, so that of columns
    that say the same the ones kept before are kept again.
    """
    n = 0
    for j in range(columns):
        if matrix[order[j], order[j]] > 0.0:
            order[n], order[j] = order[j], order[n]
            n += 1
    for i in range(n):
        scale = 1.0 / math.sqrt(matrix[order[i], order[i]])
        for j in range(n):
            matrix[order[i], order[j]] *= scale
            matrix[order[j], order[i]] *= scale
    for rank in range(n):
        best, most, largest = rank, -1.0, -1.0
        for j in range(rank, n):
            c = order[j]
            pivot = matrix[c, c]
            largest = max(largest, pivot)
            weighed = pivot * preferred[c] if preferred[c] > 0 else pivot
            if weighed > most and pivot > DEPENDENT:
                best, most = j, weighed
        if largest <= DEPENDENT:
            return rank
        order[rank], order[best] = order[best], order[rank]
        c = order[rank]
        inverse = 1.0 / matrix[c, c]
        for j in range(rank + 1, n):
            share = matrix[order[j], c] * inverse
            for i in range(rank + 1, j + 1):
                matrix[order[j], order[i]] -= share * matrix[order[i], c]
                matrix[order[i], order[j]] = matrix[order[j], order[i]]
    return n


@compiled
def factorise(matrix: F64, rank: int, factor: F64, determinant: F64) -> bool:
    """Lower factor of the symmetric `matrix` (rank, rank), with the inverses of its diagonal in the diagonal; False where it is singular.

    Singular: a diagonal entry is at most 1e-10 (of 1, about the variance that standardisation gave the column), or the columns before
    leave at most 1e-10 of it. `determinant`: on return (mantissa, exponent), the determinant being mantissa * 2^exponent.
    """
    mantissa, exponent = 1.0, 0.0
    for j in range(rank):
        pivot = matrix[j, j]
        if not pivot > DEPENDENT:
            return False
        for i in range(j):
            total = matrix[j, i]
            for c in range(i):
                total -= factor[j, c] * factor[i, c]
            total *= factor[i, i]
            factor[j, i] = total
            pivot -= total * total
        if not pivot > DEPENDENT * matrix[j, j]:
            return False
        factor[j, j] = 1.0 / math.sqrt(pivot)
        mantissa *= pivot
        if mantissa < _SMALL:
            mantissa *= _LARGE
            exponent -= 500.0
        elif mantissa > _LARGE:
            mantissa *= _SMALL
            exponent += 500.0
    determinant[0] = mantissa
    determinant[1] = exponent
    return True


@compiled
def smaller(a: F64, b: F64) -> bool:
    """Whether the determinant a is below b, both (mantissa, exponent)."""
    gap = a[1] - b[1]
    if gap == 0.0:
        return bool(a[0] < b[0])
    if gap == 500.0:
        return bool(a[0] * _LARGE < b[0])
    if gap == -500.0:
        return bool(a[0] < b[0] * _LARGE)
    return bool(gap < 0.0)
