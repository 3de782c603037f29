"""Event times as the page shows them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def local(micros: int, zone: str) -> datetime:
    """Microseconds since 1970 as a local time."""
    return (_EPOCH + timedelta(microseconds=micros)).astimezone(ZoneInfo(zone))


def moment(micros: int, zone: str) -> str:
    """To the second, with the zone."""
    return local(micros, zone).strftime("%Y-%m-%d %H:%M:%S %Z")


def span(first: int, last: int, zone: str) -> str:
    """From the first to the last, the day said once."""
    begin, end = local(first, zone), local(last, zone)
    if first == last:
        return moment(first, zone)
    same = begin.date() == end.date()
    return f"{begin:%Y-%m-%d %H:%M:%S} to {end:%H:%M:%S %Z}" if same else f"{begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M %Z}"
