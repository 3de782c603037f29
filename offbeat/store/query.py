"""Which alerts a list shows, and in which order."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, or_, select

from offbeat.io.read.alert_query import Filters
from offbeat.store.models import ALERTS
from offbeat.store.rows import indexed_text

_A = ALERTS.c


class Order(StrEnum):
    """In which order a list goes."""

    WORST = "worst"
    """By severity, then votes, then score (the mean of the detectors that voted), then the earlier."""
    NEWEST = "newest"
    """By the event's time, the latest first."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last alert of a page: the next one begins behind it, whatever came meanwhile."""

    severity: float
    votes: int
    score: float
    time_ns: int
    alert_id: str


def page_of(filters: Filters, order: Order, limit: int, after: Cursor | None) -> Select[Any]:
    """The first `limit` alerts of a list, or those behind `after`."""
    statement = _ordered(filtered(select(ALERTS), filters), order).limit(limit)
    return statement if after is None else statement.where(_behind(order, after))


def filtered(statement: Select[Any], filters: Filters) -> Select[Any]:
    """The statement with its conditions."""
    for column, texts in ((_A.pipeline, filters.pipelines), (_A.view, filters.views), (_A.key, filters.keys), (_A.level, filters.levels)):
        if texts:
            known = [indexed_text(text) for text in texts]
            statement = statement.where(column == known[0] if len(known) == 1 else column.in_(known))
    statement = statement.where(_A.status.in_(filters.statuses) if filters.statuses else _A.status != "retracted")
    if filters.since_ns is not None:
        statement = statement.where(_A.time_ns >= filters.since_ns)
    if filters.until_ns is not None:
        statement = statement.where(_A.time_ns < filters.until_ns)
    if filters.min_severity is not None:
        statement = statement.where(_A.severity >= filters.min_severity)
    return statement


def _ordered(statement: Select[Any], order: Order) -> Select[Any]:
    """The statement in an order in which each alert has one place."""
    if order is Order.NEWEST:
        return statement.order_by(_A.time_ns.desc(), _A.alert_id.desc())
    return statement.order_by(_A.severity.desc(), _A.votes.desc(), _A.score.desc(), _A.time_ns, _A.alert_id)


def _behind(order: Order, cursor: Cursor) -> ColumnElement[bool]:
    """Whether an alert comes behind the cursor's. The first part alone is what an index can use."""
    if order is Order.NEWEST:
        later = and_(_A.time_ns == cursor.time_ns, _A.alert_id < cursor.alert_id)
        return and_(_A.time_ns <= cursor.time_ns, or_(_A.time_ns < cursor.time_ns, later))
    same_time = and_(_A.time_ns == cursor.time_ns, _A.alert_id > cursor.alert_id)
    same_score = and_(_A.score == cursor.score, or_(_A.time_ns > cursor.time_ns, same_time))
    same_votes = and_(_A.votes == cursor.votes, or_(_A.score < cursor.score, same_score))
    return and_(_A.severity <= cursor.severity, or_(_A.severity < cursor.severity, _A.votes < cursor.votes, same_votes))
