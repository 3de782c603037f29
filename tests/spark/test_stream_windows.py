"""Windows on other keys by streaming: the shards tell the merge, batch by batch, and the alerts that count are those of files."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from kafka_rows import Rows
from kafka_topics import Brokers, latest
from pyspark.sql import SparkSession
from test_engines_equal import _told
from test_stream import LOOSE, fill, stream, written

from offbeat.io.kafka.payloads import punctuation

PARTITIONS = 3
FIGURES = ("rows_in", "scored", "warming_up", "late", "duplicate", "pending", "quarantined")


@pytest.mark.heavy
@pytest.mark.parametrize("rows", ["cdr"], indirect=True)
def test_views_on_other_keys(spark: SparkSession, kafka: Brokers, rows: Rows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In two goes, the last batch once more as after a crash; in the end all partitions are told that time has passed."""
    monkeypatch.setitem(LOOSE, "cdr", [])
    topic = kafka.topic(PARTITIONS)
    fill(kafka, topic, rows, 0, 4_000)
    stream(spark, kafka, topic, "cdr", tmp_path, 3_000)
    fill(kafka, topic, rows, 4_000)
    tell(kafka, topic, _end_of(rows))
    done = stream(spark, kafka, topic, "cdr", tmp_path, 3_000)
    assert latest(written(tmp_path / "out.parquet")) == latest([_told(alert) for alert in rows.wanted])
    figures = done.ledger.as_dict()
    assert {name: figures[name] for name in FIGURES} == {name: rows.figures[name] for name in FIGURES}
    commits = tmp_path / "state" / "checkpoint" / "commits"
    last = max(int(path.name) for path in commits.iterdir() if path.name.isdigit())
    parts = {path.name: path.read_bytes() for path in (tmp_path / "out.parquet").iterdir()}
    for path in commits.glob(f"*{last}*"):
        path.unlink()
    assert stream(spark, kafka, topic, "cdr", tmp_path, 3_000).ledger.as_dict() == figures
    assert {path.name: path.read_bytes() for path in (tmp_path / "out.parquet").iterdir()} == parts


def _end_of(rows: Rows) -> str:
    """The end of the last hour with rows, with which a day ends in the pipeline's zone: the run over files fills no hour beyond it."""
    last = max(datetime.fromisoformat(json.loads(line)["timestamp"]) for line in rows.lines)
    end = last.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    assert end.astimezone(ZoneInfo("Africa/Algiers")).hour == 0
    return end.strftime("%Y-%m-%dT%H:%M:%SZ")


def tell(kafka: Brokers, topic: str, time: str) -> None:
    """No row before a time will come, in any partition."""
    from confluent_kafka import Producer  # noqa: PLC0415

    producer = Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    for partition in range(PARTITIONS):
        producer.produce(topic, punctuation(time), partition=partition)
    assert producer.flush(60) == 0
