"""Which rows are folded, and in what order: candidates [S4], duplicates [S8], lateness [S1], per-key reordering [S2].

What is kept of each key between batches; `row_walk` is the walk over the rows of one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offbeat.core.batch import I8, I32, I64, NULL_INT, U64
from offbeat.core.rings import grown_rows, laid_out, no_free, stretch_capacity, stretches
from offbeat.core.row_walk import (
    CANDIDATE,
    EMITTED,
    NEWEST,
    NOBODY,
    OLDEST,
    REFUTED,
    REPLACED,
    SEEN,
    SEEN_N,
    admit,
    finish,
    pass_until,
    rename,
)  # fmt: skip
from offbeat.core.waiting_rows import CAPACITY, HEAD, LENGTH, OFFSET


@dataclass(frozen=True, slots=True)
class Order:
    """The settings of S1 to S4 and S8."""

    lateness_ns: int
    dedup_rows: int
    max_jump_ns: int
    identity_has_time: bool
    """Then rows of different times cannot be duplicates, so rows ahead of all others need no search."""
    keep_last: bool = False
    """A row waits until one of a later time comes, and another version of it takes its place meanwhile; its identity has the time."""
    forget_ns: int = 0
    """A key without a row for longer than this starts anew; 0: none does."""

    @property
    def buffered(self) -> bool:
        """Whether accepted rows wait at all."""
        return self.lateness_ns > 0 or self.keep_last


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
    replaced: I64
    """Places of waiting rows of which a newer version came."""
    behind_ns: I64
    """(n,) of LATE rows: how far they lie behind the greatest time of their key."""


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
        self._s_pool, self._b_pool = np.zeros((0, 2), np.uint64), np.zeros((0, 5 if order.keep_last else 3), np.int64)

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
        refuted, replaced, behind = np.empty(held, np.int64), np.empty(held, np.int64), np.empty(n, np.int64)
        progress = np.zeros(4, np.int64)
        done = 0
        while n:
            done = admit(
                done, slots, time_ns, order, identity, content,
                o.lateness_ns, o.dedup_rows, o.max_jump_ns, o.forget_ns, floor_ns, o.identity_has_time, o.keep_last,
                self._keys, self._candidate, self._candidate_hash,
                self._capacity, self._s_used, self._s_free, self._s_link, self._s_pool,
                self._buffer, self._b_used, self._b_free, self._b_link, self._b_pool,
                status, emitted, ordinals, refuted, replaced, behind, progress,
            )  # fmt: skip
            if done == n:
                break
            self._grow_seen(int(self._s_used[0]) + 8 * o.dedup_rows + 16)
            if o.buffered:
                self._grow_buffer(int(self._b_used[0]) + 8 * int(self._buffer[:, CAPACITY].max(initial=0)) + 64)
        m, gone = int(progress[EMITTED]), replaced[: int(progress[REPLACED])]
        return Admitted(status, emitted[:m], ordinals[:m], refuted[: int(progress[REFUTED])], gone, behind)

    def settle(self, slots: I32, places: I64) -> None:
        """Give the batch's waiting rows their places in the reorder buffer; `places` (n,) by batch row."""
        rename(np.unique(slots), places, self._keys, self._buffer, self._b_pool)

    def finish(self, keys: int, held: int, *, unique: bool, slots: I64 | None = None) -> Admitted:
        """No row of some slots, by default of all, is to come: their waiting rows are folded."""
        self._make_room(keys, unique=unique)
        slots = np.arange(keys) if slots is None else slots
        emitted, ordinals = np.empty(held, np.int64), np.empty(held, np.int64)
        m = finish(
            slots, unique, self.order.dedup_rows, self.order.forget_ns, self._keys, self._candidate, self._candidate_hash,
            self._capacity, self._s_used, self._s_free, self._s_link, self._s_pool, self._buffer, self._b_pool, emitted, ordinals,
        )  # fmt: skip
        return _released(emitted[:m], ordinals[:m])

    def pass_until(self, floor_ns: int, keys: int, held: int, *, unique: bool) -> Admitted:
        """No row before `floor_ns` will come: candidates that none can refute any more are accepted, and buffered rows before it folded."""
        self._make_room(keys, unique=unique)
        o = self.order
        if o.buffered:
            waiting = self._keys[:keys, CANDIDATE] != NOBODY
            self._grow_buffer(int(self._b_used[0]) + int(np.maximum(2 * self._buffer[:keys, CAPACITY][waiting], 16).sum()))
        emitted, ordinals = np.empty(held, np.int64), np.empty(held, np.int64)
        m = pass_until(
            keys, floor_ns, unique, o.lateness_ns, o.dedup_rows, o.max_jump_ns, o.forget_ns, o.keep_last,
            self._keys, self._candidate, self._candidate_hash,
            self._capacity, self._s_used, self._s_free, self._s_link, self._s_pool,
            self._buffer, self._b_used, self._b_free, self._b_link, self._b_pool, emitted, ordinals,
        )  # fmt: skip
        return _released(emitted[:m], ordinals[:m])

    def _make_room(self, keys: int, *, unique: bool) -> None:
        """Space for the identities of all candidates."""
        self._grow_slots(keys)
        if unique:
            waiting = self._keys[:keys, CANDIDATE] != NOBODY
            n, capacity = self._keys[:keys, SEEN_N][waiting], self._capacity[:keys][waiting]
            full = capacity[(n == capacity) & (n < self.order.dedup_rows)]
            self._grow_seen(int(self._s_used[0]) + int(stretch_capacity(full + 1, self.order.dedup_rows).sum()))

    def newest_ns(self, keys: int) -> I64:
        """(keys,) greatest accepted time of each key, NULL_INT without any."""
        self._grow_slots(keys)
        return self._keys[:keys, NEWEST].copy()

    def seen_ns(self, keys: int) -> I64:
        """(keys,) greatest time of a key's rows that were accepted, else its candidate's; NULL_INT for a key of which nothing is known."""
        newest = self.newest_ns(keys)
        waits = self._keys[:keys, CANDIDATE] != NOBODY
        # A candidate far ahead of its key's rows may be from the future: it says nothing as long as there are others.
        return np.where((newest == NULL_INT) & waits, self._candidate[:keys, 0], newest)

    def forget(self, slots: I64) -> None:
        """Some slots, of which no row waits, are as before the first row of their keys."""
        self._keys[slots, :SEEN] = NULL_INT
        self._keys[slots, SEEN_N:] = 0

    def snapshot(self, slots: I64) -> dict[str, np.ndarray]:
        """State of some slots."""
        self._grow_slots(int(slots.max(initial=-1)) + 1)
        record, buffer = self._keys[slots], self._buffer[slots]
        return {
            "keys": record[:, :SEEN].copy(),
            "candidate": self._candidate[slots],
            "candidate_hash": self._candidate_hash[slots],
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


def _released(emitted: I64, ordinals: I64) -> Admitted:
    """Rows that waited, and nothing else."""
    none = np.empty(0, np.int64)
    return Admitted(np.empty(0, np.int8), emitted, ordinals, none, none, none)
