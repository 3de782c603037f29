"""Runs that judge all of a batch as of one day [S16]."""

from __future__ import annotations

from offbeat.core.batch import I64
from offbeat.core.clock import LocalTime
from offbeat.core.days import DAY_NS
from offbeat.core.plan import Plan
from offbeat.errors import UserError


def check_batch(plan: Plan, *, live: bool, kept: bool) -> None:
    """Raise UserError where a plan in mode `fixed` is to run over anything but one whole batch."""
    if plan.as_of is not None and (live or kept):
        why = "standard input has no end that could be waited for; name files" if live else "leave --state out"
        raise UserError(f"`as_of.mode: fixed` judges a batch as a whole, when all of it is known: {why}")


def as_of_ns(plan: Plan) -> int | None:
    """When the day begins as of which all is judged; None: each window is judged as of its own end, or the day is known at the end."""
    if plan.as_of is None or plan.as_of.day is None:
        return None
    return LocalTime(plan.zone).instant(plan.as_of.day * DAY_NS)


def local_days(plan: Plan, time_ns: I64) -> I64:
    """(n,) the local day of each time, since 1970-01-01."""
    days: I64 = LocalTime(plan.zone).of(time_ns) // DAY_NS
    return days


def left_out(plan: Plan, last_ns: int) -> list[str]:
    """A word on rows that are too late to be judged, where the last one is of `last_ns`."""
    end_ns = as_of_ns(plan)
    if end_ns is None or last_ns < end_ns:
        return []
    return ["rows later than `as_of.date` allows were not judged: they count as warming up"]
