"""Sinks that die: `python -m offbeat.testing.crash` runs jobs in processes of their own, each of which ends at the step it is told to.

A step is a line of the sink's own package or module, or a moment between two calls. The process ends there as by `kill -9`: no `finally`,
no buffer written, no lock released by hand.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import reduce
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

import pyarrow as pa
from numba.core.registry import cpu_target

from offbeat.core.chunk import Position
from offbeat.core.extensions import SINKS, find
from offbeat.io.address import address_of
from offbeat.io.stores import is_store, store_class
from offbeat.io.write import sinks
from offbeat.io.write.schema_union import widened

KILLED = 137
_PATIENCE = 120
"""Seconds after which a sink that hangs is ended."""


@dataclass(frozen=True, slots=True)
class Job:
    """A run over all tables, from where `state` says that an earlier one came."""

    uri: str
    tables: str
    """Folder of the tables, Arrow files whose names sort in their order."""
    state: str
    """File of the stored document: how many tables are done, and the sink's position."""
    begun: str
    """File to which the number of tables is written before each commit of them."""
    commits: tuple[int, ...]
    """After which numbers of tables there is a commit; it is stored at once."""
    bounded: bool
    die_at: int
    """Step at which the process ends; -1: never."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job ended."""

    code: int
    """0: it came to its end. KILLED: it died where it should. Anything else: the sink failed, see standard error."""
    marks: tuple[int, ...]
    """Steps worth dying at: the first and the last time that each line was reached."""


class _Steps:
    def __init__(self, root: str, die_at: int) -> None:
        self._root, self._die_at = root, die_at
        self._count = 0
        self._seen: dict[object, tuple[int, int]] = {}

    def step(self, place: object) -> None:
        if self._count == self._die_at:
            os._exit(KILLED)
        first, _ = self._seen.get(place, (self._count, 0))
        self._seen[place] = first, self._count
        self._count += 1

    def called(self, frame: FrameType, _event: str, _argument: Any) -> Any:
        return self._line if frame.f_code.co_filename.startswith(self._root) else None

    def _line(self, frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "line":
            self.step((frame.f_code.co_filename, frame.f_lineno))
        return self._line

    def marks(self) -> tuple[int, ...]:
        return tuple(sorted({at for pair in self._seen.values() for at in pair}))


def root_of(uri: str) -> str:
    """The folder of the package, or the file, in which the sink's own code lies."""
    if is_store(uri):
        return str(Path(str(sys.modules[store_class("sink:StoreSink").__module__].__file__)).parent) + os.sep
    address = address_of(uri)
    if address is None:
        return str(Path(sinks.__file__).parent)
    module = sys.modules[find(SINKS, address.name).__module__]
    file = str(module.__file__)
    return str(Path(file).parent) + os.sep if module.__package__ else file


def read_tables(folder: Path) -> list[pa.Table]:
    """The tables of a job."""
    return [pa.ipc.open_file(pa.memory_map(str(file))).read_all() for file in sorted(folder.iterdir())]


def write_tables(folder: Path, tables: Iterable[pa.Table]) -> None:
    """What `read_tables` reads."""
    for number, table in enumerate(tables):
        with pa.ipc.new_file(str(folder / f"{number:03d}.arrow"), table.schema) as file:
            file.write_table(table)


def _drive(job: Job, steps: _Steps) -> None:
    tables = read_tables(Path(job.tables))
    done, position = stored(Path(job.state))
    steps.step("before it is opened")
    schema = reduce(widened, [table.schema for table in tables])
    sink = sinks.open_sink(job.uri, position=position, bounded=job.bounded, schema=schema)
    for number in range(done, len(tables)):
        steps.step(("before a table", number))
        sink.write(tables[number])
        if number + 1 in job.commits and not job.bounded:
            _note(job.begun, number + 1)
            steps.step(("before a commit", number))
            position = sink.commit()
            steps.step(("before the commit is stored", number))
            _store(Path(job.state), number + 1, position)
    _note(job.begun, len(tables))
    if not job.bounded:
        steps.step("before the last commit")
        position = sink.commit()
        steps.step("before the last commit is stored")
        _store(Path(job.state), len(tables), position)
    steps.step("before the end")
    sink.close(complete=True)
    steps.step("after the end")


def stored(state: Path) -> tuple[int, Position | None]:
    """How many tables are done, and the sink's position."""
    if not state.exists():
        return 0, None
    done, position = json.loads(state.read_text())
    return done, position


def begun(path: Path) -> int:
    """How many tables there were at the last commit that began."""
    return int(path.read_text().split()[-1]) if path.exists() else 0


def _store(state: Path, done: int, position: Position) -> None:
    partial = state.with_suffix(".partial")
    partial.write_text(json.dumps([done, position]))
    partial.replace(state)


def _note(path: str, number: int) -> None:
    with Path(path).open("a") as file:
        file.write(f"{number}\n")


def _forked(job: Job, root: str) -> Ended:
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(receive)
        _child(job, root, send)
    os.close(send)
    with os.fdopen(receive) as pipe:
        marks, modules = json.loads(pipe.read() or "[[], []]")
    _, status = os.waitpid(child, 0)
    # What one process had to load, the next ones find there: that is most of the time that a job takes.
    for name in modules:
        with suppress(Exception):
            import_module(name)
    cpu_target.typing_context.refresh()
    cpu_target.target_context.refresh()
    return Ended(os.waitstatus_to_exitcode(status), tuple(marks))


def _child(job: Job, root: str, send: int) -> None:
    signal.alarm(_PATIENCE)  # whoever sleeps through it is ended by it
    steps = _Steps(root, job.die_at)
    known = set(sys.modules)
    code = 1
    try:
        threading.settrace(steps.called)
        sys.settrace(steps.called)
        _drive(job, steps)
        sys.settrace(None)
        with os.fdopen(send, "w") as pipe:
            json.dump([steps.marks(), sorted(sys.modules.keys() - known)], pipe)
        code = 0
    except Exception:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    """One job a line of standard input, its end on a line of standard output. Threads are started only in the processes that die."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the sink prints is no answer
    roots: dict[str, str] = {}
    for line in sys.stdin:
        given = json.loads(line)
        job = Job(**{**given, "commits": tuple(given["commits"])})
        name = job.uri.partition("://")[0]
        if name not in roots:
            roots[name] = root_of(job.uri)
        answers.write(json.dumps(asdict(_forked(job, roots[name]))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
