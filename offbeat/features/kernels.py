"""The compiled fold over keyed windows: push, evict, read, for all keys in one call [S12]."""

from __future__ import annotations

import numpy as np

from offbeat.core.batch import F64, I64, NULL_INT
from offbeat.core.compiled import compiled
from offbeat.core.rings import give, next_capacity, take

COUNT_ROWS, COUNT, SUM, SUM_EXACT, MEAN, STD, VAR, MIN, MAX, FIRST, LAST, QUANTILE, DISTINCT, SPAN, RATE = range(15)

# Rows of `layout`: where an argument keeps its parts in a stack aggregate; -1 where it does not need them.
AT_N, AT_SUM, AT_MEAN, AT_MIN, AT_MAX, AT_SORTED, AT_COUNT = range(7)
_MAX = float(np.finfo(np.float64).max)


@compiled
def _leaf(values: F64, layout: I64, out: F64) -> None:
    for a in range(layout.shape[1]):
        at = layout[AT_N, a]
        if at < 0:
            continue
        x = values[a]
        out[at] = 0.0 if x != x else 1.0
        if layout[AT_SUM, a] >= 0:
            out[layout[AT_SUM, a]] = x
        if layout[AT_MEAN, a] >= 0:
            out[layout[AT_MEAN, a]] = x
            out[layout[AT_MEAN, a] + 1] = 0.0
        if layout[AT_MIN, a] >= 0:
            out[layout[AT_MIN, a]] = x
        if layout[AT_MAX, a] >= 0:
            out[layout[AT_MAX, a]] = x


@compiled
def _merge(left: F64, right: F64, layout: I64, out: F64) -> None:
    """out = left ⊕ right; `out` may be either of them."""
    for a in range(layout.shape[1]):
        at = layout[AT_N, a]
        if at < 0:
            continue
        n1 = left[at]
        n2 = right[at]
        s, u, lo, hi = layout[AT_SUM, a], layout[AT_MEAN, a], layout[AT_MIN, a], layout[AT_MAX, a]
        if n1 == 0.0 or n2 == 0.0:
            side = right if n1 == 0.0 else left
            out[at] = side[at]
            if s >= 0:
                out[s] = side[s]
            if u >= 0:
                out[u] = side[u]
                out[u + 1] = side[u + 1]
            if lo >= 0:
                out[lo] = side[lo]
            if hi >= 0:
                out[hi] = side[hi]
            continue
        n = n1 + n2
        if s >= 0:
            out[s] = left[s] + right[s]
        if u >= 0:
            delta = right[u] - left[u]
            mean = left[u] + delta * (n2 / n)
            out[u + 1] = (left[u + 1] + right[u + 1]) + (delta * delta) * ((n1 * n2) / n)
            out[u] = mean
        if lo >= 0:
            out[lo] = min(left[lo], right[lo])
        if hi >= 0:
            out[hi] = max(left[hi], right[hi])
        out[at] = n


@compiled
def _insert_sorted(pool: F64, column: int, offset: int, n: int, x: float) -> int:
    """Insert into the sorted stretch of n values; 1 if the value is new there."""
    lo, hi = 0, n
    while lo < hi:
        mid = (lo + hi) >> 1
        if pool[offset + mid, column] < x:
            lo = mid + 1
        else:
            hi = mid
    new = 1 if lo == n or pool[offset + lo, column] != x else 0
    for k in range(n, lo, -1):
        pool[offset + k, column] = pool[offset + k - 1, column]
    pool[offset + lo, column] = x
    return new


@compiled
def _remove_sorted(pool: F64, column: int, offset: int, n: int, x: float) -> int:
    """Remove one value; 1 if none like it is left."""
    lo, hi = 0, n
    while lo < hi:
        mid = (lo + hi) >> 1
        if pool[offset + mid, column] < x:
            lo = mid + 1
        else:
            hi = mid
    for k in range(lo, n - 1):
        pool[offset + k, column] = pool[offset + k + 1, column]
    return 0 if lo < n - 1 and pool[offset + lo, column] == x else 1


@compiled
def _enter(
    s: int, p: int, layout: I64, length: I64, back: F64, running: I64, exact: I64, sorted_n: I64, offset: I64,
    values: F64, integers: I64, ordered: F64, scratch: F64,
) -> None:
    """The element at pool place p becomes the newest of slot s's window."""
    if back.shape[1]:
        _leaf(values[p], layout, scratch)
        _merge(back[s], scratch, layout, back[s])
    for a in range(layout.shape[1]):
        x = values[p, a]
        if x == x:
            if layout[AT_COUNT, a] >= 0:
                running[s, layout[AT_COUNT, a]] += 1
            q = layout[AT_SORTED, a]
            if q >= 0:
                sorted_n[s, 2 * q + 1] += _insert_sorted(ordered, q, offset[s], sorted_n[s, 2 * q], x)
                sorted_n[s, 2 * q] += 1
    for e in range(exact.shape[0]):
        v = integers[p, e]
        if v != NULL_INT:
            running[s, exact[e]] += v
    length[s] += 1


@compiled
def _flip(
    s: int, layout: I64, offset: I64, capacity: I64, head: I64, length: I64, front: I64, back: F64,
    values: F64, suffix: F64, scratch: F64,
) -> None:
    """Move the back to the front: suffix aggregates from the newest to the oldest."""
    front[s] = length[s]
    if not back.shape[1]:
        return
    newer = -1
    for k in range(length[s] - 1, -1, -1):
        at = head[s] + k
        p = offset[s] + (at if at < capacity[s] else at - capacity[s])
        _leaf(values[p], layout, suffix[p])
        if newer >= 0:
            for j in range(len(scratch)):
                scratch[j] = suffix[p, j]
            _merge(scratch, suffix[newer], layout, suffix[p])
        newer = p
    for j in range(back.shape[1]):
        back[s, j] = 0.0


@compiled
def _evict(
    s: int, layout: I64, offset: I64, capacity: I64, head: I64, length: I64, front: I64, back: F64, running: I64, exact: I64,
    sorted_n: I64, values: F64, integers: I64, suffix: F64, ordered: F64, scratch: F64,
) -> None:
    if front[s] == 0:
        _flip(s, layout, offset, capacity, head, length, front, back, values, suffix, scratch)
    p = offset[s] + head[s]
    for a in range(layout.shape[1]):
        x = values[p, a]
        if x == x:
            if layout[AT_COUNT, a] >= 0:
                running[s, layout[AT_COUNT, a]] -= 1
            q = layout[AT_SORTED, a]
            if q >= 0:
                sorted_n[s, 2 * q + 1] -= _remove_sorted(ordered, q, offset[s], sorted_n[s, 2 * q], x)
                sorted_n[s, 2 * q] -= 1
    for e in range(exact.shape[0]):
        v = integers[p, e]
        if v != NULL_INT:
            running[s, exact[e]] -= v
    head[s] += 1
    if head[s] == capacity[s]:
        head[s] = 0
    length[s] -= 1
    front[s] -= 1


@compiled
def _make_room(
    s: int, most: int, offset: I64, capacity: I64, head: I64, length: I64, waiting: I64, used: I64, free: I64,
    times: I64, values: F64, integers: I64, suffix: F64, ordered: F64,
) -> bool:
    """A larger stretch for slot s; False when the pool must grow first."""
    size = next_capacity(capacity[s], most)
    to = take(size, used, free, times)
    if to < 0:
        return False
    n = length[s] + waiting[s]
    for k in range(n):
        at = head[s] + k
        p = offset[s] + (at if at < capacity[s] else at - capacity[s])
        times[to + k] = times[p]
        for j in range(values.shape[1]):
            values[to + k, j] = values[p, j]
        for j in range(integers.shape[1]):
            integers[to + k, j] = integers[p, j]
        for j in range(suffix.shape[1]):
            suffix[to + k, j] = suffix[p, j]
    for k in range(min(n, capacity[s])):
        for j in range(ordered.shape[1]):
            ordered[to + k, j] = ordered[offset[s] + k, j]
    if capacity[s]:
        give(offset[s], capacity[s], free, times)
    offset[s] = to
    capacity[s] = size
    head[s] = 0
    return True


@compiled
def _finite(x: float) -> float:
    return x if abs(x) <= _MAX else np.nan


@compiled
def _read(
    s: int, i: int, kinds: I64, of: I64, quantiles: F64, scales: F64, layout: I64, offset: I64, capacity: I64, head: I64,
    length: I64, front: I64, back: F64, running: I64, sorted_n: I64, times: I64, values: F64, suffix: F64, ordered: F64,
    scratch: F64, out: F64,
) -> None:
    n = length[s]
    oldest = offset[s] + head[s]
    at = head[s] + n - 1
    newest = offset[s] + (at if at < capacity[s] else at - capacity[s])
    total = back[s]
    if back.shape[1] and front[s] > 0:
        _merge(suffix[oldest], back[s], layout, scratch)
        total = scratch
    for k in range(len(kinds)):
        kind = kinds[k]
        a = of[k]
        value = np.nan
        if kind == COUNT_ROWS:
            value = float(n)
        elif kind == COUNT:
            value = float(running[s, layout[AT_COUNT, a]])
        elif kind == SUM:
            if total[layout[AT_N, a]] > 0.0:
                value = total[layout[AT_SUM, a]]
        elif kind == SUM_EXACT:
            # `of` names the integer counter here; `quantiles` carries the argument whose count tells empty from zero.
            if running[s, layout[AT_COUNT, int(quantiles[k])]] > 0:
                value = running[s, a] / scales[k]
        elif kind == MEAN:
            if total[layout[AT_N, a]] > 0.0:
                value = total[layout[AT_MEAN, a]]
        elif kind == STD or kind == VAR:
            m = total[layout[AT_N, a]]
            if m > 1.0:
                value = total[layout[AT_MEAN, a] + 1] / (m - 1.0)
                if kind == STD:
                    value = np.sqrt(value)
        elif kind == MIN:
            if total[layout[AT_N, a]] > 0.0:
                value = total[layout[AT_MIN, a]]
        elif kind == MAX:
            if total[layout[AT_N, a]] > 0.0:
                value = total[layout[AT_MAX, a]]
        elif kind == FIRST:
            value = values[oldest, a]
        elif kind == LAST:
            value = values[newest, a]
        elif kind == QUANTILE:
            q = layout[AT_SORTED, a]
            m = sorted_n[s, 2 * q]
            if m > 0:
                h = (m - 1) * quantiles[k]
                low = int(np.floor(h))
                value = ordered[offset[s] + low, q]
                if low < m - 1:
                    value = value + (ordered[offset[s] + low + 1, q] - value) * (h - low)
        elif kind == DISTINCT:
            value = float(sorted_n[s, 2 * layout[AT_SORTED, a] + 1])
        elif kind == SPAN:
            value = (times[newest] - times[oldest]) / 1e9
        elif kind == RATE:
            span = (times[newest] - times[oldest]) / 1e9
            if span > 0.0:
                value = (n - 1) / span
        out[k, i] = _finite(value)


@compiled
def fold(
    begin: int, slots: I64, time_ns: I64, arguments: F64, exact_values: I64,
    duration: int, rows: int, current: bool, at_least: int,
    layout: I64, exact: I64, kinds: I64, of: I64, quantiles: F64, scales: F64,
    offset: I64, capacity: I64, head: I64, length: I64, waiting: I64, front: I64, back: F64, running: I64, sorted_n: I64,
    used: I64, free: I64, times: I64, values: F64, integers: I64, suffix: F64, ordered: F64,
    out: F64, out_n: I64, out_from: I64,
) -> int:
    """Fold rows `begin`… in order; returns len(slots), or the row before which the pool must grow."""
    scratch = np.empty(back.shape[1])
    most = rows + 1 if rows > 0 else 0
    for i in range(begin, len(slots)):
        s = slots[i]
        t = time_ns[i]
        if length[s] + waiting[s] == capacity[s] and not _make_room(
            s, most, offset, capacity, head, length, waiting, used, free, times, values, integers, suffix, ordered
        ):
            return i
        at = head[s] + length[s] + waiting[s]
        place = offset[s] + (at if at < capacity[s] else at - capacity[s])
        times[place] = t
        for a in range(arguments.shape[0]):
            values[place, a] = arguments[a, i]
        for e in range(exact_values.shape[0]):
            integers[place, e] = exact_values[e, i]
        if current:
            _enter(s, place, layout, length, back, running, exact, sorted_n, offset, values, integers, ordered, scratch)
        else:
            while waiting[s] > 0:
                at = head[s] + length[s]
                p = offset[s] + (at if at < capacity[s] else at - capacity[s])
                if duration > 0 and times[p] >= t:
                    break
                _enter(s, p, layout, length, back, running, exact, sorted_n, offset, values, integers, ordered, scratch)
                waiting[s] -= 1
        while length[s] > 0:
            if duration > 0:
                first = times[offset[s] + head[s]]
                if (first > t - duration) if current else (first >= t - duration):
                    break
            elif length[s] <= rows:
                break
            _evict(
                s, layout, offset, capacity, head, length, front, back, running, exact, sorted_n,
                values, integers, suffix, ordered, scratch,
            )
        n = length[s]
        out_n[i] = n
        out_from[i] = times[offset[s] + head[s]] if n > 0 else NULL_INT
        if n < at_least or n == 0:
            for k in range(len(kinds)):
                out[k, i] = float(n) if (kinds[k] == COUNT_ROWS and n >= at_least) else np.nan
        else:
            _read(
                s, i, kinds, of, quantiles, scales, layout, offset, capacity, head, length, front, back, running, sorted_n,
                times, values, suffix, ordered, scratch, out,
            )
        if not current:
            waiting[s] += 1
    return len(slots)


@compiled
def gather(
    starts: I64, offset: I64, capacity: I64, head: I64, times: I64, values: F64, integers: I64,
    out_times: I64, out_values: F64, out_integers: I64,
) -> None:
    """Copy every slot's elements, oldest first, to starts[s]…: the form in which state is kept."""
    for s in range(len(starts) - 1):
        for k in range(starts[s + 1] - starts[s]):
            at = head[s] + k
            p = offset[s] + (at if at < capacity[s] else at - capacity[s])
            o = starts[s] + k
            out_times[o] = times[p]
            for j in range(values.shape[1]):
                out_values[o, j] = values[p, j]
            for j in range(integers.shape[1]):
                out_integers[o, j] = integers[p, j]


@compiled
def rebuild(
    kept_front: I64, kept_length: I64, layout: I64, exact: I64, offset: I64, capacity: I64, head: I64, length: I64, front: I64,
    back: F64, running: I64, sorted_n: I64, values: F64, integers: I64, suffix: F64, ordered: F64,
) -> None:
    """Recompute every aggregate from restored elements; both stacks come out bit-equal, as they are folds over the same rows."""
    scratch = np.empty(back.shape[1])
    for s in range(len(kept_length)):
        for k in range(kept_length[s]):
            _enter(s, offset[s] + k, layout, length, back, running, exact, sorted_n, offset, values, integers, ordered, scratch)
            if k + 1 == kept_front[s]:
                _flip(s, layout, offset, capacity, head, length, front, back, values, suffix, scratch)
