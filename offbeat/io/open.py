"""Files as one source: in the order of S2, each delivery once [S8], restartable."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np

from offbeat.core.plan import SourcePlan
from offbeat.errors import UserError
from offbeat.io.ahead import Ahead
from offbeat.io.columns import Parsed
from offbeat.io.contract import Chunk, Position, Source
from offbeat.io.csv import CsvReader
from offbeat.io.files import InputFile, find_files, fingerprint
from offbeat.io.layout import MissingColumnError
from offbeat.io.timestamps import zone_of

DEPTH = 4
"""Blocks parsed ahead of the consumer: bounds the memory."""


class Reader(Protocol):
    """Rows of one file, or of several merged."""

    def blocks(self, mark: int = 0) -> Iterator[Callable[[], Parsed]]:
        """Independent pieces of work, in order, after `mark` (a `Parsed.mark`; 0: from the beginning)."""


def reader_of(file: InputFile, plan: SourcePlan, block: int | None = None) -> Reader:
    """The reader of the file's format, its header read and its columns found. Raises UserError."""
    if file.kind == "csv":
        return CsvReader(file, plan, block) if block else CsvReader(file, plan)
    raise UserError(f"{file.path}: not read yet")


@dataclass(frozen=True, slots=True)
class Unit:
    """What is read as one: a file, or files of overlapping times merged."""

    indices: tuple[int, ...]
    prints: tuple[str, ...]
    reader: Reader


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened while reading ahead: rows of a unit, its end (no rows), or only a note."""

    unit: Unit | None
    parsed: Parsed | None
    note: str = ""


class FileSource:
    """Files of one plan as a `Source`."""

    def __init__(self, plan: SourcePlan, paths: Sequence[str], block: int | None = None, workers: int = 2) -> None:
        """Finds the files and reads their headers. block: bytes parsed at a time (None: the readers' own choice)."""
        zone_of(plan.time.zone)
        self._plan = plan
        self._block = block
        self._workers = workers
        self._found = find_files(paths, plan.format, plan.key_pattern)
        self.files = [f.path for f in self._found]
        self.notes: list[str] = []
        self._readers = self._open_all()
        self._done = 0
        self._ahead: Ahead[Step] | None = None

    def _open_all(self) -> list[Reader]:
        """Every file's header is looked at before any row is read, so that a wrong file stops the run before it began."""
        readers: list[Reader] = []
        lacking: MissingColumnError | None = None
        for file in self._found:
            try:
                readers.append(reader_of(file, self._plan, self._block))
            except MissingColumnError as error:
                lacking = lacking or error
        if lacking is None:
            return readers
        if any(getattr(r, "layout", None) is not None for r in readers):
            raise UserError(f"{lacking}; other files here have it: the schemas are mixed, so name only the files that belong together")
        raise lacking

    def size_bytes(self) -> int | None:
        return sum(f.size for f in self._found)

    def done_bytes(self) -> int:
        return self._done

    def close(self) -> None:
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None

    def chunks(self, start: Position | None) -> Iterator[Chunk]:
        """Rows after `start`. Raises UserError if a file that was being read then has changed or is gone."""
        finished: dict[str, list[Any]] = dict(start["finished"]) if start else {}
        current = start["current"] if start else None
        rows = int(current["rows"]) if current else 0
        self._done = 0
        self.close()
        self._ahead = Ahead(self._work(dict(finished), current), self._workers, DEPTH)
        waiting: Chunk | None = None
        at_start = True
        try:
            for step in self._ahead:
                if step.note:
                    self.notes.append(step.note)
                unit, parsed = step.unit, step.parsed
                if unit is None:
                    continue
                if not at_start and waiting is None and parsed is not None and rows == -1:
                    rows = 0
                if parsed is None:
                    finished = finished | {p: [self.files[i], max(rows, 0)] for i, p in zip(unit.indices, unit.prints, strict=True) if p}
                    if waiting is not None:
                        yield replace(waiting, position=self._position(finished, None, 0, 0))
                        waiting = None
                    rows = -1
                    at_start = False
                    continue
                n = len(parsed.time_ns)
                if waiting is not None:
                    yield waiting
                    waiting = None
                self._done = self._before(unit) + parsed.done
                if n == 0:
                    continue
                rows = max(rows, 0)
                waiting = self._chunk(unit, parsed, rows + 1, self._position(finished, unit, parsed.mark, rows + n))
                rows += n
        finally:
            self.close()

    def _before(self, unit: Unit) -> int:
        return sum(f.size for f in self._found[: unit.indices[0]])

    def _chunk(self, unit: Unit, parsed: Parsed, first_row: int, position: Position) -> Chunk:
        index = unit.indices[0]
        return Chunk(
            parsed.frame, self._found[index].key, parsed.keys, parsed.time_ns, parsed.faults, index, first_row, None, None, parsed.raw, position
        )

    def _position(self, finished: dict[str, list[Any]], unit: Unit | None, mark: int, rows: int) -> Position:
        current = None
        if unit is not None:
            names = [self.files[i] for i in unit.indices]
            current = {"names": names, "prints": list(unit.prints), "mark": mark, "rows": rows}
        return {"finished": finished, "current": current}

    def _work(self, finished: dict[str, list[Any]], current: dict[str, Any] | None) -> Iterator[Callable[[], Step]]:
        for index, file in enumerate(self._found):
            print_ = fingerprint(file)
            unit = Unit((index,), (print_,), self._readers[index])
            for work in self._readers[index].blocks(0):
                yield partial(_step, unit, work)
            yield partial(Step, unit, None)


def _step(unit: Unit, work: Callable[[], Parsed]) -> Step:
    return Step(unit, work())


def open_source(plan: SourcePlan, paths: Sequence[str]) -> Source:
    """The files behind `paths` (files, folders, globs, `-`) as one source in the order of S2.

    Raises UserError in one line that names the file and what to do: nothing found, not readable, wrong format, columns missing, mixed schemas.
    """
    return FileSource(plan, paths)


_ = np
