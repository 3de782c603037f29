"""From the start of a worker that was killed to its first new alert, with many keys in its state: process, snapshot, replay and all."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from benchmarks.kafka_speed import create, fill
from benchmarks.results import record

sys.path.insert(0, str(Path(__file__).parents[1] / "deploy" / "kafka"))
from broker import running

_OFFBEAT = Path(sys.executable).with_name("offbeat")
_MONDAY = datetime(2024, 3, 4, 9, 30, tzinfo=UTC)


Rows = list[tuple[bytes, bytes]]


def bars(keys: int, times: range, close: float) -> Iterator[tuple[bytes, bytes]]:
    """Minute bars of all keys."""
    for minute in times:
        at = (_MONDAY + timedelta(minutes=minute)).isoformat()
        for key in range(keys):
            row = {"key": f"S{key}", "timestamp": at, "open": close, "high": close, "low": close, "close": close, "volume": 1000}
            yield f"S{key}".encode(), json.dumps(row).encode()


def trades(keys: int, times: range, price: float) -> Iterator[tuple[bytes, bytes]]:
    """Trades of all symbols, one a second."""
    for second in times:
        at = (_MONDAY + timedelta(seconds=second)).isoformat()
        for key in range(keys):
            row = {"symbol": f"S{key}", "ts_recv": at, "price": price + second % 7 / 100, "size": 100}
            yield f"S{key}".encode(), json.dumps(row).encode()


def cpu_seconds(pid: int) -> float:
    """What a process has used so far: on a busy machine the better figure."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def restart(bootstrap: str, pipeline: str, rows: Rows, odd: Rows, folder: Path, *, alerts: bool) -> tuple[float, float]:
    """Seconds, and seconds of CPU, from the start of the process until a reader of committed records gets an alert; without `alerts`, until
    new rows are judged and committed.
    """
    create(bootstrap, pipeline, f"{pipeline}-alerts")
    fill(bootstrap, pipeline, rows)
    command: list[str | Path] = [_OFFBEAT, "run", pipeline, f"kafka://{bootstrap}/{pipeline}"]
    command += ["--alerts", f"kafka://{bootstrap}/{pipeline}-alerts", "--group", pipeline, "--state", folder / pipeline, "--instance", "w"]
    subprocess.run([*command, "--until", "end"], check=True, capture_output=True)
    fill(bootstrap, pipeline, odd)
    reader = Consumer({"bootstrap.servers": bootstrap, "group.id": pipeline, "enable.auto.commit": False})
    topic = f"{pipeline}-alerts" if alerts else pipeline
    ends = [TopicPartition(topic, number) for number in reader.list_topics(topic).topics[topic].partitions]
    ends = [TopicPartition(topic, end.partition, reader.get_watermark_offsets(end)[1]) for end in ends]
    if alerts:
        reader.assign(ends)

    def waits() -> bool:
        if alerts:
            message = reader.poll(0.02)
            return message is None or message.error() is not None
        time.sleep(0.02)
        return sum(place.offset for place in reader.committed(ends, 10)) < sum(end.offset for end in ends)

    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as worker:
        try:
            while waits():
                if time.monotonic() - began > 120:
                    raise RuntimeError(f"{pipeline}: nothing within two minutes")
            return time.monotonic() - began, cpu_seconds(worker.pid)
        finally:
            worker.kill()
            reader.close()


def main() -> None:
    """Measure both, and write it into RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bars", type=int, default=100_000, help="keys of minute bars")
    parser.add_argument("--trades", type=int, default=10_000, help="keys of trades")
    asked = parser.parse_args()
    with running(1) as cluster, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        minutes = list(bars(asked.bars, range(6), 100.0))
        of_bars = restart(cluster.bootstrap, "bars", minutes, list(bars(100, range(6, 7), 150.0)), folder, alerts=True)
        seconds = list(trades(asked.trades, range(110), 100.0))
        of_trades = restart(cluster.bootstrap, "trades", seconds, list(trades(100, range(110, 111), 150.0)), folder, alerts=False)
    text = (
        f"From the start of the process, snapshots and all: {of_bars[0]:.1f} s ({of_bars[1]:.1f} s of CPU) to the first new alert with "
        f"{asked.bars:,} keys of minute bars (6 rows each), {of_trades[0]:.1f} s ({of_trades[1]:.1f} s of CPU) to the first committed rows "
        f"with {asked.trades:,} keys of trades (110 rows each). Target: 5 s."
    )
    sys.stdout.write(text + "\n")
    record("Kafka: restart", text, "confluent-kafka")


if __name__ == "__main__":
    main()
