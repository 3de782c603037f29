"""What a C-step is made of: squared distances of rows, the h nearest of them, their mean and covariance.

Rows lie in `columns` (k, ≥ blocks, 64): row r is columns[:, r // 64, r % 64]; the last block is filled up with zeros. Whatever is done,
is done to 64 rows beside each other, and a sum over rows is 64 sums, added up by halves: an order that no processor changes [S11].
"""

from __future__ import annotations

from offbeat.core.batch import F64, I64
from offbeat.core.compiled import compiled

LANES = 64


@compiled
def blocks_of(rows: int) -> int:
    """Number of blocks of 64 that hold the rows."""
    return (rows + LANES - 1) // LANES


@compiled
def distances(columns: F64, rows: int, order: I64, rank: int, location: F64, factor: F64, solved: F64, out: F64) -> None:
    """out[r // 64, r % 64] = squared Mahalanobis distance of row r < rows over the columns order[:rank].

    `location` (rank,); `factor` (rank, rank) from `cholesky.factorise`; `solved` (≥ rank, 64) is scratch.
    """
    for b in range(blocks_of(rows)):
        for lane in range(LANES):
            out[b, lane] = 0.0
        for j in range(rank):
            column = order[j]
            middle = location[j]
            for lane in range(LANES):
                solved[j, lane] = columns[column, b, lane] - middle
            fours = j // 4 * 4
            for i in range(0, fours, 4):
                p, q, r, s = factor[j, i], factor[j, i + 1], factor[j, i + 2], factor[j, i + 3]
                for lane in range(LANES):
                    x = solved[j, lane] - p * solved[i, lane] - q * solved[i + 1, lane]
                    solved[j, lane] = x - r * solved[i + 2, lane] - s * solved[i + 3, lane]
            for i in range(fours, j):
                p = factor[j, i]
                for lane in range(LANES):
                    solved[j, lane] -= p * solved[i, lane]
            p = factor[j, j]
            for lane in range(LANES):
                solved[j, lane] *= p
        for j in range(rank):
            for lane in range(LANES):
                out[b, lane] += solved[j, lane] * solved[j, lane]


@compiled
def smallest(values: F64, count: int, rank: int, scratch: F64) -> float:
    """The value at `rank` (from 0) of values[:count] in rising order."""
    # Quickselect. Values are counted and moved without a branch on how they compare, which a processor guesses wrong half of the time.
    for i in range(count):
        scratch[i] = values[i]
    left = count
    while left > 1:
        # The median of three bounds the work on rows that are already in order.
        a, b, c = scratch[0], scratch[left // 2], scratch[left - 1]
        pivot = max(min(a, b), min(max(a, b), c))
        below, same = 0, 0
        for i in range(left):
            below += 1 if scratch[i] < pivot else 0
            same += 1 if scratch[i] == pivot else 0
        kept = 0
        if rank < below:
            for i in range(left):
                x = scratch[i]
                scratch[kept] = x
                kept += 1 if x < pivot else 0
        elif rank < below + same:
            return float(pivot)
        else:
            rank -= below + same
            for i in range(left):
                x = scratch[i]
                scratch[kept] = x
                kept += 1 if x > pivot else 0
        left = kept
    return float(scratch[0])


@compiled
def nearest(squares: F64, rows: int, wanted: int, scratch: F64, chosen: I64) -> bool:
    """chosen[:wanted] = the rows of least squared distance, by row number, of equal ones the older; returns whether any is new in it.

    `squares` (blocks, 64), as `distances` leaves them.
    """
    values = squares.reshape(-1)
    limit = smallest(values, rows, wanted - 1, scratch)
    ties = wanted
    for r in range(rows):
        ties -= 1 if values[r] < limit else 0
    # Rows after the last of the ties count only where they are nearer.
    last = 0
    while ties > 0 and last < rows:
        ties -= 1 if values[last] == limit else 0
        last += 1
    left = 0
    for t in range(wanted):
        r = chosen[t]
        left += 0 if values[r] < limit or (values[r] == limit and r < last) else 1
    n = 0
    for r in range(rows):
        if n == wanted:
            break
        chosen[n] = r
        n += 1 if values[r] < limit or (values[r] == limit and r < last) else 0
    return left > 0


@compiled
def gather(columns: F64, order: I64, rank: int, chosen: I64, count: int, out: F64) -> None:
    """out[j] = column order[j] of the chosen rows; their last block is filled up with zeros."""
    blocks = blocks_of(count)
    for j in range(rank):
        column = order[j]
        for b in range(count // LANES):
            at = b * LANES
            for lane in range(LANES):
                r = chosen[at + lane]
                out[j, b, lane] = columns[column, r // LANES, r % LANES]
        if count % LANES > 0:
            b = blocks - 1
            for lane in range(LANES):
                r = chosen[b * LANES + lane] if b * LANES + lane < count else 0
                out[j, b, lane] = columns[column, r // LANES, r % LANES] if b * LANES + lane < count else 0.0


@compiled
def _added(sums: F64, j: int) -> float:
    """Sum of the 64 sums of row j."""
    for lane in range(32):
        sums[j, lane] += sums[j, lane + 32]
    for lane in range(16):
        sums[j, lane] += sums[j, lane + 16]
    for lane in range(8):
        sums[j, lane] += sums[j, lane + 8]
    left = (sums[j, 0] + sums[j, 4]) + (sums[j, 2] + sums[j, 6])
    return float(left + ((sums[j, 1] + sums[j, 5]) + (sums[j, 3] + sums[j, 7])))


@compiled
def moments(columns: F64, count: int, rank: int, sums: F64, location: F64, covariance: F64) -> None:
    """Mean and covariance (divided by count) of the first `rank` columns over the first `count` rows; `sums` (≥ rank, 64) is scratch."""
    blocks = blocks_of(count)
    fours = blocks // 4 * 4
    for i in range(rank):
        for lane in range(LANES):
            sums[0, lane] = 0.0
        for b in range(blocks):
            for lane in range(LANES):
                sums[0, lane] += columns[i, b, lane]
        location[i] = _added(sums, 0) / count
        for j in range(i + 1):
            for lane in range(LANES):
                sums[j, lane] = 0.0
            for b in range(0, fours, 4):
                for lane in range(LANES):
                    x = sums[j, lane] + columns[i, b, lane] * columns[j, b, lane] + columns[i, b + 1, lane] * columns[j, b + 1, lane]
                    x += columns[i, b + 2, lane] * columns[j, b + 2, lane]
                    sums[j, lane] = x + columns[i, b + 3, lane] * columns[j, b + 3, lane]
            for b in range(fours, blocks):
                for lane in range(LANES):
                    sums[j, lane] += columns[i, b, lane] * columns[j, b, lane]
        for j in range(i + 1):
            covariance[i, j] = covariance[j, i] = _added(sums, j) / count - location[i] * location[j]
