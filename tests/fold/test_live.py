"""Standard input: alerts while rows arrive, one by one or in a flood; an end by Ctrl-C keeps what was found."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from command import OFFBEAT, STREAM, process
from waiting import until

ROWS = [json.dumps({"k": "a", "t": f"2024-01-01T00:{i // 60:02}:{i % 60:02}Z", "v": 100 if i % 7 == 6 else 1}) + "\n" for i in range(700)]


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    (tmp_path / "stream.yaml").write_text(STREAM)
    return tmp_path / "stream.yaml"


@pytest.mark.heavy
def test_rows_are_judged_when_they_come(stream: Path, tmp_path: Path) -> None:
    """Alerts before the pipe closes: for rows fed one at a time, within milliseconds when warm, and for many at once; Ctrl-C keeps them."""
    out = tmp_path / "out.jsonl"
    running = process("run", stream, "-", "--alerts", "-", "--alerts", out, stdin=-1)
    assert running.stdin is not None
    assert running.stdout is not None
    waits = []
    for i in range(35):
        running.stdin.write(ROWS[i])
        running.stdin.flush()
        if i % 7 == 6:
            began = time.monotonic()
            assert json.loads(running.stdout.readline())["time"] == f"2024-01-01T00:00:{i:02}.000000000Z"
            waits.append(time.monotonic() - began)
    assert min(waits[1:]) < 0.1, waits
    running.stdin.write("".join(ROWS[35:350]))
    running.stdin.flush()
    until(lambda: out.read_text().count("\n") == 50, 60)
    running.send_signal(signal.SIGINT)
    rest = running.stdout.read()
    assert running.wait(timeout=60) == 130
    assert running.stderr is not None
    said = running.stderr.read()
    assert "350 rows in" in said
    assert "alerts written so far are kept" in said
    assert rest.count("\n") == 45
    assert [json.loads(line)["row"]["v"] for line in out.read_text().splitlines()] == [100.0] * 50
    running.communicate()


@pytest.mark.heavy
def test_replay_into_run(tmp_path: Path, stream: Path) -> None:
    """At 600x a minute takes 0.1 s: the first alerts are there long before the last row."""
    (tmp_path / "rows.ndjson").write_text("".join(ROWS) + ROWS[-1].replace("2024-01-01T00", "2024-01-01T09"))
    feed = subprocess.Popen(
        [OFFBEAT, "replay", tmp_path / "rows.ndjson", "--pipeline", stream, "--speed", "600x"], stdout=-1, stderr=subprocess.DEVNULL
    )
    running = process("run", stream, "-", "--alerts", "-", stdin=feed.stdout)
    assert running.stdout is not None
    first = json.loads(running.stdout.readline())
    assert first["time"] == "2024-01-01T00:00:06.000000000Z"
    assert feed.poll() is None, "hours of event time are still to come"
    feed.terminate()
    feed.wait(timeout=30)
    out, _ = running.communicate(timeout=60)
    assert feed.stdout is not None
    feed.stdout.close()
    assert 0 < out.count("\n") <= 100


def test_a_flood_comes_in_large_batches() -> None:
    """The pipe holds what arrives while a batch is judged, and the next read takes all of it."""
    code = (
        "import sys, time\n"
        "from offbeat.io.read.files import ByteStream, InputFile\n"
        "s = ByteStream(InputFile('-', 'ndjson', '', None, 0))\n"
        "print('ready', flush=True)\n"
        "first = s.read(1)\n"
        "time.sleep(0.5)\n"
        "print(len(s.read(1 << 22)))\n"
    )
    reading, writing = os.pipe()
    running = subprocess.Popen([OFFBEAT.with_name("python"), "-c", code], stdin=reading, stdout=-1, text=True)
    os.close(reading)
    assert running.stdout is not None
    assert running.stdout.readline() == "ready\n"
    with os.fdopen(writing, "wb", buffering=0) as feed:
        feed.write(b"x" * 500_000)
        assert int(running.stdout.readline()) > 64 << 10
    running.communicate(timeout=30)
