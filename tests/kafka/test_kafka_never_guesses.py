"""Where a worker cannot know that it would be right it stops with one line, and nothing is sent twice or left out in silence."""

from __future__ import annotations

import json
import random
import signal
import time
from pathlib import Path

import pytest
from command import finished, process
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.cimpl import NewPartitions, NewTopic
from kafka_topics import Brokers, latest
from test_kafka_crash import _job, _run
from test_kafka_poison import PIPELINE, _row

from offbeat.engines.kafka.places import Place
from offbeat.engines.kafka.shards import MergeShard, end_record
from offbeat.errors import UserError
from offbeat.spec.load import load_plan

SUMS = """
name: sums
source: {key: k, time: t, columns: {g: text, v: {type: decimal, scale: 0}}}
views:
  sums:
    rollup: {key: g, size: 1h, columns: {total: sum(v)}}
    detectors: {high: {type: rule, when: total > 100}}
"""


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    path = tmp_path / "own.yaml"
    path.write_text(PIPELINE)
    return path


def _committed(kafka: Brokers, group: str, topic: str) -> dict[str, object]:
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": group, "enable.auto.commit": False, "log_level": 0})
    try:
        place: dict[str, object] = json.loads(consumer.committed([TopicPartition(topic, 0)], 30)[0].metadata or "{}")
        return place
    finally:
        consumer.close()


def _forget(kafka: Brokers, group: str) -> None:
    admin = kafka.admin()
    for attempt in range(200):
        try:
            admin.delete_consumer_groups([group])[group].result(30)
            break
        except KafkaException:
            assert attempt < 199
            time.sleep(0.2)  # the worker is a member until its session is over


def test_offsets_that_expired(kafka: Brokers, pipeline: Path, tmp_path: Path) -> None:
    """Brokers forget the offsets of a group that was away for a week: all its alerts would be sent once more."""
    topic, out = kafka.topic(1), kafka.topic(1)
    kafka.fill(topic, [_row("a", 1, 500)], "k")
    source = f"{kafka.uri(topic)}?session.timeout.ms=2000&heartbeat.interval.ms=500"
    command = ["run", pipeline, source, "--alerts", kafka.uri(out), "--group", topic, "--until", "end", "--state", tmp_path / "state"]
    assert finished(*command).code == 0
    _forget(kafka, topic)
    done = finished(*command)
    assert len(kafka.alerts(out)) == 1
    assert done.code == 2
    assert "--group" in done.err


def test_a_partition_more_while_it_runs(kafka: Brokers, pipeline: Path, tmp_path: Path) -> None:
    topic = kafka.topic(1)
    kafka.fill(topic, [_row("a", 1, 1)], "k")
    source = f"{kafka.uri(topic)}?topic.metadata.refresh.interval.ms=500"
    with process("run", pipeline, source, "--group", topic, "--state", tmp_path / "state") as running:
        until = time.monotonic() + 60
        while kafka.behind(topic, topic) != 0:
            assert time.monotonic() < until
            time.sleep(0.1)
        admin = kafka.admin()
        admin.create_partitions([NewPartitions(topic, 2)])[topic].result(30)
        try:
            _, err = running.communicate(timeout=60)
        finally:
            running.kill()
        assert running.returncode == 2
        assert "2 partitions and had 1" in err


def test_ends_do_not_pile_up(kafka: Brokers, pipeline: Path, tmp_path: Path) -> None:
    """A job that often finds nothing new: what is kept with the offsets would grow until brokers refuse it."""
    topic = kafka.topic(1)
    kafka.fill(topic, [_row("a", 1, 1)], "k")
    command = ["run", pipeline, kafka.uri(topic), "--group", topic, "--until", "end", "--state", tmp_path / "state"]
    for _ in range(3):
        assert finished(*command).code == 0
    assert _committed(kafka, topic, topic)["ends"] == [1]


def _sum_row(group: str, hour: int, value: float) -> bytes:
    return json.dumps({"k": "a", "t": f"2024-05-01T{hour:02d}:00:00Z", "g": group, "v": value}).encode()


def test_an_end_of_an_earlier_run(kafka: Brokers, tmp_path: Path) -> None:
    """A worker died when its rows had ended and the merge had not: the merge of the next run waits for that run's end."""
    pipeline = tmp_path / "sums.yaml"
    pipeline.write_text(SUMS)
    topic, out = kafka.topic(1), kafka.topic(1)
    kafka.fill(topic, [_sum_row("x", 1, 500)], "k")
    job = {**_job(kafka, topic, out, tmp_path / "state"), "pipeline": str(pipeline)}
    assert _run({**job, "step": "committed", "at": 2})[0] == -signal.SIGKILL
    assert any((message.value() or b"").startswith(b"{") for message in kafka.read(f"{out}.partials"))
    kafka.fill(topic, [_sum_row("y", 2, 700)], "k")
    code, err = _run(job)
    assert code == 0, err
    assert {(alert["key"], alert["status"]) for alert in latest(kafka.alerts(out))} == {("x", "final"), ("y", "final")}


def test_offsets_and_state_both_lost(kafka: Brokers, tmp_path: Path) -> None:
    """Nothing tells of the group's former life but its topic of partials: what that holds is not counted once more."""
    pipeline = tmp_path / "sums.yaml"
    pipeline.write_text(SUMS)
    topic, out = kafka.topic(1), kafka.topic(1)
    kafka.fill(topic, [_sum_row("x", 1, 60)], "k")
    source = f"{kafka.uri(topic)}?session.timeout.ms=2000&heartbeat.interval.ms=500"
    command = ["run", pipeline, source, "--alerts", kafka.uri(out), "--group", topic, "--until", "end", "--state"]
    assert finished(*command, tmp_path / "one").code == 0
    _forget(kafka, topic)
    done = finished(*command, tmp_path / "two", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["views"]["sums"]["windows"] == 1
    assert kafka.alerts(out) == []


def test_a_partition_that_began_anew(tmp_path: Path) -> None:
    """The merge goes on and a partition does not: its windows are not added to what they were before."""
    pipeline = tmp_path / "sums.yaml"
    pipeline.write_text(SUMS)
    plan = load_plan(str(pipeline))
    merge = MergeShard(plan, 1, Place(0, "id", plan.state_hash, 1, 0), 0, None)
    for epoch in ("a", "a", "b"):
        value, headers = end_record(0, 5, epoch)
        if epoch == "a":
            merge.feed(value, dict(headers), "here")
        else:
            with pytest.raises(UserError, match="--group"):
                merge.feed(value, dict(headers), "here")


def test_more_windows_than_a_record_holds(kafka: Brokers, tmp_path: Path) -> None:
    pipeline = tmp_path / "sums.yaml"
    pipeline.write_text(SUMS)
    topic, out = kafka.topic(1), kafka.topic(1)
    admin, name = kafka.admin(), f"{topic}.partials"
    admin.create_topics([NewTopic(name, 1, 1, config={"max.message.bytes": "1048588"})])[name].result(30)
    chance = random.Random(1)
    groups = [f"{number}-{chance.randbytes(1000).hex()}" for number in range(3000)]
    kafka.fill(topic, [_sum_row(group, 1, number) for number, group in enumerate(groups)], "k")
    command = ["run", pipeline, kafka.uri(topic), "--alerts", kafka.uri(out), "--group", topic, "--until", "end"]
    done = finished(*command, "--state", tmp_path / "state", "--json")
    assert done.code == 0, done.err
    assert {alert["key"] for alert in kafka.alerts(out)} == set(groups[101:])
    assert max(len(message.value() or b"") for message in kafka.read(f"{topic}.partials")) > 500_000


def test_an_output_that_is_the_input(kafka: Brokers, pipeline: Path, tmp_path: Path) -> None:
    topic = kafka.topic(1)
    kafka.fill(topic, [b"nothing"], None)
    for option, value in (("--alerts", kafka.uri(topic)), ("--dead-letters", topic)):
        command = ["run", pipeline, kafka.uri(topic), option, value, "--group", topic, "--until", "end", "--state", tmp_path / option]
        done = finished(*command)
        assert done.code == 2
        assert "reads" in done.err
    assert len(kafka.read(topic)) == 1


def test_ends_outlive_the_snapshots(kafka: Brokers, pipeline: Path, tmp_path: Path) -> None:
    """A row that came behind an end is late, also where the snapshots are lost and all is folded once more."""
    topic = kafka.topic(1)
    command = ["run", pipeline, kafka.uri(topic), "--group", topic, "--until", "end", "--set", "quality.lateness=30s", "--json"]
    for second, state in ((20, "one"), (5, "one"), (50, "another")):
        kafka.fill(topic, [_row("a", second, 1)], "k")
        done = finished(*command, "--state", tmp_path / state)
        assert done.code == 0, done.err
    assert json.loads(done.out)["late"] == 1
