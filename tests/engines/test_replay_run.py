"""`offbeat replay`: its alerts are those of the files; where rows go, how it ends, what it refuses."""

from __future__ import annotations

import gzip
import itertools
import json
import os
import pty
import signal
import sys
from pathlib import Path

import pytest
from command import DATA, STREAM, Command, finished, offbeat, process

from offbeat.core.chunk import FAULTS
from offbeat.evaluate.generate_bars import generate_bars

__all__ = ["offbeat"]
SHORT = 1500
"""Trades of each symbol: enough for its models to be trained and for some alerts."""


@pytest.fixture(scope="module")
def trades(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The beginning of the real trades of two symbols."""
    folder = tmp_path_factory.mktemp("trades")
    if not (DATA / "trades").is_dir():
        pytest.skip("the real data (../shared/data/trades) is not here")
    for packed in (DATA / "trades").glob("*.csv.gz"):
        with gzip.open(packed, "rt") as lines_of:
            (folder / packed.name.removesuffix(".gz")).write_text("".join(itertools.islice(lines_of, SHORT + 1)))
    return folder


def lines(path: Path) -> list[str]:
    return sorted(path.read_text().splitlines())


def test_trades_of_two_symbols(offbeat: Command, trades: Path, tmp_path: Path) -> None:
    all_of_it = offbeat("replay", trades, tmp_path / "all.ndjson", "--speed", "max")
    assert all_of_it.code == 0
    assert all_of_it.err == f"offbeat: {2 * SHORT:,} rows of 2 files replayed\n"
    rows = [json.loads(line) for line in (tmp_path / "all.ndjson").read_text().splitlines()]
    assert [row["ts_recv"] for row in rows] == sorted(row["ts_recv"] for row in rows)
    assert {row["symbol"] for row in rows} == {"AIG", "IBM"}
    figures = []
    for source, out in ((trades, "files.jsonl"), (tmp_path / "all.ndjson", "rows.jsonl")):
        done = offbeat("run", "trades", source, "--alerts", tmp_path / out, "--json")
        assert done.code == 0, done.err
        figures.append({k: v for k, v in json.loads(done.out).items() if k not in {"seconds", "peak_memory_mb"}})
    assert figures[0] == figures[1]
    assert lines(tmp_path / "files.jsonl") == lines(tmp_path / "rows.jsonl") != []


@pytest.mark.heavy
def test_bars_go_by_standard_input_too(offbeat: Command, tmp_path: Path) -> None:
    bars = generate_bars(tmp_path / "bars", symbols=3, days=2, seed=3)
    (bars / "X__bad.csv").write_text("timestamp,open,high,low,close,volume\nnever,1,1,1,1,1\n")
    done = offbeat("replay", bars, tmp_path / "bars.ndjson", "--speed", "max")
    expected = json.loads(offbeat("run", "bars", bars, "--alerts", tmp_path / "files.jsonl", "--json").out)
    unread = sum(n for reason, n in expected["quarantined"].items() if reason in FAULTS)
    assert unread > 0
    assert f"; {unread} skipped " in done.err
    with (tmp_path / "bars.ndjson").open() as stdin:
        live = finished("run", "bars", "-", "--alerts", tmp_path / "live.jsonl", "--json", stdin=stdin)
    figures = json.loads(live.out)
    assert figures["scored"] == expected["scored"] > 0
    assert lines(tmp_path / "live.jsonl") == lines(tmp_path / "files.jsonl") != []


def test_what_is_refused(offbeat: Command, trades: Path, tmp_path: Path) -> None:
    (tmp_path / "there.ndjson").write_text("mine")
    (tmp_path / "rows.ndjson").write_text('{"a": 1}\n')
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    refused = {
        "there.ndjson: it exists": (trades, tmp_path / "there.ndjson"),
        "a new FILE.ndjson": (trades, tmp_path / "x.csv"),
        "no shipped pipeline (bars": (tmp_path / "x.csv",),
        "--pipeline bars": (tmp_path / "rows.ndjson",),
        "no such file or folder": (tmp_path / "nothing.csv",),
        "cannot replay standard input": ("-",),
        "--speed fast": (trades, "--speed", "fast"),
        "--speed 0x": (trades, "--speed", "0x"),
        "'broker' is no HOST:PORT": (trades, "kafka://broker/topic"),
        "nothing.yaml: no such pipeline file": (trades, "--pipeline", "nothing.yaml"),
    }
    for why, words in refused.items():
        assert why in offbeat.refused("replay", *words), why
    assert (tmp_path / "there.ndjson").read_text() == "mine"


def test_a_reader_that_has_seen_enough(offbeat: Command, trades: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as nobody:
        monkeypatch.setattr(sys, "stdout", nobody)
        done = offbeat("replay", trades, "--speed", "max")
    assert (done.code, done.err) == (1, ""), "as every command whose output nobody reads"


def test_a_full_disk(offbeat: Command, trades: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        done = offbeat("replay", trades, "--speed", "max")
    assert (done.code, done.err) == (2, "offbeat: cannot write standard output: No space left on device\n")


@pytest.mark.heavy
def test_progress_and_ctrl_c_while_it_waits_for_the_next_row(tmp_path: Path) -> None:
    (tmp_path / "stream.yaml").write_text(STREAM)
    (tmp_path / "x.csv").write_text("k,t,v\na,2024-01-01T00:00:00Z,1\na,2024-01-02T00:00:00Z,1\n")
    ours, theirs = pty.openpty()
    running = process("replay", tmp_path / "x.csv", "--pipeline", tmp_path / "stream.yaml", stderr=theirs)
    os.close(theirs)
    assert running.stdout is not None
    assert json.loads(running.stdout.readline()) == {"k": "a", "t": "2024-01-01T00:00:00.000000000Z", "v": 1.0}
    seen = b""
    while b"next in 86" not in seen:
        seen += os.read(ours, 1000)
    running.send_signal(signal.SIGINT)
    assert running.wait(timeout=30) == 130
    assert b"2024-01-01 00:00:00 UTC   1 rows, next in 86," in seen
    assert b"Traceback" not in seen + os.read(ours, 1000)
    os.close(ours)
    assert running.communicate()[0] == ""
