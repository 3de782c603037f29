"""The rows of a key that wait for their order [S2]: a sorted stretch of a pool, with room at both ends.

Rows that come in order, and rows that come in the opposite order, are put in at an end: a file that runs backwards takes no longer.
"""

from __future__ import annotations

import numpy as np

from offbeat.core.batch import I64
from offbeat.core.compiled import compiled
from offbeat.core.rings import allocate, give, next_capacity

Hash = np.int64 | int
OFFSET, CAPACITY, LENGTH, HEAD = range(4)
"""Columns of the record of a key: its stretch of the pool, how many rows wait, and where in the stretch the first of them is."""
ROW, TIME, ORDER, IDENTITY, CONTENT = range(5)
"""Columns of the pool. The last two, hashes as signed integers, are there only where a row may replace one that waits."""


@compiled
def lacks_room(slot: int, buffer: I64, used: I64, link: I64) -> bool:
    """Whether the pool must grow before two rows are put in, at whichever end."""
    head, held, capacity = buffer[slot, HEAD], buffer[slot, LENGTH], buffer[slot, CAPACITY]
    return bool((head + held + 2 > capacity or head < 2) and used[0] + 4 * capacity + 16 > len(link))


@compiled
def _make_room(slot: int, at_front: bool, buffer: I64, used: I64, free: I64, link: I64, pool: I64) -> None:
    """Move the rows within their stretch, or into a larger one where more than half of it is taken: enough that it is seldom done."""
    n, capacity = buffer[slot, LENGTH], buffer[slot, CAPACITY]
    offset = buffer[slot, OFFSET]
    first = offset + buffer[slot, HEAD]
    grow = 2 * n >= capacity
    size = next_capacity(capacity, 0) if grow else capacity
    to = allocate(size, used, free, link) if grow else offset
    head = (size - n) // 2 if at_front else 0
    if to + head <= first:
        for k in range(n):
            for j in range(pool.shape[1]):
                pool[to + head + k, j] = pool[first + k, j]
    else:
        for k in range(n - 1, -1, -1):
            for j in range(pool.shape[1]):
                pool[to + head + k, j] = pool[first + k, j]
    if grow:
        if capacity:
            give(offset, capacity, free, link)
        buffer[slot, OFFSET] = to
        buffer[slot, CAPACITY] = size
    buffer[slot, HEAD] = head


@compiled
def _before(pool: I64, at: int, time: int, order: int) -> bool:
    """Whether a row that waits comes before one of this time and order that arrives later, or is its equal."""
    return bool(pool[at, TIME] < time or (pool[at, TIME] == time and pool[at, ORDER] <= order))


@compiled
def put(
    slot: int, row: int, time: int, order: int, identity: Hash, content: Hash, buffer: I64, used: I64, free: I64, link: I64, pool: I64
) -> None:
    """Put a row in by (time, order, arrival); the caller has made space in the pool."""
    n = buffer[slot, LENGTH]
    base = buffer[slot, OFFSET] + buffer[slot, HEAD]
    k = n
    if n > 0 and not _before(pool, base + n - 1, time, order):
        low, high = 0, n - 1
        while low < high:
            middle = (low + high) // 2
            if _before(pool, base + middle, time, order):
                low = middle + 1
            else:
                high = middle
        k = low
    at_front = k < n - k
    if at_front and buffer[slot, HEAD] == 0:
        _make_room(slot, True, buffer, used, free, link, pool)
    elif not at_front and buffer[slot, HEAD] + n == buffer[slot, CAPACITY]:
        _make_room(slot, False, buffer, used, free, link, pool)
    base = buffer[slot, OFFSET] + buffer[slot, HEAD]
    if at_front:
        base -= 1
        buffer[slot, HEAD] -= 1
        for m in range(k):
            for j in range(pool.shape[1]):
                pool[base + m, j] = pool[base + m + 1, j]
    else:
        for m in range(n, k, -1):
            for j in range(pool.shape[1]):
                pool[base + m, j] = pool[base + m - 1, j]
    pool[base + k, ROW] = row
    pool[base + k, TIME] = time
    pool[base + k, ORDER] = order
    if pool.shape[1] > IDENTITY:
        pool[base + k, IDENTITY] = identity
        pool[base + k, CONTENT] = content
    buffer[slot, LENGTH] = n + 1


@compiled
def find(slot: int, time: int, identity: Hash, buffer: I64, pool: I64) -> int:
    """Place in the pool of the row that waits with this time and identity; -1 where there is none."""
    base = buffer[slot, OFFSET] + buffer[slot, HEAD]
    low, high = 0, buffer[slot, LENGTH]
    while low < high:
        middle = (low + high) // 2
        if pool[base + middle, TIME] < time:
            low = middle + 1
        else:
            high = middle
    while low < buffer[slot, LENGTH] and pool[base + low, TIME] == time:
        if pool[base + low, IDENTITY] == identity:
            return int(base + low)
        low += 1
    return -1


@compiled
def remove(slot: int, at: int, buffer: I64, pool: I64) -> None:
    """Take out the row at a place of the pool."""
    last = buffer[slot, OFFSET] + buffer[slot, HEAD] + buffer[slot, LENGTH] - 1
    for k in range(at, last):
        for j in range(pool.shape[1]):
            pool[k, j] = pool[k + 1, j]
    buffer[slot, LENGTH] -= 1
