"""The last raw rows of every key, so that what is derived from them need not be kept."""

from __future__ import annotations

import numpy as np

from offbeat.core.batch import F64, I32, I64
from offbeat.core.compiled import compiled
from offbeat.core.rings import allocate, give, grown_rows, laid_out, next_capacity, no_free, stretches

OFFSET, CAPACITY, HEAD, LENGTH, SEEN = range(5)
"""Columns of a slot's record; SEEN counts all its rows."""


@compiled
def _append(
    begin: int, slots: I32, time_ns: I64, columns: F64, chosen: I64, integers: I64, exact: I64, most: int,
    records: I64, used: I64, free: I64, times: I64, values: F64, whole: I64, numbers: I64,
) -> int:
    """Append rows begin…; returns the number of rows done: all, or those before the pool must grow."""
    for i in range(begin, len(slots)):
        s = slots[i]
        length = records[s, LENGTH]
        capacity = records[s, CAPACITY]
        if length == capacity and capacity < most:
            size = next_capacity(capacity, most)
            to = allocate(size, used, free, times)
            if to < 0:
                return i
            for k in range(length):
                at = records[s, HEAD] + k
                p = records[s, OFFSET] + (at if at < capacity else at - capacity)
                times[to + k] = times[p]
                for j in range(values.shape[1]):
                    values[to + k, j] = values[p, j]
                for j in range(whole.shape[1]):
                    whole[to + k, j] = whole[p, j]
            if capacity > 0:
                give(records[s, OFFSET], capacity, free, times)
            records[s, OFFSET] = to
            records[s, CAPACITY] = size
            records[s, HEAD] = 0
            capacity = size
        if length == capacity:
            records[s, HEAD] = records[s, HEAD] + 1 if records[s, HEAD] + 1 < capacity else 0
            length -= 1
        at = records[s, HEAD] + length
        p = records[s, OFFSET] + (at if at < capacity else at - capacity)
        times[p] = time_ns[i]
        for j in range(len(chosen)):
            values[p, j] = columns[chosen[j], i]
        for j in range(len(exact)):
            whole[p, j] = integers[exact[j], i]
        records[s, LENGTH] = length + 1
        records[s, SEEN] += 1
        numbers[i] = records[s, SEEN]
    return len(slots)


class History:
    """The last `most` rows of each key: `chosen` rows of the matrix of columns, `exact` rows of that of the exact integers."""

    def __init__(self, chosen: I64, exact: I64, most: int) -> None:
        self._chosen, self._exact, self._most = chosen, exact, most
        self.records: I64 = np.zeros((0, 5), np.int64)
        self._used: I64 = np.zeros(1, np.int64)
        self._free = no_free()
        self._times: I64 = np.zeros(0, np.int64)
        self._values: F64 = np.zeros((0, len(chosen)))
        self._whole: I64 = np.zeros((0, len(exact)), np.int64)

    def append(self, slots: I32, time_ns: I64, columns: F64, integers: I64, keys: int, numbers: I64) -> None:
        """Keep n rows in fold order; `columns` (c, n), `integers` (i, n), `keys` slots in use. Fills `numbers` (n,): rows of the key."""
        self.records = grown_rows(self.records, keys)
        done = 0
        while done < len(slots):
            done = _append(
                done, slots, time_ns, columns, self._chosen, integers, self._exact, self._most,
                self.records, self._used, self._free, self._times, self._values, self._whole, numbers,
            )  # fmt: skip
            if done < len(slots):
                self._grow(int(self._used[0]) + 2 * self._most)

    def _grow(self, elements: int) -> None:
        self._times, self._values = grown_rows(self._times, elements), grown_rows(self._values, elements)
        self._whole = grown_rows(self._whole, elements)

    def rows(self, slots: I32) -> tuple[I64, F64, I64]:
        """Times (r,), values (r, chosen) and integers (r, exact) of the rows of some slots, slot after slot, the oldest first."""
        r = self.records[slots]
        length, capacity = r[:, LENGTH], np.maximum(r[:, CAPACITY], 1)
        within = stretches(r[:, HEAD], length)
        at = np.repeat(r[:, OFFSET], length) + within % np.repeat(capacity, length)
        return self._times[at], self._values[at], self._whole[at]

    def snapshot(self, slots: int) -> dict[str, np.ndarray]:
        """State of the first `slots` slots, column by column and times as steps: so it packs well."""
        self.records = grown_rows(self.records, slots)
        times, values, whole = self.rows(np.arange(slots, dtype=np.int32))
        records = self.records[:slots, LENGTH:].copy()
        times = np.diff(times, prepend=np.int64(0))
        return {"records": records, "times": times, "values": np.ascontiguousarray(values.T), "whole": np.ascontiguousarray(whole.T)}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over a snapshot."""
        slots = len(arrays["records"])
        self.records = grown_rows(self.records, slots)
        r = self.records[:slots]
        r[:, LENGTH:] = arrays["records"]
        r[:, OFFSET], r[:, CAPACITY] = laid_out(r[:, LENGTH], self._most)
        elements = int(r[:, CAPACITY].sum())
        self._grow(elements)
        self._used[0] = elements
        at = stretches(r[:, OFFSET], r[:, LENGTH])
        self._times[at], self._values[at], self._whole[at] = np.cumsum(arrays["times"]), arrays["values"].T, arrays["whole"].T
