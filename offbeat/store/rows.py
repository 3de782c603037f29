"""Alerts as rows of the store's table, and the rule by which one replaces another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl
import pyarrow as pa
import xxhash
from sqlalchemy import ColumnElement, Connection, and_, case, or_

from offbeat.decide.block import STATUSES
from offbeat.io.read.alert_files import mean_score
from offbeat.io.write.jsonl_sink import json_lines
from offbeat.store.database import insert_into
from offbeat.store.models import ALERTS

_LONGEST = 1_000
"""Bytes of a text that an index of PostgreSQL takes with room for others: it has 2,704 in all."""
_HEAD = 200
_TEXTS = ("pipeline", "view", "key", "level")


def indexed_text(text: str) -> str:
    """A text as a column holds it: without NUL, which PostgreSQL cannot store, and a very long one as its beginning and a hash.

    The record has the whole one.
    """
    text = text.replace("\0", "␀")
    data = text.encode("utf-8", "replace")
    return data.decode() if len(data) <= _LONGEST else f"{text[:_HEAD]}…{xxhash.xxh128_hexdigest(data)}"


def rows_of(table: pa.Table) -> Iterator[dict[str, Any]]:
    """The table's alerts as rows, but for `change`."""
    frame = pl.DataFrame(table.select(["alert_id", "revision", "status", *_TEXTS, "severity", "votes", "detectors"]))
    frame = frame.with_columns(
        pl.col("status", *_TEXTS).cast(pl.String), pl.col("severity").fill_null(0.0), score=mean_score().fill_null(0.0)
    )
    times = table["time"].cast(pa.int64()).to_pylist()
    lines = json_lines(table).split(b"\n")
    for row, time, line in zip(frame.drop("detectors").iter_rows(named=True), times, lines, strict=False):
        row |= {name: indexed_text(row[name]) for name in _TEXTS}
        yield row | {"time_ns": time, "record": line.decode()}


def upsert_statement(connection: Connection) -> Any:
    """Adds an alert, or replaces one of a smaller revision or status [S22]; what comes again changes nothing.

    An alert of the same revision and status with another record, as of a run with other limits, replaces the one that is there.
    """
    insert = insert_into(connection, ALERTS)
    new = insert.excluded
    later = or_(
        new.revision > ALERTS.c.revision,
        and_(
            new.revision == ALERTS.c.revision,
            or_(_rank(new.status) > _rank(ALERTS.c.status), and_(new.status == ALERTS.c.status, new.record != ALERTS.c.record)),
        ),
    )
    columns = {column.name: new[column.name] for column in ALERTS.columns if not column.primary_key}
    return insert.on_conflict_do_update(index_elements=[ALERTS.c.alert_id], set_=columns, where=later)


def _rank(status: ColumnElement[str]) -> ColumnElement[int]:
    return case({name: rank for rank, name in enumerate(STATUSES)}, value=status, else_=-1)
