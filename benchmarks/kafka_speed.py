"""Trades out of a topic: the whole worker beside a bare consume-and-decode loop and the same fold fed from memory; and how late alerts are.

One broker on the same machine, one worker, real trades over and over under names of their own. The worker commits alerts and offsets in
transactions and its alerts are checked against those of the fold from memory.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from benchmarks.decode import json_lines
from benchmarks.results import record
from offbeat.engines.kafka.job import Job
from offbeat.engines.kafka.worker import KafkaEngine
from offbeat.engines.sharding import cut
from offbeat.fold.fold import Fold
from offbeat.io.kafka.address import KafkaAddress
from offbeat.io.read.records import chunk_of_records
from offbeat.spec.load import load_plan

sys.path.insert(0, str(Path(__file__).parents[1] / "deploy" / "kafka"))
from broker import running

PARTITIONS = 4
RATES = (2_000, 10_000)
LATENCY_SECONDS = 20


def rows(count: int) -> list[tuple[bytes, bytes]]:
    """(key, value) of so many trades; each time round the symbols have other names, so that times of a key rise."""
    body = json_lines("trades").splitlines()
    out: list[tuple[bytes, bytes]] = []
    for turn in range(-(-count // len(body))):
        for line in body[: count - len(out)]:
            symbol = line[11:14]
            own = symbol + str(turn).encode()
            out.append((own, line.replace(b'"symbol":"' + symbol, b'"symbol":"' + own, 1)))
    return out


def fill(bootstrap: str, topic: str, some: list[tuple[bytes, bytes]]) -> None:
    """Send rows."""
    producer = Producer(
        {"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 20, "queue.buffering.max.messages": 500_000}
    )
    for key, value in some:
        while True:
            try:
                producer.produce(topic, value, key)
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush()


def bare(bootstrap: str, topic: str, backoff_ms: int) -> float:
    """Seconds of a loop that consumes and decodes, and does nothing else."""
    schema = {name: pl.String if isinstance(value, str) else pl.Float64 for name, value in json.loads(rows(1)[0][1]).items()}
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": uuid.uuid4().hex,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.queue.backoff.ms": backoff_ms,
        }
    )
    consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    began, ended = time.perf_counter(), 0
    while ended < PARTITIONS:
        first = consumer.poll(1)
        messages = [] if first is None else [first, *consumer.consume(9_999, 0)]
        values = []
        for message in messages:
            error = message.error()
            if error is None:
                values.append(message.value() or b"")
            elif error.code() == KafkaError._PARTITION_EOF:
                ended += 1
        if values:
            pl.read_ndjson(b"\n".join(values), schema=schema)
    seconds = time.perf_counter() - began
    consumer.close()
    return seconds


def from_memory(some: list[tuple[bytes, bytes]], pipeline: str) -> tuple[float, set[str]]:
    """Seconds of decoder and fold alone, on as many shards, and the ids of the alerts."""
    plan = load_plan(pipeline)
    fold = Fold(plan, live=True)
    for number in range(PARTITIONS):
        fold.assign(number)
    ids: set[str] = set()
    began = time.perf_counter()
    for at in range(0, len(some), 10_000):
        chunk = chunk_of_records(plan.source, [value for _, value in some[at : at + 10_000]], {})
        for number, part in cut(chunk, PARTITIONS):
            for block in fold.feed(number, fold.prepare(number, part)).alerts:
                ids.update(bytes(each).hex() for each in block.ids)
    for block in fold.end().alerts:
        ids.update(bytes(each).hex() for each in block.ids)
    return time.perf_counter() - began, ids


def worker(bootstrap: str, topic: str, alerts: str, pipeline: str, folder: Path) -> tuple[float, int]:
    """Seconds of the whole worker from joining its group to its last commit, and how many alerts it sent."""
    own = Job(
        source=KafkaAddress(bootstrap, topic, {}),
        group=alerts,
        instance="benchmark",
        state=folder,
        alerts=KafkaAddress(bootstrap, alerts, {}),
        until_end=True,
    )
    began = time.perf_counter()
    done = KafkaEngine(load_plan(pipeline), own).run()
    return time.perf_counter() - began, done.alerts


def ids_of(bootstrap: str, topic: str) -> set[str]:
    """Ids of the alerts that a reader of committed records sees; each must be there once."""
    out = [json.loads(value)["alert_id"] for value in committed(bootstrap, topic)]
    assert len(out) == len(set(out)), "an alert is there twice"
    return set(out)


def committed(bootstrap: str, topic: str) -> Iterator[bytes]:
    """All committed records."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": uuid.uuid4().hex, "enable.partition.eof": True, "isolation.level": "read_committed"}
    )
    known = consumer.list_topics(topic, 30).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, 0) for number in known])
    ended = 0
    while ended < len(known):
        message = consumer.poll(10)
        if message is None:
            continue
        error = message.error()
        if error is None:
            yield message.value() or b""
        elif error.code() == KafkaError._PARTITION_EOF:
            ended += 1
    consumer.close()


LATENCY = """
name: latency
source: {key: k, time: t, columns: {v: float, sent_ns: {type: decimal, scale: 0}}}
views:
  v:
    windows: {w: {over: 100 rows, current: true, min_rows: 1, features: {m: mean(v)}}}
    detectors: {high: {type: rule, when: v > 100}}
"""


def latency(bootstrap: str, rate: int, folder: Path) -> list[float]:
    """Milliseconds from a row's sending until its alert can be read under `read_committed`, at so many rows a second; 1 in 50 alerts."""
    pipeline = folder / "latency.yaml"
    pipeline.write_text(LATENCY)
    topic, alerts = f"l{uuid.uuid4().hex[:8]}", f"a{uuid.uuid4().hex[:8]}"
    create(bootstrap, topic, alerts)
    own = Job(KafkaAddress(bootstrap, topic, {}), alerts, "benchmark", folder / "state", KafkaAddress(bootstrap, alerts, {}))
    engine = KafkaEngine(load_plan(str(pipeline)), own)
    runner = threading.Thread(target=engine.run)
    runner.start()
    taken: list[float] = []
    stop = threading.Event()

    def read() -> None:
        consumer = Consumer(
            {"bootstrap.servers": bootstrap, "group.id": uuid.uuid4().hex, "isolation.level": "read_committed", "fetch.wait.max.ms": 5}
        )
        consumer.assign([TopicPartition(alerts, number, 0) for number in range(PARTITIONS)])
        while not stop.is_set():
            message = consumer.poll(0.2)
            if message is not None and message.error() is None:
                now = time.time_ns()
                taken.append((now - int(json.loads(message.value() or b"")["row"]["sent_ns"])) / 1e6)
        consumer.close()

    reader = threading.Thread(target=read)
    reader.start()
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 1})
    began, number = time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < LATENCY_SECONDS:
        while number < passed * rate:
            key = f"k{number % 500}"
            row: dict[str, Any] = {"k": key, "t": f"2024-01-01T00:00:00.{number:09d}Z", "v": 1, "sent_ns": time.time_ns()}
            row["v"] = 500 if number % 50 == 0 else 1
            producer.produce(topic, json.dumps(row), key)
            number += 1
        producer.poll(0)
        time.sleep(0.0005)
    producer.flush()
    time.sleep(1)
    engine.stop()
    runner.join()
    stop.set()
    reader.join()
    return taken[len(taken) // 10 :]  # the first ones wait for the group to form


def create(bootstrap: str, *topics: str) -> None:
    """Make topics."""
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415
    from confluent_kafka.cimpl import NewTopic  # noqa: PLC0415

    admin = AdminClient({"bootstrap.servers": bootstrap})
    for done in admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in topics]).values():
        done.result(30)


def main() -> None:
    """Measure, check, record."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=1_000_000)
    count = arguments.parse_args().rows
    some = rows(count)
    size = sum(len(value) for _, value in some) / count
    lines = []
    with running() as cluster, tempfile.TemporaryDirectory() as folder:
        at = cluster.bootstrap
        create(at, "trades", "warm", "anomalies")
        fill(at, "warm", some[:5_000])
        worker(at, "warm", "warm-alerts", "trades", Path(folder))  # compiles
        fill(at, "trades", some)
        slow, quick = bare(at, "trades", 1_000), bare(at, "trades", 10)
        memory, wanted = from_memory(some, "trades")
        whole, sent = worker(at, "trades", "anomalies", "trades", Path(folder))
        assert ids_of(at, "anomalies") == wanted, "the alerts differ"
        for name, seconds in (
            ("bare consume + Polars decode, librdkafka's default settings", slow),
            ("the same with fetch.queue.backoff.ms=10", quick),
            ("decoder and fold of `trades` from memory", memory),
            ("the worker: consume, decode, fold, alerts and offsets in transactions", whole),
        ):
            lines.append(f"| {name} | {seconds:.2f} | {count / seconds:,.0f} | {memory / seconds:.2f} |")
        table = "\n".join(["| what | seconds | rows/s | times the fold from memory |", "|---|--:|--:|--:|", *lines])
        table += (
            f"\n\n{count:,} trades of {size:.0f} bytes as JSON, {PARTITIONS} partitions, {sent:,} alerts, each equal and there once.\n\n"
        )
        late = ["| rows/s | alerts | p50 ms | p99 ms | greatest ms |", "|--:|--:|--:|--:|--:|"]
        for rate in RATES:
            taken = np.array(latency(at, rate, Path(folder)))
            late.append(
                f"| {rate:,} | {len(taken):,} | {np.percentile(taken, 50):.1f} | {np.percentile(taken, 99):.1f} | {taken.max():.1f} |"
            )
        table += "From a row's sending until its alert can be read under `read_committed`:\n\n" + "\n".join(late) + "\n"
    sys.stdout.write(record("Kafka", table, "confluent-kafka", "polars", "numba"))


if __name__ == "__main__":
    main()
