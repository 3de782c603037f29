"""What a C-step is made of: squared distances of rows, the h nearest of them, their mean and covariance.

Rows are kept twice: `lanes` (blocks, columns, 64) with 64 rows beside each other, where distances are computed for 64 rows at once,
and `packed` (rows, width) with the columns beside each other, where covariances are summed up row by row. Sums run in the same order
whatever the processor's vectors, so the bits are the same everywhere [S11].
"""

from __future__ import annotations

from offbeat.core.batch import F64, I64
from offbeat.core.compiled import compiled

LANES = 64


@compiled
def distances(lanes: F64, rows: int, order: I64, rank: int, location: F64, factor: F64, solved: F64, out: F64) -> None:
    """out[r] = squared Mahalanobis distance of row r < rows over the columns order[:rank].

    `location` (rank,); `factor` (rank, rank) as `cholesky.factorise` gives it; `solved` (≥ rank, 64) is scratch; whole blocks of out are
    written.
    """
    for b in range((rows + LANES - 1) // LANES):
        for j in range(rank):
            column = order[j]
            middle = location[j]
            for lane in range(LANES):
                solved[j, lane] = lanes[b, column, lane] - middle
            for i in range(j):
                share = factor[j, i]
                for lane in range(LANES):
                    solved[j, lane] -= share * solved[i, lane]
            share = factor[j, j]
            for lane in range(LANES):
                solved[j, lane] *= share
        at = b * LANES
        for lane in range(LANES):
            out[at + lane] = 0.0
        for j in range(rank):
            for lane in range(LANES):
                out[at + lane] += solved[j, lane] * solved[j, lane]


@compiled
def smallest(values: F64, count: int, rank: int, scratch: F64) -> float:
    """The value at `rank` (from 0) of values[:count] in rising order."""
    for i in range(count):
        scratch[i] = values[i]
    low, high = 0, count - 1
    while low < high:
        # The median of three bounds the work on rows that are already in order.
        a, b, c = scratch[low], scratch[(low + high) // 2], scratch[high]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j = low, high
        while i <= j:
            while scratch[i] < pivot:
                i += 1
            while scratch[j] > pivot:
                j -= 1
            if i <= j:
                scratch[i], scratch[j] = scratch[j], scratch[i]
                i += 1
                j -= 1
        if rank <= j:
            high = j
        elif rank >= i:
            low = i
        else:
            break
    return float(scratch[rank])


@compiled
def nearest(squares: F64, rows: int, wanted: int, scratch: F64, chosen: I64) -> bool:
    """chosen[:wanted] = the rows of least squared distance, by row number, of equal ones the older; returns whether any is new in it."""
    limit = smallest(squares, rows, wanted - 1, scratch)
    ties = wanted
    for r in range(rows):
        ties -= 1 if squares[r] < limit else 0
    n = 0
    changed = False
    for r in range(rows):
        d = squares[r]
        if d < limit or (d == limit and ties > 0):
            if d == limit:
                ties -= 1
            changed |= chosen[n] != r
            chosen[n] = r
            n += 1
    return changed


@compiled
def scatter(packed: F64, chosen: I64, count: int, columns: int, location: F64, covariance: F64) -> None:
    """Mean and covariance (divided by count) of the chosen rows over the first `columns` columns."""
    for i in range(columns):
        location[i] = 0.0
        for j in range(columns):
            covariance[i, j] = 0.0
    for t in range(count):
        r = chosen[t]
        for i in range(columns):
            x = packed[r, i]
            location[i] += x
            for j in range(columns):
                covariance[i, j] += x * packed[r, j]
    for i in range(columns):
        location[i] /= count
    for i in range(columns):
        for j in range(columns):
            covariance[i, j] = covariance[i, j] / count - location[i] * location[j]
