"""Local clock and calendar of rows: hour of the day, day of the week, place in a season [S5]."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np

from offbeat.core.batch import F64, I64, NULL_INT
from offbeat.core.compiled import compiled
from offbeat.core.days import DAY_NS

CLOCK = ("hour@", "weekday@")
"""Names of the results of `clock`, as inputs of programs."""
_SECOND_NS = 1_000_000_000
_HOUR_NS = 3600 * _SECOND_NS
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FARTHEST = 2**63 - 1 - DAY_NS
"""Times up to this can be moved to any zone without leaving int64."""


@compiled
def _clock(time_ns: I64, edges: I64, offsets: I64, out: F64) -> None:
    piece = 0
    for i in range(len(time_ns)):
        t = time_ns[i]
        while piece + 1 < len(edges) and edges[piece + 1] <= t:
            piece += 1
        while edges[piece] > t:
            piece -= 1
        # Split off days before shifting, so that times at the ends of int64 do not overflow.
        day = t // DAY_NS
        within = t - day * DAY_NS + offsets[piece]
        if within < 0:
            day, within = day - 1, within + DAY_NS
        elif within >= DAY_NS:
            day, within = day + 1, within - DAY_NS
        out[0, i] = within // _HOUR_NS
        out[1, i] = (day + 3) % 7 + 1  # 1970-01-01 was a Thursday


@cache
def _pieces(zone: str, first: int, last: int) -> tuple[I64, I64]:
    """Periods of equal UTC offset in the days `first` to `last` since 1970: their starts, and the offsets, ns."""
    tz = ZoneInfo(zone)

    def offset(second: int) -> int:
        away = (_EPOCH + timedelta(seconds=second)).astimezone(tz).utcoffset()
        return 0 if away is None else round(away.total_seconds())

    edges, offsets = [np.iinfo(np.int64).min], [offset(first * 86_400)]
    for day in range(first, last):
        low, high = day * 86_400, (day + 1) * 86_400
        if offset(high) == offsets[-1]:
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if offset(middle) == offsets[-1] else (low, middle)
        edges.append(high * _SECOND_NS)
        offsets.append(offset(high))
    return np.array(edges, np.int64), np.array(offsets, np.int64) * _SECOND_NS


def _offsets(time_ns: I64, zone: str) -> tuple[I64, I64]:
    # Whole spans of 64 days, so that few are computed.
    first = int(time_ns.min()) // DAY_NS // 64 * 64
    return _pieces(zone, first, (int(time_ns.max()) // DAY_NS // 64 + 1) * 64)


def clock(time_ns: I64, zone: str) -> F64:
    """(2, n) local hour, 0 to 23, and day of the week, 1 (Monday) to 7, of n times."""
    out = np.empty((2, len(time_ns)))
    if len(time_ns):
        _clock(time_ns, *_offsets(time_ns, zone), out)
    return out


def seasons(time_ns: I64, zone: str, season_ns: int, size_ns: int) -> I64:
    """(n,) number of the window within its season by the local clock: for windows of an hour and a season of a day, the hour."""
    if not len(time_ns):
        return time_ns
    edges, offsets = _offsets(time_ns, zone)
    away = offsets[np.searchsorted(edges, time_ns, side="right") - 1]
    place: I64 = (time_ns % season_ns + away) % season_ns // size_ns
    return place


@compiled
def _local(time_ns: I64, edges: I64, offsets: I64, step: int, out: I64) -> None:
    piece = 0
    for i in range(len(time_ns)):
        t = time_ns[i]
        # Windows are in time order: most are like the one before.
        if i > 0 and t == time_ns[i - 1]:
            out[i] = out[i - 1]
            continue
        while piece + 1 < len(edges) and edges[piece + 1] <= t:
            piece += 1
        while edges[piece] > t:
            piece -= 1
        local = min(max(t, -_FARTHEST), _FARTHEST) + offsets[piece]
        out[i] = local - local % step


@dataclass(frozen=True, slots=True)
class LocalTime:
    """The time that a clock in a zone shows, in ns as if it were UTC: all its days have 24 hours, even when the clock is changed.

    It is cut to multiples of `step_ns`; with days, the first moment of a day without a midnight counts as its midnight. Times that the
    clock shows twice are one time here.
    """

    zone: str
    step_ns: int = 1

    def of(self, time_ns: I64) -> I64:
        """(n,) local times of n times, ns UTC."""
        out = np.empty(len(time_ns), np.int64)
        if len(time_ns):
            _local(time_ns, *_offsets(time_ns, self.zone), self.step_ns, out)
        return out

    def back(self, time_ns: int, by_ns: int) -> int:
        """The time, ns UTC, that is `by_ns` before another by the local clock: for whole days, that many local days."""
        return self.instant(max(int(self.of(np.array([time_ns]))[0]) - by_ns, -_FARTHEST))

    def instant(self, local_ns: int) -> int:
        """The time, ns UTC, at which the clock shows a local time; the first one if it does so twice."""
        moment = _EPOCH.replace(tzinfo=ZoneInfo(self.zone)) + timedelta(seconds=local_ns // _SECOND_NS)
        return round(moment.timestamp()) * _SECOND_NS + local_ns % _SECOND_NS

    def instants(self, local_ns: I64) -> I64:
        """(n,) `instant` of n local times; the least int64 stays as it is."""
        distinct, place = np.unique(local_ns, return_inverse=True)
        found = [local if local == NULL_INT else self.instant(local) for local in distinct.tolist()]
        return np.array(found, np.int64)[place]
