"""The compiled fold over keyed windows: push, evict, read, for all keys in one call [S12]."""

from __future__ import annotations

import math

import numpy as np

from offbeat.core.batch import F64, I32, I64, NULL_INT
from offbeat.core.compiled import compiled
from offbeat.core.int128_sums import add128, double128
from offbeat.core.rings import allocate, give, next_capacity
from offbeat.features.ordered import mad, move, quantile

COUNT_ROWS, COUNT, SUM, SUM_EXACT, MEAN, STD, VAR, MIN, MAX, FIRST, LAST, QUANTILE, DISTINCT, SPAN, RATE, MAD = range(16)

# Rows of `layout`: where an argument keeps its parts in a stack aggregate; -1 if it does not need them.
AT_N, AT_SUM, AT_MEAN, AT_MIN, AT_MAX, AT_SORTED = range(6)
# Columns of `ring`, the record of a key slot. waiting: rows not yet inside; front: how many of the inside ones form the front stack.
OFFSET, CAPACITY, HEAD, LENGTH, WAITING, FRONT = range(6)
RING = 6
_MAX = float(np.finfo(np.float64).max)

# Kernels take whole arrays and an index, not a row of them: a view costs a reference count, which is most of the time here.


@compiled
def _merge(
    left: F64, i: int, right: F64, j: int, layout: I64, out: F64, o: int
) -> None:
    """out[o] = left[i] ⊕ right[j]; `out[o]` may be either of them."""
    for a in range(layout.shape[1]):
        at = layout[AT_N, a]
        if at < 0:
            continue
        n1 = left[i, at]
        n2 = right[j, at]
        s, u, lo, hi = layout[AT_SUM, a], layout[AT_MEAN, a], layout[AT_MIN, a], layout[AT_MAX, a]
        if n1 == 0.0 or n2 == 0.0:
            only_right = n1 == 0.0
            out[o, at] = n2 if only_right else n1
            if s >= 0:
                out[o, s] = right[j, s] if only_right else left[i, s]
            if u >= 0:
                out[o, u] = right[j, u] if only_right else left[i, u]
                out[o, u + 1] = right[j, u + 1] if only_right else left[i, u + 1]
            if lo >= 0:
                out[o, lo] = right[j, lo] if only_right else left[i, lo]
            if hi >= 0:
                out[o, hi] = right[j, hi] if only_right else left[i, hi]
            continue
        n = n1 + n2
        if s >= 0:
            out[o, s] = left[i, s] + right[j, s]
        if u >= 0:
            delta = right[j, u] - left[i, u]
            mean = left[i, u] + delta * (n2 / n)
            out[o, u + 1] = (left[i, u + 1] + right[j, u + 1]) + (delta * delta) * ((n1 * n2) / n)
            out[o, u] = mean
        if lo >= 0:
            out[o, lo] = min(left[i, lo], right[j, lo])
        if hi >= 0:
            out[o, hi] = max(left[i, hi], right[j, hi])
        out[o, at] = n


@compiled
def _leaf(values: F64, p: int, layout: I64, out: F64, o: int) -> None:
    """out[o] = leaf of the element at pool place p."""
    for a in range(layout.shape[1]):
        at = layout[AT_N, a]
        if at < 0:
            continue
        x = values[p, a]
        out[o, at] = 0.0 if x != x else 1.0
        if layout[AT_SUM, a] >= 0:
            out[o, layout[AT_SUM, a]] = x
        if layout[AT_MEAN, a] >= 0:
            out[o, layout[AT_MEAN, a]] = x
            out[o, layout[AT_MEAN, a] + 1] = 0.0
        if layout[AT_MIN, a] >= 0:
            out[o, layout[AT_MIN, a]] = x
        if layout[AT_MAX, a] >= 0:
            out[o, layout[AT_MAX, a]] = x


@compiled
def _flip(s: int, layout: I64, ring: I64, back: F64, values: F64, suffix: F64) -> None:
    """Move the back to the front: suffix aggregates from the newest to the oldest."""
    newer = -1
    head = ring[s, HEAD]
    for k in range(ring[s, LENGTH] - 1, -1, -1):
        at = head + k
        p = ring[s, OFFSET] + (at if at < ring[s, CAPACITY] else at - ring[s, CAPACITY])
        _leaf(values, p, layout, suffix, p)
        if newer >= 0:
            _merge(suffix, p, suffix, newer, layout, suffix, p)
        newer = p
    for j in range(back.shape[1]):
        back[s, j] = 0.0


@compiled
def _make_room(
    s: int, most: int, ring: I64, used: I64, free: I64, times: I64, values: F64, integers: I64, suffix: F64, ordered: F64
) -> bool:
    """A larger stretch for slot s; False when the pool must grow first."""
    capacity = ring[s, CAPACITY]
    offset = ring[s, OFFSET]
    size = next_capacity(capacity, most)
    to = allocate(size, used, free, times)
    if to < 0:
        return False
    n = ring[s, LENGTH] + ring[s, WAITING]
    for k in range(n):
        at = ring[s, HEAD] + k
        p = offset + (at if at < capacity else at - capacity)
        times[to + k] = times[p]
        for j in range(values.shape[1]):
            values[to + k, j] = values[p, j]
        for j in range(integers.shape[1]):
            integers[to + k, j] = integers[p, j]
        for j in range(suffix.shape[1]):
            suffix[to + k, j] = suffix[p, j]
    for k in range(min(n, capacity)):
        for j in range(ordered.shape[1]):
            ordered[to + k, j] = ordered[offset + k, j]
    if capacity:
        give(offset, capacity, free, times)
    ring[s, OFFSET] = to
    ring[s, CAPACITY] = size
    ring[s, HEAD] = 0
    return True


@compiled
def _read_stack(kind: int, a: int, layout: I64, total: F64, t: int) -> float:
    n = total[t, layout[AT_N, a]]
    if kind in (STD, VAR):
        if n < 2.0:
            return np.nan
        value = float(total[t, layout[AT_MEAN, a] + 1] / (n - 1.0))
        return math.sqrt(value) if kind == STD else value
    if n == 0.0:
        return np.nan
    if kind == SUM:
        return float(total[t, layout[AT_SUM, a]])
    if kind == MEAN:
        return float(total[t, layout[AT_MEAN, a]])
    return float(total[t, layout[AT_MIN if kind == MIN else AT_MAX, a]])


@compiled
def fold(
    begin: int, slots: I32, time_ns: I64, arguments: F64, exact_values: I64,
    duration: int, lag: int, rows: int, current: bool, min_rows: int,
    layout: I64, counted: I64, exact: I64, sorts: I64, kinds: I64, of: I64, counts: I64, quantiles: F64, scales: F64,
    ring: I64, back: F64, running: I64, sorted_n: I64,
    used: I64, free: I64, times: I64, values: F64, integers: I64, suffix: F64, ordered: F64,
    out: F64, out_n: I64, out_from: I64,
) -> int:
    """Fold rows `begin`… in order; returns len(slots), or the row before which the pool must grow.

    counted (c, 2): arguments whose non-null values are counted, and their counters. exact (e,): counters of exact sums. sorts: arguments
    kept sorted. kinds, of, counts, quantiles, scales: per aggregate its kind, its argument (its counter for exact sums), the counter that
    tells empty from zero, q, 10^scale.
    """
    stacked = back.shape[1] > 0
    scratch = np.empty((1, back.shape[1]))
    leaf = np.empty((1, back.shape[1]))
    # The new row is written before the oldest one leaves, and one row may wait outside.
    most = rows + 2 if rows > 0 else 0
    stay = 0 if current else 1
    earliest = NULL_INT + lag + duration
    for i in range(begin, len(slots)):
        s = slots[i]
        t = time_ns[i]
        begins = t - lag - duration if t >= earliest else NULL_INT
        until = t - lag if t >= NULL_INT + lag else NULL_INT
        if ring[s, LENGTH] + ring[s, WAITING] == ring[s, CAPACITY] and not _make_room(
            s, most, ring, used, free, times, values, integers, suffix, ordered
        ):
            return i
        offset = ring[s, OFFSET]
        capacity = ring[s, CAPACITY]
        head = ring[s, HEAD]
        n = ring[s, LENGTH]
        waiting = ring[s, WAITING]
        front = ring[s, FRONT]
        at = head + n + waiting
        place = offset + (at if at < capacity else at - capacity)
        times[place] = t
        for a in range(arguments.shape[0]):
            values[place, a] = arguments[a, i]
        for e in range(exact_values.shape[0]):
            integers[place, e] = exact_values[e, i]
        waiting += 1
        # Push: with the current row outside, the waiting rows that are old enough; else this row.
        while waiting > stay:
            at = head + n
            p = offset + (at if at < capacity else at - capacity)
            if duration > 0 and not current and times[p] >= until:
                break
            if stacked:
                _leaf(values, p, layout, leaf, 0)
                _merge(back, s, leaf, 0, layout, back, s)
            for c in range(len(counted)):
                x = values[p, counted[c, 0]]
                running[s, counted[c, 1]] += 1 if x == x else 0
            for e in range(len(exact)):
                v = integers[p, e]
                if v != NULL_INT:
                    # Inlined from add128: a call would cost too much here.
                    low = np.uint64(running[s, exact[e]])
                    total = low + np.uint64(v)
                    running[s, exact[e]] = np.int64(total)
                    running[s, exact[e] + 1] += (1 if total < low else 0) - (1 if v < 0 else 0)
            if len(sorts):
                move(s, p, True, offset, sorts, sorted_n, values, ordered)
            n += 1
            waiting -= 1
        while n > 0:
            if duration > 0:
                oldest = times[offset + head]
                if (oldest > begins) if current else (oldest >= begins):
                    break
            elif n <= rows:
                break
            if front == 0:
                front = n
                if stacked:
                    ring[s, LENGTH] = n
                    ring[s, HEAD] = head
                    _flip(s, layout, ring, back, values, suffix)
            p = offset + head
            for c in range(len(counted)):
                x = values[p, counted[c, 0]]
                running[s, counted[c, 1]] -= 1 if x == x else 0
            for e in range(len(exact)):
                v = integers[p, e]
                if v != NULL_INT:
                    low = np.uint64(running[s, exact[e]])
                    total = low - np.uint64(v)
                    running[s, exact[e]] = np.int64(total)
                    running[s, exact[e] + 1] += (1 if v < 0 else 0) - (1 if total > low else 0)
            if len(sorts):
                move(s, p, False, offset, sorts, sorted_n, values, ordered)
            head = head + 1 if head + 1 < capacity else 0
            n -= 1
            front -= 1
        ring[s, HEAD] = head
        ring[s, LENGTH] = n
        ring[s, WAITING] = waiting
        ring[s, FRONT] = front
        first = offset + head
        out_n[i] = n
        out_from[i] = times[first] if n > 0 else NULL_INT
        if n < min_rows or n == 0:
            for k in range(len(kinds)):
                out[k, i] = float(n) if (kinds[k] == COUNT_ROWS and n >= min_rows) else np.nan
            continue
        at = head + n - 1
        last = offset + (at if at < capacity else at - capacity)
        both = stacked and front > 0
        if both:
            _merge(suffix, first, back, s, layout, scratch, 0)
        for k in range(len(kinds)):
            kind = kinds[k]
            a = of[k]
            value = np.nan
            if kind == COUNT_ROWS:
                value = float(n)
            elif kind == LAST:
                value = values[last, a]
            elif kind == FIRST:
                value = values[first, a]
            elif kind == SUM_EXACT:
                if running[s, counts[k]] > 0:
                    whole = running[s, a]
                    if running[s, a + 1] == (-1 if whole < 0 else 0):
                        value = float(whole) / scales[k]
                    else:
                        value = double128(running[s, a + 1], whole) / scales[k]
            elif kind == COUNT:
                value = float(running[s, counts[k]])
            elif kind == SPAN:
                value = (times[last] - times[first]) / 1e9
            elif kind == RATE:
                span = (times[last] - times[first]) / 1e9
                if span > 0.0:
                    value = (n - 1) / span
            elif kind == QUANTILE:
                q = layout[AT_SORTED, a]
                value = quantile(quantiles[k], q, offset, sorted_n[s, 2 * q], ordered)
            elif kind == MAD:
                q = layout[AT_SORTED, a]
                value = mad(q, offset, sorted_n[s, 2 * q], ordered)
            elif kind == DISTINCT:
                value = float(sorted_n[s, 2 * layout[AT_SORTED, a] + 1])
            elif both:
                value = _read_stack(kind, a, layout, scratch, 0)
            else:
                value = _read_stack(kind, a, layout, back, s)
            out[k, i] = value if abs(value) <= _MAX else np.nan
    return len(slots)


@compiled
def gather(
    starts: I64, ring: I64, times: I64, values: F64, integers: I64, out_times: I64, out_values: F64, out_integers: I64
) -> None:
    """Copy every slot's elements, oldest first, to starts[s]…: the form in which state is kept."""
    for s in range(len(starts) - 1):
        for k in range(starts[s + 1] - starts[s]):
            at = ring[s, HEAD] + k
            p = ring[s, OFFSET] + (at if at < ring[s, CAPACITY] else at - ring[s, CAPACITY])
            o = starts[s] + k
            out_times[o] = times[p]
            for j in range(values.shape[1]):
                out_values[o, j] = values[p, j]
            for j in range(integers.shape[1]):
                out_integers[o, j] = integers[p, j]


@compiled
def rebuild(
    kept: int, layout: I64, counted: I64, exact: I64, sorts: I64, ring: I64, back: F64, running: I64, sorted_n: I64,
    values: F64, integers: I64, suffix: F64, ordered: F64,
) -> None:
    """Recompute the aggregates of the first `kept` slots from restored elements: folds over the same rows give the same bits."""
    leaf = np.empty((1, back.shape[1]))
    for s in range(kept):
        length = ring[s, LENGTH]
        front = ring[s, FRONT]
        for k in range(length):
            p = ring[s, OFFSET] + k
            if back.shape[1]:
                _leaf(values, p, layout, leaf, 0)
                _merge(back, s, leaf, 0, layout, back, s)
                if k + 1 == front:
                    ring[s, LENGTH] = front
                    _flip(s, layout, ring, back, values, suffix)
            for c in range(len(counted)):
                x = values[p, counted[c, 0]]
                running[s, counted[c, 1]] += 1 if x == x else 0
            for e in range(len(exact)):
                v = integers[p, e]
                if v != NULL_INT:
                    add128(running, s, exact[e], v, -1 if v < 0 else 0)
            move(s, p, True, ring[s, OFFSET], sorts, sorted_n, values, ordered)
        ring[s, LENGTH] = length
