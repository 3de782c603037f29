"""`offbeat load`: what stands in the topic is what a run over the files reads, each row once, also where it is killed in the middle."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest
from command import Command, finished, offbeat, process
from confluent_kafka import Consumer, TopicPartition
from kafka_topics import Brokers

__all__ = ["offbeat"]
FIELDS = {"bars": "key", "cdr": "customer_id"}
PARTITIONS = 3


def _by_key(rows: Iterable[bytes], field: str) -> dict[str, list[bytes]]:
    found = defaultdict(list)
    for row in rows:
        found[str(json.loads(row)[field])].append(row)
    return dict(found)


def _files(pipeline: str, folder: Path) -> Path:
    made = {"bars": ("--symbols", 5, "--days", 2), "cdr": ("--rows", 4_000, "--days", 20, "--customers", 30)}
    done = finished("generate", pipeline, "--out", folder / "source", *made[pipeline])
    assert done.code == 0, done.err
    return folder / "source"


def _wanted(source: Path, pipeline: str) -> dict[str, list[bytes]]:
    """What a replay of the files sends, by key."""
    done = finished("replay", source, source.with_name("all.ndjson"), "--pipeline", pipeline, "--speed", "max")
    assert done.code == 0, done.err
    return _by_key(source.with_name("all.ndjson").read_bytes().splitlines(), FIELDS[pipeline])


def _in(kafka: Brokers, topic: str, pipeline: str) -> dict[str, list[bytes]]:
    """The records of a topic by key, in their order; each lies under the key of its row."""
    messages = kafka.read(topic)
    for message in messages:
        assert (message.key() or b"").decode() == str(json.loads(message.value() or b"")[FIELDS[pipeline]])
    assert len({message.partition() for message in messages}) == PARTITIONS
    return _by_key((message.value() or b"" for message in messages), FIELDS[pipeline])


@pytest.mark.parametrize("pipeline", ["bars", "cdr"])
@pytest.mark.usefixtures("spark")
def test_a_topic_has_the_rows_of_the_files(offbeat: Command, kafka: Brokers, pipeline: str, tmp_path: Path) -> None:
    """Files that are named by their keys, and files that have it in a column; the same load once more adds nothing."""
    source, topic = _files(pipeline, tmp_path), kafka.topic(PARTITIONS, retention_ms="-1")
    wanted = _wanted(source, pipeline)
    for _ in range(2):
        done = offbeat("load", source, kafka.uri(topic), "--engine", "spark", "--resume", topic)
        assert done.code == 0, done.err
        assert f"{sum(map(len, wanted.values())):,} rows of" in done.err
        assert _in(kafka, topic, pipeline) == wanted


def test_what_cannot_be_loaded(offbeat: Command, kafka: Brokers, tmp_path: Path) -> None:
    source = _files("bars", tmp_path)
    said = {
        ("load", source, kafka.uri("t"), "--engine", "local"): "on one machine, `offbeat replay",
        ("load", "-", kafka.uri("t")): "standard input cannot be read by a cluster",
        ("load", source, "out.ndjson"): "expected kafka://HOST:PORT/TOPIC",
        ("load", tmp_path / "none", kafka.uri("t")): "none",
    }
    for words, why in said.items():
        assert why in offbeat.refused(*words)


@pytest.mark.heavy
@pytest.mark.usefixtures("spark")  # it skips where there is none
def test_killed_in_the_middle(kafka: Brokers, tmp_path: Path) -> None:
    """The same load goes on; what workers of the dead one still send is fenced off."""
    done = finished("generate", "bars", "--out", tmp_path / "source", "--symbols", 12, "--days", 30)
    assert done.code == 0, done.err
    wanted = _wanted(tmp_path / "source", "bars")
    for _ in range(10):  # on a busy machine it may have got through before this process saw that it had begun
        topic = kafka.topic(PARTITIONS, retention_ms="-1")
        command = ["load", tmp_path / "source", kafka.uri(topic), "--engine", "spark", "--master", "local[2]", "--resume", topic]
        with process(*command) as running:
            while running.poll() is None and _records(kafka, topic) < 12_000:
                time.sleep(0.01)
            in_the_middle = running.poll() is None
            running.kill()
            running.communicate()
        if in_the_middle:
            break
    assert in_the_middle
    done = finished(*command)
    assert done.code == 0, done.err
    assert _in(kafka, topic, "bars") == wanted


def _records(kafka: Brokers, topic: str) -> int:
    """About how many records a topic has."""
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "counter", "log_level": 0})
    try:
        return sum(consumer.get_watermark_offsets(TopicPartition(topic, number), 30)[1] for number in range(PARTITIONS))
    finally:
        consumer.close()
