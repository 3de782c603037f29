"""Alerts chosen for a list: by key, level, time and condition, the worst of all or of each period."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from offbeat.decide.block import STATUSES
from offbeat.errors import UserError
from offbeat.io.read.alert_query import AlertList, Filters, narrowed
from offbeat.io.report.flat_alerts import FIRED, fired, inner
from offbeat.spec.sql import ExpressionError
from offbeat.spec.table_condition import TableCondition

PERIODS = ("hour", "day", "week", "month")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS = ("severity", "votes", "voters", "revision")
_TEXTS = ("alert_id", "status", "pipeline", "view", "key", "level", "model_version")


@dataclass(frozen=True, slots=True)
class Chosen:
    """Alerts for a list, in its order."""

    alerts: list[pl.DataFrame]
    """With the columns of the Contract; `row` and `window` differ between them."""
    total: int | None
    """How many there would be without a limit; None where nobody counted."""

    @property
    def rows(self) -> int:
        """How many were chosen."""
        return sum(frame.height for frame in self.alerts)


class Where:
    """A condition on alerts: their own columns, those of the judged row, and the statistics of the window."""

    def __init__(self, text: str) -> None:
        """Raises UserError, one line, for what is no condition."""
        try:
            self._condition = TableCondition(text)
        except ExpressionError as error:
            raise UserError(f"--where: {error}") from error
        self._known: set[str] = set()

    def kept(self, alerts: pl.DataFrame) -> pl.DataFrame:
        """The alerts of which it is true. Raises UserError where types do not fit."""
        if alerts.is_empty():
            return alerts
        table = {series.name: series for series in alerts.select(_COLUMNS)}
        table |= {series.name: series for series in alerts.select(pl.col(_TEXTS).cast(pl.String))}
        if self._condition.names & FIRED:
            table |= {series.name: series for series in fired(alerts)}
        for name in ("row", "window"):
            for series in inner(alerts, name):
                table.setdefault(series.name, series)
                table.setdefault(series.name.partition(".")[2], series)
        self._known |= table.keys() | FIRED
        try:
            return alerts.filter(self._condition.mask(table, alerts.height))
        except ExpressionError as error:
            raise UserError(f"--where: {error}") from error

    def check(self) -> None:
        """Raise UserError where a column of the condition was in none of the alerts that came."""
        unknown = sorted(self._condition.names - self._known)
        if unknown and self._known:
            hint = "; times are asked with --since and --until" if "time" in unknown else ""
            plain = sorted(name for name in self._known if "." not in name)
            raise UserError(f"--where: no alert has {', '.join(map(repr, unknown))}{hint}; there is {', '.join(plain)}")


def choose(there: AlertList, filters: Filters, *, where: Where | None, top: int | None, per: str | None, zone: str) -> Chosen:
    """The worst `top` alerts, or those of each period `per`, the earlier period first; all of them where `top` is None."""
    spans = [filters] if per is None else list(_periods(there, filters, per, ZoneInfo(zone)))
    chosen = [frame for span in spans for frame in _worst(there, span, where, top)]
    if where is not None:
        where.check()
    taken = sum(frame.height for frame in chosen)
    total = taken if top is None else there.count(filters) if where is None else None
    return Chosen([frame for frame in chosen if frame.height], total)


def missing(there: AlertList, keys: Sequence[str], levels: Sequence[str]) -> str:
    """In words, of which keys and levels there is no alert at all: empty where each has one."""
    no_keys = [repr(key) for key in dict.fromkeys(keys) if there.first_time(Filters(keys=(key,), statuses=STATUSES)) is None]
    no_levels = [repr(level) for level in dict.fromkeys(levels) if there.first_time(Filters(levels=(level,), statuses=STATUSES)) is None]
    said = [f"{name}{'s' * (len(which) > 1)} {', '.join(which)}" for name, which in (("key", no_keys), ("level", no_levels)) if which]
    return " or ".join(said)


def _worst(there: AlertList, filters: Filters, where: Where | None, top: int | None) -> Iterator[pl.DataFrame]:
    left = top
    for frame in there.worst(filters):
        kept = frame if where is None else where.kept(frame)
        kept = kept if left is None else kept.head(left)
        yield kept
        left = None if left is None else left - kept.height
        if left == 0:
            return


def _periods(there: AlertList, filters: Filters, per: str, zone: ZoneInfo) -> Iterator[Filters]:
    """The periods in which there are alerts, the earliest first."""
    rest = filters
    while (time := there.first_time(rest)) is not None:
        begin, end = _period(time, per, zone)
        yield narrowed(filters, begin, end)
        rest = narrowed(filters, end, 2**63 - 1)


def _period(time_ns: int, per: str, zone: ZoneInfo) -> tuple[int, int]:
    """Where the period of a time begins and ends."""
    local = (_EPOCH + timedelta(microseconds=time_ns // 1_000)).astimezone(zone)
    begin = local.replace(minute=0, second=0, microsecond=0)
    if per == "hour":
        return _ns(begin), _ns(begin.astimezone(UTC) + timedelta(hours=1))
    begin = begin.replace(hour=0, fold=0)
    if per == "day":
        end = begin + timedelta(days=1)
    elif per == "week":
        begin -= timedelta(days=begin.weekday())
        end = begin + timedelta(days=7)
    else:
        begin = begin.replace(day=1)
        end = (begin + timedelta(days=31)).replace(day=1)
    return _ns(begin), _ns(end)


def _ns(moment: datetime) -> int:
    past = moment - _EPOCH
    return (past.days * 86_400 + past.seconds) * 1_000_000_000
