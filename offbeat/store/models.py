"""The tables of a store, as they are after the last migration.

A change here goes together with a file in `migrations/versions`; a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Index, Integer, MetaData, String, Table, Text, text

METADATA = MetaData()

ALERTS = Table(
    "alerts",
    METADATA,
    Column("alert_id", String(32), primary_key=True),
    Column("change", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("status", String(16), nullable=False),
    Column("pipeline", Text, nullable=False),
    Column("view", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("time_ns", BigInteger, nullable=False),
    Column("severity", Float(53), nullable=False),
    Column("level", Text, nullable=False),
    Column("votes", Integer, nullable=False),
    Column("score", Float(53), nullable=False),
    Column("record", Text, nullable=False),
    # The columns of a list are those before `record`. Each order and filter of a list has an index that gives it rows in that order.
    Index("alerts_change", "change", unique=True),
    Index("alerts_worst", text("severity DESC"), text("votes DESC"), text("score DESC"), "time_ns", "alert_id"),
    Index("alerts_newest", "time_ns", "alert_id"),
    Index("alerts_pipeline_worst", "pipeline", text("severity DESC"), text("votes DESC"), text("score DESC"), "time_ns", "alert_id"),
    Index("alerts_pipeline_newest", "pipeline", "time_ns", "alert_id"),
    Index("alerts_level_worst", "level", text("severity DESC"), text("votes DESC"), text("score DESC"), "time_ns", "alert_id"),
    Index("alerts_level_newest", "level", "time_ns", "alert_id"),
    Index("alerts_key_newest", "key", "time_ns", "alert_id"),
)
"""One row an alert: that of its greatest revision and status [S22].

`change` numbers what was added or replaced, in the order in which it became visible: who has seen all up to a number misses nothing by
asking for greater ones. `record` is the alert as its JSON line reads. `key`, `pipeline`, `view` and `level` are what `indexed_text` makes
of the record's; `severity` and `score` are 0 where the record has none. `time_ns`: nanoseconds since 1970, UTC.
"""

CHANGES = Table("changes", METADATA, Column("last", BigInteger, nullable=False))
"""One row: the number given last. A writer holds it until its transaction ends, so numbers become visible in their order."""

WRITERS = Table(
    "writers",
    METADATA,
    Column("writer", String(32), primary_key=True),
    Column("commits", BigInteger, nullable=False),
)
"""How many commits each run with a state has made here, written in the same transaction as its alerts."""
