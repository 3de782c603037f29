"""Records of alerts out of a store: as JSON lines, for what reads alerts from files too, and as frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import polars as pl
from sqlalchemy import select

from offbeat.io.read.alert_files import from_lines
from offbeat.store.database import Database
from offbeat.store.models import ALERTS
from offbeat.store.open import open_database, reached
from offbeat.store.rows import indexed_text
from offbeat.store.store import Store

_AT_ONCE = 20_000


def stored_lines(uri: str) -> bytes:
    """The record of each alert, retracted ones too, in the order in which they became what they are.

    Raises UserError where the store cannot be read.
    """
    database = open_database(uri, write=False)
    with reached(database), database.reading() as connection:
        found = connection.execute(select(ALERTS.c.record).order_by(ALERTS.c.change)).scalars()
        return b"".join(line.encode() + b"\n" for line in found)


def stored_alerts(database: Database, pipeline: str, views: Sequence[str], since_ns: int | None = None) -> Iterator[pl.DataFrame]:
    """The latest records of a pipeline's alerts in some views that stand, part by part, from a time on."""
    c = ALERTS.c
    asked = select(c.record).where(c.pipeline == indexed_text(pipeline), c.view.in_(list(views)), c.status != "retracted")
    if since_ns is not None:
        asked = asked.where(c.time_ns >= since_ns)
    with database.reading() as connection:
        rows = connection.execution_options(yield_per=_AT_ONCE).execute(asked)
        for part in rows.partitions(_AT_ONCE):
            yield frame_of((row[0] for row in part), database.address.text)


def frame_of(records: Iterable[str], where: str) -> pl.DataFrame:
    """Records as a frame; `where` is what an error calls the store."""
    return from_lines(b"".join(record.encode() + b"\n" for record in records), where)


def stored_line(uri: str, beginning: str) -> str:
    """The record of the alert whose id begins so. Raises UserError where none or several do, or the store cannot be read."""
    database = open_database(uri, write=False)
    with reached(database):
        return Store(database).alert(beginning).line
