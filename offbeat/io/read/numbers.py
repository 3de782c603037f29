"""Numbers from text: correctly rounded doubles and exact fixed-point integers."""

from __future__ import annotations

import numpy as np

from offbeat.core.batch import F64, I8, I32, I64, NULL_INT
from offbeat.core.compiled import compiled
from offbeat.io.read.csv_tokens import Bytes

EMPTY, READ, HARD, BAD, SPECIAL, IMPRECISE = range(6)
"""What became of a value: nothing there; read; a number that needs the slow way; no number; NaN or infinite; a number that a
decimal column cannot hold."""

_POWERS = np.array([10.0**i for i in range(23)])  # all exact
_TENS = np.array([10**i for i in range(19)], dtype=np.int64)
_EXACT = 1 << 53
_FNV, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
_SHORT = 16
"""Characters of a number that is one correctly rounded operation: a whole number, or 15 digits (below 2^53) over a power of ten."""
_MOST = (2**63 - 1 - 9) // 10


@compiled
def _lower(byte: int) -> int:
    return byte | 32


@compiled
def _special(data: Bytes, at: int, end: int) -> float:
    """1 for inf or infinity, NaN for nan, 0 for anything else."""
    n = end - at
    if n in (3, 8):
        a, b, c = _lower(data[at]), _lower(data[at + 1]), _lower(data[at + 2])
        if n == 3 and a == 110 and b == 97 and c == 110:
            return np.nan
        if a == 105 and b == 110 and c == 102:
            if n == 3:
                return 1.0
            # "inity"
            if (
                _lower(data[at + 3]) == 105
                and _lower(data[at + 4]) == 110
                and _lower(data[at + 5]) == 105
                and _lower(data[at + 6]) == 116
                and _lower(data[at + 7]) == 121
            ):
                return 1.0
    return 0.0


@compiled
def _decimal(data: Bytes, begin: int, end: int) -> tuple[int, int, int, bool]:
    """Status, mantissa, power of ten and sign of the text; HARD when the mantissa does not fit 63 bits."""
    at = begin
    while at < end and (data[at] == 32 or data[at] == 9):
        at += 1
    while end > at and (data[end - 1] == 32 or data[end - 1] == 9):
        end -= 1
    if at == end:
        return EMPTY, 0, 0, False
    negative = data[at] == 45
    if negative or data[at] == 43:
        at += 1
    mantissa = 0
    power = 0
    digits = 0
    status = READ
    while at < end:
        d = data[at] - 48
        if d < 0 or d > 9:
            break
        if mantissa > _MOST:
            status = HARD
        else:
            mantissa = mantissa * 10 + d
        digits += 1
        at += 1
    if at < end and data[at] == 46:
        at += 1
        while at < end:
            d = data[at] - 48
            if d < 0 or d > 9:
                break
            if mantissa > _MOST:
                if d != 0:
                    status = HARD
            else:
                mantissa = mantissa * 10 + d
                power -= 1
            digits += 1
            at += 1
    if digits == 0:
        return (SPECIAL if _special(data, at, end) != 0.0 else BAD), at, end, negative
    if at < end and _lower(data[at]) == 101:
        at += 1
        sign = 1
        if at < end and (data[at] == 45 or data[at] == 43):
            if data[at] == 45:
                sign = -1
            at += 1
        if at == end:
            return BAD, 0, 0, negative
        exponent = 0
        while at < end:
            d = data[at] - 48
            if d < 0 or d > 9:
                break
            exponent = min(exponent * 10 + d, 1_000_000)
            at += 1
        power += sign * exponent
    if at < end:
        return BAD, 0, 0, negative
    return status, mantissa, power, negative


@compiled
def _plain(data: Bytes, at: int, end: int) -> tuple[bool, int, int, bool]:
    """Whether the text is a few digits with at most one point among them; its digits as a number, how many are decimals, and its sign.

    Most numbers are like that, and there is no room for an overflow and no exponent.
    """
    minus = False
    digits = decimals = 0
    if end - at < 1 or end - at > _SHORT:
        return False, 0, 0, False
    if data[at] == 45:
        minus = True
        at += 1
    point = 0
    while at < end:
        d = data[at] - 48
        at += 1
        if 0 <= d <= 9:
            digits = digits * 10 + d
        elif d == -2 and point == 0:
            point = at
        else:
            return False, 0, 0, False
    if point:
        decimals = end - point
    return data[end - 1] not in (45, 46), digits, decimals, minus


@compiled
def number_at(data: Bytes, begin: int, end: int) -> tuple[int, int, int, bool]:
    """Of the text in between: status, digits as a number, the power of ten to multiply them by, and whether it is negative."""
    plain, mantissa, decimals, negative = _plain(data, begin, end)
    if plain:
        return READ, mantissa, -decimals, negative
    return _decimal(data, begin, end)


@compiled
def read_floats(data: Bytes, begins: I32, ends: I32, out: F64, status: I8) -> int:
    """Nearest doubles of n values into `out` (NaN where none); returns how many are HARD: those are left to the caller.

    A mantissa below 2^53 times or over an exact power of ten is one correctly rounded operation (Clinger 1990).
    """
    hard = 0
    for i in range(len(begins)):
        plain, digits, decimals, minus = _plain(data, begins[i], ends[i])
        if plain:
            short = digits / _POWERS[decimals]
            out[i] = -short if minus else short
            status[i] = READ
            continue
        state, mantissa, power, negative = _decimal(data, begins[i], ends[i])
        value = np.nan
        if state == READ:
            if mantissa == 0:
                value = 0.0
            elif mantissa <= _EXACT and -22 <= power <= 22:
                value = mantissa * _POWERS[power] if power >= 0 else mantissa / _POWERS[-power]
            else:
                state = HARD
            if negative:
                value = -value
        elif state == SPECIAL:
            value = _special(data, mantissa, power)
            if value == 1.0:
                value = -np.inf if negative else np.inf
        if state == HARD:
            hard += 1
        out[i] = value
        status[i] = state
    return hard


@compiled
def read_fixed(data: Bytes, begins: I32, ends: I32, scale: int, out: I64, status: I8) -> int:
    """Values times 10^scale into `out` (NULL_INT where none) where that is whole; returns how many are HARD (more decimals, or huge)."""
    hard = 0
    for i in range(len(begins)):
        plain, mantissa, decimals, negative = _plain(data, begins[i], ends[i])
        power = -decimals
        state = READ
        if not plain:
            state, mantissa, power, negative = _decimal(data, begins[i], ends[i])
        out[i] = NULL_INT
        if state == READ:
            shift = power + scale
            while shift < 0 and mantissa % 10 == 0 and mantissa != 0:
                mantissa //= 10
                shift += 1
            if mantissa == 0:
                out[i] = 0
            elif shift < 0:
                state = HARD
            elif shift > 18 or mantissa > (2**63 - 1) // _TENS[shift]:
                state = IMPRECISE
            else:
                out[i] = -mantissa * _TENS[shift] if negative else mantissa * _TENS[shift]
        if state == HARD:
            hard += 1
        status[i] = state
    return hard


@compiled
def read_ids(data: Bytes, begins: I32, ends: I32, out: I64, status: I8) -> None:
    """Texts that are only compared, as integers: a whole number (17, 17.0) is itself, any other text the hash of its bytes [R13]."""
    for i in range(len(begins)):
        at, end = begins[i], ends[i]
        while at < end and data[at] == 32:
            at += 1
        while end > at and data[end - 1] == 32:
            end -= 1
        out[i] = NULL_INT
        status[i] = EMPTY if at == end else READ
        if at == end:
            continue
        stop = end - 2 if end - at > 2 and data[end - 1] == 48 and data[end - 2] == 46 else end
        first = at + 1 if data[at] == 45 and stop - at > 1 else at
        value = 0
        whole = stop - first <= 18 and (data[first] != 48 or (stop - at == 1))
        if whole:
            for j in range(first, stop):
                d = data[j] - 48
                whole = whole and 0 <= d <= 9
                value = value * 10 + d
        if whole:
            out[i] = -value if first > at else value
            continue
        h = _FNV
        for j in range(at, end):
            h = (h ^ np.uint64(data[j])) * _PRIME
        hashed = np.int64(h)
        out[i] = 0 if hashed == NULL_INT else hashed
