"""Times counted since 1970 to nanoseconds: of one unit, or of whichever unit each value's magnitude tells."""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from offbeat.core.batch import I8, I32, I64, NULL_INT, Bools
from offbeat.core.compiled import compiled
from offbeat.io.read.csv_tokens import Bytes
from offbeat.io.read.numbers import BAD, HARD, READ, number_at

ANY_UNIT = "epoch"
"""The format under which each value is seconds, milliseconds, microseconds or nanoseconds by its magnitude."""
EITHER = "any"
"""The format under which a value is ISO 8601 or, if it is a number, as of `ANY_UNIT`."""
EPOCH_DIGITS = {"s": 9, "ms": 6, "us": 3, "ns": 0, ANY_UNIT: 9, EITHER: 9}
"""Values of `time.format` that take numbers, and the decimal digits from their unit (from seconds where each value has its own) to ns."""

_SECONDS, _MILLIS, _MICROS = 10**11, 10**14, 10**17
"""Below each of them a value is of that unit: every unit then reaches from 1973 to 5138."""
_TENS = np.array([10**i for i in range(19)], dtype=np.int64)


@compiled
def _digits(magnitude: int) -> int:
    """Decimal digits down to nanoseconds from the unit of a count of that magnitude."""
    if magnitude < _SECONDS:
        return 9
    if magnitude < _MILLIS:
        return 6
    return 3 if magnitude < _MICROS else 0


@compiled
def read_epoch(data: Bytes, begins: I32, ends: I32, out: I64, status: I8) -> int:
    """Nanoseconds of n counts of any unit into `out` (NULL_INT where none); returns how many are HARD, which `hard_epoch` reads."""
    hard = 0
    for i in range(len(begins)):
        state, mantissa, power, negative = number_at(data, begins[i], ends[i])
        out[i] = NULL_INT
        if state == READ:
            whole, left = mantissa, power
            while left < 0 and whole > 0:
                whole //= 10
                left += 1
            if power > 18 or (power > 0 and mantissa > (2**63 - 1) // _TENS[power]):
                state = READ if mantissa == 0 else BAD
                out[i] = 0 if mantissa == 0 else NULL_INT
            else:
                shift = power + _digits(whole * _TENS[power] if power > 0 else whole)
                while shift < 0 and mantissa % 10 == 0 and mantissa != 0:
                    mantissa //= 10
                    shift += 1
                if mantissa == 0:
                    out[i] = 0
                elif shift < 0:
                    state = HARD
                elif shift > 18 or mantissa > (2**63 - 1) // _TENS[shift]:
                    state = BAD
                else:
                    out[i] = -mantissa * _TENS[shift] if negative else mantissa * _TENS[shift]
        if state == HARD:
            hard += 1
        status[i] = state
    return hard


def hard_epoch(text: str) -> int:
    """The nearest nanosecond of a count of any unit with more digits than fit; NULL_INT outside int64."""
    value = Decimal(text.strip())
    if value.adjusted() > 19:
        return NULL_INT
    nanos = round(value.scaleb(_digits(int(abs(value)))))
    return nanos if -(2**63) < nanos < 2**63 else NULL_INT


def epoch_integers(values: I64, form: str) -> tuple[I64, Bools]:
    """Epoch integers (NULL_INT: none) → ns, and which leave the int64 range."""
    if form in (ANY_UNIT, EITHER):
        out, bad = np.empty_like(values), np.empty(len(values), np.bool_)
        _any_unit(values, out, bad)
        return out, bad
    digits = EPOCH_DIGITS[form]
    limit = (2**63 - 1) // 10**digits
    there = values != NULL_INT
    bad = there & ((values > limit) | (values < -limit))
    return np.where(there & ~bad, values * 10**digits, NULL_INT), bad


@compiled
def _any_unit(values: I64, out: I64, bad: Bools) -> None:
    for i in range(len(values)):
        out[i], bad[i] = NULL_INT, False
        if values[i] == NULL_INT:
            continue
        factor = _TENS[_digits(abs(values[i]))]
        bad[i] = abs(values[i]) > (2**63 - 1) // factor
        if not bad[i]:
            out[i] = values[i] * factor
