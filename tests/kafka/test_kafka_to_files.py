"""Alerts of a topic into files and databases: each is there once, wherever the worker dies."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from command import finished
from kafka_rows import Trades
from kafka_topics import Brokers
from test_kafka_crash import _HASTY, _job, _run, _until, _worker


@pytest.mark.heavy
@pytest.mark.parametrize("step", ["sent", "commit", "committed"])
def test_a_file_is_as_far_as_the_offsets(kafka: Brokers, trades: Trades, step: str, tmp_path: Path) -> None:
    """`sent`: alerts are in the transaction; `commit`: they are in the file, and the offsets are not committed."""
    out, file = kafka.topic(1), tmp_path / "alerts.jsonl"
    job = _job(kafka, trades.topic, out, tmp_path / "state", outputs=[str(file)])
    for at in (3, 6):
        assert _run({**job, "step": step, "at": at})[0] == -signal.SIGKILL
    code, err = _run(job)
    assert code == 0, err
    assert sorted(file.read_bytes().splitlines()) == trades.wanted
    assert sorted(message.value() or b"" for message in kafka.read(out)) == trades.wanted


@pytest.mark.heavy
def test_each_worker_has_its_file(kafka: Brokers, trades: Trades, tmp_path: Path) -> None:
    """A worker dies, another takes over its partitions and goes on in its own file; both begin again under other names."""
    out, topic = kafka.topic(1), kafka.topic(4)
    files = {name: tmp_path / f"{name}.jsonl" for name in ("one", "two")}
    base = _job(kafka, topic, out, tmp_path / "state", at_once=50)
    base["source"] += _HASTY

    def job(name: str, instance: str, **more: Any) -> dict[str, Any]:
        return {**base, "outputs": [str(files[name])], "instance": instance, "until_end": False, **more}

    third = len(trades.lines) // 3
    with _worker(job("one", "a")) as first, _worker(job("two", "b")):
        kafka.fill(topic, trades.lines[:third], "symbol")
        _until(lambda: kafka.behind(out, topic) == 0, "the first third is read")
        kafka.fill(topic, trades.lines[third : 2 * third], "symbol")
        first.kill()
        _until(lambda: kafka.behind(out, topic) == 0, "the other one has taken over")
    kafka.fill(topic, trades.lines[2 * third :], "symbol")
    code, err = _run(job("one", "b", until_end=True))
    assert code == 0, err
    lines = [line for file in files.values() for line in file.read_bytes().splitlines()]
    assert sorted(lines) == trades.wanted


def test_other_outputs(kafka: Brokers, trades: Trades, tmp_path: Path) -> None:
    parts, store, foreign = tmp_path / "alerts.parquet", f"sqlite:///{tmp_path / 'alerts.db'}", tmp_path / "foreign.jsonl"
    group = kafka.topic(1)
    command = ["run", "trades", kafka.uri(trades.topic), "--group", group, "--until", "end", "--state", tmp_path / "state"]
    done = finished(*command, "--alerts", parts, "--alerts", store)
    assert done.code == 0, done.err
    wanted = {json.loads(line)["alert_id"] for line in trades.wanted}
    found = pl.read_parquet(parts / "*.parquet")["alert_id"]
    assert (len(found), set(found)) == (len(wanted), wanted)
    listed = finished("alerts", store, "--csv", "-")
    assert listed.code == 0, listed.err
    assert set(pl.read_csv(listed.out.encode())["alert_id"]) == wanted
    foreign.write_text("mine\n")
    for output, told in ((foreign, "--append"), ("-", "standard output")):
        done = finished(*command, "--alerts", output)
        assert (done.code, told in done.err) == (2, True), done.err
    assert foreign.read_text() == "mine\n"
