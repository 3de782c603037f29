"""Which alerts a store keeps, and for how long."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, delete, exists, func, select

from offbeat.store.database import Database
from offbeat.store.models import ALERTS, INCIDENT_ALERTS, ORIGINS
from offbeat.store.notify.outbox import forget
from offbeat.store.tallies import numbered, settle, standing

_AT_ONCE = 5_000
"""Alerts removed in one transaction: writers wait no longer than for these."""


def old(database: Database, before_ns: int) -> tuple[int, int]:
    """How many alerts `prune` would remove, and how many there are."""
    with database.reading() as connection:
        gone = connection.execute(select(func.count()).select_from(ALERTS).where(_removable(before_ns))).scalar_one()
        return int(gone), int(connection.execute(select(func.count()).select_from(ALERTS)).scalar_one())


def prune(database: Database, before_ns: int) -> int:
    """Remove the alerts whose time lies before `before_ns`, but for those of incidents that somebody did something about; how many went.

    Notifications that were sent before that time are forgotten, too.
    """
    removed = 0
    while True:
        some = select(ALERTS.c.alert_id).where(_removable(before_ns)).order_by(ALERTS.c.time_ns, ALERTS.c.alert_id).limit(_AT_ONCE)
        with database.writing() as connection:
            numbered(connection, 0)
            ids = list(connection.execute(some).scalars())
            settle(connection, standing(connection, ids).values(), ())
            connection.execute(delete(ORIGINS).where(ORIGINS.c.alert_id.in_(ids)))
            gone = connection.execute(delete(ALERTS).where(ALERTS.c.alert_id.in_(ids))).rowcount
        removed += gone
        if gone < _AT_ONCE:
            break
    forget(database, before_ns)
    return removed


def _removable(before_ns: int) -> ColumnElement[bool]:
    return and_(ALERTS.c.time_ns < before_ns, ~exists().where(INCIDENT_ALERTS.c.alert_id == ALERTS.c.alert_id))
