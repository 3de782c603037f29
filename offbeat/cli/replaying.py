"""A replay from the command line: who reads the source, where its rows go, and what is said besides."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from offbeat.cli.say import say
from offbeat.core.plan import Plan
from offbeat.engines.replay import Replayed, replay
from offbeat.errors import UserError
from offbeat.io.read.file_source import FileSource
from offbeat.io.read.layout import MissingColumnError
from offbeat.io.report.console import moment
from offbeat.io.write.atomic_file import cannot_write
from offbeat.io.write.row_json import iso_time
from offbeat.spec.load import load_plan, shipped

_TEXT = frozenset({".ndjson", ".jsonl"})
_REFRESH = 0.2
"""Seconds between two looks at the progress line."""


def send(source: str, target: str, pipeline: str | None, speed: float | None) -> None:
    """Replay `source` to `target`. Raises UserError for what a person can put right, BrokenPipeError where nobody reads on."""
    plan, opened = _readable(source, pipeline)
    rows = opened.in_order_of_time()
    with _opened(target) as descriptor, _Line(plan.source.time.zone, shown=_terminal(target)) as line:
        done = replay(rows, plan.source, lambda text: _put(descriptor, text, target), speed, line)
    unread = f"; {rows.left_out:,} skipped that are not rows of {plan.name}" if rows.left_out else ""
    say(f"{done.rows:,} row{'s' * (done.rows != 1)} of {len(opened.files):,} file{'s' * (len(opened.files) != 1)} replayed{unread}")


def _readable(source: str, pipeline: str | None) -> tuple[Plan, FileSource]:
    """The plan that was named, or the first shipped one that finds its columns, and the source as it reads it."""
    if pipeline is not None:
        plan = load_plan(pipeline)
        for note in plan.notes:
            say(note)
        return plan, FileSource(plan.source, [source])
    for name in shipped():
        plan = load_plan(name)
        try:
            opened = FileSource(plan.source, [source])
        except MissingColumnError:
            continue
        if opened.has_headers:
            return plan, opened
        raise UserError(f"{source}: cannot tell which pipeline describes these JSON lines; name it, as in --pipeline {name}")
    raise UserError(f"{source}: no shipped pipeline ({', '.join(shipped())}) fits its columns; name yours, as in --pipeline my.yaml")


@contextmanager
def _opened(target: str) -> Iterator[int]:
    if target == "-":
        sys.stdout.flush()
        yield sys.stdout.fileno()
        return
    if "://" in target:
        raise UserError(f"cannot replay to {target}: name a new FILE.ndjson, or - for standard output")
    path = Path(target)
    if path.suffix.lower() not in _TEXT:
        raise UserError(f"cannot replay to {target}: name a new FILE.ndjson or FILE.jsonl, and quote a pattern in SOURCE")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError as error:
        raise UserError(f"cannot replay to {target}: it exists; remove it, or name another file") from error
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _put(descriptor: int, text: memoryview, target: str) -> None:
    try:
        while text:
            text = text[os.write(descriptor, text) :]
    except BrokenPipeError:
        raise
    except OSError as error:
        raise cannot_write(Path("standard output" if target == "-" else target), error) from error


def _terminal(target: str) -> bool:
    """Whether the progress has a line of its own to stand on."""
    return sys.stderr.isatty() and not (target == "-" and sys.stdout.isatty())


class _Line:
    """The progress, on one line of standard error that is written over and over."""

    def __init__(self, zone: str, *, shown: bool) -> None:
        self._zone, self._shown = zone, shown
        self._next = 0.0

    def __enter__(self) -> _Line:
        return self

    def __call__(self, at: Replayed) -> None:
        now = time.monotonic()
        if not self._shown or now < self._next:
            return
        self._next = now + _REFRESH
        wait = f", next in {at.next_in:,.0f} s" if at.next_in >= 1 else ""
        self._write(f"{moment(iso_time(at.time_ns), self._zone)}   {at.rows:,} rows{wait}")

    def __exit__(self, *_: object) -> None:
        if self._shown:
            self._write("")

    def _write(self, text: str) -> None:
        sys.stderr.write(f"\r\x1b[2K{text}")
        sys.stderr.flush()
