"""`kill -9` of the real command at random moments, with JSON lines and Parquet written by one run."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from driver import plan_of
from restart_runs import Job, left, rows_of
from under_test import BARS

from offbeat.evaluate.generate_bars import generate_bars

COMMAND = """
from offbeat.cli.app import main
from offbeat.engines.local import LocalEngine
from offbeat.io.read.file_source import FileSource
LocalEngine.__init__.__kwdefaults__["commit_seconds"] = 0.0
FileSource.__init__.__kwdefaults__["block"] = 30_000
main()
"""
"""The command as it is, only that its batches are small and that it commits after each."""


@pytest.mark.heavy
def test_kill_9_at_random_moments(tmp_path: Path) -> None:
    """Started again after each kill until it gets through; every moment from the start of Python to the last commit is tried."""
    source = generate_bars(tmp_path / "in", symbols=10, days=20, seed=1)
    whole = Job(plan_of(BARS), (str(source),), tmp_path / "whole")
    expected = left(whole, whole.run())
    assert len(expected["jsonl"]) > 10_000
    job = replace(whole, out=tmp_path / "out")
    outputs = [argument for path in job.outputs for argument in ("--alerts", str(path))]
    arguments = [
        "run",
        "bars",
        str(source),
        *outputs,
        "--state",
        str(job.state),
        "--quarantine",
        str(job.out / "quarantine.parquet"),
        "--json",
    ]
    command = [sys.executable, "-c", COMMAND, *arguments]
    chance = random.Random(4)
    kills = at_work = 0
    while True:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            if kills >= 15:
                out = process.stdout.read()
                assert process.wait() == 0
                break
            before = _progress(job)
            limit = time.monotonic() + 200
            # Most kills come shortly after the first commit of this process, some at any time before.
            while kills % 4 and _progress(job) == before and process.poll() is None and time.monotonic() < limit:
                time.sleep(0.002)
            time.sleep(chance.random() * (0.06 if kills % 4 else 1.0))
            process.send_signal(signal.SIGKILL)
            killed = process.wait() == -signal.SIGKILL
            assert killed, "it got through before it was killed often enough: give it more rows"
            kills += 1
            at_work += _progress(job) != before
    assert at_work >= 8
    figures = json.loads(out)
    assert figures["rows_in"] == expected["ledger"]["rows_in"]
    run = job.run()  # nothing new; it tells the ledger
    got = left(job, run)
    for name, each in expected.items():
        assert got[name] == each, name
    assert rows_of(job.out / "quarantine.parquet")
    written = max(int(part.stem.rsplit("-", 1)[1]) for part in job.outputs[1].glob("part-*.parquet"))
    assert written > 40, "there were many commits to be killed in"
    assert not [path for path in job.out.rglob("*.partial") if path.name != "state.partial"]


def _progress(job: Job) -> tuple[int, int]:
    try:
        found = os.stat(job.state / "state.arrow")
    except FileNotFoundError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_ino)
