"""What files are read with and reported about holds for topics: times that come twice, texts that never came, the quality gate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import finished
from kafka_topics import Brokers

CLOCKS = """
name: clocks
source: {key: k, time: {column: t, zone: Europe/Lisbon}, columns: {v: float}}
views: {v: {detectors: {high: {type: rule, when: v > 0}}}}
"""
WORDS = """
name: words
source: {key: k, time: t, columns: {kind: text, v: float}}
quality: {tolerate: {quarantined: 20 %}}
views: {v: {detectors: {high: {type: rule, when: "kind = 'SMS' and v > 0"}}}}
"""


def test_times_that_come_twice(kafka: Brokers, tmp_path: Path) -> None:
    """The clock goes back at 02:00: the row before tells which 01:00 it is, also where a worker before this one read it."""
    pipeline = tmp_path / "clocks.yaml"
    pipeline.write_text(CLOCKS)
    local = ["2024-10-27T00:30:00", "2024-10-27T01:30:00", "2024-10-27T01:00:00", "2024-10-27T01:45:00", "2024-10-27T02:10:00"]
    right = ["2024-10-26T23:30", "2024-10-27T00:30", "2024-10-27T01:00", "2024-10-27T01:45", "2024-10-27T02:10"]
    rows = [json.dumps({"k": "a", "t": time, "v": 1.0}).encode() for time in local]
    topic, out = kafka.topic(1), kafka.topic(1)
    command = ["run", pipeline, kafka.uri(topic), "--alerts", kafka.uri(out), "--group", topic, "--state", tmp_path, "--until", "end"]
    for part in (rows[:2], rows[2:]):
        kafka.fill(topic, part, "k")
        done = finished(*command, "--json")
        assert done.code == 0, done.err
        assert json.loads(done.out)["late"] == 0
    assert [alert["time"][:16] for alert in kafka.alerts(out)] == right


@pytest.mark.parametrize("partitions", [1, 2])
def test_texts_and_quality(kafka: Brokers, partitions: int, tmp_path: Path) -> None:
    pipeline = tmp_path / "words.yaml"
    pipeline.write_text(WORDS)
    topic = kafka.topic(partitions)
    command = ["run", pipeline, kafka.uri(topic), "--group", topic, "--state", tmp_path, "--until", "end", "--json"]

    def run(*rows: dict[str, object]) -> tuple[int, str]:
        times = (f"2024-05-01T10:00:{second:02d}Z" for second in range(len(rows)))
        kafka.fill(topic, [json.dumps({"k": "a", "t": time, **row}).encode() for time, row in zip(times, rows, strict=True)], "k")
        done = finished(*command)
        return done.code, json.loads(done.out)["notes"] if done.out else done.err

    code, notes = run({"kind": "sms", "v": 1.0}, {"kind": "sms", "v": None}, {"kind": "sms", "v": "x"})
    assert (code, any("'SMS'" in note for note in notes)) == (3, True), notes
    # The rows of a run count, not those of all runs before it.
    code, notes = run(*[{"kind": "SMS", "v": 2.0}] * 5)
    assert (code, any("'SMS'" in note for note in notes)) == (0, False), notes
