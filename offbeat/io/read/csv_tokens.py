"""Where the fields of a block of CSV lie: one pass over the bytes, nothing copied."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy.typing as npt

from offbeat.core.batch import I8, I32, I64
from offbeat.core.compiled import compiled

Bytes: TypeAlias = npt.NDArray[Any]
"""(n,) uint8; Any, because compiled arithmetic on its elements is int64, which NumPy's types would deny."""

MAX_RECORD = 1 << 16
"""A quoted field that is not closed within so many bytes of its record is not a quoted field: the line stands alone as a faulty row.
Without such a bound one stray quote would swallow the rest of the file."""

PLAIN, RAGGED, ESCAPED, UNCLOSED = 0, 1, 2, 4
"""Marks of a record, as bits."""

_NEWLINE, _RETURN, _BLANK, _QUOTE = 10, 13, 32, 34


@compiled
def _closing_quote(data: Bytes, start: int, limit: int) -> tuple[int, bool]:
    """Index of the quote that closes the field opened just before `start` (-1: none before `limit`), and whether it has doubled quotes."""
    doubled = False
    at = start
    while at < limit:
        if data[at] == _QUOTE:
            if at + 1 < limit and data[at + 1] == _QUOTE:
                doubled = True
                at += 2
                continue
            return at, doubled
        at += 1
    return -1, doubled


@compiled
def line_ends_in(data: Bytes) -> int:
    """Number of line ends; several times faster than `bytes.count` where they are frequent."""
    n = 0
    for i in range(len(data)):
        n += data[i] == _NEWLINE
    return n


@compiled
def whole_records(data: Bytes, separator: int) -> int:
    """Bytes at the beginning of `data` that are whole records, whatever follows; `data` begins with a record."""
    n = len(data)
    done = at = 0
    while at < n:
        if data[at] == _QUOTE and (at == done or data[at - 1] == separator):
            close, _ = _closing_quote(data, at + 1, min(n, done + MAX_RECORD))
            if close >= 0:
                at = close + 1
                if at == n:
                    return done  # the next byte may be a second quote
                continue
            if n < done + MAX_RECORD:
                return done
            at = done  # stray quote: the line stands alone
            while at < n and data[at] != _NEWLINE:
                at += 1
            if at == n:
                return done
        if data[at] == _NEWLINE:
            done = at + 1
        at += 1
    return done


@compiled
def tokenise(
    data: Bytes, separator: int, wanted: I32, fields: int, begins: I32, ends: I32, line_begins: I32, line_ends: I32, marks: I8
) -> int:
    """Find the records of `data` (whole records only, the last may lack its line end); returns their number n.

    wanted (fields,): row of `begins` and `ends` for each field of the file, -1 for fields nobody needs. begins, ends (w, capacity): places
    of the wanted fields' values, quotes left out; equal where the field is empty or not there. line_begins, line_ends, marks (capacity,).
    Capacity must be at least the number of line ends + 1. Blank lines are no records.
    """
    size = len(data)
    w = begins.shape[0]
    n = 0
    at = 0
    while at < size:
        begin = at
        field = 0
        mark = 0
        open_end = False
        while True:
            first = at
            last = -1
            if at < size and data[at] == _QUOTE:
                close, doubled = _closing_quote(data, at + 1, min(size, begin + MAX_RECORD))
                if close < 0:
                    mark |= UNCLOSED
                    break
                after = close + 1
                if after >= size or data[after] == separator or data[after] == _NEWLINE or data[after] == _RETURN:
                    first, last, at = at + 1, close, after
                    if doubled:
                        mark |= ESCAPED
            while at < size and data[at] != separator and data[at] != _NEWLINE:
                at += 1
            open_end = at == size
            line_done = open_end or data[at] == _NEWLINE
            stop = at
            if line_done and stop > begin and data[stop - 1] == _RETURN:
                stop -= 1
            if last < 0:
                last = max(stop, first)
            if field < fields:
                slot = wanted[field]
                if slot >= 0:
                    begins[slot, n] = first
                    ends[slot, n] = last
            elif field > fields or last > first or not line_done:
                mark |= RAGGED
            field += 1
            if line_done:
                break
            at += 1
        if mark & UNCLOSED:
            at = begin
            while at < size and data[at] != _NEWLINE:
                at += 1
            stop = at
            if stop > begin and data[stop - 1] == _RETURN:
                stop -= 1
            field = 0
        at += 1
        if field <= 1:
            blank = True
            for i in range(begin, stop):
                if data[i] != _BLANK:
                    blank = False
                    break
            if blank:
                continue
        if field < fields:
            for f in range(field, fields):
                slot = wanted[f]
                if slot >= 0:
                    begins[slot, n] = 0
                    ends[slot, n] = 0
        for slot in range(w):
            if mark & UNCLOSED:
                begins[slot, n] = 0
                ends[slot, n] = 0
        line_begins[n] = begin
        line_ends[n] = stop
        marks[n] = mark
        n += 1
    return n


@compiled
def gather(data: Bytes, begins: I32, ends: I32, offsets: I64, out: Bytes) -> None:
    """Copy values one after the other into `out` (n values; offsets (n + 1,) already hold the running sum of their lengths)."""
    for i in range(len(begins)):
        to = offsets[i]
        for j in range(begins[i], ends[i]):
            out[to] = data[j]
            to += 1
