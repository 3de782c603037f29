"""Which reader reads which file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from offbeat.core.plan import SourcePlan
from offbeat.errors import UserError
from offbeat.io.columns import Parsed
from offbeat.io.csv import BLOCK, CsvReader
from offbeat.io.databento import DatabentoReader
from offbeat.io.dbn import DbnReader
from offbeat.io.files import InputFile
from offbeat.io.layout import MissingColumnError
from offbeat.io.ndjson import NdjsonReader
from offbeat.io.parquet import ParquetReader, rows_of


class Reader(Protocol):
    """Rows of one file, or of several merged."""

    @property
    def header(self) -> str | None:
        """The line of column names as it stands in the file; None where there is none."""

    def statistics(self) -> tuple[int, int] | None:
        """Least and greatest time as ns UTC, where the file says them itself; None: read the rows."""

    def blocks(self, mark: int = 0) -> Iterator[Callable[[], Parsed]]:
        """Independent pieces of work, in order, after `mark` (a `Parsed.mark`; 0: from the beginning)."""


def reader_of(file: InputFile, plan: SourcePlan, block: int = BLOCK) -> Reader:
    """The reader of the file's format, its header read and its columns found. Raises UserError."""
    if file.kind == "dbn":
        return DbnReader(file, plan, block)
    if plan.format == "databento":
        return DatabentoReader(file, plan, block)
    if file.kind == "csv":
        return CsvReader(file, plan, block)
    if file.kind == "ndjson":
        return NdjsonReader(file, plan, block)
    return ParquetReader(file, plan, rows_of(block))


def open_all(files: Sequence[InputFile], plan: SourcePlan, block: int) -> list[Reader]:
    """Every file's header is looked at before any row is read, so that a wrong file stops the run before it began. Raises UserError."""
    readers: list[Reader] = []
    lacking: MissingColumnError | None = None
    for file in files:
        try:
            readers.append(reader_of(file, plan, block))
        except MissingColumnError as error:
            lacking = lacking or error
    if lacking is None:
        return readers
    if any(getattr(r, "layout", None) is not None for r in readers):
        raise UserError(f"{lacking}; other files here have it: the schemas are mixed, so name only the files that belong together")
    raise lacking


def absences(files: Sequence[InputFile], readers: Sequence[Reader], plan: SourcePlan) -> list[str]:
    """For people: which columns that are not required are not in which files."""
    notes = []
    layouts = [(file.path, layout) for file, reader in zip(files, readers, strict=True) if (layout := getattr(reader, "layout", None))]
    for place, column in enumerate(plan.columns):
        without = [path for path, layout in layouts if layout.columns[place] < 0]
        if without:
            more = f" and {len(without) - 1} more" if len(without) > 1 else ""
            notes.append(f"{without[0]}{more}: no column {column.name!r}; it is not required, so its values count as missing")
    return notes
