"""The last raw rows of every key, so that what is derived from them need not be kept."""

from __future__ import annotations

import numpy as np

from offbeat.core.batch import F64, I8, I32, I64
from offbeat.core.compiled import compiled
from offbeat.core.rings import grown_rows

LENGTH, SEEN = range(2)
"""Columns of a slot's record: rows that are kept, and all rows of its key."""
PAGE = 32
"""Rows that a key gets space for at a time: nothing is copied or left behind when it grows. Row n of a key stands in its page n // 32."""

NO_CODE = -128
"""A null among the codes."""


@compiled
def _append(
    begin: int, slots: I32, time_ns: I64, index: I64, whole_rows: I64, integers: I64, value_rows: I64, code_rows: I64, columns: F64,
    records: I64, pages: I32, used: I64, times: I64, whole: I64, values: F64, codes: I8, numbers: I64,
) -> int:
    """Append rows begin…, row i from column index[i] of the matrices; returns how many are done: all, or up to where the pool must grow."""
    for i in range(begin, len(slots)):
        s, source = slots[i], index[i]
        before = records[s, SEEN]
        page = before // PAGE % pages.shape[1]
        if pages[s, page] == 0:
            if (used[0] + 1) * PAGE > len(times):
                return i
            used[0] += 1
            pages[s, page] = used[0]
        elif before % PAGE == 0:
            # The oldest page is written over.
            records[s, LENGTH] = min(records[s, LENGTH], (pages.shape[1] - 1) * PAGE)
        at = np.int64(pages[s, page] - 1) * PAGE + before % PAGE
        times[at] = time_ns[i]
        for j in range(len(whole_rows)):
            whole[at, j] = integers[whole_rows[j], source]
        for j in range(len(value_rows)):
            values[at, j] = columns[value_rows[j], source]
        for j in range(len(code_rows)):
            code = columns[code_rows[j], source]
            codes[at, j] = np.int8(code) if code == code else NO_CODE
        records[s, LENGTH] += 1
        records[s, SEEN] += 1
        numbers[i] = records[s, SEEN]
    return len(slots)


@compiled
def _reserve(records: I64, pages: I32, used: I64) -> None:
    """Pages for the rows that the records tell of."""
    for s in range(len(records)):
        first = (records[s, SEEN] - records[s, LENGTH]) // PAGE
        for page in range(first, (records[s, SEEN] + PAGE - 1) // PAGE):
            used[0] += 1
            pages[s, page % pages.shape[1]] = used[0]


@compiled
def _locate(slots: I32, lengths: I64, records: I64, pages: I32, at: I64) -> None:
    """Where the last lengths[g] rows of each slot stand, slot after slot, the oldest first."""
    done = 0
    for g in range(len(slots)):
        s = slots[g]
        for n in range(records[s, SEEN] - lengths[g], records[s, SEEN]):
            at[done] = np.int64(pages[s, n // PAGE % pages.shape[1]] - 1) * PAGE + n % PAGE
            done += 1


@compiled
def _put(at: I64, steps: I64, integers: I64, numbers: F64, small: I8, times: I64, whole: I64, values: F64, codes: I8) -> None:
    """Put rows where they belong that come column by column, and their times as steps."""
    time_ns = np.int64(0)
    for r in range(len(at)):
        p = at[r]
        time_ns += steps[r]
        times[p] = time_ns
        for j in range(whole.shape[1]):
            whole[p, j] = integers[j, r]
        for j in range(values.shape[1]):
            values[p, j] = numbers[j, r]
        for j in range(codes.shape[1]):
            codes[p, j] = small[j, r]


class History:
    """At least the last `most` rows of each key.

    Of a row it keeps its time, rows `whole` of the matrix of exact integers, and rows `values` and `codes` of that of the columns. Codes
    are small whole numbers, at least -1 and below 127, or null.
    """

    def __init__(self, whole: I64, values: I64, codes: I64, most: int) -> None:
        self._whole_rows, self._value_rows, self._code_rows = whole, values, codes
        # One page is filled while the others are whole.
        self.least = -(-most // PAGE) * PAGE
        """So many rows of a key are kept in any case."""
        self.records: I64 = np.zeros((0, 2), np.int64)
        self._pages: I32 = np.zeros((0, self.least // PAGE + 1), np.int32)
        self._used: I64 = np.zeros(1, np.int64)
        self._times: I64 = np.zeros(0, np.int64)
        self._whole: I64 = np.zeros((0, len(whole)), np.int64)
        self._values: F64 = np.zeros((0, len(values)))
        self._codes: I8 = np.zeros((0, len(codes)), np.int8)

    def grow(self, slots: int) -> None:
        """Make room for at least so many slots."""
        self.records, self._pages = grown_rows(self.records, slots), grown_rows(self._pages, slots)

    def append(self, slots: I32, time_ns: I64, index: I64, columns: F64, integers: I64) -> I64:
        """Keep n rows in fold order, row i from place index[i] of `columns` (c, …) and `integers` (i, …).

        Returns (n,) the number of each among its key's rows, from 1.
        """
        numbers = np.empty(len(slots), np.int64)
        done = 0
        while (
            done := _append(
                done, slots, time_ns, index, self._whole_rows, integers, self._value_rows, self._code_rows, columns,
                self.records, self._pages, self._used, self._times, self._whole, self._values, self._codes, numbers,
            )
        ) < len(slots):  # fmt: skip
            self._grow_pool(int(self._used[0]) + 1)
        return numbers

    def _grow_pool(self, pages: int) -> None:
        rows = pages * PAGE
        self._times, self._whole = grown_rows(self._times, rows), grown_rows(self._whole, rows)
        self._values, self._codes = grown_rows(self._values, rows), grown_rows(self._codes, rows)

    def rows(self, slots: I32, lengths: I64) -> tuple[I64, I64, F64, I8]:
        """Times (r,), integers (r, i), values (r, v) and codes (r, c) of the last lengths[g] rows of each slot, the oldest first."""
        at = np.empty(int(lengths.sum()), np.int64)
        _locate(slots, lengths, self.records, self._pages, at)
        return self._times[at], self._whole[at], self._values[at], self._codes[at]

    def snapshot(self, slots: I64) -> dict[str, np.ndarray]:
        """State of some slots, column by column and times as steps: so it packs well."""
        self.grow(int(slots.max(initial=-1)) + 1)
        records = self.records[slots]
        times, whole, values, codes = self.rows(slots.astype(np.int32), records[:, LENGTH])
        columns = {name: np.ascontiguousarray(array.T) for name, array in (("whole", whole), ("values", values), ("codes", codes))}
        return {"records": records, "times": np.diff(times, prepend=np.int64(0)), **columns}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Restore a snapshot."""
        records = arrays["records"]
        self.grow(len(records))
        self.records[: len(records)] = records
        self._grow_pool(int((-(-records[:, SEEN] // PAGE) - (records[:, SEEN] - records[:, LENGTH]) // PAGE).sum()))
        _reserve(self.records[: len(records)], self._pages, self._used)
        at = np.empty(len(arrays["times"]), np.int64)
        _locate(np.arange(len(records), dtype=np.int32), records[:, LENGTH], self.records, self._pages, at)
        steps, integers, numbers, small = (arrays[name] for name in ("times", "whole", "values", "codes"))
        _put(at, steps, integers, numbers, small, self._times, self._whole, self._values, self._codes)
