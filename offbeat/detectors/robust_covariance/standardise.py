"""Columns on a common robust scale, so that one tolerance serves all of them, and no wild row can hide the others."""

from __future__ import annotations

from offbeat.core.batch import F64, Bools
from offbeat.core.compiled import compiled
from offbeat.detectors.robust_covariance.distances import LANES, blocks_of, smallest

_ROUNDING = 1e-14
"""Relative to a column's centre, differences up to here are rounding."""
_WILD = 1e6
"""Training rows are clipped at this many scales: one such row among 2,000 still leaves the others 1e-9 of the variance."""
_LEAST, _MOST = 1e-290, 4e307
FARTHEST = 1e100
"""Scored rows are clipped at this many scales, so that their distance is finite."""


@compiled
def robust_scales(rows: F64, start: int, count: int, centre: F64, scale: F64, column: F64, scratch: F64) -> None:
    """centre[c] = median, scale[c] = median absolute deviation; where half of the rows repeat one value, that of the other rows.

    scale[c] = 0 where the column is constant. `column`, `scratch`: (≥ count,).
    """
    for c in range(rows.shape[1]):
        for r in range(count):
            column[r] = rows[start + r, c]
        middle = smallest(column, count, (count - 1) // 2, scratch)
        centre[c] = middle
        least = max(_ROUNDING * abs(middle), _LEAST)
        differ = 0
        for r in range(count):
            column[r] = min(abs(column[r] - middle), _MOST)
            if column[r] > least:
                differ += 1
        if differ == 0:
            scale[c] = 0.0
            continue
        # Deviations that are rounding come before all others.
        rank = (count - 1) // 2
        if count - differ > rank:
            rank = count - differ + (differ - 1) // 2
        scale[c] = smallest(column, count, rank, scratch)


@compiled
def varying(rows: F64, start: int, count: int, centre: F64, low: F64, high: F64, out: Bools) -> None:
    """out[c]: whether the column takes more than one value. `low`, `high`: (k,) scratch."""
    columns = rows.shape[1]
    for c in range(columns):
        low[c] = high[c] = rows[start, c]
    for r in range(start + 1, start + count):
        for c in range(columns):
            low[c] = min(low[c], rows[r, c])
            high[c] = max(high[c], rows[r, c])
    for c in range(columns):
        out[c] = high[c] - low[c] > max(_ROUNDING * abs(centre[c]), _LEAST)


@compiled
def standardise(rows: F64, start: int, count: int, centre: F64, inverse: F64, out: F64) -> None:
    """out[c, r // 64, r % 64] = (rows - centre) * inverse of column c, held within ± 1e6; the last block is filled up with zeros."""
    for b in range(blocks_of(count)):
        first = start + b * LANES
        size = min(LANES, count - b * LANES)
        for c in range(rows.shape[1]):
            middle, factor = centre[c], inverse[c]
            for lane in range(size):
                out[c, b, lane] = min(max((rows[first + lane, c] - middle) * factor, -_WILD), _WILD)
            for lane in range(size, LANES):
                out[c, b, lane] = 0.0
