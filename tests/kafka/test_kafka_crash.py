"""Exactly once: whatever dies, and whenever, readers of committed records see the alerts of an undisturbed run, each once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from command import finished, process
from folders import ROOT
from kafka_rows import Rows, Trades
from kafka_topics import Brokers, latest
from kafka_worker import STEPS
from test_kafka_poison import PIPELINE, _row

pytestmark = pytest.mark.heavy
KILLS = int(os.environ.get("OFFBEAT_KILLS", "5"))
_WORKER = ROOT / "tests" / "support" / "kafka_worker.py"


_HASTY = "?session.timeout.ms=3000&heartbeat.interval.ms=500"
"""For workers that are missed, so that this is seen soon."""


def _job(kafka: Brokers, topic: str, out: str, state: Path, **more: Any) -> dict[str, Any]:
    group = {"pipeline": "trades", "source": kafka.uri(topic), "alerts": kafka.uri(out), "group": out, "state": str(state)}
    return {**group, "until_end": True, **more}


@contextmanager
def _worker(job: dict[str, Any], said: Any = subprocess.DEVNULL) -> Iterator[subprocess.Popen[str]]:
    """said: a file for what it says. A pipe that nobody reads would stop it: the client writes a line for each try to reach a broker."""
    command = [sys.executable, str(_WORKER), json.dumps(job)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, text=True) as running:
        try:
            yield running
        finally:
            running.send_signal(signal.SIGCONT)
            running.kill()


def _run(job: dict[str, Any]) -> tuple[int, str]:
    with tempfile.TemporaryFile("w+") as said, _worker(job, said) as running:
        code = running.wait(timeout=240)
        said.seek(0)
        return code, said.read()


def _until(condition: Any, what: str, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds:.0f} s until {what}"
        time.sleep(0.1)


def _records(kafka: Brokers, out: str) -> list[bytes]:
    return sorted(message.value() or b"" for message in kafka.read(out))


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_a_step(kafka: Brokers, trades: Trades, step: str, tmp_path: Path) -> None:
    out = kafka.topic(2)
    job = _job(kafka, trades.topic, out, tmp_path)
    if step == "replayed":  # there must be something to replay: no snapshots, and a death some commits later
        job["snapshot_seconds"] = 1e9
        assert _run({**job, "step": "committed", "at": 5})[0] == -signal.SIGKILL
    # All that was committed may be replayed in one go.
    for at in (1, 1) if step == "replayed" else (1, 3):
        code, err = _run({**job, "step": step, "at": at})
        assert code == -signal.SIGKILL, f"it was not killed: the step is never reached\n{err}"
    code, err = _run(job)
    assert code == 0, err
    assert _records(kafka, out) == trades.wanted


@pytest.mark.parametrize(
    ("rows", "deaths"),
    [
        ("bars", [("folded", 3), ("commit", 4), ("kept", 3)]),
        ("cdr", [("commit", 3), ("merged", 2), ("merge replayed", 1), ("snapshot", 2)]),
        ("cdr", [("committed", 9), ("merged", 4), ("folded", 3)]),
    ],
    indirect=["rows"],
    ids=["bars", "cdr", "cdr anew"],
)
def test_killed_in_windows_and_merges(kafka: Brokers, rows: Rows, deaths: list[tuple[str, int]], tmp_path: Path) -> None:
    topic, out = kafka.topic(3), kafka.topic(2)
    kafka.fill(topic, rows.lines, rows.field)
    job = {**_job(kafka, topic, out, tmp_path), "pipeline": rows.pipeline, "at_once": 100}
    killed = 0
    for step, at in deaths:
        more = {"snapshot_seconds": 1e9} if step == "merged" else {}  # what comes next has something to replay
        code, err = _run({**job, **more, "step": step, "at": at})
        assert code in {-signal.SIGKILL, 0}, err
        killed += code != 0  # a later step may not be reached, as a worker before it came further
    assert killed >= 2
    code, err = _run(job)
    assert code == 0, err
    found = kafka.alerts(out)
    assert latest(found) == latest(rows.wanted)
    told = [(alert["alert_id"], alert["revision"], alert["status"]) for alert in found]
    assert len(told) == len(set(told)), "an alert was sent twice"


def test_killed_at_any_moment(kafka: Brokers, trades: Trades, tmp_path: Path) -> None:
    out, chance = kafka.topic(2), random.Random(7)
    command = ["run", "trades", kafka.uri(trades.topic), "--alerts", kafka.uri(out), "--group", out, "--state", tmp_path]
    for _ in range(KILLS):
        with process(*command) as running:
            before = kafka.behind(out, trades.topic)
            _until(lambda before=before: kafka.behind(out, trades.topic) not in (None, before) or before == 0, "the worker commits")
            time.sleep(chance.uniform(0, 0.3))
            running.kill()
    done = finished(*command, "--until", "end")
    assert done.code == 0, done.err
    assert _records(kafka, out) == trades.wanted


def test_workers_come_and_go(kafka: Brokers, trades: Trades, tmp_path: Path) -> None:
    topic, out = kafka.topic(6), kafka.topic(2)
    rows = [json.loads(line) for line in trades.lines]
    for row in rows:  # more keys than partitions
        row["symbol"] += str(row["sequence"] % 12)
    lines = [json.dumps(row).encode() for row in rows]
    file, plain = tmp_path / "rows.ndjson", tmp_path / "alerts.jsonl"
    file.write_bytes(b"\n".join(lines) + b"\n")
    assert finished("run", "trades", file, "--alerts", plain).code == 0
    third = len(lines) // 3
    job = _job(kafka, topic, out, tmp_path / "state", until_end=False, at_once=50)
    job["source"] += _HASTY
    with _worker({**job, "instance": "a"}), _worker({**job, "instance": "b"}) as second, _worker({**job, "instance": "c"}):
        kafka.fill(topic, lines[:third], "symbol")
        _until(lambda: kafka.behind(out, topic) == 0, "the first third is read")
        kafka.fill(topic, lines[third : 2 * third], "symbol")
        second.kill()
        _until(lambda: kafka.behind(out, topic) == 0, "two workers have taken over")
        kafka.fill(topic, lines[2 * third :], "symbol")
        _until(lambda: kafka.behind(out, topic) == 0, "all is read")
    assert _run({**job, "until_end": True, "instance": "a"})[0] == 0
    assert _records(kafka, out) == sorted(plain.read_bytes().splitlines())


def test_the_new_group_protocol(kafka: Brokers, trades: Trades, tmp_path: Path) -> None:
    """KIP-848, asked for in the address: brokers share the partitions out, and a worker that died is not the one that comes."""
    out = kafka.topic(2)
    job = _job(kafka, trades.topic, out, tmp_path)
    job["source"] += "?group.protocol=consumer"
    assert _run({**job, "step": "commit", "at": 4})[0] == -signal.SIGKILL
    code, err = _run(job)
    assert code == 0, err
    assert _records(kafka, out) == trades.wanted


def test_a_worker_that_slept_cannot_speak(kafka: Brokers, trades: Trades, tmp_path: Path) -> None:
    topic, out = kafka.topic(2), kafka.topic(2)
    half = len(trades.lines) // 2
    job = _job(kafka, topic, out, tmp_path / "state", until_end=False, at_once=50)
    job["source"] += _HASTY
    with _worker({**job, "instance": "sleeper"}) as sleeper:
        kafka.fill(topic, trades.lines[:half], "symbol")
        _until(lambda: kafka.behind(out, topic) not in (None, half), "it has begun")
        sleeper.send_signal(signal.SIGSTOP)
        kafka.fill(topic, trades.lines[half:], "symbol")
        with _worker({**job, "instance": "other"}):
            _until(lambda: kafka.behind(out, topic) == 0, "the other one has taken over")
            sleeper.send_signal(signal.SIGCONT)
            time.sleep(1.5)
    assert _run({**job, "until_end": True, "instance": "other"})[0] == 0
    assert _records(kafka, out) == trades.wanted


def test_a_worker_that_slept_puts_nothing_back(kafka: Brokers, tmp_path: Path) -> None:
    """It has rows that gave no alert, so no open transaction that brokers would have ended: only its membership is over."""
    pipeline, asleep = tmp_path / "own.yaml", 2.0
    pipeline.write_text(PIPELINE)
    topic, out = kafka.topic(1), kafka.topic(1)
    job = {**_job(kafka, topic, out, tmp_path / "state", until_end=False), "pipeline": str(pipeline)}
    job["source"] += _HASTY
    kafka.fill(topic, [_row("a", second, 1) for second in range(5)], "k")
    with _worker({**job, "instance": "sleeper", "step": "folded", "asleep": asleep}) as sleeper:
        _until(lambda: b"T (stopped)" in Path(f"/proc/{sleeper.pid}/status").read_bytes(), "it sleeps")
        kafka.fill(topic, [_row("a", second, 500) for second in range(5, 15)], "k")
        with _worker({**job, "instance": "other"}) as other:
            _until(lambda: kafka.behind(out, topic) == 0, "the other one has taken over")
            other.send_signal(signal.SIGSTOP)  # it cannot commit again
            sleeper.send_signal(signal.SIGCONT)
            end = time.monotonic() + asleep + 2
            while time.monotonic() < end:
                assert kafka.behind(out, topic) == 0, "committed offsets were put back"
    assert len(kafka.alerts(out)) == 10
