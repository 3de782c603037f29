"""Which rows are folded, and in what order: candidates [S4], duplicates [S8], lateness [S1], per-key reordering [S2].

The kernel walks the rows of a batch in arrival order and writes down what becomes of each. A row is named by its index in the batch (≥ 0) or, when it was held back
in an earlier batch, by its place in the store of held rows (as -1 - place). Everything it decides depends on the key's own earlier rows alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offbeat.core.batch import I8, I64, NULL_INT, U64
from offbeat.core.compiled import compiled
from offbeat.core.rings import give, grown_rows, next_capacity, no_free, stretch_capacity, stretches, take

FOLDED, HELD, DUPLICATE, CONFLICT, LATE, FUTURE = range(6)
NOBODY = NULL_INT
"""No row."""


@dataclass(frozen=True, slots=True)
class Order:
    """The settings of S1–S4 and S8."""

    lateness_ns: int
    dedup_rows: int
    max_jump_ns: int
    identity_has_time: bool
    """Rows of different times can then not be duplicates, so rows ahead of all others need no search."""


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
    """Places of held rows that turned out to be from the future."""


@compiled
def _known(identity: int, content: int, slot: int, offset: I64, length: I64, seen: U64, contents: U64) -> int:
    """0 new, 1 duplicate, 2 conflict."""
    base = offset[slot]
    for k in range(length[slot]):
        if seen[base + k] == identity:
            return 1 if contents[base + k] == content else 2
    return 0


@compiled
def _remember(
    slot: int, identity: int, content: int, most: int, offset: I64, capacity: I64, length: I64, oldest: I64,
    used: I64, free: I64, link: I64, seen: U64, contents: U64,
) -> bool:
    """Add to the key's last `most` accepted rows; False when the pool must grow first."""
    n = length[slot]
    if n == most:
        at = offset[slot] + oldest[slot]
        oldest[slot] = oldest[slot] + 1 if oldest[slot] + 1 < most else 0
    else:
        if n == capacity[slot]:
            size = next_capacity(capacity[slot], most)
            to = take(size, used, free, link)
            if to < 0:
                return False
            for k in range(n):
                seen[to + k] = seen[offset[slot] + k]
                contents[to + k] = contents[offset[slot] + k]
            if capacity[slot]:
                give(offset[slot], capacity[slot], free, link)
            offset[slot] = to
            capacity[slot] = size
        at = offset[slot] + n
        length[slot] = n + 1
    seen[at] = identity
    contents[at] = content
    return True


@compiled
def _push_buffer(
    slot: int, row: int, time: int, order: int, offset: I64, capacity: I64, length: I64,
    used: I64, free: I64, times: I64, orders: I64, ids: I64,
) -> bool:
    """Insert into the key's buffer, sorted by (time, order, arrival); False when the pool must grow first."""
    n = length[slot]
    if n == capacity[slot]:
        size = next_capacity(capacity[slot], 0)
        to = take(size, used, free, times)
        if to < 0:
            return False
        for k in range(n):
            times[to + k] = times[offset[slot] + k]
            orders[to + k] = orders[offset[slot] + k]
            ids[to + k] = ids[offset[slot] + k]
        if capacity[slot]:
            give(offset[slot], capacity[slot], free, times)
        offset[slot] = to
        capacity[slot] = size
    base = offset[slot]
    k = n
    while k > 0 and (times[base + k - 1] > time or (times[base + k - 1] == time and orders[base + k - 1] > order)):
        times[base + k] = times[base + k - 1]
        orders[base + k] = orders[base + k - 1]
        ids[base + k] = ids[base + k - 1]
        k -= 1
    times[base + k] = time
    orders[base + k] = order
    ids[base + k] = row
    length[slot] = n + 1
    return True


@compiled
def _emit(row: int, time: int, order: int, slot: int, keys: I64, emitted: I64, ordinals: I64, m: int) -> int:
    """`keys` (slots, 4): greatest time, time and order of the last row folded, ordinal of that row."""
    keys[slot, 3] = keys[slot, 3] + 1 if keys[slot, 1] == time else 1
    keys[slot, 1] = time
    keys[slot, 2] = order
    emitted[m] = row
    ordinals[m] = keys[slot, 3]
    return m + 1


@compiled
def _release(
    slot: int, until: int, keys: I64, offset: I64, length: I64, times: I64, orders: I64, ids: I64, emitted: I64, ordinals: I64, m: int
) -> int:
    """Emit every buffered row of the slot with time ≤ until."""
    base = offset[slot]
    n = length[slot]
    k = 0
    while k < n and times[base + k] <= until:
        m = _emit(ids[base + k], times[base + k], orders[base + k], slot, keys, emitted, ordinals, m)
        k += 1
    if k:
        for j in range(k, n):
            times[base + j - k] = times[base + j]
            orders[base + j - k] = orders[base + j]
            ids[base + j - k] = ids[base + j]
        length[slot] = n - k
    return m


@compiled
def admit(
    begin: int, m: int, refuted_n: int, slots: I64, time_ns: I64, order: I64, identity: U64, content: U64,
    lateness: int, most: int, max_jump: int, has_time: bool,
    keys: I64, candidate: I64, candidate_hash: U64,
    d_offset: I64, d_capacity: I64, d_length: I64, d_oldest: I64, d_used: I64, d_free: I64, d_link: I64, seen: U64, contents: U64,
    b_offset: I64, b_capacity: I64, b_length: I64, b_used: I64, b_free: I64, b_times: I64, b_orders: I64, b_ids: I64,
    status: I8, emitted: I64, ordinals: I64, refuted: I64, progress: I64,
) -> int:
    """Walk rows `begin`…; returns n, or the row before which a pool must grow. `progress`: rows emitted and refuted so far."""
    unique = len(identity) > 0
    for i in range(begin, len(slots)):
        progress[0] = m
        progress[1] = refuted_n
        s = slots[i]
        t = time_ns[i]
        # Space first, so that a row is either done wholly or not at all: at most two rows are accepted per step.
        if unique and d_length[s] + 2 > d_capacity[s] and d_capacity[s] < most and d_used[0] + 4 * most + 8 > len(d_link):
            return i
        if lateness > 0 and b_length[s] + 2 > b_capacity[s] and b_used[0] + 4 * b_capacity[s] + 16 > len(b_times):
            return i
        if candidate[s, 0] != NOBODY:
            c_time = candidate[s, 1]
            if unique and candidate_hash[s, 0] == identity[i]:
                status[i] = DUPLICATE if candidate_hash[s, 1] == content[i] else CONFLICT
                continue
            row = candidate[s, 0]
            candidate[s, 0] = NOBODY
            if t >= c_time - max_jump:
                if unique:
                    _remember(
                        s, candidate_hash[s, 0], candidate_hash[s, 1], most, d_offset, d_capacity, d_length, d_oldest,
                        d_used, d_free, d_link, seen, contents,
                    )
                keys[s, 0] = max(keys[s, 0], c_time)
                if row >= 0:
                    status[row] = FOLDED
                if lateness > 0:
                    _push_buffer(
                        s, row, c_time, candidate[s, 2], b_offset, b_capacity, b_length, b_used, b_free, b_times, b_orders, b_ids
                    )
                    m = _release(s, keys[s, 0] - lateness, keys, b_offset, b_length, b_times, b_orders, b_ids, emitted, ordinals, m)
                else:
                    m = _emit(row, c_time, candidate[s, 2], s, keys, emitted, ordinals, m)
            elif row >= 0:
                status[row] = FUTURE
            else:
                refuted[refuted_n] = -1 - row
                refuted_n += 1
        newest = keys[s, 0]
        if unique and not (has_time and t > newest):
            known = _known(identity[i], content[i], s, d_offset, d_length, seen, contents)
            if known:
                status[i] = DUPLICATE if known == 1 else CONFLICT
                continue
        if newest != NULL_INT and (t < newest - lateness or t < keys[s, 1] or (t == keys[s, 1] and order[i] < keys[s, 2])):
            status[i] = LATE
            continue
        if newest == NULL_INT or t - newest > max_jump:
            status[i] = HELD
            candidate[s, 0] = i
            candidate[s, 1] = t
            candidate[s, 2] = order[i]
            if unique:
                candidate_hash[s, 0] = identity[i]
                candidate_hash[s, 1] = content[i]
            continue
        if unique:
            _remember(
                s, identity[i], content[i], most, d_offset, d_capacity, d_length, d_oldest, d_used, d_free, d_link, seen, contents
            )
        keys[s, 0] = max(newest, t)
        status[i] = FOLDED
        if lateness > 0:
            _push_buffer(s, i, t, order[i], b_offset, b_capacity, b_length, b_used, b_free, b_times, b_orders, b_ids)
            m = _release(s, keys[s, 0] - lateness, keys, b_offset, b_length, b_times, b_orders, b_ids, emitted, ordinals, m)
        else:
            m = _emit(i, t, order[i], s, keys, emitted, ordinals, m)
    progress[0] = m
    progress[1] = refuted_n
    return len(slots)


@compiled
def finish(
    used_slots: int, unique: bool, most: int, keys: I64, candidate: I64, candidate_hash: U64,
    d_offset: I64, d_capacity: I64, d_length: I64, d_oldest: I64, d_used: I64, d_free: I64, d_link: I64, seen: U64, contents: U64,
    b_offset: I64, b_length: I64, b_times: I64, b_orders: I64, b_ids: I64, emitted: I64, ordinals: I64,
) -> int:
    """End of bounded input: candidates are accepted, buffers are emptied. Returns the number of rows emitted."""
    m = 0
    top = np.iinfo(np.int64).max
    for s in range(used_slots):
        row = candidate[s, 0]
        if row != NOBODY:
            candidate[s, 0] = NOBODY
            if unique:
                _remember(
                    s, candidate_hash[s, 0], candidate_hash[s, 1], most, d_offset, d_capacity, d_length, d_oldest,
                    d_used, d_free, d_link, seen, contents,
                )
            # The candidate lies ahead of everything buffered, so the buffer goes first.
            keys[s, 0] = max(keys[s, 0], candidate[s, 1])
            m = _release(s, candidate[s, 1] - 1, keys, b_offset, b_length, b_times, b_orders, b_ids, emitted, ordinals, m)
            m = _emit(row, candidate[s, 1], candidate[s, 2], s, keys, emitted, ordinals, m)
        m = _release(s, top, keys, b_offset, b_length, b_times, b_orders, b_ids, emitted, ordinals, m)
    return m


@compiled
def rename(slots: I64, places: I64, candidate: I64, b_offset: I64, b_length: I64, b_ids: I64) -> None:
    """Rows of a batch that stay behind get the names of their places in the store of held rows."""
    for i in range(len(slots)):
        s = slots[i]
        if candidate[s, 0] >= 0:
            candidate[s, 0] = -1 - places[candidate[s, 0]]
        for k in range(b_offset[s], b_offset[s] + b_length[s]):
            if b_ids[k] >= 0:
                b_ids[k] = -1 - places[b_ids[k]]


class Admission:
    """S1, S2, S4 and S8 for the keys of one shard."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self._keys = np.zeros((0, 4), np.int64)
        self._candidate = np.zeros((0, 3), np.int64)
        self._candidate_hash = np.zeros((0, 2), np.uint64)
        self._d = {name: np.zeros(0, np.int64) for name in ("offset", "capacity", "length", "oldest")}
        self._b = {name: np.zeros(0, np.int64) for name in ("offset", "capacity", "length")}
        self._d_used, self._d_free = np.zeros(1, np.int64), no_free()
        self._b_used, self._b_free = np.zeros(1, np.int64), no_free()
        self._seen, self._contents, self._link = np.zeros(0, np.uint64), np.zeros(0, np.uint64), np.zeros(0, np.int64)
        self._times, self._orders, self._ids = np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64)

    def _grow_slots(self, slots: int) -> None:
        if len(self._keys) >= slots:
            return
        self._keys = grown_rows(self._keys, slots, NULL_INT)
        self._candidate = grown_rows(self._candidate, slots, NOBODY)
        self._candidate_hash = grown_rows(self._candidate_hash, slots)
        for group in (self._d, self._b):
            for name, array in group.items():
                group[name] = grown_rows(array, slots)

    def admit(self, slots: I64, time_ns: I64, order: I64, identity: U64, content: U64, keys: int, held: int) -> Admitted:
        """Judge n rows in arrival order; `keys` slots are in use, `held` rows are held back from before."""
        n = len(slots)
        self._grow_slots(keys)
        status = np.empty(n, np.int8)
        emitted, ordinals = np.empty(n + held, np.int64), np.empty(n + held, np.int64)
        refuted, progress = np.empty(held, np.int64), np.zeros(2, np.int64)
        o, d, b = self.order, self._d, self._b
        done = 0
        while n:
            done = admit(
                done, int(progress[0]), int(progress[1]), slots, time_ns, order, identity, content,
                o.lateness_ns, o.dedup_rows, o.max_jump_ns, o.identity_has_time,
                self._keys, self._candidate, self._candidate_hash,
                d["offset"], d["capacity"], d["length"], d["oldest"], self._d_used, self._d_free,
                self._link, self._seen, self._contents,
                b["offset"], b["capacity"], b["length"], self._b_used, self._b_free, self._times, self._orders, self._ids,
                status, emitted, ordinals, refuted, progress,
            )  # fmt: skip
            if done == n:
                break
            self._grow_pools()
        m = int(progress[0])
        return Admitted(status, emitted[:m], ordinals[:m], refuted[: int(progress[1])])

    def _grow_pools(self) -> None:
        if len(self._seen) < int(self._d_used[0]) + 4 * self.order.dedup_rows + 8:
            size = 2 * len(self._seen) + 8 * self.order.dedup_rows + 16
            self._seen, self._contents = grown_rows(self._seen, size), grown_rows(self._contents, size)
            self._link = grown_rows(self._link, size)
        if self.order.lateness_ns > 0:
            widest = int(self._b["capacity"].max(initial=0))
            size = max(2 * len(self._times), int(self._b_used[0]) + 8 * widest + 64)
            self._times, self._orders = grown_rows(self._times, size), grown_rows(self._orders, size)
            self._ids = grown_rows(self._ids, size)

    def settle(self, slots: I64, places: I64) -> None:
        """Give the batch's held rows their places in the store; `places` (n,) by batch row."""
        rename(slots, places, self._candidate, self._b["offset"], self._b["length"], self._ids)

    def finish(self, keys: int, held: int, unique: bool) -> Admitted:
        """End of bounded input: everything held is folded."""
        self._grow_slots(keys)
        need = int(self._d_used[0]) + 2 * (self.order.dedup_rows + 4) * int((self._candidate[:keys, 0] != NOBODY).sum())
        if unique and len(self._seen) < need:
            self._seen, self._contents = grown_rows(self._seen, need), grown_rows(self._contents, need)
            self._link = grown_rows(self._link, need)
        emitted, ordinals = np.empty(held, np.int64), np.empty(held, np.int64)
        d, b = self._d, self._b
        m = finish(
            keys, unique, self.order.dedup_rows, self._keys, self._candidate, self._candidate_hash,
            d["offset"], d["capacity"], d["length"], d["oldest"], self._d_used, self._d_free, self._link, self._seen, self._contents,
            b["offset"], b["length"], self._times, self._orders, self._ids, emitted, ordinals,
        )  # fmt: skip
        return Admitted(np.empty(0, np.int8), emitted[:m], ordinals[:m], np.empty(0, np.int64))

    def snapshot(self, keys: int) -> dict[str, np.ndarray]:
        """State of the first `keys` slots."""
        self._grow_slots(keys)
        d, b = self._d, self._b
        seen = stretches(d["offset"][:keys], d["length"][:keys])
        buffered = stretches(b["offset"][:keys], b["length"][:keys])
        return {
            "keys": self._keys[:keys].copy(), "candidate": self._candidate[:keys].copy(),
            "candidate_hash": self._candidate_hash[:keys].copy(),
            "seen_n": d["length"][:keys].copy(), "seen_oldest": d["oldest"][:keys].copy(),
            "seen": self._seen[seen], "contents": self._contents[seen],
            "buffered_n": b["length"][:keys].copy(), "times": self._times[buffered],
            "orders": self._orders[buffered], "ids": self._ids[buffered],
        }  # fmt: skip

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over a snapshot."""
        keys = len(arrays["keys"])
        self._grow_slots(keys)
        self._keys[:keys], self._candidate[:keys] = arrays["keys"], arrays["candidate"]
        self._candidate_hash[:keys] = arrays["candidate_hash"]
        d, b = self._d, self._b
        d["length"][:keys], d["oldest"][:keys] = arrays["seen_n"], arrays["seen_oldest"]
        b["length"][:keys] = arrays["buffered_n"]
        places = _restored(d, keys, self.order.dedup_rows, self._d_used)
        size = int(self._d_used[0])
        self._seen, self._contents = grown_rows(self._seen, size), grown_rows(self._contents, size)
        self._link = grown_rows(self._link, size)
        self._seen[places], self._contents[places] = arrays["seen"], arrays["contents"]
        places = _restored(b, keys, 0, self._b_used)
        size = int(self._b_used[0])
        self._times, self._orders = grown_rows(self._times, size), grown_rows(self._orders, size)
        self._ids = grown_rows(self._ids, size)
        self._times[places], self._orders[places], self._ids[places] = arrays["times"], arrays["orders"], arrays["ids"]


def _restored(group: dict[str, I64], keys: int, most: int, used: I64) -> I64:
    capacity = stretch_capacity(group["length"][:keys], most)
    offset = np.cumsum(capacity) - capacity
    group["capacity"][:keys], group["offset"][:keys] = capacity, offset
    used[0] = int(capacity.sum())
    return stretches(offset, group["length"][:keys])
