"""Local days: where they begin, in a zone whose clock may change [S5]."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from offbeat.core.batch import I64

DAY_NS = 86_400_000_000_000
_EPOCH = date(1970, 1, 1)
_FARTHEST = 106_750
"""Days from the epoch that int64 nanoseconds reach, in either direction."""


def local_midnights(zone: str, first_ns: int, last_ns: int) -> tuple[int, I64]:
    """Starts of the local days of `zone` that cover [first_ns, last_ns] and a day on either side, as far as int64 nanoseconds reach.

    Returns the number of the first day (days since 1970-01-01) and the instants, nanoseconds UTC, one a day. Where a clock change
    removes midnight, the day starts at the change.
    """
    tz = ZoneInfo(zone)
    first = max(first_ns // DAY_NS - 2, -_FARTHEST)
    last = min(last_ns // DAY_NS + 3, _FARTHEST)
    midnights = np.empty(last - first, np.int64)
    for i in range(last - first):
        day = _EPOCH + timedelta(days=first + i)
        midnights[i] = round(datetime(day.year, day.month, day.day, tzinfo=tz).timestamp()) * 1_000_000_000
    # At the ends of int64 the last day has no end, so that every time lies in a day.
    if last == _FARTHEST:
        midnights = np.append(midnights, np.iinfo(np.int64).max)
    if first == -_FARTHEST:
        first, midnights = first - 1, np.insert(midnights, 0, np.iinfo(np.int64).min)
    return first, midnights
