"""Records that are no rows: each is the fault of its own, goes to the dead letters as it came, and the stream goes on."""

from __future__ import annotations

import json
from pathlib import Path

from command import finished
from confluent_kafka import Producer
from kafka_topics import Brokers

PIPELINE = """
name: poison
source: {key: k, time: t, columns: {v: float}}
quality: {not_after: 2050-01-01, max_jump: 10d}
views: {v: {detectors: {high: {type: rule, when: v > 100}}}}
"""


def _row(key: str, second: int, value: float) -> bytes:
    return json.dumps({"k": key, "t": f"2024-05-01T10:00:{second:02d}Z", "v": value}).encode()


def test_poison(kafka: Brokers, tmp_path: Path) -> None:
    pipeline = tmp_path / "poison.yaml"
    pipeline.write_text(PIPELINE)
    topic, out, dead = kafka.topic(2), kafka.topic(1), kafka.topic(1)
    good = [_row("a", 1, 1), _row("a", 2, 500), _row("a", 3, 2), _row("a", 4, 600), _row("a", 5, 3)]
    poison = {
        b"not json": "type",
        b'{"k": "a", "t": "2024-05-01T10:00:02Z", "v": "many"}': "type",
        b'{"k": "a", "t": "2024-05-01T10:00:02Z", "v": null}': "missing",
        b'{"t": "2024-05-01T10:00:02Z", "v": 1}': "missing",
        b'{"k": "a", "t": "yesterday", "v": 1}': "time",
        b'{"k": "a", "t": "1970-01-01T00:00:00Z", "v": 1}': "not_before",
        b'{"k": "a", "t": "2070-01-01T00:00:00Z", "v": 1}': "not_after",
        b'{"k": "a", "t": "2024-05-01T10:00:02Z", "v": "\xff\xfe"}': "encoding",
        b"\x00\x00\x00\x00\x01" + b"avro": "type",
        b"": "type",
        b"x" * (10 << 20): "type",
    }
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "enable.idempotence": True, "message.max.bytes": 32 << 20})
    for value in [good[0], *poison, None, good[1], b"\n" + good[2].replace(b",", b",\n") + b"\n", good[3], *poison, good[4]]:
        producer.produce(topic, value, b"a")
        producer.poll(0)
    assert producer.flush(60) == 0
    command = ["run", pipeline, kafka.uri(topic), "--alerts", kafka.uri(out), "--dead-letters", dead, "--state", tmp_path, "--until", "end"]
    done = finished(*command, "--json")
    assert done.code == 0, done.err
    figures = json.loads(done.out)
    assert (figures["rows_in"], figures["scored"]) == (5 + 2 * len(poison) + 1, 5)
    # All of them, twice; and the tombstone, which is a row that is missing.
    assert sum(figures["quarantined"].values()) == 2 * len(poison) + 1
    assert [(alert["time"][:19], alert["row"]["v"]) for alert in kafka.alerts(out)] == [
        ("2024-05-01T10:00:02", 500.0),
        ("2024-05-01T10:00:04", 600.0),
    ]
    aside = kafka.read(dead)
    assert len(aside) == 2 * len(poison) + 1
    told = []
    for message in aside:
        headers = {str(name): bytes(value) for name, value in list(message.headers() or []) if isinstance(value, bytes)}
        assert message.key() == b"a"
        assert headers["offbeat-origin"].startswith(f"{topic}/".encode())
        value = message.value()
        if "offbeat-size" in headers:
            assert int(headers["offbeat-size"]) == 10 << 20
            value = b"x" * (10 << 20)
        told.append((value, headers["offbeat-reason"].decode()))
    expected = [*poison.items(), *poison.items(), (None, "missing")]
    assert sorted(told, key=repr) == sorted(expected, key=repr)


def test_keys_in_the_wrong_partition(kafka: Brokers, tmp_path: Path) -> None:
    pipeline = tmp_path / "poison.yaml"
    pipeline.write_text(PIPELINE)
    topic, out = kafka.topic(2), kafka.topic(1)
    kafka.fill(topic, [_row("a", second, 1) for second in range(30)], None)  # no keys: the producer spreads them
    done = finished("run", pipeline, kafka.uri(topic), "--alerts", kafka.uri(out), "--state", tmp_path, "--until", "end")
    assert done.code == 2
    assert "no key" in done.err
    assert "'a'" in done.err
    assert topic in done.err
    assert kafka.read(out) == []
