"""Values of a window in sorted order, for quantiles and distinct counts."""

from __future__ import annotations

import numpy as np

from offbeat.core.batch import F64, I64
from offbeat.core.compiled import compiled


@compiled
def _place_of(pool: F64, column: int, offset: int, n: int, x: float) -> int:
    """How many of the n sorted values are less than x."""
    lo, hi = 0, n
    while lo < hi:
        mid = (lo + hi) >> 1
        if pool[offset + mid, column] < x:
            lo = mid + 1
        else:
            hi = mid
    return lo


@compiled
def _insert_sorted(pool: F64, column: int, offset: int, n: int, x: float) -> int:
    """Insert into the sorted stretch of n values; 1 if the value is new there."""
    lo = _place_of(pool, column, offset, n, x)
    new = 1 if lo == n or pool[offset + lo, column] != x else 0
    for k in range(n, lo, -1):
        pool[offset + k, column] = pool[offset + k - 1, column]
    pool[offset + lo, column] = x
    return new


@compiled
def _remove_sorted(pool: F64, column: int, offset: int, n: int, x: float) -> int:
    """Remove one value; 1 if no equal one is left."""
    lo = _place_of(pool, column, offset, n, x)
    for k in range(lo, n - 1):
        pool[offset + k, column] = pool[offset + k + 1, column]
    return 0 if lo < n - 1 and pool[offset + lo, column] == x else 1


@compiled
def move(s: int, p: int, entering: bool, offset: int, sorts: I64, sorted_n: I64, values: F64, ordered: F64) -> None:
    """The element at pool place p enters or leaves the sorted values of slot s."""
    for q in range(len(sorts)):
        x = values[p, sorts[q]]
        if x != x:
            continue
        n = sorted_n[s, 2 * q]
        if entering:
            sorted_n[s, 2 * q + 1] += _insert_sorted(ordered, q, offset, n, x)
            sorted_n[s, 2 * q] = n + 1
        else:
            sorted_n[s, 2 * q + 1] -= _remove_sorted(ordered, q, offset, n, x)
            sorted_n[s, 2 * q] = n - 1


@compiled
def quantile(q: float, column: int, offset: int, m: int, ordered: F64) -> float:
    if m == 0:
        return np.nan
    h = (m - 1) * q
    low = int(np.floor(h))
    value = float(ordered[offset + low, column])
    if low < m - 1:
        value = value + (ordered[offset + low + 1, column] - value) * (h - low)
    return value


@compiled
def mad(column: int, offset: int, m: int, ordered: F64) -> float:
    """Median of the distances from the median, by walking outwards from it through the sorted values."""
    if m == 0:
        return np.nan
    center = quantile(0.5, column, offset, m, ordered)
    right = _place_of(ordered, column, offset, m, center)
    left = right - 1
    wanted = m // 2
    before = 0.0
    distance = 0.0
    for _ in range(wanted + 1):
        before = distance
        if left < 0 or (right < m and ordered[offset + right, column] - center <= center - ordered[offset + left, column]):
            distance = ordered[offset + right, column] - center
            right += 1
        else:
            distance = center - ordered[offset + left, column]
            left -= 1
    return distance if m % 2 == 1 else before + (distance - before) * 0.5
