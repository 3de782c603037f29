"""Records under another key are copied under the pipeline's, each once, and scored there as files are."""

from __future__ import annotations

import json
import time
from pathlib import Path

from command import finished, process
from confluent_kafka import Producer
from kafka_topics import Brokers, latest
from test_kafka_poison import PIPELINE, _row

PUNCTUATION = b'{"offbeat.punctuation": "2024-05-01T10:0%d:00Z"}'


def test_a_topic_under_another_key(kafka: Brokers, tmp_path: Path) -> None:
    pipeline, plain, file = tmp_path / "own.yaml", tmp_path / "plain.jsonl", tmp_path / "rows.ndjson"
    pipeline.write_text(PIPELINE)
    source, copied, out = kafka.topic(3), kafka.topic(4), kafka.topic(1)
    keys = [f"k{number}" for number in range(12)]
    lines = [_row(key, second, 20.0 * (second + number)) for second in range(30) for number, key in enumerate(keys)]
    file.write_bytes(b"\n".join(lines) + b"\n")
    assert finished("run", pipeline, file, "--alerts", plain).code == 0
    group = kafka.topic(1)
    command = ["run", pipeline, kafka.uri(source), "--alerts", kafka.uri(out), "--group", group, "--state", tmp_path / "state"]
    half = len(lines) // 2
    _send(kafka, source, [*lines[:half], b"not json"])
    refused = finished(*command, "--until", "end")
    assert (refused.code, "--repartition" in refused.err) == (2, True), refused.err
    command[command.index(group)] = f"{group}.2"
    command += ["--repartition", copied]
    with process(*command) as running:  # killed at once when some of it is there: what follows goes on from there
        end = time.monotonic() + 60
        while kafka.behind(f"{group}.2.repartition", source) not in {0, 1}:
            assert time.monotonic() < end
            time.sleep(0.05)
        running.kill()
    _send(kafka, source, [*lines[half:], PUNCTUATION % 1])
    done = finished(*command, "--until", "end", "--json")
    assert done.code == 0, done.err
    records = [message for message in kafka.read(copied) if not (message.value() or b"").startswith(b'{"off')]
    assert sorted(message.value() or b"" for message in records) == sorted([*lines, b"not json"])
    partitions = {json.loads(message.value() or b"")["k"]: message.partition() for message in records if message.value() in lines}
    assert all((message.key() or b"").decode() in partitions for message in records if message.value() in lines)
    told = [message for message in kafka.read(copied) if message not in records and (message.value() or b"").startswith(b'{"off')]
    assert {message.partition() for message in told} == {0, 1, 2, 3}
    assert latest(kafka.alerts(out)) == latest([json.loads(line) for line in plain.read_bytes().splitlines()])
    same = finished("run", pipeline, kafka.uri(source), "--repartition", source, "--group", "same", "--state", tmp_path / "same")
    assert (same.code, "reads" in same.err) == (2, True), same.err


def _send(kafka: Brokers, topic: str, records: list[bytes]) -> None:
    """Each key's rows into one partition that its name does not tell, under no key; punctuation into all."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "enable.idempotence": True})
    for record in records:
        if record.startswith(b'{"off'):
            for number in range(3):
                producer.produce(topic, record, None, number)
        else:
            producer.produce(topic, record, None, int(json.loads(record)["k"][1:]) % 3 if record.startswith(b"{") else 0)
    assert producer.flush(30) == 0
