"""Durations and points in time as people write them, in nanoseconds."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from fractions import Fraction
from zoneinfo import ZoneInfo

UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
}
GREATEST_NS = 2**63 - 1
PATTERN = r"^[0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h|d)$"
ROWS_PATTERN = r"^[1-9][0-9]* rows?$"
CADENCES_PATTERN = r"^[1-9][0-9]* cadences?$"
DEFAULT_CADENCE = "1m"
"""Of `cadence: auto`, where nothing is there to recognise it from."""
_CADENCES = re.compile(r"([1-9][0-9]*) cadences?")
_ROWS = re.compile(r"(-?[0-9]+) rows?")
_DURATION = re.compile(r"(-?)([0-9]+(?:\.[0-9]+)?)([a-z]*)")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def duration_ns(text: str) -> int:
    """Nanoseconds of a duration such as `0s`, `60s`, `10m`, `1.5s`; raises ValueError with a sentence for the person who wrote it."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or match[3] not in UNITS_NS:
        raise ValueError(f"{text!r} is not a duration; write a number and one of {', '.join(UNITS_NS)}, such as 60s, 10m or 1.5s")
    if match[1]:
        raise ValueError(f"a duration cannot be negative: {text!r}")
    value = Fraction(match[2]) * UNITS_NS[match[3]]
    if value.denominator != 1:
        raise ValueError(f"{text!r} is finer than a nanosecond")
    if value > GREATEST_NS:
        raise ValueError(f"{text!r} is longer than 292 years")
    return int(value)


def positive_duration_ns(text: str) -> int:
    """As `duration_ns`, but zero is an error too."""
    value = duration_ns(text)
    if value == 0:
        raise ValueError(f"the duration must be above zero, not {text!r}")
    return value


def window_length(text: str) -> tuple[int, int]:
    """(nanoseconds, rows) of a window's `over`: one of the two is 0. Raises ValueError for a window that cannot hold anything.

    Of a number of cadences, which are known only with the whole pipeline (`over_length`), only that it is a duration.
    """
    match = _ROWS.fullmatch(text.strip())
    if _CADENCES.fullmatch(text.strip()):
        return positive_duration_ns(DEFAULT_CADENCE), 0
    if match is None:
        try:
            return positive_duration_ns(text), 0
        except ValueError as error:
            if _DURATION.fullmatch(text.strip()) and text.strip()[-1:].isalpha() and "not a duration" not in str(error):
                raise
            others = "nor a number of rows such as '100 rows', nor of cadences such as '1 cadence'"
            raise ValueError(f"{text!r} is neither a duration such as 60s {others}") from None
    rows = int(match[1])
    if rows < 1:
        raise ValueError(f"a window needs at least one row, not {text!r}")
    if rows > 2**31 - 1:
        raise ValueError(f"{text!r} is more rows than a window can hold")
    return 0, rows


def cooldown_length(text: str) -> tuple[int, int]:
    """(nanoseconds, rows) of a view's `cooldown`: one of the two is 0. Raises ValueError."""
    if in_cadences(text):
        raise ValueError(f"a cooldown is a duration such as 1h or a number of rows such as '100 rows', not {text!r}")
    return window_length(text)


_BUDGET = re.compile(r"(\d+(?:\.\d+)?) per (?:(hour|day|week)|([\d,_]+) rows)")


def alert_budget(text: str) -> tuple[float, int, int]:
    """(alerts, nanoseconds, rows) of a budget such as `1 per day`; one of the last two is 0. Raises ValueError."""
    match = _BUDGET.fullmatch(text.strip())
    rows = int(match[3].replace(",", "").replace("_", "")) if match is not None and match[3] else 0
    if match is None or not float(match[1]) > 0 or (match[2] is None and not rows):
        raise ValueError(f"a budget is written `1 per day`, `5 per week` or `10 per 10000 rows`, not {text!r}")
    spans = {"hour": "1h", "day": "1d", "week": "7d"}
    return float(match[1]), duration_ns(spans[match[2]]) if match[2] else 0, rows


def past_length(text: str) -> tuple[int, int]:
    """As `window_length`; (0, 0) for `all`, the whole past."""
    return (0, 0) if text.strip() == "all" else window_length(text)


def cadence_ns(text: str) -> int:
    """Nanoseconds of a cadence; of `auto` those of its default. Raises ValueError."""
    return positive_duration_ns(DEFAULT_CADENCE if text.strip() == "auto" else text)


def in_cadences(text: str) -> bool:
    """Whether a length is a number of cadences."""
    return _CADENCES.fullmatch(text.strip()) is not None


def over_length(text: str, cadence: int | None) -> tuple[int, int]:
    """As `past_length`, with the nanoseconds of `quality.cadence` for lengths such as `1 cadence`. Raises ValueError without one."""
    match = _CADENCES.fullmatch(text.strip())
    if match is None:
        return past_length(text)
    if cadence is None:
        raise ValueError(f"`over: {text}` needs `quality.cadence`, such as 5m, or `auto`")
    if int(match[1]) * cadence > GREATEST_NS:
        raise ValueError(f"{text!r} is longer than 292 years")
    return int(match[1]) * cadence, 0


def calendar_day(text: str) -> date:
    """A day written as 2024-03-01. Raises ValueError."""
    try:
        day = datetime.strptime(text.strip(), "%Y-%m-%d").date()
    except ValueError:
        raise ValueError(f"{text!r} is not a day; write it as 2024-03-01") from None
    instant_ns(day.isoformat())
    return day


def instant_ns(text: str, zone: str = "UTC") -> int:
    """Nanoseconds since 1970 UTC of an ISO 8601 date or time; without an offset it is local time of `zone`. Raises ValueError."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text!r} is not a date or time; write 2000-01-01 or 2000-01-01T09:15:00+05:30") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC if zone == "UTC" else ZoneInfo(zone))
    past = moment - _EPOCH
    value = (past.days * 86_400 + past.seconds) * 1_000_000_000 + past.microseconds * 1_000
    if abs(value) > GREATEST_NS:
        raise ValueError(f"{text!r} lies outside the years 1678 to 2262")
    return value
