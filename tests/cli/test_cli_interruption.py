"""Ctrl-C and SIGTERM: the batch is finished, committed, and the same command goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import STREAM, Done, adds_up, finished, process

from offbeat.evaluate.generate_bars import generate_bars

ROWS = [json.dumps({"k": "a", "t": f"2024-01-01T00:00:{i:02}Z", "v": 100 if i % 7 == 6 else 1}) + "\n" for i in range(20)]

COMMAND = """
import os, sys
from offbeat.cli.app import main
from offbeat.io.read.file_source import FileSource

number, chunks = int(sys.argv.pop(1)), FileSource.chunks

def signalled(source, start):
    for read, chunk in enumerate(chunks(source, start)):
        if read == 3:
            os.kill(os.getpid(), number)
        yield chunk

FileSource.chunks = signalled
FileSource.__init__.__kwdefaults__["block"] = 30_000
main()
"""
"""The command as it is, only that its chunks are small and that it sends itself a signal."""


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough files that a run has a middle."""
    return generate_bars(tmp_path_factory.mktemp("bars"), symbols=10, days=60, seed=1)


def interrupted(words: list[object], number: signal.Signals = signal.SIGINT) -> Done:
    """The command, which gets a signal when it has read three of its many chunks, however busy the machine is."""
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, str(int(number)), *map(str, words)], capture_output=True, text=True, check=False, timeout=300
    )
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.mark.heavy
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_same_command_goes_on(bars: Path, tmp_path: Path, number: signal.Signals) -> None:
    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    expected = json.loads(finished("run", "bars", bars, "--alerts", whole, "--json").out)
    words = ["run", "bars", bars, "--alerts", out, "--json", "--state", tmp_path / "state"]
    first = interrupted(words, number)
    assert first.code == 130, first.err
    assert f"--state {words[-1]}" in first.err
    figures = json.loads(first.out)
    assert adds_up(figures)
    assert 0 < figures["rows_in"] < expected["rows_in"]
    assert len(out.read_text().splitlines()) == figures["alerts"]
    second = finished(*words)
    assert second.code == 0, second.err
    figures = json.loads(second.out)
    assert {key: figures[key] for key in ("rows_in", "scored", "warming_up", "quarantined")} == {
        key: expected[key] for key in ("rows_in", "scored", "warming_up", "quarantined")
    }
    assert out.read_bytes() == whole.read_bytes()


@pytest.mark.heavy
def test_without_a_state_nothing_is_kept(bars: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    done = interrupted(["run", "bars", bars, "--alerts", out])
    assert done.code == 130
    assert "--state DIR" in done.err.splitlines()[-1]
    assert "(interrupted)" in done.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.heavy
def test_a_live_source_that_waits(tmp_path: Path) -> None:
    """Ctrl-C ends the wait for rows, too; the rows that come later find the windows as they were."""
    (tmp_path / "stream.yaml").write_text(STREAM)
    out = tmp_path / "out.jsonl"
    words = ["run", tmp_path / "stream.yaml", "-", "--alerts", out, "--state", tmp_path / "state", "--json"]
    running = process(*words, stdin=-1)
    assert running.stdin is not None
    running.stdin.write("".join(ROWS[:12]))
    running.stdin.flush()
    end = time.monotonic() + 120
    while not (out.exists() and out.stat().st_size) and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.2)
    running.send_signal(signal.SIGINT)
    assert running.stdout is not None
    figures = json.loads(running.stdout.readline())  # standard input is still open
    assert running.wait(timeout=60) == 130
    running.communicate()
    assert figures["rows_in"] == 12
    rest = process(*words, stdin=-1)
    result, _ = rest.communicate("".join(ROWS[12:]), timeout=120)
    assert json.loads(result)["rows_in"] == 20
    whole = tmp_path / "whole.jsonl"
    process("run", tmp_path / "stream.yaml", "-", "--alerts", whole, stdin=-1).communicate("".join(ROWS), timeout=120)
    assert out.read_bytes() == whole.read_bytes() != b""


def test_the_second_signal_ends_at_once() -> None:
    code = (
        "import os, signal, time; from offbeat.cli.interruption import Interruption\n"
        "with Interruption(lambda: None, live=False):\n"
        "    os.kill(os.getpid(), signal.SIGINT); os.kill(os.getpid(), signal.SIGINT); time.sleep(60)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 130
    assert len(done.stderr.strip().splitlines()) == 1
