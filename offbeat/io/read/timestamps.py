"""Event times: text, epoch numbers and Arrow timestamps to int64 nanoseconds UTC."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt
import polars as pl

from offbeat.core.batch import I8, I32, I64, NULL_INT
from offbeat.core.compiled import compiled
from offbeat.core.days import DAY_NS
from offbeat.errors import UserError
from offbeat.io.read.csv_tokens import Bytes

ABSOLUTE, LOCAL, NO_TIME, UNREADABLE = 0, 1, 2, 3
"""What became of a time: UTC; wall-clock time of the spec's zone; empty; not a time."""

EPOCH_DIGITS = {"s": 9, "ms": 6, "us": 3, "ns": 0}
"""Epoch formats of `time.format`, and the decimal digits from their unit down to nanoseconds."""

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
        if at < end and data[at] == 46:
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
    """ISO 8601 times of n values: `YYYY-MM-DD[(T| )HH:MM[:SS[.f{1,9}]][Z|±HH|±HHMM|±HH:MM]]`; returns how many are LOCAL.

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


@lru_cache(maxsize=64)
def zone_of(name: str) -> ZoneInfo:
    """The IANA zone; raises UserError for a name that does not exist."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        msg = f"time zone {name!r} does not exist; use an IANA name such as 'Asia/Kolkata', 'America/New_York' or 'UTC'"
        raise UserError(msg) from error


@lru_cache(maxsize=65_536)
def _offset_of_day(zone: str, day: int) -> int | None:
    """The zone's distance from UTC in ns if it is the same all through the local day (days since 1970), else None."""
    tz = zone_of(zone)
    try:
        start = datetime.combine(date(1970, 1, 1) + timedelta(days=day), datetime.min.time())
        # Changes of an offset last for weeks, so looking every 6 hours, a little beyond the day's ends, misses none.
        offsets = {(start + timedelta(hours=h)).replace(tzinfo=tz, fold=fold).utcoffset() for h in range(-6, 31, 6) for fold in (0, 1)}
    except OverflowError:
        return None
    only = offsets.pop()
    return None if offsets or only is None else (only.days * 86_400 + only.seconds) * _NS


def local_to_utc(local: I64, zone: str) -> I64:
    """Wall-clock times (ns, none of them NULL_INT) of `zone` in UTC: the earlier of two; NULL_INT where the clock skipped that time."""
    zone_of(zone)
    if len(local) == 0:
        return local
    days = local // DAY_NS
    distinct, where = np.unique(days, return_inverse=True) if np.any(days != days[0]) else (days[:1], np.zeros(len(days), dtype=np.intp))
    offsets = np.full(len(distinct), NULL_INT, dtype=np.int64)
    for i, day in enumerate(distinct):
        offset = _offset_of_day(zone, int(day))
        if offset is not None:
            offsets[i] = offset
    shift = offsets[where]
    out: I64 = local - shift
    if (offsets == NULL_INT).any():
        odd = np.flatnonzero(shift == NULL_INT)
        series = pl.Series(local[odd]).cast(pl.Datetime("ns"))
        aware = series.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
        out[odd] = aware.dt.convert_time_zone("UTC").to_physical().fill_null(NULL_INT).to_numpy()
    return out


def finish_iso(values: I64, status: I8, local: int, zone: str) -> tuple[I64, npt.NDArray[np.bool_]]:
    """UTC nanoseconds (NULL_INT: none) and which values were there but are no time; `local` is what `read_iso` returned."""
    bad = status == UNREADABLE
    if local == len(values) and local:
        utc = local_to_utc(values, zone)
        return utc, utc == NULL_INT
    if local:
        where = np.flatnonzero(status == LOCAL)
        utc = local_to_utc(values[where], zone)
        values[where] = utc
        bad[where] = utc == NULL_INT
    return values, bad


def by_format(texts: pl.Series, spec: str, zone: str) -> tuple[I64, npt.NDArray[np.bool_]]:
    """Times by a strptime format of Polars: UTC nanoseconds and which non-empty values are no time."""
    zone_of(zone)
    stripped = texts.str.strip_chars(" ")
    aware = any(mark in spec for mark in ("%z", "%:z", "%#z", "%+"))
    try:
        # Microseconds span 292,000 years: whatever does not come back the same left the range of nanoseconds.
        wide = stripped.str.to_datetime(spec, strict=False, time_unit="us", time_zone="UTC" if aware else None)
        fine = stripped.str.to_datetime(spec, strict=False, time_unit="ns", time_zone="UTC" if aware else None)
    except pl.exceptions.PolarsError as error:
        msg = f"time format {spec!r} cannot be used: {str(error).splitlines()[0]}; use `auto`, `s`, `ms`, `us`, `ns` or a strptime format"
        raise UserError(msg) from error
    micros = wide.to_physical().fill_null(NULL_INT).to_numpy()
    nanos = fine.to_physical().fill_null(NULL_INT).to_numpy().copy()
    nanos[(micros == NULL_INT) | (nanos // 1000 != micros)] = NULL_INT
    given = (texts.is_not_null() & (stripped != "")).fill_null(value=False).to_numpy()
    if not aware:
        there = np.flatnonzero(nanos != NULL_INT)
        nanos[there] = local_to_utc(nanos[there], zone)
    return nanos, given & (nanos == NULL_INT)


def epoch_floats(values: npt.NDArray[np.float64], digits: int) -> I64:
    """Epoch numbers kept as doubles → ns; exact down to the double's own precision; NULL_INT outside int64 and for NaN."""
    whole = np.floor(values)
    with np.errstate(invalid="ignore", over="ignore"):
        inside = np.abs(values) < 2.0**63 / 10**digits
    out = np.full(len(values), NULL_INT, dtype=np.int64)
    units = whole[inside].astype(np.int64)
    rest = np.rint((values[inside] - whole[inside]) * 10**digits).astype(np.int64)
    out[inside] = units * 10**digits + rest
    return out


def epoch_integers(values: I64, digits: int) -> tuple[I64, npt.NDArray[np.bool_]]:
    """Epoch integers (NULL_INT: none) → ns, and which leave the int64 range."""
    limit = (2**63 - 1) // 10**digits
    there = values != NULL_INT
    bad = there & ((values > limit) | (values < -limit))
    return np.where(there & ~bad, values * 10**digits, NULL_INT), bad
