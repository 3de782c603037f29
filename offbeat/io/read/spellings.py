"""How a source spells what others spell otherwise: nulls, decimal and thousands separators, a date and a time in two fields.

The values of a block are brought into the usual spelling before they are parsed; the places of what the file says stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from offbeat.core.batch import I32, I64
from offbeat.core.compiled import compiled
from offbeat.core.plan import SourcePlan
from offbeat.io.read.csv_tokens import Bytes

_BLANK, _TAB, _QUOTE, _POINT, _ZERO, _NINE, _WRONG = b' \t".09?'
_SMALLEST, _GROUP = 2, 3
"""Digits between two thousands separators; Indian numbers group by two above the thousands."""


@dataclass(frozen=True, slots=True)
class Spelling:
    """What a source spells in its own way."""

    nulls: tuple[bytes, ...]
    decimal: int
    thousands: int
    """Byte of the separator; -1: none."""

    @property
    def of_numbers(self) -> bool:
        """Whether numbers must be brought into the usual spelling."""
        return self.decimal != _POINT or self.thousands >= 0


def spelling_of(plan: SourcePlan) -> Spelling | None:
    """What is unusual about a source; None: nothing."""
    found = Spelling(tuple(null.encode() for null in plan.nulls), ord(plan.decimal), ord(plan.thousands) if plan.thousands else -1)
    return found if found.nulls or found.of_numbers else None


@compiled
def _trimmed(data: Bytes, at: int, end: int) -> tuple[int, int]:
    while at < end and (data[at] == _BLANK or data[at] == _TAB):
        at += 1
    while end > at and (data[end - 1] == _BLANK or data[end - 1] == _TAB):
        end -= 1
    return at, end


@compiled
def _blank_nulls(data: Bytes, begins: I32, ends: I32, text: Bytes, offsets: I64) -> None:
    for w in range(begins.shape[0]):
        for i in range(begins.shape[1]):
            at, end = _trimmed(data, begins[w, i], ends[w, i])
            for null in range(len(offsets) - 1):
                length = offsets[null + 1] - offsets[null]
                if length != end - at:
                    continue
                same = True
                for j in range(length):
                    same = same and data[at + j] == text[offsets[null] + j]
                if same:
                    ends[w, i] = begins[w, i]
                    break


def without_nulls(data: Bytes, begins: I32, ends: I32, nulls: Sequence[bytes]) -> I32:
    """The `ends` (w, n) of values, equal to `begins` where a value is one of `nulls`."""
    offsets: I64 = np.cumsum([0, *map(len, nulls)], dtype=np.int64)
    out = ends.copy()
    text: Bytes = np.frombuffer(b"".join(nulls) or b"\0", np.uint8)
    _blank_nulls(data, begins, out, text, offsets)
    return out


@compiled
def _rewrite(data: Bytes, begins: I32, ends: I32, decimal: int, thousands: int, quoted: bool, out: Bytes, first: I32, last: I32) -> None:
    to = 0
    for i in range(len(begins)):
        at, end = _trimmed(data, begins[i], ends[i])
        first[i] = to
        if quoted and not (at > 0 and data[begins[i] - 1] == _QUOTE):
            for j in range(at, end):
                out[to] = data[j]
                to += 1
            last[i] = to
            continue
        good = True
        grouped = fraction = False
        run = 0
        for j in range(at, end):
            byte = data[j]
            if thousands >= 0 and byte == thousands:
                # The first group has one digit or more, later ones two or three, and the last one three.
                good = good and not fraction and run > 0 and (run <= _GROUP) and (not grouped or run >= _SMALLEST)
                grouped = True
                run = 0
                continue
            if byte == decimal:
                good = good and not fraction and (not grouped or run == _GROUP)
                fraction = True
                byte = _POINT
            elif byte == _POINT:
                good = False
            elif _ZERO <= byte <= _NINE:
                run += 1
            out[to] = byte
            to += 1
        if grouped and not fraction:
            good = good and run == _GROUP
        if not good:
            to = first[i]
            out[to] = _WRONG
            to += 1
        last[i] = to


def usual_numbers(data: Bytes, begins: I32, ends: I32, spelling: Spelling, *, quoted: bool) -> tuple[Bytes, I32, I32]:
    """Numbers (n,) as others spell them: bytes and places; what is no number in this spelling becomes `?`.

    quoted: only values in quotes are spelt by the source; the others are numbers of JSON.
    """
    size = int(np.maximum(ends - begins, 0).sum()) + len(begins)
    out, first, last = np.empty(size, np.uint8), np.empty_like(begins), np.empty_like(ends)
    _rewrite(data, begins, ends, spelling.decimal, spelling.thousands, quoted, out, first, last)
    return out, first, last


@compiled
def _join(data: Bytes, begins: I32, ends: I32, out: Bytes, first: I32, last: I32) -> None:
    to = 0
    for i in range(begins.shape[1]):
        first[i] = to
        whole = True
        for w in range(begins.shape[0]):
            at, end = _trimmed(data, begins[w, i], ends[w, i])
            whole = whole and at < end
            if w > 0:
                out[to] = _BLANK
                to += 1
            for j in range(at, end):
                out[to] = data[j]
                to += 1
        if not whole:
            to = first[i]
        last[i] = to


def joined(data: Bytes, begins: I32, ends: I32) -> tuple[Bytes, I32, I32]:
    """Parts (w, n) of each value with a blank between them; empty where one is: bytes and places (n,)."""
    parts, n = begins.shape
    out = np.empty(int(np.maximum(ends - begins, 0).sum()) + parts * n, np.uint8)
    first, last = np.empty(n, np.int32), np.empty(n, np.int32)
    _join(data, np.ascontiguousarray(begins), np.ascontiguousarray(ends), out, first, last)
    return out, first, last
