"""Workers on Kafka that are killed, stopped and started again for as long as one likes: in the end each alert is there once.

Rows are sent all the time. Now and then a worker is killed, sleeps past its session, or is asked to end, and comes back; the broker is
stopped and started. Then all is compared with a run over the same rows as a file.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from benchmarks.kafka_speed import rows
from benchmarks.results import record
from offbeat.engines.kafka.topics import Cluster
from offbeat.io.kafka.address import KafkaAddress

sys.path.insert(0, str(Path(__file__).parents[1] / "deploy" / "kafka"))
import broker

_OFFBEAT = Path(sys.executable).with_name("offbeat")
PARTITIONS = 6
WORKERS = 2
_SESSION = "session.timeout.ms=6000&heartbeat.interval.ms=1000"


class Feed(threading.Thread):
    """Sends rows at an even pace until `end` is set."""

    def __init__(self, bootstrap: str, topic: str, some: list[tuple[bytes, bytes]], rate: int) -> None:
        super().__init__(daemon=True)
        self._producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "log_level": 0})
        self._topic, self._rows, self._rate = topic, some, rate
        self.end = threading.Event()
        self.sent = 0

    def run(self) -> None:
        """Send."""
        began = time.monotonic()
        while not self.end.is_set() and self.sent < len(self._rows):
            due = min(int((time.monotonic() - began) * self._rate), len(self._rows))
            for key, value in self._rows[self.sent : due]:
                self._producer.produce(self._topic, value, key)
            self.sent = due
            self._producer.poll(0.05)
        while self._producer.flush(30):
            pass


def resident_kb(pid: int) -> int:
    """Memory of a process that it has now."""
    line = next((line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")), "VmRSS: 0 kB")
    return int(line.split()[1])


def alerts_in(bootstrap: str, topic: str) -> list[bytes]:
    """All committed records."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "soak-reader",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    numbers = consumer.list_topics(topic, 30).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, 0) for number in numbers])
    out, waiting = list[bytes](), set(numbers)
    while waiting:
        message = consumer.poll(30)
        if message is None:
            raise RuntimeError("the broker says nothing for 30 s")
        error = message.error()
        if error is None:
            out.append(message.value() or b"")
        elif error.code() == KafkaError._PARTITION_EOF:
            waiting.discard(message.partition())
    consumer.close()
    return out


def soak(minutes: float, rate: int, seed: int, folder: Path) -> dict[str, int]:
    """What was done and found. Raises RuntimeError where an alert was lost or came twice."""
    chance, done, most = random.Random(seed), Counter[str](), 0  # noqa: S311 - which worker dies is no secret
    cluster = broker.Cluster(folder / "broker")
    (folder / "broker").mkdir()
    cluster.start()
    try:
        for topic in ("rows", "alerts"):
            Cluster(KafkaAddress(cluster.bootstrap, topic, {})).create(topic, PARTITIONS)
        some = rows(int(minutes * 60 * rate))
        command = ["run", "trades", f"kafka://{cluster.bootstrap}/rows?{_SESSION}", "--alerts", f"kafka://{cluster.bootstrap}/alerts"]
        command += ["--state", str(folder / "state"), "--json"]

        def start(number: int) -> subprocess.Popen[bytes]:
            log = (folder / f"worker-{number}.txt").open("ab")
            return subprocess.Popen([_OFFBEAT, *command, "--instance", f"w{number}"], stdout=log, stderr=log)

        feed = Feed(cluster.bootstrap, "rows", some, rate)
        feed.start()
        workers = [start(number) for number in range(WORKERS)]
        until = time.monotonic() + minutes * 60
        while time.monotonic() < until:
            time.sleep(chance.uniform(2, 12))
            most = max([most, *(resident_kb(each.pid) for each in workers if each.poll() is None)])
            number = chance.randrange(WORKERS)
            step = chance.choices(["killed", "slept", "asked to end", "broker stopped"], [6, 2, 2, 1])[0]
            done[step] += 1
            match step:
                case "killed":
                    workers[number].kill()
                    workers[number].wait()
                case "slept":
                    workers[number].send_signal(signal.SIGSTOP)
                    time.sleep(9)
                    workers[number].send_signal(signal.SIGCONT)
                case "asked to end":
                    workers[number].terminate()
                    workers[number].wait(60)
                case _:
                    cluster.brokers[0].stop(kill=False)
                    cluster.brokers[0].start()
                    cluster.brokers[0].wait()
            for number, worker in enumerate(workers):
                if worker.poll() is not None:
                    workers[number] = start(number)
        feed.end.set()
        feed.join()
        for worker in workers:
            worker.terminate()
            worker.wait(60)
        last = subprocess.run([_OFFBEAT, *command, "--instance", "w0", "--until", "end"], capture_output=True, text=True, check=False)
        if last.returncode:
            raise RuntimeError(last.stderr)
        file, out = folder / "rows.ndjson", folder / "alerts.jsonl"
        file.write_bytes(b"".join(value + b"\n" for _, value in some[: feed.sent]))
        subprocess.run([_OFFBEAT, "run", "trades", file, "--alerts", out], check=True, capture_output=True)
        wanted, found = Counter(out.read_bytes().splitlines()), Counter(alerts_in(cluster.bootstrap, "alerts"))
        lost, twice = (wanted - found).total(), (found - wanted).total()
        if lost or twice:
            raise RuntimeError(f"{lost} alerts lost, {twice} that should not be there; {dict(done)}")
        return {**done, "rows": feed.sent, "alerts": wanted.total(), "MB": most >> 10}
    finally:
        cluster.stop()


def main() -> None:
    """Soak, and write what came of it into RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=int, default=2_000, help="rows a second")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = soak(asked.minutes, asked.rate, asked.seed, Path(folder))
    words = ", ".join(f"{name} {count:,}" for name, count in found.items())
    text = f"{asked.minutes:g} minutes, {WORKERS} workers, {PARTITIONS} partitions: no alert lost, none twice ({words})."
    sys.stdout.write(text + "\n" + json.dumps(found) + "\n")
    record("Kafka: soak", text)


if __name__ == "__main__":
    main()
