"""Space for many small rings in one pool: each key slot owns a stretch that grows when full, and freed stretches are reused."""

from __future__ import annotations

import numpy as np

from offbeat.core.batch import I64
from offbeat.core.compiled import compiled

CLASSES = 64
FIRST = 4
"""Elements of a ring's first stretch."""
SMALL = 16
"""A ring of at most this many elements gets them all at once: growing would waste more than it saves."""


@compiled
def next_capacity(capacity: int, most: int) -> int:
    """The stretch after one of `capacity` elements; `most` > 0 bounds it."""
    if 0 < most <= SMALL:
        return most
    if most <= 0:
        return FIRST if capacity == 0 else 2 * capacity
    # In few steps, as keys that fill up together leave all smaller stretches behind.
    wanted = FIRST if capacity == 0 else 4 * capacity
    return wanted if 2 * wanted < most else most


@compiled
def _size_class(capacity: int) -> int:
    """log2 of a power of two, -1 for any other size (a bounded ring's last stretch, which is never freed)."""
    if capacity & (capacity - 1) != 0:
        return -1
    c = 0
    while (1 << c) < capacity:
        c += 1
    return c


@compiled
def allocate(capacity: int, used: I64, free: I64, link: I64) -> int:
    """Offset of a free stretch, or -1 when the pool (of len(link) elements) must grow first."""
    c = _size_class(capacity)
    if c >= 0 and free[c] >= 0:
        offset = free[c]
        free[c] = link[offset]
        return int(offset)
    if used[0] + capacity > len(link):
        return -1
    offset = used[0]
    used[0] += capacity
    return int(offset)


@compiled
def give(offset: int, capacity: int, free: I64, link: I64) -> None:
    """Give a stretch back; `link` is any int64 pool column, whose content there is lost."""
    c = _size_class(capacity)
    if c >= 0:
        link[offset] = free[c]
        free[c] = offset


def no_free() -> I64:
    """Heads of the free lists, all empty."""
    return np.full(CLASSES, -1, np.int64)


def grown_rows(array: np.ndarray, rows: int, fill: float | int = 0) -> np.ndarray:
    """The array with at least `rows` rows: doubled, the new ones filled."""
    if len(array) >= rows:
        return array
    out = grown_by(array, max(rows, 2 * len(array), 16))
    if fill != 0:
        out[len(array) :] = fill
    return out


def grown_by(array: np.ndarray, rows: int) -> np.ndarray:
    """The array with `rows` rows, at least as many as it has; the new ones zero, which cost no memory until they are written to."""
    out = np.zeros((rows, *array.shape[1:]), array.dtype)
    out[: len(array)] = array
    return out


def stretch_capacity(sizes: I64, most: int) -> I64:
    """Capacities as growth would have given them, so that freed stretches fit the free lists."""
    if 0 < most <= SMALL:
        return np.where(sizes > 0, np.int64(most), np.int64(0))
    capacity = np.zeros(len(sizes), np.int64)
    while (short := capacity < sizes).any():
        grown = np.where(capacity == 0, FIRST, (4 if most > 0 else 2) * capacity)
        capacity = np.where(short, np.where((most <= 0) | (2 * grown < most), grown, most), capacity)
    return capacity


def laid_out(sizes: I64, most: int) -> tuple[I64, I64]:
    """Offsets and capacities of one stretch after the other, for elements that are put back after a restart."""
    capacity = stretch_capacity(sizes, most)
    offset: I64 = np.cumsum(capacity) - capacity
    return offset, capacity


def stretches(offset: I64, length: I64) -> I64:
    """Pool places of all elements, slot after slot."""
    starts = np.cumsum(length) - length
    places: I64 = np.repeat(offset - starts, length) + np.arange(int(length.sum()))
    return places
