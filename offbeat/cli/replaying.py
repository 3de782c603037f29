"""A replay from the command line: who reads the source, where its rows go, and what is said besides."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from offbeat.cli.say import say
from offbeat.core.plan import Plan
from offbeat.engines.replay import Replayed, floors_of, replay
from offbeat.errors import UserError
from offbeat.io.kafka import KAFKA
from offbeat.io.read.by_time import ByTime
from offbeat.io.read.file_source import FileSource
from offbeat.io.read.layout import MissingColumnError
from offbeat.io.report.console import moment
from offbeat.io.write.atomic_file import cannot_write
from offbeat.io.write.row_json import iso_time
from offbeat.spec.load import load_plan, shipped

_TEXT = frozenset({".ndjson", ".jsonl"})
_REFRESH = 0.2
"""Seconds between two looks at the progress line."""


@dataclass(frozen=True, slots=True)
class TopicOptions:
    """What only a replay into a topic is asked for."""

    resume: str | None = None
    """Name of the replay, which goes on where it was stopped."""
    every_ns: int = 60_000_000_000
    """How often event time is told by punctuation; 0: never."""
    payload: str = "json"
    schema: str | None = None
    """File of the Avro schema, which is written if it is not there."""
    registry: str | None = None
    """Where it is registered."""


def send(source: str, target: str, pipeline: str | None, speed: float | None, topic: TopicOptions) -> None:
    """Replay `source` to `target`. Raises UserError for what a person can put right, BrokenPipeError where nobody reads on."""
    plan, opened = readable(source, pipeline)
    rows = opened.in_order_of_time()
    line = _Line(plan.zone, shown=_terminal(target))
    if target.startswith(KAFKA):
        done = _to_topic(opened, rows, plan, target, speed, topic, line)
    else:
        with _opened(target) as descriptor, line:
            done = replay(rows, plan.source, lambda stretch: _put(descriptor, stretch.text, target), speed, line)
    unread = f"; {rows.left_out:,} skipped that are not rows of {plan.name}" if rows.left_out else ""
    say(f"{done.rows:,} row{'s' * (done.rows != 1)} of {len(opened.files):,} file{'s' * (len(opened.files) != 1)} replayed{unread}")


def _to_topic(opened: FileSource, rows: ByTime, plan: Plan, target: str, speed: float | None, topic: TopicOptions, line: _Line) -> Replayed:
    from offbeat.cli.kafka_address import address_of_topic

    address = address_of_topic(target)
    from offbeat.engines.kafka.replay_out import TopicWriter

    record: Callable[[bytes], bytes] | None = None
    if topic.payload == "avro":
        from offbeat.io.kafka.row_records import AvroRows

        record = AvroRows(plan.source, plan.name, address.topic, topic.schema, topic.registry).record
    elif topic.payload == "arrow":
        from offbeat.io.kafka.row_records import arrow_rows

        record = arrow_rows(plan.source)
    writer = TopicWriter(address, topic.resume, topic.every_ns, say=say, record=record)
    try:
        if writer.sent:
            say(f"{writer.sent:,} rows of this replay are in the topic already")
        floors = floors_of(opened.in_order_of_time()) if topic.every_ns else None
        with line:
            done = replay(rows, plan.source, writer.write, speed, line, floors=floors, skip=writer.sent, skipped=writer.skip)
        writer.require_all()
        return done
    finally:
        writer.close()


def readable(source: str, pipeline: str | None) -> tuple[Plan, FileSource]:
    """The plan that was named, or the first shipped one that finds its columns, and the source as it reads it."""
    if pipeline is not None:
        plan = load_plan(pipeline)
        for note in plan.notes:
            say(note)
        return plan, FileSource(plan.source, [source])
    # `ticks` reads what `trades` reads, and `series` takes almost anything.
    for name in sorted(shipped(), key=("ticks", "series").__contains__):
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
        raise UserError(f"cannot replay to {target}: name a new FILE.ndjson, {KAFKA}HOST:PORT/TOPIC, or - for standard output")
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
