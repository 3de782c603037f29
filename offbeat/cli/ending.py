"""What a run prints when it has ended."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from offbeat.cli.request import Request
from offbeat.cli.say import printable, put
from offbeat.cli.terminal import show
from offbeat.core.plan import Plan
from offbeat.engines.run_result import Run
from offbeat.io.address import address_of, shown
from offbeat.io.kafka import KAFKA
from offbeat.io.report.console import safe
from offbeat.io.report.run_report import run_report
from offbeat.io.stores import is_store
from offbeat.io.write.sinks import local_path

BELOW_QUALITY = 3
"""Exit code of a run that did its work on input worse than `quality.tolerate` allows [R21]."""


def quarantined(run: Run) -> int:
    """Rows that were not judged and went to quarantine, the late ones included."""
    return run.ledger.late + sum(run.ledger.quarantined.values())


def tidy(request: Request, quarantine: Path | None, run: Run) -> Path | None:
    """The quarantine, if there is something in it; an empty one that nobody asked for is removed."""
    if quarantine is None or quarantined(run):
        return quarantine
    if request.quarantine is None and quarantine.is_file():
        with contextlib.suppress(OSError):
            quarantine.unlink()
    return None


def report(
    request: Request,
    plan: Plan,
    run: Run,
    to: Console,
    *,
    rows_before: int = 0,
    quarantine: Path | None = None,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Ledger, worst alerts, gaps, remarks, and what can be done next; with `--json` the figures, and `more`.

    rows_before: rows of earlier runs with the same state.
    """
    figures = run.as_dict()
    if request.as_json:
        put(json.dumps(figures | dict(more or {})))
        return
    remarks = list(run.notes)
    if rows_before:
        told = f"continued after {_rows(rows_before)} of earlier runs"
        remarks.insert(0, f"{told}; {_rows(run.rows_read)} read now; the alerts shown are from this run")
    stopped = "" if run.complete else " (interrupted)"
    title = f"{plan.name}{stopped}: {_rows(run.ledger.rows_in)} in {run.seconds:.1f} s, peak memory {run.peak_memory_mb:,.0f} MB"
    show(Text(title, style="bold"), to)
    for warning in run.warnings:
        show(Text(f"! {safe(warning, 300)}", style="yellow"), to)
    show(run_report(figures, run.worst, remarks=remarks, gaps=run.gaps, zone=plan.zone, look=run.look), to)
    for line in next_steps(request, run, quarantine, to.width):
        show(Text(printable(line)), to, whole=True)


def next_steps(request: Request, run: Run, quarantine: Path | None, width: int) -> list[str]:
    """Where things are and the commands that look into them; nothing for outputs that were not kept.

    A command that does not fit beside the path stands on a line of its own, so that it can be copied whole.
    """
    kept = run.complete or request.state is not None or request.live
    lines = []
    aside = quarantined(run)
    if aside and not (kept and quarantine is not None):
        lines.append(f"quarantine: {_rows(aside)}, not kept; --quarantine FILE.parquet keeps them")
    elif aside:
        lines += _with_command(
            f"quarantine: {_rows(aside)} in {quarantine}", f"offbeat quarantine list {shlex.quote(str(quarantine))}", width
        )
    files = [shown(uri) for uri in request.alerts if local_path(uri) is not None or is_store(uri)]
    others = [shown(uri) for uri in request.alerts if uri.startswith(KAFKA) or (address_of(uri) is not None and not is_store(uri))]
    if kept and others and run.alerts:
        lines.append(f"alerts: {', '.join(others)}")
    if kept and files and run.alerts:
        own = "" if request.pipeline == run.pipeline else f" --pipeline {shlex.quote(request.pipeline)}"
        lines += _with_command(f"alerts: {', '.join(files)}", f"offbeat explain worst --alerts {shlex.quote(files[0])}{own}", width)
    elif run.alerts and not request.alerts:
        lines.append("alerts: not kept; --alerts FILE.jsonl keeps them")
    if request.episodes is not None and kept:
        lines.append(f"episodes: {request.episodes}")
    if request.tables:
        lines.append(f"tables: {', '.join(request.tables)}")
    return lines


def _with_command(text: str, command: str, width: int) -> list[str]:
    line = f"{text}   →   {command}"
    return [line] if cell_len(line) <= width else [text, f"  {command}"]


def _rows(n: int) -> str:
    return f"{n:,} row{'' if n == 1 else 's'}"


def how_to_go_on(request: Request) -> str:
    """One line after an interruption."""
    if request.state is not None:
        return f"interrupted; all work so far is committed, and the same command continues from here (--state {request.state})"
    if request.live:
        return "interrupted; the alerts written so far are kept, the state of the windows is not; --state DIR keeps both"
    return "interrupted; nothing was kept; with --state DIR a run can be stopped and continued"
