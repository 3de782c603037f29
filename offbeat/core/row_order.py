"""Which rows are folded, and in what order: candidates [S4], duplicates [S8], lateness [S1], per-key reordering [S2].

The kernel walks the rows of a batch in arrival order and writes down what becomes of each. A row is named by its index in the batch (≥ 0)
or, if it waits from an earlier batch, by its place in the reorder buffer (as -1 - place). Everything it decides depends on the key's own
earlier rows alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offbeat.core.batch import I8, I32, I64, NULL_INT, U64
from offbeat.core.compiled import compiled
from offbeat.core.int128_sums import minus
from offbeat.core.rings import allocate, give, grown_rows, laid_out, next_capacity, no_free, stretches

FOLDED, HELD, DUPLICATE, CONFLICT, LATE, FUTURE = range(6)
NOBODY = NULL_INT
"""No row."""
_END = np.iinfo(np.int64).max
_BLOCK = 32


@dataclass(frozen=True, slots=True)
class Order:
    """The settings of S1 to S4 and S8."""

    lateness_ns: int
    dedup_rows: int
    max_jump_ns: int
    identity_has_time: bool
    """Then rows of different times cannot be duplicates, so rows ahead of all others need no search."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """What became of n rows, and which rows are folded now."""

    status: I8
    """(n,) FOLDED (now or from the buffer later), HELD, DUPLICATE, CONFLICT, LATE or FUTURE."""
    emitted: I64
    """(m,) rows to fold, in order."""
    ordinals: I64
    """(m,) 1 for the first row of its key folded at its time, 2 for the next, …"""
    refuted: I64
    """Places of waiting rows that turned out to be from the future."""


# Columns of the per-slot records. keys has what every row of a key reads, in one cache line: greatest accepted time; time and
# order of the last row folded; ordinal of that row; the candidate's row; the rows remembered for deduplication, a stretch of a pool:
# where it begins, how many there are, and the one to overwrite next.
NEWEST, LAST_TIME, LAST_ORDER, ORDINAL, CANDIDATE, SEEN, SEEN_N, OLDEST = range(8)
# candidate: time, order; held rows (in pools): row, time, order.
ROW, TIME, ORDER = range(3)
_TIME, _ORDER = range(2)
# buffer (rows waiting for their order): a stretch of a pool. HEAD: where in its stretch the buffer begins.
OFFSET, CAPACITY, LENGTH, HEAD = range(4)


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
def _push_buffer(slot: int, row: int, time: int, order: int, buffer: I64, used: I64, free: I64, link: I64, pool: I64) -> None:
    """Insert into the key's buffer, sorted by (time, order, arrival); the caller has made space in the pool."""
    n = buffer[slot, LENGTH]
    capacity = buffer[slot, CAPACITY]
    if buffer[slot, HEAD] + n == capacity:
        offset = buffer[slot, OFFSET]
        first = offset + buffer[slot, HEAD]
        # Half empty: move down, which at least n releases have paid for. Else grow.
        grow = buffer[slot, HEAD] <= n
        to = allocate(next_capacity(capacity, 0), used, free, link) if grow else offset
        for k in range(n):
            for j in range(3):
                pool[to + k, j] = pool[first + k, j]
        if grow:
            if capacity:
                give(offset, capacity, free, link)
            buffer[slot, OFFSET] = to
            buffer[slot, CAPACITY] = next_capacity(capacity, 0)
        buffer[slot, HEAD] = 0
    base = buffer[slot, OFFSET] + buffer[slot, HEAD]
    k = n
    while k > 0 and (pool[base + k - 1, TIME] > time or (pool[base + k - 1, TIME] == time and pool[base + k - 1, ORDER] > order)):
        for j in range(3):
            pool[base + k, j] = pool[base + k - 1, j]
        k -= 1
    pool[base + k, ROW] = row
    pool[base + k, TIME] = time
    pool[base + k, ORDER] = order
    buffer[slot, LENGTH] = n + 1


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
    begin: int, m: int, refuted_n: int, slots: I32, time_ns: I64, order: I64, identity: U64, content: U64,
    lateness: int, most: int, max_jump: int, floor: int, has_time: bool, keys: I64, candidate: I64, candidate_hash: U64,
    capacity: I64, s_used: I64, s_free: I64, s_link: I64, s_pool: U64,
    buffer: I64, b_used: I64, b_free: I64, b_link: I64, b_pool: I64,
    status: I8, emitted: I64, ordinals: I64, refuted: I64, progress: I64,
) -> int:
    """Walk rows `begin`…; returns n, or the row before which a pool must grow. `progress`: rows emitted and refuted so far."""
    unique = len(identity) > 0
    touched = 0
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
                progress[0], progress[1] = m, refuted_n
                return i
            if lateness > 0:
                held = buffer[s, HEAD] + buffer[s, LENGTH]
                if held + 2 > buffer[s, CAPACITY] and b_used[0] + 4 * buffer[s, CAPACITY] + 16 > len(b_link):
                    progress[0], progress[1] = m, refuted_n
                    return i
            if keys[s, CANDIDATE] != NOBODY:
                c_time = candidate[s, _TIME]
                if unique and candidate_hash[s, 0] == identity[i]:
                    status[i] = DUPLICATE if candidate_hash[s, 1] == content[i] else CONFLICT
                    continue
                row = keys[s, CANDIDATE]
                keys[s, CANDIDATE] = NOBODY
                if t >= minus(c_time, max_jump):
                    if unique:
                        _remember(s, candidate_hash[s, 0], candidate_hash[s, 1], most, keys, capacity, s_used, s_free, s_link, s_pool)
                    keys[s, NEWEST] = max(keys[s, NEWEST], c_time)
                    if row >= 0:
                        status[row] = FOLDED
                    if lateness > 0:
                        _push_buffer(s, row, c_time, candidate[s, _ORDER], buffer, b_used, b_free, b_link, b_pool)
                        m = _release(s, minus(keys[s, NEWEST], lateness), keys, buffer, b_pool, emitted, ordinals, m)
                    else:
                        m = _emit(row, c_time, candidate[s, _ORDER], s, keys, emitted, ordinals, m)
                elif row >= 0:
                    status[row] = FUTURE
                else:
                    refuted[refuted_n] = -1 - row
                    refuted_n += 1
            newest = keys[s, NEWEST]
            if unique and not (has_time and t > newest):
                known = _known(identity[i], content[i], s, keys, s_pool)
                if known:
                    status[i] = DUPLICATE if known == 1 else CONFLICT
                    continue
            last = keys[s, LAST_TIME]
            if newest != NULL_INT and (t < minus(newest, lateness) or t < last or (t == last and order[i] < keys[s, LAST_ORDER])):
                status[i] = LATE
                continue
            # No row before the floor can still come, so none could refute a row that lies less than a jump ahead of it.
            if (newest == NULL_INT or minus(t, max_jump) > newest) and (floor == NULL_INT or minus(t, max_jump) > floor):
                status[i] = HELD
                keys[s, CANDIDATE] = i
                candidate[s, _TIME] = t
                candidate[s, _ORDER] = order[i]
                if unique:
                    candidate_hash[s, 0] = identity[i]
                    candidate_hash[s, 1] = content[i]
                continue
            if unique:
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
            if lateness > 0:
                _push_buffer(s, i, t, order[i], buffer, b_used, b_free, b_link, b_pool)
                m = _release(s, minus(keys[s, NEWEST], lateness), keys, buffer, b_pool, emitted, ordinals, m)
            else:
                m = _emit(i, t, order[i], s, keys, emitted, ordinals, m)
    progress[2] = touched
    progress[0], progress[1] = m, refuted_n
    return len(slots)


@compiled
def finish(
    used_slots: int, unique: bool, most: int, keys: I64, candidate: I64, candidate_hash: U64,
    capacity: I64, s_used: I64, s_free: I64, s_link: I64, s_pool: U64, buffer: I64, b_pool: I64, emitted: I64, ordinals: I64,
) -> int:
    """End of bounded input: candidates are accepted, buffers are emptied. Returns the number of rows emitted."""
    m = 0
    for s in range(used_slots):
        # A candidate lies ahead of everything buffered, so the buffer goes first.
        m = _release(s, _END, keys, buffer, b_pool, emitted, ordinals, m)
        row = keys[s, CANDIDATE]
        if row != NOBODY:
            keys[s, CANDIDATE] = NOBODY
            if unique:
                _remember(s, candidate_hash[s, 0], candidate_hash[s, 1], most, keys, capacity, s_used, s_free, s_link, s_pool)
            keys[s, NEWEST] = max(keys[s, NEWEST], candidate[s, _TIME])
            m = _emit(row, candidate[s, _TIME], candidate[s, _ORDER], s, keys, emitted, ordinals, m)
    return m


@compiled
def pass_until(
    used_slots: int, floor: int, unique: bool, lateness: int, most: int, max_jump: int, keys: I64, candidate: I64, candidate_hash: U64,
    capacity: I64, s_used: I64, s_free: I64, s_link: I64, s_pool: U64,
    buffer: I64, b_used: I64, b_free: I64, b_link: I64, b_pool: I64, emitted: I64, ordinals: I64,
) -> int:
    """No row before `floor` will come. Returns the number of rows emitted; the caller has made space in the pools."""
    m = 0
    for s in range(used_slots):
        row = keys[s, CANDIDATE]
        if row != NOBODY and minus(candidate[s, _TIME], max_jump) <= floor:
            time, order = candidate[s, _TIME], candidate[s, _ORDER]
            keys[s, CANDIDATE] = NOBODY
            if unique:
                _remember(s, candidate_hash[s, 0], candidate_hash[s, 1], most, keys, capacity, s_used, s_free, s_link, s_pool)
            keys[s, NEWEST] = max(keys[s, NEWEST], time)
            if lateness > 0:
                _push_buffer(s, row, time, order, buffer, b_used, b_free, b_link, b_pool)
            else:
                m = _emit(row, time, order, s, keys, emitted, ordinals, m)
        if lateness > 0 and buffer[s, LENGTH] > 0:
            # Rows at the floor itself wait: one of a lesser order may still come.
            m = _release(s, max(minus(keys[s, NEWEST], lateness), floor - 1), keys, buffer, b_pool, emitted, ordinals, m)
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


class RowOrder:
    """Lateness, order, candidates and duplicates (S1, S2, S4, S8) for the keys of one shard."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self._keys = np.zeros((0, 8), np.int64)
        self._candidate = np.zeros((0, 2), np.int64)
        self._candidate_hash = np.zeros((0, 2), np.uint64)
        self._capacity, self._buffer = np.zeros(0, np.int64), np.zeros((0, 4), np.int64)
        """By slot: the stretch of rows remembered, and of those that wait."""
        self._s_used, self._s_free, self._s_link = np.zeros(1, np.int64), no_free(), np.zeros(0, np.int64)
        self._b_used, self._b_free, self._b_link = np.zeros(1, np.int64), no_free(), np.zeros(0, np.int64)
        self._s_pool, self._b_pool = np.zeros((0, 2), np.uint64), np.zeros((0, 3), np.int64)

    def _grow_slots(self, slots: int) -> None:
        before = len(self._keys)
        if before >= slots:
            return
        self._keys = grown_rows(self._keys, slots, NULL_INT)
        self._keys[before:, SEEN:] = 0
        self._candidate, self._candidate_hash = grown_rows(self._candidate, slots), grown_rows(self._candidate_hash, slots)
        self._capacity, self._buffer = grown_rows(self._capacity, slots), grown_rows(self._buffer, slots)

    def _grow_seen(self, elements: int) -> None:
        self._s_link, self._s_pool = grown_rows(self._s_link, elements), grown_rows(self._s_pool, elements)

    def _grow_buffer(self, elements: int) -> None:
        self._b_link, self._b_pool = grown_rows(self._b_link, elements), grown_rows(self._b_pool, elements)

    def admit(
        self, slots: I32, time_ns: I64, order: I64, identity: U64, content: U64, keys: int, held: int, floor_ns: int = NULL_INT
    ) -> Admitted:
        """Decide on n rows in arrival order; `keys` slots are in use, `held` rows wait from before.

        floor_ns: no row to come is earlier (`Chunk.floor_ns`).
        """
        n, o = len(slots), self.order
        self._grow_slots(keys)
        status = np.empty(n, np.int8)
        emitted, ordinals = np.empty(n + held, np.int64), np.empty(n + held, np.int64)
        refuted, progress = np.empty(held, np.int64), np.zeros(3, np.int64)
        done = 0
        while n:
            done = admit(
                done, int(progress[0]), int(progress[1]), slots, time_ns, order, identity, content,
                o.lateness_ns, o.dedup_rows, o.max_jump_ns, floor_ns, o.identity_has_time,
                self._keys, self._candidate, self._candidate_hash,
                self._capacity, self._s_used, self._s_free, self._s_link, self._s_pool,
                self._buffer, self._b_used, self._b_free, self._b_link, self._b_pool,
                status, emitted, ordinals, refuted, progress,
            )  # fmt: skip
            if done == n:
                break
            self._grow_seen(int(self._s_used[0]) + 8 * o.dedup_rows + 16)
            if o.lateness_ns > 0:
                self._grow_buffer(int(self._b_used[0]) + 8 * int(self._buffer[:, CAPACITY].max(initial=0)) + 64)
        m = int(progress[0])
        return Admitted(status, emitted[:m], ordinals[:m], refuted[: int(progress[1])])

    def settle(self, slots: I32, places: I64) -> None:
        """Give the batch's waiting rows their places in the reorder buffer; `places` (n,) by batch row."""
        rename(np.unique(slots), places, self._keys, self._buffer, self._b_pool)

    def finish(self, keys: int, held: int, *, unique: bool) -> Admitted:
        """End of bounded input: all waiting rows are folded."""
        self._make_room(keys, unique=unique)
        emitted, ordinals = np.empty(held, np.int64), np.empty(held, np.int64)
        m = finish(
            keys, unique, self.order.dedup_rows, self._keys, self._candidate, self._candidate_hash,
            self._capacity, self._s_used, self._s_free, self._s_link, self._s_pool, self._buffer, self._b_pool, emitted, ordinals,
        )  # fmt: skip
        return Admitted(np.empty(0, np.int8), emitted[:m], ordinals[:m], np.empty(0, np.int64))

    def pass_until(self, floor_ns: int, keys: int, held: int, *, unique: bool) -> Admitted:
        """No row before `floor_ns` will come: candidates that none can refute any more are accepted, and buffered rows before it folded."""
        self._make_room(keys, unique=unique)
        o = self.order
        if o.lateness_ns > 0:
            waiting = self._keys[:keys, CANDIDATE] != NOBODY
            self._grow_buffer(int(self._b_used[0]) + int(np.maximum(2 * self._buffer[:keys, CAPACITY][waiting], 16).sum()))
        emitted, ordinals = np.empty(held, np.int64), np.empty(held, np.int64)
        m = pass_until(
            keys, floor_ns, unique, o.lateness_ns, o.dedup_rows, o.max_jump_ns, self._keys, self._candidate, self._candidate_hash,
            self._capacity, self._s_used, self._s_free, self._s_link, self._s_pool,
            self._buffer, self._b_used, self._b_free, self._b_link, self._b_pool, emitted, ordinals,
        )  # fmt: skip
        return Admitted(np.empty(0, np.int8), emitted[:m], ordinals[:m], np.empty(0, np.int64))

    def _make_room(self, keys: int, *, unique: bool) -> None:
        """Space for the identities of all candidates."""
        self._grow_slots(keys)
        if unique:
            waiting = self._keys[:keys, CANDIDATE] != NOBODY
            n, capacity = self._keys[:keys, SEEN_N][waiting], self._capacity[:keys][waiting]
            full = capacity[(n == capacity) & (n < self.order.dedup_rows)]
            self._grow_seen(int(self._s_used[0]) + int(np.maximum(2 * full, 16).sum()))

    def snapshot(self, keys: int) -> dict[str, np.ndarray]:
        """State of the first `keys` slots."""
        self._grow_slots(keys)
        record, buffer = self._keys[:keys], self._buffer[:keys]
        return {
            "keys": record[:, :SEEN].copy(),
            "candidate": self._candidate[:keys].copy(),
            "candidate_hash": self._candidate_hash[:keys].copy(),
            "seen_n": record[:, SEEN_N].copy(),
            "seen_oldest": record[:, OLDEST].copy(),
            "seen": self._s_pool[stretches(record[:, SEEN], record[:, SEEN_N])],
            "buffer_n": buffer[:, LENGTH].copy(),
            "buffer": self._b_pool[stretches(buffer[:, OFFSET] + buffer[:, HEAD], buffer[:, LENGTH])],
        }

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over a snapshot."""
        keys = len(arrays["keys"])
        self._grow_slots(keys)
        record, buffer = self._keys[:keys], self._buffer[:keys]
        record[:, :SEEN], self._candidate[:keys] = arrays["keys"], arrays["candidate"]
        self._candidate_hash[:keys] = arrays["candidate_hash"]
        n, record[:, OLDEST] = arrays["seen_n"], arrays["seen_oldest"]
        record[:, SEEN_N] = n
        record[:, SEEN], self._capacity[:keys] = laid_out(n, self.order.dedup_rows)
        self._s_used[0] = int(self._capacity[:keys].sum())
        self._grow_seen(int(self._s_used[0]))
        self._s_pool[stretches(record[:, SEEN], n)] = arrays["seen"]
        n = buffer[:, LENGTH] = arrays["buffer_n"]
        buffer[:, OFFSET], buffer[:, CAPACITY] = laid_out(n, 0)
        self._b_used[0] = int(buffer[:, CAPACITY].sum())
        self._grow_buffer(int(self._b_used[0]))
        self._b_pool[stretches(buffer[:, OFFSET], n)] = arrays["buffer"]
