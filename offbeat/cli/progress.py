"""How far a run is, on a terminal: a bar for files, a spinner with counts for standard input."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from offbeat.engines.run_result import Progress

_PATIENCE = 2.0
"""Seconds: shorter runs need no bar."""


class Meter:
    """Takes the `Progress` of a run; shows nothing where the console is no terminal. `found` names what is counted besides rows."""

    def __init__(self, console: Console, *, live: bool, found: str = "alerts") -> None:
        self._console, self._live, self._found = console, live, found
        self._began = time.monotonic()
        self._first: tuple[float, int] | None = None
        self._bar: Bar | None = None

    def __call__(self, at: Progress) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = now, at.rows
        if self._bar is None:
            if not self._console.is_terminal or (now - self._began < _PATIENCE and not self._live):
                return
            self._bar = Bar(*_columns(known=at.size_bytes is not None), console=self._console, transient=True)
            self._bar.add_task("rows", total=at.size_bytes, counts="")
            self._bar.start()
        since, before = self._first
        rate = f", {(at.rows - before) / (now - since):,.0f} rows/s" if now > since else ""
        behind = "" if at.behind is None else f", {at.behind:,} behind"
        counts = f"{at.rows:,} rows{rate}{behind}, {at.alerts:,} {self._found}"
        self._bar.update(self._bar.task_ids[0], completed=at.done_bytes, counts=counts)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()


def _columns(*, known: bool) -> list[ProgressColumn]:
    counts = TextColumn("{task.fields[counts]}")
    if known:
        return [BarColumn(), TextColumn("{task.percentage:>3.0f} %"), counts, TimeRemainingColumn(), TextColumn("left")]
    return [SpinnerColumn(), counts, TimeElapsedColumn()]
