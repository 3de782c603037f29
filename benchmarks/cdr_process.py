"""Call records as the benchmarks run them: generated and judged by the command, as a process of its own with its time and peak memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

COMMAND = Path(sys.executable).with_name("offbeat")
SYSTEM_B = {"customer_day": ("zscore", "night_owls", "spike_ratio"), "region_hour": ("upper", "lower")}
"""Views and detectors of the shipped pipeline that both peers have too."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a process ended."""

    seconds: float
    """From its start to its end."""
    cpu: float
    """Seconds of all its threads, without children; other work on the machine hardly changes it."""
    peak_mib: float
    """Greatest resident memory of the process itself, without children such as a Java machine."""
    out: dict[str, Any]
    """The JSON object that it printed."""


def run(*command: object, feed: Path | None = None) -> Ran:
    """Run a command that prints one JSON object; `feed` is its standard input.

    Raises SystemExit with the last lines of its complaints where it fails.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as complaints, Path(feed or os.devnull).open("rb") as given:
        begin = time.perf_counter()
        process = subprocess.Popen([*map(str, command)], stdin=given, stdout=out, stderr=complaints)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        complaints.seek(0)
        if process.returncode:
            last = "".join(complaints.readlines()[-20:])
            raise SystemExit(f"{' '.join(map(str, command))} ended with {process.returncode}:\n{last}")
        return Ran(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, json.load(out))


def generate(folder: Path, *, rows: int, days: int, customers: int, seed: int = 1) -> float:
    """Make the records; seconds."""
    sizes = ["--rows", rows, "--days", days, "--customers", customers, "--seed", seed]
    begin = time.perf_counter()
    subprocess.run([COMMAND, "generate", "cdr", *map(str, sizes), "--out", folder], check=True, capture_output=True)
    return time.perf_counter() - begin


def system_b(file: Path) -> Path:
    """The shipped pipeline with nothing but what SYSTEM_B names, written to `file`."""
    raw = yaml.safe_load(files("offbeat.pipelines").joinpath("cdr.yaml").read_text(encoding="utf-8"))
    raw.pop("tables", None)
    raw["views"] = {name: raw["views"][name] for name in SYSTEM_B}
    for name, detectors in SYSTEM_B.items():
        raw["views"][name]["rollup"]["fill"] = "none"  # system B knows only hours with records
        raw["views"][name]["detectors"] = {detector: raw["views"][name]["detectors"][detector] for detector in detectors}
    file.write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")
    return file


def judge(pipeline: Path | str, sources: Sequence[Path], alerts: Path, *more: object) -> Ran:
    """One run of the command; its ledger must add up.

    Raises SystemExit where it does not.
    """
    ran = run(COMMAND, "run", pipeline, *sources, "--alerts", alerts, "--json", *more)
    ledger = ran.out
    named = sum(ledger[name] for name in ("scored", "warming_up", "late", "duplicate", "pending"))
    if ledger["rows_in"] != named + sum(ledger["quarantined"].values()):
        raise SystemExit(f"the ledger does not add up: {ledger}")
    return ran
