"""When the models of a key are trained, and on which rows [S14].

Each key keeps its complete rows in one stretch of a pool: first those of its last training, then those since. So the rows of a training lie
together, and a model can be fitted again from them.
"""

from __future__ import annotations

import numpy as np

from offbeat.core.batch import F64, I32, I64, NULL_INT, U64, Bools
from offbeat.core.compiled import compiled
from offbeat.core.evidence import WindowSpan
from offbeat.core.rings import allocate, give, grown_rows, laid_out, next_capacity, no_free, stretches

OFFSET, CAPACITY, LENGTH, TRAINED, SEEN, TRAINING = range(6)
"""Columns of a slot's record: its stretch, rows in it, those of the last training at its start, complete rows in all, trainings."""


@compiled
def _cuts(
    slots: I32, complete: Bools, records: I64, phases: I64, every: int, least: int, rows_here: I32, cuts_here: I32, cuts: I32
) -> None:
    """cuts[i] = how many trainings of its key come between the first row and row i; nothing is noted. `rows_here`, `cuts_here`: zeros."""
    for i in range(len(slots)):
        s = slots[i]
        cuts[i] = cuts_here[s]
        if complete[i]:
            rows_here[s] += 1
            seen = records[s, SEEN] + rows_here[s]
            if seen >= least and (seen + phases[s]) % every == 0:
                cuts_here[s] += 1
    for i in range(len(slots)):
        rows_here[slots[i]] = 0
        cuts_here[slots[i]] = 0


@compiled
def _due(slots: I32, records: I64, phases: I64, every: int, least: int, out: I32) -> int:
    """Slots whose last row calls for a training, of rows that were just kept, those of a slot side by side; returns how many."""
    found = 0
    for i in range(len(slots)):
        s = slots[i]
        if i + 1 == len(slots) or slots[i + 1] != s:
            seen = records[s, SEEN]
            if seen >= least and (seen + phases[s]) % every == 0:
                out[found] = s
                found += 1
    return found


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
    begin: int, slots: I32, x: F64, numbers: I64, time_ns: I64, records: I64, most: int,
    used: I64, free: I64, rows: F64, row_numbers: I64, times: I64,
) -> int:
    """Append x[begin:]; returns the number of rows done: all, or those before the pool must grow."""
    k = x.shape[1]
    for i in range(begin, len(slots)):
        s = slots[i]
        length = records[s, LENGTH]
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


class TrainingRows:
    """The rows that models of all keys are trained on, over k features."""

    def __init__(self, features: int, train_on: int, retrain_every: int, train_min: int) -> None:
        self.train_on, self._every, self._least = train_on, retrain_every, train_min
        self._most = train_on + retrain_every
        self.records: I64 = np.zeros((0, 6), np.int64)
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
        _cuts(slots, complete, self.records, self._phases, self._every, self._least, self._rows_here, self._cuts_here, out)
        return out

    def first_training(self, slot: int) -> int:
        """Complete rows after which the slot's key is trained for the first time."""
        return self._least + -(self._least + int(self._phases[slot])) % self._every

    def append(self, slots: I32, x: F64, numbers: I64, time_ns: I64) -> I32:
        """Keep (n, k) complete rows; `numbers` (n,) are theirs among all rows of their keys, `time_ns` (n,) their times.

        Gives the slots that are to be trained now; no row but a slot's last one may call for that.
        """
        done = 0
        while (
            done := _append(
                done, slots, x, numbers, time_ns, self.records, self._most,
                self._used, self._free, self.rows, self._numbers, self._times,
            )
        ) < len(slots):  # fmt: skip
            self._grow_pool(int(self._used[0]) + 2 * self._most)
        due = np.empty(len(slots), np.int32)
        return due[: _due(slots, self.records, self._phases, self._every, self._least, due)]

    def _grow_pool(self, elements: int) -> None:
        self.rows = grown_rows(self.rows, elements)
        self._numbers = grown_rows(self._numbers, elements)
        self._times = grown_rows(self._times, elements)

    def begin(self, slots: I32) -> None:
        """The trainings of these slots begin: the rows before them are dropped."""
        _trim(slots, self.records, self.train_on, self.rows, self._numbers, self._times)

    def span(self, slots: I32, trained: Bools) -> WindowSpan:
        """(m,) the rows of the last training of each slot; none where it is not `trained` (m,)."""
        r = self.records[slots]
        first = np.where(trained, r[:, OFFSET], 0)
        last = np.where(trained, first + r[:, TRAINED] - 1, 0)
        if not trained.any():
            return WindowSpan.none(len(slots))
        from_ns, to_ns = (np.where(trained, self._times[at], NULL_INT) for at in (first, last))
        return WindowSpan(from_ns, to_ns, np.where(trained, r[:, TRAINED], NULL_INT))

    def first(self, slots: int) -> I64:
        """(slots,) number of the oldest row kept of each slot, among all rows of its key; 0 where none is kept."""
        self.records = grown_rows(self.records, slots)
        r = self.records[:slots]
        there = r[:, LENGTH] > 0
        out = np.zeros(slots, np.int64)
        out[there] = self._numbers[r[there, OFFSET]]
        return out

    def snapshot(self, slots: int, without: Bools) -> dict[str, np.ndarray]:
        """State of the first `slots` slots; of those in `without` (slots,) the rows are left out."""
        self.records = grown_rows(self.records, slots)
        r = self.records[:slots]
        at = stretches(r[:, OFFSET], np.where(without, 0, r[:, LENGTH]))
        numbers = self._numbers[stretches(r[:, OFFSET], r[:, LENGTH])]
        steps, times = np.diff(numbers, prepend=np.int64(0)), np.diff(self._times[at], prepend=np.int64(0))
        return {"records": r[:, LENGTH:].copy(), "without": without, "rows": self.rows[at], "times": times, "numbers": steps}

    def restore(self, arrays: dict[str, np.ndarray]) -> I32:
        """Restore a snapshot; returns the slots whose rows it does not hold, which `fill` supplies."""
        kept, without = arrays["records"], arrays["without"]
        slots = len(kept)
        self.records = grown_rows(self.records, slots)
        r = self.records[:slots]
        r[:, LENGTH:] = kept
        r[:, OFFSET], r[:, CAPACITY] = laid_out(r[:, LENGTH], self._most)
        elements = int(r[:, CAPACITY].sum())
        self._grow_pool(elements)
        self._used[0] = elements
        self._numbers[stretches(r[:, OFFSET], r[:, LENGTH])] = np.cumsum(arrays["numbers"])
        held = stretches(r[:, OFFSET], np.where(without, 0, r[:, LENGTH]))
        self.rows[held], self._times[held] = arrays["rows"], np.cumsum(arrays["times"])
        return np.flatnonzero(without).astype(np.int32)

    def fill(self, slots: I32, x: F64, time_ns: I64) -> None:
        """Rows of some slots after a restart, slot after slot: (r, k) and their times (r,), as many as were kept."""
        r = self.records[slots]
        places = stretches(r[:, OFFSET], r[:, LENGTH])
        self.rows[places], self._times[places] = x, time_ns
