"""The tokens of JSON in bytes: where strings, numbers and words end, and what escapes stand for.

What is JSON is what Python's own parser takes: RFC 8259, and besides it `NaN`, `Infinity`, `-Infinity` and halves of surrogate pairs.
"""

from __future__ import annotations

import numpy as np

from offbeat.core.compiled import compiled_inner
from offbeat.io.read.csv_tokens import Bytes

QUOTE = ord('"')
HALF = ord("?")
"""Stands in a value for half a surrogate pair, which UTF-8 cannot hold."""
NEVER = 255
"""Stands in a name for the same: a byte that UTF-8 does not have, so that no name that is looked for has it."""

_BACKSLASH, _U = b"\\u"
_MINUS, _PLUS, _POINT, _ZERO, _NINE = b"-+.09"
_PLAIN, _CLOSING, _ESCAPE, _HIGH, _CONTROL = 0, 1, 2, 3, 4
_KINDS = np.zeros(256, np.int8)
_KINDS[:32] = _CONTROL
_KINDS[128:] = _HIGH
_KINDS[QUOTE], _KINDS[_BACKSLASH] = _CLOSING, _ESCAPE
_MEANT = np.zeros(256, np.uint8)
"""The character that a backslash and this one stand for; 0: there is no such escape."""
_MEANT[list(b'"\\/bfnrt')] = list(b'"\\/\b\f\n\r\t')
_HEX = np.full(256, -1, np.int64)
_HEX[list(b"0123456789abcdef")] = range(16)
_HEX[list(b"ABCDEF")] = range(10, 16)
_WORDS = np.frombuffer(b"truefalsenullNaNInfinity", np.uint8)
_TRUE, _FALSE, _NULL, _NAN, _INFINITY = 0, 4, 9, 13, 16


@compiled_inner
def blanks(data: Bytes, at: int, end: int) -> int:
    """The first place from `at` on that is no white space."""
    while at < end and data[at] <= 32 and (data[at] == 32 or data[at] == 10 or data[at] == 13 or data[at] == 9):
        at += 1
    return at


@compiled_inner
def _unit(data: Bytes, at: int) -> int:
    """The number that four hexadecimal digits are; negative if they are not."""
    a, b, c, d = _HEX[data[at]], _HEX[data[at + 1]], _HEX[data[at + 2]], _HEX[data[at + 3]]
    return -1 if a | b | c | d < 0 else a << 12 | b << 8 | c << 4 | d


@compiled_inner
def string(data: Bytes, at: int, end: int) -> tuple[int, bool, bool]:
    """Of the string whose first character is at `at`: its closing quote, -1 if it has none; has it escapes; has it bytes above 127."""
    escapes = high = False
    while at < end:
        kind = _KINDS[data[at]]
        if kind == _PLAIN:
            at += 1
        elif kind == _CLOSING:
            return at, escapes, high
        elif kind == _HIGH:
            high = True
            at += 1
        elif kind == _CONTROL or at + 1 >= end:
            break
        else:
            escapes = True
            if data[at + 1] == _U:
                if at + 6 > end or _unit(data, at + 2) < 0:
                    break
                at += 6
            elif _MEANT[data[at + 1]] != 0:
                at += 2
            else:
                break
    return -1, escapes, high


@compiled_inner
def _word(data: Bytes, at: int, end: int, first: int, length: int) -> int:
    """The place behind the word, -1 if it is not at `at`."""
    if at + length > end:
        return -1
    for i in range(length):
        if data[at + i] != _WORDS[first + i]:
            return -1
    return at + length


@compiled_inner
def _digits(data: Bytes, at: int, end: int) -> int:
    while at < end and _ZERO <= data[at] <= _NINE:
        at += 1
    return at


@compiled_inner
def scalar(data: Bytes, at: int, end: int) -> int:
    """The place behind the number or the word at `at`, which is below `end`; -1 if there is none."""
    minus = data[at] == _MINUS
    if minus:
        at += 1
        if at == end:
            return -1
    c = data[at]
    if c == _ZERO:
        at += 1
    elif _ZERO < c <= _NINE:
        at = _digits(data, at + 1, end)
    elif c == _WORDS[_INFINITY]:
        return _word(data, at, end, _INFINITY, 8)
    elif minus:
        return -1
    elif c == _WORDS[_NULL]:
        return _word(data, at, end, _NULL, 4)
    elif c == _WORDS[_TRUE]:
        return _word(data, at, end, _TRUE, 4)
    elif c == _WORDS[_FALSE]:
        return _word(data, at, end, _FALSE, 5)
    else:
        return _word(data, at, end, _NAN, 3)
    if at < end and data[at] == _POINT:
        first = at + 1
        at = _digits(data, first, end)
        if at == first:
            return -1
    if at < end and data[at] | 32 == 101:
        at += 1
        if at < end and (data[at] == _MINUS or data[at] == _PLUS):
            at += 1
        first = at
        at = _digits(data, first, end)
        if at == first:
            return -1
    return at


@compiled_inner
def unescape(data: Bytes, begin: int, end: int, half: int, out: Bytes, to: int) -> int:
    """Write what a well-formed string stands for, as UTF-8, from `to` on; returns the place behind it.

    half: the byte for half a surrogate pair. What is written is no longer than what is read, and may be written over it.
    """
    at = begin
    while at < end:
        if data[at] != _BACKSLASH:
            out[to] = data[at]
            at += 1
            to += 1
            continue
        if data[at + 1] != _U:
            out[to] = _MEANT[data[at + 1]]
            at += 2
            to += 1
            continue
        code = _unit(data, at + 2)
        at += 6
        if 0xD800 <= code < 0xDC00 and at + 6 <= end and data[at] == _BACKSLASH and data[at + 1] == _U:
            low = _unit(data, at + 2)
            if 0xDC00 <= low < 0xE000:
                code = 0x10000 + ((code - 0xD800) << 10) + low - 0xDC00
                at += 6
        if code < 0x80 or 0xD800 <= code < 0xE000:
            out[to] = code if code < 0x80 else half
            to += 1
            continue
        more = 1 if code < 0x800 else 2 if code < 0x10000 else 3
        out[to] = (0x780 >> more & 0xFF) | code >> 6 * more
        for i in range(1, more + 1):
            out[to + i] = 0x80 | code >> 6 * (more - i) & 63
        to += more + 1
    return to


@compiled_inner
def is_utf8(data: Bytes, begin: int, end: int) -> bool:
    """As RFC 3629 has it: no overlong forms, no halves of surrogate pairs, nothing above U+10FFFF."""
    at = begin
    while at < end:
        lead = data[at]
        at += 1
        if lead < 0x80:
            continue
        if lead < 0xC2 or lead > 0xF4:
            return False
        more = 1 if lead < 0xE0 else 2 if lead < 0xF0 else 3
        if at + more > end:
            return False
        low = 0xA0 if lead == 0xE0 else 0x90 if lead == 0xF0 else 0x80
        top = 0x9F if lead == 0xED else 0x8F if lead == 0xF4 else 0xBF
        if data[at] < low or data[at] > top:
            return False
        for i in range(1, more):
            if data[at + i] & 0xC0 != 0x80:
                return False
        at += more
    return True
