"""Wall-clock times of a zone: the instants they stand for, and which of two where the clock was set back."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import polars as pl

from offbeat.core.batch import I64, NULL_INT
from offbeat.core.compiled import compiled
from offbeat.core.days import DAY_NS
from offbeat.errors import UserError

_NS = 1_000_000_000


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


def local_to_utc(local: I64, zone: str) -> tuple[I64, I64 | None]:
    """Wall-clock times (ns, none of them NULL_INT) of `zone` in UTC; NULL_INT where the clock skipped that time.

    The first array has the earlier of two instants, the second the later one; it is None where no time comes twice.
    """
    zone_of(zone)
    if len(local) == 0:
        return local, None
    days = local // DAY_NS
    distinct, where = np.unique(days, return_inverse=True) if np.any(days != days[0]) else (days[:1], np.zeros(len(days), dtype=np.intp))
    offsets = np.full(len(distinct), NULL_INT, dtype=np.int64)
    for i, day in enumerate(distinct):
        offset = _offset_of_day(zone, int(day))
        if offset is not None:
            offsets[i] = offset
    shift = offsets[where]
    out: I64 = local - shift
    if not (offsets == NULL_INT).any():
        return out, None
    odd = np.flatnonzero(shift == NULL_INT)
    series = pl.Series(local[odd]).cast(pl.Datetime("ns"))
    out[odd] = _instants(series, zone, "earliest")
    second = _instants(series, zone, "latest")
    if bool((second == out[odd]).all()):
        return out, None
    later = out.copy()
    later[odd] = second
    return out, later


def _instants(local: pl.Series, zone: str, which: Literal["earliest", "latest"]) -> I64:
    aware = local.dt.replace_time_zone(zone, ambiguous=which, non_existent="null")
    instants: I64 = aware.dt.convert_time_zone("UTC").to_physical().fill_null(NULL_INT).to_numpy()
    return instants


@compiled
def settle(utc: I64, later: I64, before: int) -> int:
    """Decide which of two instants a time of a file's rows is, in place: the earlier one unless it lies before the row before [R17].

    utc, later (n,): see `Times`. before: time of the last row before these, NULL_INT: none. Returns the time of the last of these.
    """
    for i in range(len(utc)):
        if utc[i] == NULL_INT:
            continue
        if utc[i] < before and later[i] > utc[i]:
            utc[i] = later[i]
        before = utc[i]
    return before


@compiled
def last_time(utc: I64, before: int) -> int:
    """Time of the last row that has one; `before` where none has."""
    for at in range(len(utc) - 1, -1, -1):
        if utc[at] != NULL_INT:
            found: int = utc[at]
            return found
    return before
