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

INCIDENTS = Table(
    "incidents",
    METADATA,
    Column("incident_id", String(32), primary_key=True),
    Column("pipeline", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("who", Text, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("snoozed_until_ns", BigInteger),
    Column("label", String(16)),
    Column("label_why", Text),
    Column("merged_into", String(32)),
)
"""What people did about an episode: a row from the first time on that somebody did. `incident_id` is the episode's id at that time.

`state`, `who` and `at_ns` are the last ones, `label` is what the episode turned out to be. `merged_into`: the incident that went on when
the episodes of both had become one.
"""

INCIDENT_ALERTS = Table(
    "incident_alerts",
    METADATA,
    Column("alert_id", String(32), primary_key=True),
    Column("incident_id", String(32), nullable=False),
    Index("incident_alerts_of", "incident_id"),
)
"""The alerts that were of an incident when somebody last did something about it: whatever becomes of the episode, it is found by them."""

ACTIONS = Table(
    "incident_actions",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("incident_id", String(32), nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("who", Text, nullable=False),
    Column("action", String(16), nullable=False),
    Column("text", Text, nullable=False),
    Index("incident_actions_of", "incident_id", "number"),
)
"""Who did what, when: only ever added to."""

MUTES = Table(
    "mutes",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("pipeline", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("view", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("since_ns", BigInteger),
    Column("until_ns", BigInteger),
    Column("who", Text, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("removed_by", Text),
    Column("removed_ns", BigInteger),
    Index("mutes_of", "pipeline", "number"),
)
"""What is known already, and maintenance windows (those with `since_ns` and `until_ns`); `view` '' is every view."""

NOTIFIED = Table(
    "notified",
    METADATA,
    Column("receiver", String(200), primary_key=True),
    Column("change", BigInteger, nullable=False),
)
"""Up to which change each receiver's notices are in the outbox."""

OUTBOX = Table(
    "outbox",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("receiver", String(200), nullable=False),
    Column("subject", String(32), nullable=False),
    Column("event", Text, nullable=False),
    Column("fields", Text, nullable=False),
    Column("made_ns", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("tried_ns", BigInteger, nullable=False),
    Column("error", Text),
    Column("sent_ns", BigInteger),
    Index("outbox_once", "receiver", "subject", "event", unique=True),
    Index("outbox_waiting", "receiver", "sent_ns", "number"),
)
"""What receivers are to be told. `subject` is an alert or an incident, `event` what became of it: a level, or that it is no more; each of
these is noted once. `fields`: what a template can name, as JSON. All notices of one message have its `sent_ns`; NULL while they wait.
"""

VERSIONS = Table(
    "versions",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("pipeline", Text, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("plan_hash", String(32), nullable=False),
    Column("text", Text, nullable=False),
    Index("versions_of", "pipeline", "number"),
)
"""Pipeline files as they were before and after `offbeat learn` changed them: only ever added to."""

ORIGINS = Table(
    "origins",
    METADATA,
    Column("alert_id", String(32), primary_key=True),
    Column("file", Text, nullable=False),
    Column("row", BigInteger, nullable=False),
)
"""The file and the row in it, counted from 1, that each alert about a row was raised on: beside the alert, never in it [S23]."""

TALLIES = Table(
    "tallies",
    METADATA,
    Column("pipeline", Text, primary_key=True),
    Column("view", Text, primary_key=True),
    Column("level", Text, primary_key=True),
    Column("alerts", BigInteger, nullable=False),
    Column("severity_e9", BigInteger, nullable=False),
)
"""How many alerts stand (are not retracted), and the sum of their severities in billionths, whole: kept in the transactions that change
alerts, since counting millions would keep a page waiting.
"""
