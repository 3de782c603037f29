"""Streams that nobody thought of, and those that are hard on a cluster: late, double, filtered and faulty rows come out as everywhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from command import finished
from confluent_kafka import Producer
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka_topics import Brokers
from one_spark import JARS
from pyspark.sql import SparkSession
from test_engines_equal import _told
from test_stream import written

from offbeat.engines.spark.stream import SparkStream
from offbeat.io.kafka.address import kafka_address
from offbeat.spec.load import load_plan

PIPELINE = """
name: law
source:
  key: who
  time: at
  where: kind = 'call'
  columns: {id: {type: decimal, scale: 0}, mb: {type: decimal, scale: 2}, kind: text}
quality: {unique: [time, id], rules: {volume: mb >= 0}, lateness: 10m, max_jump: 2d}
views:
  row:
    windows: {w: {over: 5 rows, min_rows: 2, features: {m: mean(mb), s: std(mb)}}}
    detectors: {high: {type: rule, when: mb > 2 * m, expected: m}, odd: {type: zscore, over: 5 rows, min_values: 2, limits: {mb: 2}}}
    vote: {quorum: 1}
"""
FIGURES = ("rows_in", "scored", "warming_up", "late", "duplicate", "filtered", "pending", "quarantined")
pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(not any(JARS.glob("*.jar")), reason="no connector: make spark-install"),
]


def _row(who: str, seconds: int, number: int, mb: float | str | None, kind: str = "call") -> dict[str, object]:
    at = (datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).isoformat()
    return {"who": who, "at": at, "id": number, "mb": mb, "kind": kind}


STEPS = st.sampled_from((0, 60, 60, 60, 300, -120, -500, -900, 400 * 86_400))
"""Of which some make a row late, and one puts it into the future."""
EVENTS = st.lists(
    st.tuples(st.sampled_from("abc"), STEPS, st.sampled_from((1.0, 1.0, 1.25, 9.0, 0.0, -1.0, None, "much")), st.integers(0, 9)),
    min_size=20,
    max_size=80,
)


def _stream(number: int, events: list[tuple[str, int, float | str | None, int]]) -> list[dict[str, object]]:
    rows, now = list[dict[str, object]](), 0
    for key, step, mb, luck in events:
        if luck == 0 and rows:
            rows.append(rows[len(rows) // 2])  # once more
            continue
        rows.append(_row(f"{number}{key}", now + step, len(rows) if luck > 1 else 1, mb, "sms" if luck == 9 else "call"))
        now += step if 0 <= step < 86_400 else 0
    return rows


def _both(spark: SparkSession, kafka: Brokers, place: Path, goes: Sequence[Sequence[dict[str, object]]]) -> dict[str, object]:
    """The figures of Spark, after each go a new query; alerts and figures are those of the local engine."""
    place.mkdir()
    (place / "law.yaml").write_text(PIPELINE)
    (place / "all.ndjson").write_text("".join(json.dumps(row) + "\n" for rows in goes for row in rows))
    with (place / "all.ndjson").open() as stdin:
        words = ["--alerts", place / "local.jsonl", "--state", place / "local", "--continues", "--json"]
        done = finished("run", place / "law.yaml", "-", *words, stdin=stdin)
    assert done.code == 0, done.err
    wanted = [_told(json.loads(line)) for line in (place / "local.jsonl").read_bytes().splitlines()]
    topic, out = kafka.topic(3), place / "out.parquet"
    figures = dict[str, object]()
    for rows in goes:
        _send(kafka, topic, rows)
        plan, address = load_plan(place / "law.yaml"), kafka_address(kafka.uri(topic))
        query = SparkStream(spark, plan, address, state=place / "state", alerts=[str(out)], until_end=True, batch_rows=100_000)
        figures = query.run().ledger.as_dict()
    assert written(out) == sorted(wanted, key=lambda alert: str(alert["alert_id"]))
    assert {name: figures[name] for name in FIGURES} == {name: json.loads(done.out)[name] for name in FIGURES}
    return figures


def _send(kafka: Brokers, topic: str, rows: Sequence[dict[str, object]]) -> None:
    """Rows under their keys; without any, offsets alone go on, as after a transaction that was taken back."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": topic, "linger.ms": 5, "log_level": 0})
    producer.init_transactions(60)
    producer.begin_transaction()
    for row in rows or [_row("nobody", 0, 1, 1.0)]:
        producer.produce(topic, json.dumps(row), str(row["who"]))
        producer.poll(0)
    producer.flush(60)
    if rows:
        producer.commit_transaction(60)
    else:
        producer.abort_transaction(60)


@settings(max_examples=2)  # the first one is the simplest that there is
@given(found=st.lists(EVENTS, min_size=10, max_size=10))
def test_law(
    spark: SparkSession,
    kafka: Brokers,
    tmp_path_factory: pytest.TempPathFactory,
    found: list[list[tuple[str, int, float | str | None, int]]],
) -> None:
    """Ten streams, each of keys of its own, in one topic that is read in two goes."""
    rows = [row for number, events in enumerate(found) for row in _stream(number, events)]
    figures = _both(spark, kafka, tmp_path_factory.mktemp("law") / "both", [rows[: len(rows) // 2], rows[len(rows) // 2 :]])
    assert figures["rows_in"] == len(rows)


def test_many_keys_and_a_large_one(spark: SparkSession, kafka: Brokers, tmp_path: Path) -> None:
    """100,000 keys, one key with half of all rows, a batch without a record."""
    rows = []
    for number in range(100_000):
        rows += [_row(f"k{number}", number // 10, number, 1.0), _row("busy", number // 10, number, 50.0 if number % 997 == 0 else 1.0)]
    figures = _both(spark, kafka, tmp_path / "many", [rows[:150_000], [], rows[150_000:]])
    assert figures["rows_in"] == len(rows)


def test_hand_made(spark: SparkSession, kafka: Brokers, tmp_path: Path) -> None:
    """One late, one double, one filtered, one that breaks a rule, one that is no number: counted by hand."""
    rows = [_row("a", 60 * number, number, 1.0) for number in range(30)]
    rows += [
        _row("a", 60, 99, 1.0),
        rows[29],
        _row("a", 1_800, 100, 1.0, "sms"),
        _row("a", 1_800, 101, -1.0),
        _row("a", 1_800, 102, "much"),
    ]
    rows += [_row("a", 1_860 + 60 * number, 200 + number, 9.0 if number == 20 else 1.0) for number in range(40)]
    figures = _both(spark, kafka, tmp_path / "hand", [rows[:31], rows[31:]])
    assert (figures["rows_in"], figures["late"], figures["duplicate"], figures["filtered"]) == (75, 1, 1, 1)
    assert figures["quarantined"] == {"volume": 1, "type": 1}
