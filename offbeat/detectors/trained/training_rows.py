"""When the models of a key are trained, and on which rows [S14].

A key's complete rows stand in one stretch of a pool: first those of its last training, then those since. So the rows of a training lie
together, and a model can be fitted again from them. Where rows can be made again, a key has a stretch only while it is given one: of others
it is known which rows these are.
"""

from __future__ import annotations

import numpy as np

from offbeat.core.batch import F64, I32, I64, NULL_INT, U64, Bools
from offbeat.core.compiled import compiled
from offbeat.core.evidence import WindowSpan
from offbeat.core.rings import allocate, give, grown_rows, laid_out, next_capacity, no_free, stretches

OFFSET, CAPACITY, LENGTH, TRAINED, SEEN, TRAINING, FIRST, FROM, TO = range(9)
"""Columns of a slot's record: its stretch (capacity 0: none), rows that belong there, those of the last training at its start, complete
rows in all, trainings, the first row's number in its key, and the times of the last training's first and last row."""


@compiled
def _cuts(
    slots: I32, complete: Bools, records: I64, phases: I64, every: int, least: int, once: bool, rows_here: I32, cuts_here: I32, cuts: I32
) -> None:
    """cuts[i] = how many trainings of its key come between the first row and row i; nothing is noted. `rows_here`, `cuts_here`: zeros."""
    for i in range(len(slots)):
        s = slots[i]
        cuts[i] = cuts_here[s]
        if complete[i]:
            rows_here[s] += 1
            seen = records[s, SEEN] + rows_here[s]
            done = once and (records[s, TRAINING] > 0 or cuts_here[s] > 0)
            if seen >= least and (seen + phases[s]) % every == 0 and not done:
                cuts_here[s] += 1
    for i in range(len(slots)):
        rows_here[slots[i]] = 0
        cuts_here[slots[i]] = 0


@compiled
def _due(slots: I32, records: I64, phases: I64, every: int, least: int, once: bool, out: I32) -> int:
    """Slots whose last row calls for a training, of rows that were just kept, those of a slot side by side; returns how many."""
    found = 0
    for i in range(len(slots)):
        s = slots[i]
        if i + 1 == len(slots) or slots[i + 1] != s:
            seen = records[s, SEEN]
            if seen >= least and (seen + phases[s]) % every == 0 and not (once and records[s, TRAINING] > 0):
                out[found] = s
                found += 1
    return found


@compiled
def _count(slots: I32, learned: Bools, records: I64) -> None:
    """Count rows that are not learned."""
    for i in range(len(slots)):
        if not learned[i]:
            records[slots[i], SEEN] += 1


@compiled
def _move(rows: F64, row_numbers: I64, times: I64, source: int, target: int, n: int) -> None:
    """Move n rows towards the front."""
    for r in range(n):
        for j in range(rows.shape[1]):
            rows[target + r, j] = rows[source + r, j]
        row_numbers[target + r] = row_numbers[source + r]
        times[target + r] = times[source + r]


@compiled
def _append(
    begin: int, slots: I32, x: F64, numbers: I64, time_ns: I64, lent: bool, records: I64, most: int,
    used: I64, free: I64, rows: F64, row_numbers: I64, times: I64,
) -> int:
    """Append x[begin:]; returns the number of rows done: all, or those before the pool must grow. lent: who has no stretch needs none."""
    k = x.shape[1]
    for i in range(begin, len(slots)):
        s = slots[i]
        length = records[s, LENGTH]
        if length == 0:
            records[s, FIRST] = numbers[i]
        if lent and records[s, CAPACITY] == 0:
            records[s, LENGTH] = length + 1
            records[s, SEEN] += 1
            continue
        if length == records[s, CAPACITY]:
            size = next_capacity(length, most)
            to = allocate(size, used, free, times)
            if to < 0:
                return i
            _move(rows, row_numbers, times, records[s, OFFSET], to, length)
            if length > 0:
                give(records[s, OFFSET], length, free, times)
            records[s, OFFSET] = to
            records[s, CAPACITY] = size
        at = records[s, OFFSET] + length
        for j in range(k):
            rows[at, j] = x[i, j]
        row_numbers[at] = numbers[i]
        times[at] = time_ns[i]
        records[s, LENGTH] = length + 1
        records[s, SEEN] += 1
    return len(slots)


@compiled
def _trim(slots: I32, records: I64, keep: int, rows: F64, row_numbers: I64, times: I64) -> None:
    """Only the rows of the training that begins now stay."""
    for i in range(len(slots)):
        s = slots[i]
        length = records[s, LENGTH]
        n = min(length, keep)
        if length > n:
            _move(rows, row_numbers, times, records[s, OFFSET] + length - n, records[s, OFFSET], n)
        records[s, LENGTH] = n
        records[s, TRAINED] = n
        records[s, TRAINING] += 1
        begin = records[s, OFFSET]
        records[s, FIRST] = row_numbers[begin]
        records[s, FROM], records[s, TO] = times[begin], times[begin + n - 1]


@compiled
def _without_stretch(slots: I32, records: I64, rows_here: I32, found: I32, counts: I64) -> int:
    """Slots of some rows that have no stretch, and how many of the rows are theirs; returns how many. `rows_here`: zeros."""
    n = 0
    for i in range(len(slots)):
        s = slots[i]
        if records[s, CAPACITY] == 0:
            if rows_here[s] == 0:
                found[n] = s
                n += 1
            rows_here[s] += 1
    for g in range(n):
        counts[g] = rows_here[found[g]]
        rows_here[found[g]] = 0
    return n


class TrainingRows:
    """The rows that models of all keys are trained on, over k features."""

    def __init__(self, features: int, train_on: int, retrain_every: int, train_min: int, *, lent: bool, once: bool = False) -> None:
        """lent: rows can be made again, so that a key has a stretch only from `lend` to `take_back`. once: a key is trained once."""
        self._once = once
        self.train_on, self._every, self._least = train_on, retrain_every, train_min
        self._most = train_on + retrain_every
        self._lent = lent
        self._spare: list[int] = []
        """Where stretches begin that were taken back."""
        self.stretch_bytes = self._most * (8 * features + 16)
        """Size of a stretch for all rows of a key."""
        self.records: I64 = np.zeros((0, 9), np.int64)
        self.rows: F64 = np.zeros((0, features))
        self._numbers: I64 = np.zeros(0, np.int64)
        self._times: I64 = np.zeros(0, np.int64)
        self._used: I64 = np.zeros(1, np.int64)
        self._free = no_free()
        self._phases: I64 = np.zeros(0, np.int64)
        self._rows_here: I32 = np.zeros(0, np.int32)
        self._cuts_here: I32 = np.zeros(0, np.int32)

    def grow(self, first: int, hashes: U64) -> None:
        """Make room for new slots from `first` on; `hashes` are those of their keys, which spread their trainings."""
        slots = first + len(hashes)
        self.records = grown_rows(self.records, slots)
        self._rows_here, self._cuts_here = grown_rows(self._rows_here, slots), grown_rows(self._cuts_here, slots)
        self._phases = grown_rows(self._phases, slots)
        self._phases[first:slots] = hashes % np.uint64(self._every)

    def cuts(self, slots: I32, complete: Bools) -> I32:
        """(n,) how many trainings of its key come before each of n rows that are yet to be kept, from the first of them on."""
        out = np.empty(len(slots), np.int32)
        _cuts(slots, complete, self.records, self._phases, self._every, self._least, self._once, self._rows_here, self._cuts_here, out)
        return out

    def first_training(self, slot: int) -> int:
        """Complete rows after which the slot's key is trained for the first time."""
        return self._least + -(self._least + int(self._phases[slot])) % self._every

    def append(self, slots: I32, x: F64, numbers: I64, time_ns: I64, learned: Bools | None = None) -> I32:
        """Keep (n, k) complete rows; `numbers` (n,) are theirs among all rows of their keys, `time_ns` (n,) their times.

        Of those not `learned` (n,) it is only counted that they were there; None: all are.

        Gives the slots that are to be trained now; no row but a slot's last one may call for that.
        """
        every = slots
        if self._once:
            learned = self.records[slots, TRAINING] == 0
        if learned is not None and not learned.all():
            _count(slots, learned, self.records)
            slots, x, numbers, time_ns = slots[learned], np.ascontiguousarray(x[learned]), numbers[learned], time_ns[learned]
        done = 0
        while (
            done := _append(
                done, slots, x, numbers, time_ns, self._lent, self.records, self._most,
                self._used, self._free, self.rows, self._numbers, self._times,
            )
        ) < len(slots):  # fmt: skip
            self._grow_pool(int(self._used[0]) + 2 * self._most)
        due = np.empty(len(every), np.int32)
        return due[: _due(every, self.records, self._phases, self._every, self._least, self._once, due)]

    def _grow_pool(self, elements: int) -> None:
        self.rows = grown_rows(self.rows, elements)
        self._numbers = grown_rows(self._numbers, elements)
        self._times = grown_rows(self._times, elements)

    def begin(self, slots: I32) -> None:
        """The trainings of these slots begin, which have their rows here: the rows before them are dropped."""
        _trim(slots, self.records, self.train_on, self.rows, self._numbers, self._times)

    def lend(self, slots: I32) -> None:
        """Give a stretch to slots that have none; `fill` is to bring the rows."""
        while len(self._spare) < len(slots):
            self._spare.append(int(self._used[0]))
            self._used[0] += self._most
        if self._used[0] > len(self.rows):
            self._grow_pool(int(self._used[0]))
        self.records[slots, OFFSET] = self._spare[len(self._spare) - len(slots) :]
        self.records[slots, CAPACITY] = self._most
        del self._spare[len(self._spare) - len(slots) :]

    def take_back(self, slots: I32) -> None:
        """Take the stretches of some slots, whose rows can be made again."""
        self._spare += self.records[slots, OFFSET].tolist()
        self.records[slots, CAPACITY] = 0

    def without_stretch(self, slots: I32) -> tuple[I32, I64]:
        """Slots of n rows that have no stretch, and how many of the rows are theirs."""
        found, counts = np.empty(len(slots), np.int32), np.empty(len(slots), np.int64)
        n = _without_stretch(slots, self.records, self._rows_here, found, counts)
        return found[:n], counts[:n]

    def span(self, slots: I32, trained: Bools) -> WindowSpan:
        """(m,) the rows of the last training of each slot; none where it is not `trained` (m,)."""
        if not trained.any():
            return WindowSpan.none(len(slots))
        r = self.records[slots]
        return WindowSpan(*(np.where(trained, r[:, column], NULL_INT) for column in (FROM, TO, TRAINED)))

    def learned_ns(self) -> int:
        """Time of the last row of the newest training of all slots; NULL_INT before the first."""
        trained = self.records[self.records[:, TRAINING] > 0]
        return int(trained[:, TO].max(initial=NULL_INT))

    def snapshot(self, slots: I64, without: Bools) -> dict[str, np.ndarray]:
        """State of some slots (n,); of those in `without` (n,) the rows are left out."""
        self.records = grown_rows(self.records, int(slots.max(initial=-1)) + 1)
        r = self.records[slots]
        at = stretches(r[:, OFFSET], np.where(without, 0, r[:, LENGTH]))
        steps, times = np.diff(self._numbers[at], prepend=np.int64(0)), np.diff(self._times[at], prepend=np.int64(0))
        return {"records": r[:, LENGTH:].copy(), "without": without, "rows": self.rows[at], "times": times, "numbers": steps}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Restore a snapshot. Slots whose rows it does not hold have no stretch."""
        kept, without = arrays["records"], arrays["without"]
        slots = len(kept)
        self.records = grown_rows(self.records, slots)
        r = self.records[:slots]
        r[:, LENGTH:] = kept
        held = np.flatnonzero(~without & (r[:, LENGTH] > 0)).astype(np.int32)
        if self._lent:
            self.lend(held)
        else:
            r[:, OFFSET], r[:, CAPACITY] = laid_out(r[:, LENGTH], self._most)
            self._used[0] = int(r[:, CAPACITY].sum())
            self._grow_pool(int(self._used[0]))
        self.fill(held, arrays["rows"], np.cumsum(arrays["numbers"]), np.cumsum(arrays["times"]))

    def fill(self, slots: I32, x: F64, numbers: I64, time_ns: I64) -> None:
        """Bring the rows of some slots, slot after slot, as many as belong to each: (r, k), their numbers (r,) and times (r,)."""
        r = self.records[slots]
        places = stretches(r[:, OFFSET], r[:, LENGTH])
        self.rows[places], self._numbers[places], self._times[places] = x, numbers, time_ns
