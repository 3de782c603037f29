"""Alerts into the tables, with all that is kept about them."""

from __future__ import annotations

import pyarrow as pa
from sqlalchemy import Connection

from offbeat.store.rows import rows_of, upsert_statement
from offbeat.store.tallies import changed, numbered, settle, standing

_AT_ONCE = 10_000


def upsert(connection: Connection, alerts: pa.Table) -> None:
    """Add alerts, or replace those of a smaller revision or status; see `upsert_statement`."""
    statement = upsert_statement(connection)
    for start in range(0, alerts.num_rows, _AT_ONCE):
        rows = list(rows_of(alerts.slice(start, _AT_ONCE)))
        first = numbered(connection, len(rows))
        before = standing(connection, [row["alert_id"] for row in rows])
        connection.execute(statement, [row | {"change": change} for change, row in enumerate(rows, first)])
        touched, now = changed(connection, first, first + len(rows) - 1)
        settle(connection, (alert for alert_id, alert in before.items() if alert_id in touched), now.values())
