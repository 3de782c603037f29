"""The contract of a sink, executable."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, reduce
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from offbeat.core.chunk import Position
from offbeat.io.contract import Sink
from offbeat.io.write.schema_union import widened
from offbeat.io.write.sinks import open_sink
from offbeat.testing.alerts import Latest, latest, sample_alerts, sample_records
from offbeat.testing.crash import KILLED, Ended, Job, begun, stored, write_tables
from offbeat.testing.processes import processes

_COMMITS = (2, 5, 6, 8)
"""After how many tables there is a commit."""

Record = Mapping[str, Any]
Read = Callable[[str], Iterable[Record]]


def check_sink(uri: Callable[[str], str], read: Read, *, crashes: int = 20) -> None:
    """Check that a sink holds each alert once, as `Sink` says, wherever a run dies.

    uri: gives the output of a name that was not used before, as `--alerts` would name it: `lambda name: f"my_sinks:Mine://{folder}/{name}"`.
    It must be empty. read: the alerts that somebody else finds at that output now, an empty list where there is nothing yet; mappings with
    at least `alert_id`, `revision` and `status`. With `key` and `severity` these are compared, too. crashes: at how many steps a process
    that writes is ended, as by `kill -9`, and started again; they are spread over all lines of the sink's module or package.

    Raises AssertionError: alerts are seen before their commit, are lost or there twice after a commit, a restart or a crash, or are
    not taken back.
    """
    outputs = (_Place(uri(f"output{number}"), read) for number in count())
    _hold(not next(outputs).seen(), "a new output must be empty")
    _commits(next(outputs))
    _ends(next(outputs), next(outputs))
    _restarts(next(outputs))
    _unstored(next(outputs))
    _bounded(next(outputs), next(outputs), next(outputs))
    with processes() as run:
        for bounded in (False, True):
            _crashes(outputs, run, crashes if not bounded else max(1, crashes // 4), bounded=bounded)


def _hold(true: bool, promise: str) -> None:
    if not true:
        raise AssertionError(promise)


def _written(tables: int) -> Latest:
    """What counts once so many tables are there."""
    return latest(record for records in sample_records()[:tables] for record in records)


class _Place:
    """An output, and what others see of it."""

    def __init__(self, uri: str, read: Read) -> None:
        self.uri, self._read = uri, read

    def open(self, position: Position | None = None, *, bounded: bool = False) -> Sink:
        schema = reduce(widened, [table.schema for table in sample_alerts()])
        return open_sink(self.uri, position=position, bounded=bounded, schema=schema)

    def seen(self) -> Latest:
        records = list(self._read(self.uri))
        places = [(record["alert_id"], record["revision"], record["status"]) for record in records]
        _hold(len(set(places)) == len(places), f"{self.uri}: an alert is there twice, with the same revision and status")
        for record in records:
            self._equal(record)
        return latest(records)

    def holds(self, tables: int, when: str) -> None:
        """Exactly the alerts of so many tables."""
        seen, wanted = self.seen(), _written(tables)
        lost, more = len(wanted.keys() - seen.keys()), len(seen.keys() - wanted.keys())
        _hold(not lost, f"{self.uri}: {when}, {lost} of {len(wanted)} alerts are not there")
        _hold(not more, f"{self.uri}: {when}, {more} alerts are there that should not be")
        _hold(seen == wanted, f"{self.uri}: {when}, an alert is not there in its greatest revision and last status")

    def _equal(self, record: Record) -> None:
        wanted = _by_place().get((record["alert_id"], record["revision"], record["status"]))
        if wanted is None:
            raise AssertionError(f"{self.uri}: an alert is there that was not written: {dict(record)}")
        for name in ("key", "severity"):
            if name in record:
                _hold(record[name] == wanted[name], f"{self.uri}: {name} is {record[name]!r}, {wanted[name]!r} was written")


@cache
def _by_place() -> dict[tuple[str, int, str], Record]:
    return {(record["alert_id"], record["revision"], record["status"]): record for records in sample_records() for record in records}


def _commit(sink: Sink) -> Position:
    position = sink.commit()
    _hold(isinstance(position, dict), f"`commit` must return a dict, not {position!r}")
    try:
        carried: Position = json.loads(json.dumps(position))
    except TypeError as error:
        raise AssertionError(f"what `commit` returned cannot be written as JSON: {error}") from error
    _hold(carried == position, f"JSON changes what `commit` returned: {position!r}")
    return carried


def _commits(output: _Place) -> None:
    """What is written is seen from its commit on, not before."""
    tables = sample_alerts()
    sink = output.open()
    committed = 0
    for number, table in enumerate(tables, 1):
        sink.write(table)
        output.holds(committed, f"after {number} tables, {committed} of them committed")
        if number in _COMMITS:
            _commit(sink)
            committed = number
            output.holds(committed, f"after a commit of {committed} tables")
    _commit(sink)
    _commit(sink)
    output.holds(len(tables), "after a commit without new alerts")
    sink.close(complete=True)
    sink.close(complete=True)
    output.holds(len(tables), "after `close(complete=True)`")


def _ends(complete: _Place, interrupted: _Place) -> None:
    """`close` commits what is left, or takes it back."""
    for output, whole in ((complete, True), (interrupted, False)):
        sink = output.open()
        _write(sink, 0, 4)
        _commit(sink)
        _write(sink, 4, 8)
        sink.close(complete=whole)
        sink.close(complete=False)
        output.holds(8 if whole else 4, f"after `close(complete={whole})` with alerts that were not committed")


def _restarts(output: _Place) -> None:
    """A run goes on from its last stored commit, what came after it written or not."""
    sink = output.open()
    _write(sink, 0, 3)
    first = _commit(sink)
    _write(sink, 3, 5)
    sink.close(complete=False)
    sink = output.open(first)
    output.holds(3, "after a restart")
    _write(sink, 3, 6)
    second = _commit(sink)
    _write(sink, 6, 7)
    _commit(sink)
    _write(sink, 7, 8)
    _commit(sink)
    sink.close(complete=False)
    # The process died before one of these two commits was stored.
    sink = output.open(second)
    _write(sink, 6, 8)
    third = _commit(sink)
    sink.close(complete=True)
    output.holds(8, "after a restart at a commit before the last two")
    output.open(third).close(complete=True)
    output.holds(8, "after a restart without new alerts")
    sink = output.open(third)
    _write(sink, 8, len(sample_alerts()))
    sink.close(complete=True)
    output.holds(len(sample_alerts()), "after a restart")


def _unstored(output: _Place) -> None:
    """A run died after its first commit and before that was stored: the next one has no position."""
    sink = output.open()
    _write(sink, 0, 4)
    _commit(sink)
    sink.close(complete=False)
    sink = output.open()
    _write(sink, 0, 6)
    _commit(sink)
    sink.close(complete=True)
    output.holds(6, "after a run without a position, the one before having committed 4 tables")


def _bounded(complete: _Place, interrupted: _Place, again: _Place) -> None:
    """A run that nobody restarts: all of its alerts or none."""
    for output, whole in ((complete, True), (interrupted, False)):
        sink = output.open(bounded=True)
        _write(sink, 0, 5)
        output.holds(0, "before the end of a bounded run")
        _commit(sink)
        _write(sink, 5, 8)
        output.holds(0, "after a commit of a bounded run")
        sink.close(complete=whole)
        sink.close(complete=whole)
        output.holds(8 if whole else 0, f"after `close(complete={whole})` of a bounded run")
    for _ in range(2):
        sink = again.open(bounded=True)
        _write(sink, 0, 8)
        sink.close(complete=True)
        again.holds(8, "after a bounded run over the same rows")


def _write(sink: Sink, start: int, end: int) -> None:
    for table in sample_alerts()[start:end]:
        sink.write(table)


def _crashes(outputs: Iterator[_Place], run: Callable[[Job], Ended], most: int, *, bounded: bool) -> None:
    """Processes that die at a step and are started again."""
    total = len(sample_alerts())
    with TemporaryDirectory(prefix="offbeat-") as folder:
        tables = Path(folder) / "tables"
        tables.mkdir()
        write_tables(tables, sample_alerts())

        def job(output: _Place, number: int, die_at: int) -> Job:
            state, commit = (str(Path(folder) / f"{number}.{name}") for name in ("state", "begun"))
            return Job(output.uri, str(tables), state, commit, _COMMITS, bounded, die_at)

        whole = next(outputs)
        ended = run(job(whole, 0, -1))
        whole.holds(total, "after a run in a process of its own")
        for number, die_at in enumerate(_spread(ended.marks, most), 1):
            output = next(outputs)
            dying = job(output, number, die_at)
            _hold(run(dying).code == KILLED or die_at > 0, "a process that should die at once came to its end")
            _between(output, dying)
            run(job(output, number, -1))
            output.holds(total, f"after a crash at step {die_at} and another start")


def _between(output: _Place, job: Job) -> None:
    """After a crash the output holds at least what was stored, and no more than what a commit had begun with."""
    if job.bounded:
        seen = output.seen()
        _hold(seen in ({}, _written(len(sample_alerts()))), f"{output.uri}: after a crash of a bounded run, a part of its alerts is there")
        return
    least, most, seen = _written(stored(Path(job.state))[0]), _written(begun(Path(job.begun))), output.seen()
    when = f"after a crash at step {job.die_at}"
    _hold(all(seen.get(alert, (0, 0)) >= at for alert, at in least.items()), f"{output.uri}: {when}, alerts of a stored commit are lost")
    _hold(all(alert in most and at <= most[alert] for alert, at in seen.items()), f"{output.uri}: {when}, alerts are seen before a commit")


def _spread(marks: Sequence[int], most: int) -> list[int]:
    """As many of the steps, evenly, the first and the last among them."""
    if len(marks) <= most:
        return list(marks)
    return sorted({marks[round(i * (len(marks) - 1) / max(1, most - 1))] for i in range(most)})
