"""Event times written as text to int64 nanoseconds UTC."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from offbeat.core.batch import I8, I32, I64, NULL_INT, Bools
from offbeat.core.compiled import compiled
from offbeat.core.days import DAY_NS
from offbeat.errors import UserError
from offbeat.io.read.csv_tokens import Bytes
from offbeat.io.read.local_times import local_to_utc, zone_of

ABSOLUTE, LOCAL, NO_TIME, UNREADABLE = 0, 1, 2, 3
"""What became of a time: UTC; wall-clock time of the spec's zone; empty; not a time."""

_NS = 1_000_000_000
_DAY_LIMIT = (2**63 - 1) // DAY_NS - 1
_SCALES = np.array([10**i for i in range(10)], dtype=np.int64)


@compiled
def _number(data: Bytes, at: int, width: int) -> int:
    """Value of `width` digits, -1 if there is anything else."""
    value = 0
    for i in range(at, at + width):
        d = data[i] - 48
        if d < 0 or d > 9:
            return -1
        value = value * 10 + d
    return value


@compiled
def _month_days(year: int, month: int) -> int:
    if month == 2:
        return 29 if (year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)) else 28
    return 30 if month in (4, 6, 9, 11) else 31


@compiled
def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 in the proleptic Gregorian calendar (years from March, so that the leap day is the last of its year)."""
    if month <= 2:
        year -= 1
    era = year // 400
    of_era = year - era * 400
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468


@compiled
def _one(data: Bytes, begin: int, end: int) -> tuple[int, int]:
    at = begin
    while at < end and data[at] == 32:
        at += 1
    while end > at and data[end - 1] == 32:
        end -= 1
    if at == end:
        return NO_TIME, NULL_INT
    if end - at < 10 or data[at + 4] != 45 or data[at + 7] != 45:
        return UNREADABLE, NULL_INT
    year, month, day = _number(data, at, 4), _number(data, at + 5, 2), _number(data, at + 8, 2)
    if year < 0 or month < 1 or month > 12 or day < 1 or day > _month_days(year, month):
        return UNREADABLE, NULL_INT
    days = _days(year, month, day)
    if days < -_DAY_LIMIT or days > _DAY_LIMIT:
        return UNREADABLE, NULL_INT
    at += 10
    if at == end:
        return LOCAL, days * DAY_NS
    if (data[at] != 32 and data[at] | 32 != 116) or end - at < 6 or data[at + 3] != 58:
        return UNREADABLE, NULL_INT
    hour, minute, second, fraction = _number(data, at + 1, 2), _number(data, at + 4, 2), 0, 0
    at += 6
    if at < end and data[at] == 58:
        if end - at < 3:
            return UNREADABLE, NULL_INT
        second = _number(data, at + 1, 2)
        at += 3
        if at < end and (data[at] == 46 or data[at] == 44):
            at += 1
            first = at
            while at < end and at - first < 9 and 48 <= data[at] <= 57:
                fraction = fraction * 10 + (data[at] - 48)
                at += 1
            if at == first:
                return UNREADABLE, NULL_INT
            fraction *= _SCALES[9 - (at - first)]
    if hour < 0 or hour > 23 or minute < 0 or minute > 59 or second < 0 or second > 59:
        return UNREADABLE, NULL_INT
    local = days * DAY_NS + (hour * 3600 + minute * 60 + second) * _NS + fraction
    if at == end:
        return LOCAL, local
    mark = data[at]
    left = end - at
    if mark | 32 == 122:
        return (ABSOLUTE, local) if left == 1 else (UNREADABLE, NULL_INT)
    if mark not in (43, 45) or (left not in (3, 5) and not (left == 6 and data[at + 3] == 58)):
        return UNREADABLE, NULL_INT
    hours = _number(data, at + 1, 2)
    minutes = _number(data, end - 2, 2) if left > 3 else 0
    if hours < 0 or hours > 23 or minutes < 0 or minutes > 59:
        return UNREADABLE, NULL_INT
    offset = (hours * 3600 + minutes * 60) * _NS
    return ABSOLUTE, (local + offset if mark == 45 else local - offset)


@compiled
def read_iso(data: Bytes, begins: I32, ends: I32, out: I64, status: I8) -> int:
    """ISO 8601 times of n values: `YYYY-MM-DD[(T| )HH:MM[:SS[(.|,)f{1,9}]][Z|±HH|±HHMM|±HH:MM]]`; returns how many are LOCAL.

    out (n,): nanoseconds, UTC or wall clock by `status` (n,); NULL_INT where there is none.
    """
    local = 0
    for i in range(len(begins)):
        state, value = _one(data, begins[i], ends[i])
        out[i] = value
        status[i] = state
        if state == LOCAL:
            local += 1
    return local


@dataclass(slots=True)
class Times:
    """Event times of n rows."""

    utc: I64
    """Nanoseconds; NULL_INT where there is none."""
    empty: Bools
    bad: Bools
    """Rows whose time is there but cannot be used."""
    local: bool = False
    """Whether some time had no zone of its own."""
    later: I64 | None = None
    """(n,) what `utc` is if a wall-clock time that comes twice is meant the second time [R17]; None: no row has such a time."""


def finish_iso(values: I64, status: I8, local: int, zone: str) -> Times:
    """What `read_iso` gave, with wall-clock times of `zone` made UTC; `local` is what it returned."""
    bad = status == UNREADABLE
    later = None
    if local == len(values) and local:
        values, later = local_to_utc(values, zone)
        bad = values == NULL_INT
    elif local:
        where = np.flatnonzero(status == LOCAL)
        utc, second = local_to_utc(values[where], zone)
        if second is not None:
            later = values.copy()
            later[where] = second
        values[where] = utc
        bad[where] = utc == NULL_INT
    return Times(values, status == NO_TIME, bad, bool(local), later)


def by_format(texts: pl.Series, spec: str, zone: str) -> Times:
    """Times by a strptime format of Polars."""
    zone_of(zone)
    stripped = texts.str.strip_chars(" ")
    aware = any(mark in spec for mark in ("%z", "%:z", "%#z", "%+"))
    try:
        # Microseconds span 292,000 years: whatever does not come back the same left the range of nanoseconds.
        wide = stripped.str.to_datetime(spec, strict=False, time_unit="us", time_zone="UTC" if aware else None)
        fine = stripped.str.to_datetime(spec, strict=False, time_unit="ns", time_zone="UTC" if aware else None)
    except pl.exceptions.PolarsError as error:
        why = str(error).splitlines()[0]
        msg = f"time format {spec!r} cannot be used: {why}; use `auto`, `epoch`, `s`, `ms`, `us`, `ns` or a strptime format"
        raise UserError(msg) from error
    micros = wide.to_physical().fill_null(NULL_INT).to_numpy()
    nanos = fine.to_physical().fill_null(NULL_INT).to_numpy().copy()
    nanos[(micros == NULL_INT) | (nanos // 1000 != micros)] = NULL_INT
    given = (texts.is_not_null() & (stripped != "")).fill_null(value=False).to_numpy()
    later = None
    if not aware:
        nanos, later = wall_clock(nanos, zone)
    return Times(nanos, ~given, given & (nanos == NULL_INT), not aware and bool(given.any()), later)


def wall_clock(local: I64, zone: str) -> tuple[I64, I64 | None]:
    """As `local_to_utc`, for times of which some may be NULL_INT; changes them in place."""
    there = np.flatnonzero(local != NULL_INT)
    utc, second = local_to_utc(local[there], zone)
    later = None
    if second is not None:
        later = np.full(len(local), NULL_INT, np.int64)
        later[there] = second
    local[there] = utc
    return local, later
