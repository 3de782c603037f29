"""Which reader reads which file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import polars as pl

from offbeat.core.plan import SourcePlan
from offbeat.errors import UserError
from offbeat.io.read.csv import BLOCK, CsvReader
from offbeat.io.read.databento import DatabentoReader
from offbeat.io.read.dbn import DbnReader
from offbeat.io.read.files import InputFile
from offbeat.io.read.layout import MissingColumnError
from offbeat.io.read.ndjson import NdjsonReader
from offbeat.io.read.parquet import ParquetReader, rows_of
from offbeat.io.read.parse_columns import Parsed


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
        raise UserError(f"{lacking}; other files here have it, so the schemas are mixed; name only files that belong together")
    raise lacking


def absences(files: Sequence[InputFile], readers: Sequence[Reader], plan: SourcePlan) -> list[str]:
    """For people: which columns that are not required are not in which files."""
    notes = []
    layouts = [(file.path, layout) for file, reader in zip(files, readers, strict=True) if (layout := getattr(reader, "layout", None))]
    for place, column in enumerate(plan.columns):
        without = [path for path, layout in layouts if layout.columns[place] < 0]
        if without:
            notes.append(f"{without[0]}{_more(without)}: no column {column.name!r}; it is optional, so its values are null")
    return notes


def mixtures(files: Sequence[InputFile], readers: Sequence[Reader], plan: SourcePlan) -> list[str]:
    """For people: columns of Parquet files that are of one type here and of another there, where that changes what a value means."""
    typed = [(file.path, reader) for file, reader in zip(files, readers, strict=True) if isinstance(reader, ParquetReader)]
    notes = []
    times = [_kind(path, reader, reader.layout.time) for path, reader in typed]
    zoned = [path for path, _, kind in times if isinstance(kind, pl.Datetime) and kind.time_zone is not None]
    local = [(path, field) for path, field, kind in times if isinstance(kind, pl.Date | pl.Datetime) and path not in zoned]
    if zoned and local:
        taken = f"{'its' if len(local) == 1 else 'their'} times are taken as {plan.time.zone}"
        notes.append(f"{_first(local)} has no time zone, but it has one in {zoned[0]}; {taken}")
    texts = [(place, "values") for place, column in enumerate(plan.columns) if column.kind == "text"]
    for place, what in [(-1, "keys"), *texts]:
        kinds = [_kind(path, reader, reader.layout.key if place < 0 else reader.layout.columns[place]) for path, reader in typed]
        numbers = [path for path, _, kind in kinds if kind.is_integer()]
        words = [(path, field) for path, field, kind in kinds if isinstance(kind, pl.String | pl.Categorical | pl.Enum)]
        if words and numbers:
            notes.append(f"{_first(words)} is text, but integers in {numbers[0]}; there, 007 and 7 are different {what}")
    return notes


def _kind(path: str, reader: ParquetReader, place: int) -> tuple[str, str, pl.DataType]:
    """Of a column: the file's path, the field's name there, its type, which is Null where the file has no such column."""
    field = reader.layout.fields[place] if place >= 0 else ""
    return path, field, reader.kinds[field] if place >= 0 else pl.Null()


def _first(found: Sequence[tuple[str, str]]) -> str:
    return f"{found[0][0]}{_more(found)}: column {found[0][1]!r}"


def _more(paths: Sequence[object]) -> str:
    return f" and {len(paths) - 1} more" if len(paths) > 1 else ""
