"""Counts of alerts by pipeline, view and level, kept in the transactions that change them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Select, func, select, update

from offbeat.io.read.alert_query import Filters
from offbeat.store.database import insert_into
from offbeat.store.models import ALERTS, CHANGES, TALLIES
from offbeat.store.rows import indexed_text

_T = TALLIES.c
Standing = dict[str, tuple[str, str, str, float]]
"""alert_id → pipeline, view, level and severity, of alerts that are not retracted."""
_COLUMNS = (ALERTS.c.alert_id, ALERTS.c.pipeline, ALERTS.c.view, ALERTS.c.level, ALERTS.c.severity)


def numbered(connection: Connection, count: int) -> int:
    """Take `count` numbers of changes; the first of them. Until the transaction ends no other writer changes alerts."""
    taken = update(CHANGES).values(last=CHANGES.c.last + count).returning(CHANGES.c.last)
    return int(connection.execute(taken).scalar_one()) - count + 1


def standing(connection: Connection, alert_ids: Sequence[str]) -> Standing:
    """Those of some alerts that are there and not retracted."""
    return _of(connection, select(*_COLUMNS).where(ALERTS.c.alert_id.in_(alert_ids)))


def changed(connection: Connection, first: int, last: int) -> tuple[set[str], Standing]:
    """The alerts with a change of these numbers, and those of them that are not retracted."""
    within = ALERTS.c.change.between(first, last)
    return set(connection.execute(select(ALERTS.c.alert_id).where(within)).scalars()), _of(connection, select(*_COLUMNS).where(within))


def settle(connection: Connection, gone: Iterable[tuple[str, str, str, float]], come: Iterable[tuple[str, str, str, float]]) -> None:
    """Take alerts off the counts, and add others."""
    counts = defaultdict[tuple[str, str, str], list[int]](lambda: [0, 0])
    for sign, alerts in ((-1, gone), (1, come)):
        for pipeline, view, level, severity in alerts:
            entry = counts[pipeline, view, level]
            entry[0] += sign
            entry[1] += sign * int(severity * 1e9)
    rows = [
        {"pipeline": pipeline, "view": view, "level": level, "alerts": count, "severity_e9": total}
        for (pipeline, view, level), (count, total) in counts.items()
        if count or total
    ]
    if rows:
        insert = insert_into(connection, TALLIES)
        new = insert.excluded
        sums = {"alerts": _T.alerts + new.alerts, "severity_e9": _T.severity_e9 + new.severity_e9}
        connection.execute(insert.on_conflict_do_update(index_elements=[_T.pipeline, _T.view, _T.level], set_=sums), rows)


def answers(filters: Filters) -> bool:
    """Whether the counts answer a question: one about pipelines, views and levels alone."""
    return not (filters.keys or filters.statuses) and filters.since_ns is None and filters.until_ns is None and filters.min_severity is None


def by_level(connection: Connection, filters: Filters) -> dict[str, tuple[int, float]]:
    """Level → how many alerts, and the sum of their severities."""
    asked = select(_T.level, func.sum(_T.alerts), func.sum(_T.severity_e9)).where(_T.alerts > 0).group_by(_T.level)
    for column, texts in ((_T.pipeline, filters.pipelines), (_T.view, filters.views), (_T.level, filters.levels)):
        if texts:
            asked = asked.where(column.in_([indexed_text(text) for text in texts]))
    return {row[0]: (int(row[1]), int(row[2]) / 1e9) for row in connection.execute(asked)}


def _of(connection: Connection, asked: Select[Any]) -> Standing:
    rows = connection.execute(asked.where(ALERTS.c.status != "retracted"))
    return {row[0]: (row[1], row[2], row[3], row[4]) for row in rows}
