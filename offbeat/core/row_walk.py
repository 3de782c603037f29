"""The walk over rows in arrival order that decides what becomes of each: candidates [S4], duplicates [S8, R6], lateness [S1], order [S2].

A row is named by its index in the batch (≥ 0) or, if it waits from an earlier batch, by its place in the reorder buffer (as -1 - place).
Everything that is decided depends on the key's own earlier rows alone.
"""

from __future__ import annotations

import numpy as np

from offbeat.core.batch import I8, I32, I64, NULL_INT, U64
from offbeat.core.compiled import compiled
from offbeat.core.int128_sums import minus
from offbeat.core.rings import allocate, give, next_capacity
from offbeat.core.waiting_rows import CONTENT, HEAD, LENGTH, OFFSET, ORDER, ROW, TIME, find, lacks_room, put, remove

FOLDED, HELD, DUPLICATE, CONFLICT, LATE, FUTURE = range(6)
NOBODY = NULL_INT
"""No row."""
_END = np.iinfo(np.int64).max
_BLOCK = 32


# Columns of the per-slot records. keys has what every row of a key reads, in one cache line: greatest accepted time; time and
# order of the last row folded; ordinal of that row; the candidate's row; the rows remembered for deduplication, a stretch of a pool:
# where it begins, how many there are, and the one to overwrite next.
NEWEST, LAST_TIME, LAST_ORDER, ORDINAL, CANDIDATE, SEEN, SEEN_N, OLDEST = range(8)
# candidate: time, order.
_TIME, _ORDER = range(2)
# progress of a walk: rows emitted, refuted, and replaced so far.
EMITTED, REFUTED, REPLACED, TOUCHED = range(4)


@compiled
def _known(identity: int, content: int, slot: int, keys: I64, pool: U64) -> int:
    """0 new, 1 duplicate, 2 conflict."""
    base = keys[slot, SEEN]
    for k in range(keys[slot, SEEN_N]):
        if pool[base + k, 0] == identity:
            return 1 if pool[base + k, 1] == content else 2
    return 0


@compiled
def _remember(
    slot: int, identity: int, content: int, most: int, keys: I64, capacity: I64, used: I64, free: I64, link: I64, pool: U64
) -> None:
    """Add to the key's last `most` accepted rows; the caller has made space in the pool."""
    n = keys[slot, SEEN_N]
    if n == most:
        oldest = keys[slot, OLDEST]
        at = keys[slot, SEEN] + oldest
        keys[slot, OLDEST] = oldest + 1 if oldest + 1 < most else 0
    else:
        if n == capacity[slot]:
            offset = keys[slot, SEEN]
            size = next_capacity(n, most)
            to = allocate(size, used, free, link)
            for k in range(n):
                pool[to + k, 0] = pool[offset + k, 0]
                pool[to + k, 1] = pool[offset + k, 1]
            if n:
                give(offset, n, free, link)
            keys[slot, SEEN] = to
            capacity[slot] = size
        at = keys[slot, SEEN] + n
        keys[slot, SEEN_N] = n + 1
    pool[at, 0] = identity
    pool[at, 1] = content


@compiled
def long_unseen(time: int, newest: int, forget: int) -> bool:
    """Whether a key whose newest row is of `newest` (NULL_INT: none) starts anew with a row of `time`; with `forget` 0 none does."""
    return forget > 0 and newest != NULL_INT and minus(time, forget) > newest


@compiled
def _clear(slot: int, time: int, forget: int, keys: I64) -> None:
    """Before a row of a time is accepted: if its key was not seen for so long, no row of it is remembered any more."""
    if long_unseen(time, keys[slot, NEWEST], forget):
        keys[slot, SEEN_N] = 0
        keys[slot, OLDEST] = 0


@compiled
def _refresh(slot: int, identity: int, content: int, keys: I64, pool: U64) -> None:
    """The row of this identity, if it is still remembered, has other content now."""
    base = keys[slot, SEEN]
    for k in range(keys[slot, SEEN_N]):
        if pool[base + k, 0] == identity:
            pool[base + k, 1] = content


@compiled
def _due(newest: int, lateness: int, keep_last: bool) -> int:
    """Up to which time rows are folded. A row that may still be replaced waits for a later time, not only for its own to pass."""
    until = minus(newest, lateness)
    return minus(until, 1) if keep_last else until


@compiled
def _emit(row: int, time: int, order: int, slot: int, keys: I64, emitted: I64, ordinals: I64, m: int) -> int:
    """Record that the row is folded now; returns how many are."""
    keys[slot, ORDINAL] = keys[slot, ORDINAL] + 1 if keys[slot, LAST_TIME] == time else 1
    keys[slot, LAST_TIME] = time
    keys[slot, LAST_ORDER] = order
    emitted[m] = row
    ordinals[m] = keys[slot, ORDINAL]
    return m + 1


@compiled
def _release(slot: int, until: int, keys: I64, buffer: I64, pool: I64, emitted: I64, ordinals: I64, m: int) -> int:
    """Emit every buffered row of the slot with time ≤ until."""
    base = buffer[slot, OFFSET] + buffer[slot, HEAD]
    n = buffer[slot, LENGTH]
    k = 0
    while k < n and pool[base + k, TIME] <= until:
        m = _emit(pool[base + k, ROW], pool[base + k, TIME], pool[base + k, ORDER], slot, keys, emitted, ordinals, m)
        k += 1
    buffer[slot, LENGTH] = n - k
    buffer[slot, HEAD] = buffer[slot, HEAD] + k if k < n else 0
    return m


@compiled
def admit(
    begin: int,
    slots: I32,
    time_ns: I64,
    order: I64,
    identity: U64,
    content: U64,
    lateness: int,
    most: int,
    max_jump: int,
    forget: int,
    floor: int,
    has_time: bool,
    keep_last: bool,
    keys: I64,
    candidate: I64,
    candidate_hash: U64,
    capacity: I64,
    s_used: I64,
    s_free: I64,
    s_link: I64,
    s_pool: U64,
    buffer: I64,
    b_used: I64,
    b_free: I64,
    b_link: I64,
    b_pool: I64,
    status: I8,
    emitted: I64,
    ordinals: I64,
    refuted: I64,
    replaced: I64,
    behind: I64,
    progress: I64,
) -> int:
    """Walk rows `begin`…; returns n, or the row before which a pool must grow. `progress` says how far the outputs are filled."""
    unique = len(identity) > 0
    buffered = lateness > 0 or keep_last
    touched = 0
    m, refuted_n, replaced_n = progress[EMITTED], progress[REFUTED], progress[REPLACED]
    for block in range(begin, len(slots), _BLOCK):
        after = min(block + _BLOCK, len(slots))
        # Touch the memory of the block's rows first: independent loads overlap, those that follow would not.
        for i in range(block, after):
            touched += keys[slots[i], NEWEST] ^ keys[slots[i], OLDEST]
        if unique:
            for i in range(block, after):
                s = slots[i]
                n = keys[s, SEEN_N]
                if n > 0:
                    touched += 1 if s_pool[keys[s, SEEN] + (keys[s, OLDEST] if n == most else n - 1), 1] == 0 else 0
        for i in range(block, after):
            s = slots[i]
            t = time_ns[i]
            # Space first, so that a row is done wholly or not at all: at most two rows are accepted per step.
            n = keys[s, SEEN_N]
            if unique and n < most and n + 2 > capacity[s] and capacity[s] < most and s_used[0] + 4 * most + 8 > len(s_link):
                progress[EMITTED], progress[REFUTED], progress[REPLACED] = m, refuted_n, replaced_n
                return i
            if buffered and lacks_room(s, buffer, b_used, b_link):
                progress[EMITTED], progress[REFUTED], progress[REPLACED] = m, refuted_n, replaced_n
                return i
            if keys[s, CANDIDATE] != NOBODY:
                c_time = candidate[s, _TIME]
                row = keys[s, CANDIDATE]
                if unique and candidate_hash[s, 0] == identity[i]:
                    if candidate_hash[s, 1] == content[i]:
                        status[i] = DUPLICATE
                    elif not keep_last:
                        status[i] = CONFLICT
                    else:
                        if row >= 0:
                            status[row] = DUPLICATE
                        else:
                            replaced[replaced_n] = -1 - row
                            replaced_n += 1
                        status[i] = HELD
                        keys[s, CANDIDATE] = i
                        candidate[s, _ORDER] = order[i]
                        candidate_hash[s, 1] = content[i]
                    continue
                keys[s, CANDIDATE] = NOBODY
                if t >= minus(c_time, max_jump):
                    if unique:
                        _clear(s, c_time, forget, keys)
                        _remember(s, candidate_hash[s, 0], candidate_hash[s, 1], most, keys, capacity, s_used, s_free, s_link, s_pool)
                    keys[s, NEWEST] = max(keys[s, NEWEST], c_time)
                    if row >= 0:
                        status[row] = FOLDED
                    if buffered:
                        put(
                            s, row, c_time, candidate[s, _ORDER], np.int64(candidate_hash[s, 0]), np.int64(candidate_hash[s, 1]),
                            buffer, b_used, b_free, b_link, b_pool,
                        )  # fmt: skip
                        m = _release(s, _due(keys[s, NEWEST], lateness, keep_last), keys, buffer, b_pool, emitted, ordinals, m)
                    else:
                        m = _emit(row, c_time, candidate[s, _ORDER], s, keys, emitted, ordinals, m)
                elif row >= 0:
                    status[row] = FUTURE
                else:
                    refuted[refuted_n] = -1 - row
                    refuted_n += 1
            newest = keys[s, NEWEST]
            if keep_last and t <= newest:
                at = find(s, t, np.int64(identity[i]), buffer, b_pool)
                if at >= 0:
                    if b_pool[at, CONTENT] == np.int64(content[i]):
                        status[i] = DUPLICATE
                        continue
                    row = b_pool[at, ROW]
                    if row >= 0:
                        status[row] = DUPLICATE
                    else:
                        replaced[replaced_n] = -1 - row
                        replaced_n += 1
                    remove(s, at, buffer, b_pool)
                    put(
                        s, i, t, order[i], np.int64(identity[i]), np.int64(content[i]), buffer, b_used, b_free, b_link, b_pool
                    )  # fmt: skip
                    _refresh(s, identity[i], content[i], keys, s_pool)
                    status[i] = FOLDED
                    continue
            anew = long_unseen(t, newest, forget)
            if unique and not anew and not (has_time and t > newest):
                known = _known(identity[i], content[i], s, keys, s_pool)
                if known:
                    status[i] = DUPLICATE if known == 1 else CONFLICT
                    continue
            last = keys[s, LAST_TIME]
            if newest != NULL_INT and (t < minus(newest, lateness) or t < last or (t == last and order[i] < keys[s, LAST_ORDER])):
                status[i] = LATE
                behind[i] = minus(newest, t)
                continue
            # No row before the floor can still come, so none could refute a row that lies less than a jump ahead of it.
            if (anew or newest == NULL_INT or minus(t, max_jump) > newest) and (floor == NULL_INT or minus(t, max_jump) > floor):
                status[i] = HELD
                keys[s, CANDIDATE] = i
                candidate[s, _TIME] = t
                candidate[s, _ORDER] = order[i]
                if unique:
                    candidate_hash[s, 0] = identity[i]
                    candidate_hash[s, 1] = content[i]
                continue
            if unique:
                if anew:
                    _clear(s, t, forget, keys)
                if keys[s, SEEN_N] == most:
                    # Inlined from _remember, whose call would cost more than the rest of the row.
                    oldest = keys[s, OLDEST]
                    at = keys[s, SEEN] + oldest
                    keys[s, OLDEST] = oldest + 1 if oldest + 1 < most else 0
                    s_pool[at, 0] = identity[i]
                    s_pool[at, 1] = content[i]
                else:
                    _remember(s, identity[i], content[i], most, keys, capacity, s_used, s_free, s_link, s_pool)
            keys[s, NEWEST] = max(newest, t)
            status[i] = FOLDED
            if buffered:
                # Not as one expression: signed and unsigned would meet in a double.
                own, whole = np.int64(0), np.int64(0)
                if unique:
                    own, whole = np.int64(identity[i]), np.int64(content[i])
                put(s, i, t, order[i], own, whole, buffer, b_used, b_free, b_link, b_pool)
                m = _release(s, _due(keys[s, NEWEST], lateness, keep_last), keys, buffer, b_pool, emitted, ordinals, m)
            else:
                m = _emit(i, t, order[i], s, keys, emitted, ordinals, m)
    progress[EMITTED], progress[REFUTED], progress[REPLACED], progress[TOUCHED] = m, refuted_n, replaced_n, touched
    return len(slots)


@compiled
def finish(
    slots: I64,
    unique: bool,
    most: int,
    forget: int,
    keys: I64,
    candidate: I64,
    candidate_hash: U64,
    capacity: I64,
    s_used: I64,
    s_free: I64,
    s_link: I64,
    s_pool: U64,
    buffer: I64,
    b_pool: I64,
    emitted: I64,
    ordinals: I64,
) -> int:
    """No row of some slots is to come: candidates are accepted, buffers are emptied. Returns the number of rows emitted."""
    m = 0
    for s in slots:
        # A candidate lies ahead of everything buffered, so the buffer goes first.
        m = _release(s, _END, keys, buffer, b_pool, emitted, ordinals, m)
        row = keys[s, CANDIDATE]
        if row != NOBODY:
            keys[s, CANDIDATE] = NOBODY
            if unique:
                _clear(s, candidate[s, _TIME], forget, keys)
                _remember(s, candidate_hash[s, 0], candidate_hash[s, 1], most, keys, capacity, s_used, s_free, s_link, s_pool)
            keys[s, NEWEST] = max(keys[s, NEWEST], candidate[s, _TIME])
            m = _emit(row, candidate[s, _TIME], candidate[s, _ORDER], s, keys, emitted, ordinals, m)
    return m


@compiled
def pass_until(
    used_slots: int,
    floor: int,
    unique: bool,
    lateness: int,
    most: int,
    max_jump: int,
    forget: int,
    keep_last: bool,
    keys: I64,
    candidate: I64,
    candidate_hash: U64,
    capacity: I64,
    s_used: I64,
    s_free: I64,
    s_link: I64,
    s_pool: U64,
    buffer: I64,
    b_used: I64,
    b_free: I64,
    b_link: I64,
    b_pool: I64,
    emitted: I64,
    ordinals: I64,
) -> int:
    """No row before `floor` will come. Returns the number of rows emitted; the caller has made space in the pools."""
    m = 0
    for s in range(used_slots):
        row = keys[s, CANDIDATE]
        if row != NOBODY and minus(candidate[s, _TIME], max_jump) <= floor:
            time, order = candidate[s, _TIME], candidate[s, _ORDER]
            keys[s, CANDIDATE] = NOBODY
            if unique:
                _clear(s, time, forget, keys)
                _remember(s, candidate_hash[s, 0], candidate_hash[s, 1], most, keys, capacity, s_used, s_free, s_link, s_pool)
            keys[s, NEWEST] = max(keys[s, NEWEST], time)
            if lateness > 0 or keep_last:
                put(
                    s, row, time, order, np.int64(candidate_hash[s, 0]), np.int64(candidate_hash[s, 1]),
                    buffer, b_used, b_free, b_link, b_pool,
                )  # fmt: skip
            else:
                m = _emit(row, time, order, s, keys, emitted, ordinals, m)
        if buffer[s, LENGTH] > 0:
            # Rows at the floor itself wait: one of a lesser order may still come.
            m = _release(s, max(_due(keys[s, NEWEST], lateness, keep_last), floor - 1), keys, buffer, b_pool, emitted, ordinals, m)
    return m


@compiled
def rename(slots: I32, places: I64, keys: I64, buffer: I64, pool: I64) -> None:
    """Rows of a batch that have to wait are renamed to their places in the reorder buffer."""
    for i in range(len(slots)):
        s = slots[i]
        if keys[s, CANDIDATE] >= 0:
            keys[s, CANDIDATE] = -1 - places[keys[s, CANDIDATE]]
        first = buffer[s, OFFSET] + buffer[s, HEAD]
        for k in range(first, first + buffer[s, LENGTH]):
            if pool[k, ROW] >= 0:
                pool[k, ROW] = -1 - places[pool[k, ROW]]


