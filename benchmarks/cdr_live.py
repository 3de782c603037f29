"""Call records of half a million customers, live: JSON lines on standard input to alerts, on one processor; memory, where time goes.

The records of the days that are made are fed to `offbeat run cdr -` as fast as it takes them, as a process that may use one processor.
Then, in a process of its own, rows that need no parsing go the same way: made ready, folded, looked at early, windows closed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import polars as pl

from benchmarks.cdr_process import COMMAND, Ran, generate, run
from benchmarks.measure import alone, own_peak_mib
from benchmarks.results import record
from offbeat.engines.closed_window_files import ClosedWindowFiles
from offbeat.fold.fold import Fold
from offbeat.io.read.file_source import FileSource
from offbeat.spec.load import load_plan

_OWED = 300_000
_CHUNK = 1 << 20
"""Bytes of text behind a chunk of the second part, about what a pipe holds."""


def days_of(folder: Path) -> list[Path]:
    """The days' folders, in order."""
    return sorted(folder.glob("day=*"))


def lines(folder: Path, file: Path) -> int:
    """Write the records as JSON lines; how many."""
    rows = 0
    with file.open("wb") as out:
        for day in days_of(folder):
            frame = pl.read_parquet(day, hive_partitioning=False)
            frame.write_ndjson(out)
            rows += frame.height
    return rows


def fed(file: Path, alerts: Path) -> Ran:
    """The command on one processor, reading a file as its standard input."""
    alone_on = "import os, sys; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); os.execv(sys.argv[1], sys.argv[1:])"
    return run(sys.executable, "-c", alone_on, COMMAND, "run", "cdr", "-", "--alerts", alerts, "--json", feed=file)


def folded(folder: Path) -> None:
    """Print seconds by part of the work, without parsing, as one JSON object."""
    plan = load_plan("cdr", [])
    seconds: dict[str, float] = defaultdict(float)
    rows = alerts = 0
    with tempfile.TemporaryDirectory() as archive:
        fold = Fold(plan, live=True, closed=partial(ClosedWindowFiles, Path(archive)))
        fold.assign(0)
        for chunk in FileSource(plan.source, [str(day) for day in days_of(folder)], block=_CHUNK).chunks(None):
            at = time.process_time()
            prepared = fold.prepare(0, chunk)
            after, seconds["made ready"] = time.process_time(), seconds["made ready"] + time.process_time() - at
            blocks = fold.feed(0, prepared).alerts
            seconds["folded, looked at and closed"] += time.process_time() - after
            rows += len(chunk.time_ns)
            alerts += sum(map(len, blocks))
    print(json.dumps({"rows": rows, "alerts": alerts, "peak_mib": own_peak_mib(), "seconds": seconds}))


def main(arguments: Sequence[str]) -> None:
    """Make records, feed them, print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=12_000_000)
    parser.add_argument("--days", type=int, default=2)
    parser.add_argument("--customers", type=int, default=500_000)
    parser.add_argument("--scratch", type=Path, default=None)
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=chosen.scratch) as scratch:
        place = Path(scratch)
        generate(place / "days", rows=chosen.rows, days=chosen.days, customers=chosen.customers)
        rows = lines(place / "days", place / "feed.ndjson")
        ran = fed(place / "feed.ndjson", place / "alerts.jsonl")
        parts = json.loads(alone("benchmarks.cdr_live", "--folded", str(place / "days")))
    whole = sum(parts["seconds"].values())
    steps = ", ".join(f"{name} {1e9 * part / rows:,.0f} ns" for name, part in parts["seconds"].items())
    size = f"{rows:,} records of {chosen.customers:,} customers on {chosen.days} days"
    body = f"""{size}, as JSON lines into `offbeat run cdr -` on one processor.

| | figure | owed |
|---|---:|---:|
| records/s of processor time, with start and parsing | {rows / ran.cpu:,.0f} | {_OWED:,} |
| records/s by the clock | {rows / ran.seconds:,.0f} | |
| the same without parsing, records/s of processor time | {rows / whole:,.0f} | |
| peak memory, MiB | {ran.peak_mib:,.0f} | bounded |
| alerts | {ran.out["alerts"]:,} | |

Without parsing a record is {steps}."""
    sys.stdout.write(record("Call records, live", body, "polars", "numba"))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--folded"]:
        folded(Path(sys.argv[2]))
    else:
        main(sys.argv[1:])
