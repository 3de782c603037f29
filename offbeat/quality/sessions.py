"""Trading sessions of an exchange as plain arrays, and the local days of a zone."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from functools import lru_cache, partial
from importlib import import_module
from typing import Any

import numpy as np

from offbeat.core.batch import I32, I64, NULL_INT
from offbeat.core.days import DAY_NS
from offbeat.errors import UserError

_EPOCH = date(1970, 1, 1)
_DEFAULT_FROM, _DEFAULT_TO = "1990-01-01", "2050-12-31"
"""Range asked of a calendar that states no bounds of its own; fixed, because its default depends on today."""

_TRIES = 5


@dataclass(frozen=True, slots=True)
class Sessions:
    """The sessions of one exchange, cut at its breaks into pieces that do not overlap. p pieces in order of time."""

    code: str
    open_ns: I64
    """(p,) start of the piece, nanoseconds UTC."""
    close_ns: I64
    """(p,) its end, exclusive."""
    day: I32
    """(p,) date of the session, days since 1970-01-01; the pieces of one session share it."""
    first_day: int
    """First and last date that the calendar covers, days since 1970-01-01: outside, it is not known what was expected."""
    last_day: int


@lru_cache(maxsize=8)
def sessions(code: str) -> Sessions:
    """Sessions of the exchange_calendars calendar `code`, over all dates it supports.

    The first call of a process imports exchange_calendars and pandas (about a second).
    Raises UserError if there is no calendar of that name.
    """
    calendars: Any = import_module("exchange_calendars")
    names: list[str] = list(calendars.get_calendar_names())
    if code not in names:
        near = get_close_matches(code.upper(), names, n=1, cutoff=0.5)
        raise UserError(f"no trading calendar called {code!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    probe: Any = _quietly(partial(calendars.get_calendar, code))
    first, last = probe.bound_min(), probe.bound_max()
    start = _DEFAULT_FROM if first is None else str(first.date())
    end = _DEFAULT_TO if last is None else str(last.date())
    calendar: Any = _quietly(partial(calendars.get_calendar, code, start=start, end=end))
    days = (np.asarray(calendar.sessions_nanos, dtype=np.int64) // DAY_NS).astype(np.int32)
    opens = np.asarray(calendar.opens_nanos, dtype=np.int64)
    closes = np.asarray(calendar.closes_nanos, dtype=np.int64)
    pause = np.asarray(calendar.break_starts_nanos, dtype=np.int64)
    resume = np.asarray(calendar.break_ends_nanos, dtype=np.int64)
    broken = pause != NULL_INT  # NULL_INT is also pandas' NaT
    piece_open = np.concatenate([opens, resume[broken]])
    piece_close = np.concatenate([np.where(broken, pause, closes), closes[broken]])
    piece_day = np.concatenate([days, days[broken]])
    order = np.argsort(piece_open, kind="stable")
    return Sessions(code, piece_open[order], piece_close[order], piece_day[order], day_number(start), day_number(end))


def _quietly(make: Callable[[], Any]) -> Any:
    """Call `make` without warnings: exchange_calendars uses what newer pandas versions deprecate, and callers cannot change that.

    All threads share the filters of warnings. A thread that compiles a kernel sets them back while this one works; where warnings are
    errors, the call is then repeated.
    """
    for _ in range(_TRIES):
        with warnings.catch_warnings(), suppress(Warning):
            warnings.simplefilter("ignore")
            return make()
    return make()


def day_number(day: str) -> int:
    """Days from 1970-01-01 to an ISO date."""
    return (date.fromisoformat(day) - _EPOCH).days
