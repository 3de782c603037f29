"""Law 4: the same rows through files and through Kafka give the same alerts, however many partitions there are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import finished
from kafka_rows import Rows
from kafka_topics import Brokers, latest


@pytest.mark.parametrize("partitions", [1, 4, 12])
def test_kafka_equals_files(kafka: Brokers, rows: Rows, partitions: int, tmp_path: Path) -> None:
    topic, out, state = kafka.topic(partitions), kafka.topic(3), tmp_path / "state"
    kafka.fill(topic, rows.lines, rows.field)
    command = ["run", rows.pipeline, kafka.uri(topic), "--alerts", kafka.uri(out), "--group", topic, "--state", state, "--until", "end"]
    done = finished(*command, "--json")
    assert done.code == 0, done.err
    by_kafka = json.loads(done.out)
    found = kafka.alerts(out)
    assert latest(found) == latest(rows.wanted)
    figures = ("rows_in", "scored", "warming_up", "late", "duplicate", "pending", "quarantined")
    assert {name: by_kafka[name] for name in figures} == {name: rows.figures[name] for name in figures}
    if partitions != 4:
        return
    # The same command again has nothing to read, and says nothing twice.
    done = finished(*command, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["alerts"] == 0
    assert len(kafka.alerts(out)) == len(found)
