"""Which reader reads which file."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import polars as pl

from offbeat.core.chunk import FAULTS
from offbeat.core.plan import SourcePlan
from offbeat.errors import UserError
from offbeat.io.read.arrow import ArrowReader
from offbeat.io.read.csv import BLOCK, CsvReader
from offbeat.io.read.databento import DatabentoReader
from offbeat.io.read.dbn import DbnReader
from offbeat.io.read.files import ByteStream, FoundFiles, InputFile
from offbeat.io.read.formats import ACCEPTED
from offbeat.io.read.layout import Layout, MissingColumnError
from offbeat.io.read.ndjson import NdjsonReader
from offbeat.io.read.parquet import ParquetReader, rows_of
from offbeat.io.read.parse_columns import Parsed
from offbeat.io.read.path_columns import WithPath, draw, gives_key


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
    inner, fitted, drawn = draw(file, plan)
    reader = _reader_of(inner, fitted, block)
    return WithPath(reader, drawn) if drawn.values else reader


def _reader_of(file: InputFile, plan: SourcePlan, block: int) -> Reader:
    if file.kind == "dbn":
        return DbnReader(file, plan, block)
    if plan.format == "databento":
        return DatabentoReader(file, plan, block)
    if file.kind == "csv":
        return CsvReader(file, plan, block)
    if file.kind == "ndjson":
        return NdjsonReader(file, plan, block)
    if file.kind == "arrow":
        return ArrowReader(file, plan, rows_of(block))
    return ParquetReader(file, plan, rows_of(block))


def open_all(found: FoundFiles, plan: SourcePlan, block: int) -> list[Reader]:
    """Every file's header is looked at before any row is read, so that a wrong file stops the run before it began. Raises UserError.

    Text under a name that tells nothing, in a folder, is data if it has the columns; else `found` has it among what is left out.
    """
    readers: list[Reader] = []
    kept: list[InputFile] = []
    lacking: MissingColumnError | None = None
    for file in found.files:
        try:
            if not file.sure and not plan.header and not _of_that_width(file, plan):
                raise UserError("as many fields")
            own, reader = _with_its_key(file, plan, block)
            if not file.sure and file.kind == "ndjson" and not _has_fields(reader):
                raise UserError("the fields")
        except UserError as error:
            if not file.sure:
                found.left_out.append((file.path, "text without the columns"))
            elif isinstance(error, MissingColumnError):
                lacking = lacking or error
            else:
                raise
            continue
        readers.append(reader)
        kept.append(own)
    found.files[:] = kept
    if lacking is None and not readers:
        path, what = found.left_out[-1]
        like = f"no data file in this folder, only files like {Path(path).name!r} ({what})"
        raise UserError(f"{Path(path).parent}: {like}; expected {ACCEPTED}")
    if lacking is None:
        return readers
    if any(getattr(r, "layout", None) is not None for r in readers):
        raise UserError(f"{lacking}; other files here have it, so the schemas are mixed; name only files that belong together")
    raise lacking


def _with_its_key(file: InputFile, plan: SourcePlan, block: int) -> tuple[InputFile, Reader]:
    """The file's reader; where its name may give the key, the file without a key of its own if a column of it has one."""
    if file.key is None or not plan.key_column:
        return file, reader_of(file, plan, block)
    own = replace(file, key=None)
    try:
        reader = reader_of(own, plan, block)
    except MissingColumnError as error:
        if error.column != plan.key_column[0]:
            raise
        return file, reader_of(file, plan, block)
    if file.kind != "ndjson" or gives_key(file, plan):
        return own, reader
    first = next(reader.blocks(), None)
    keys = None if first is None else first().keys
    return (file, reader_of(file, plan, block)) if keys is not None and keys.null_count() == len(keys) else (own, reader)


def _has_fields(reader: Reader) -> bool:
    """Whether the first object of JSON lines is a row."""
    first = next(reader.blocks(), None)
    return first is not None and FAULTS[int(first().faults[0])] not in ("missing", "type")


def _of_that_width(file: InputFile, plan: SourcePlan) -> bool:
    """Whether the first line of a file without a header has as many fields as the plan has names."""
    stream = ByteStream(file)
    try:
        first = stream.read(1 << 16).split(b"\n", 1)[0].decode("utf-8", "replace")
    finally:
        stream.close()
    return len(next(csv.reader([first], delimiter=plan.separator), [])) == len(plan.names)


def zone_note(path: str, plan: SourcePlan) -> str:
    """For people: in which zone times are read that have none of their own."""
    name = "standard input" if path == "-" else path
    return f"{name}: its times have no zone and are taken as {plan.time.zone} (`time.zone`)"


def spellings(files: Sequence[InputFile], readers: Sequence[Reader], plan: SourcePlan) -> list[str]:
    """For people: which column of a file was taken for one that the pipeline calls otherwise, and which other could have been."""
    taken: dict[tuple[str, str, str], list[str]] = {}
    named: dict[str, list[str]] = {}
    for file, reader in zip(files, readers, strict=True):
        layout: Layout | None = getattr(reader, "layout", None)
        if layout is None:
            continue
        places = [("the time", plan.time.headers, layout.time), ("the key", plan.key_column, layout.key)]
        places += [(c.name, (c.name, *c.headers), place) for c, place in zip(plan.columns, layout.columns, strict=True)]
        for what, known, place in places:
            if place < 0 or not known or layout.fields[place].casefold() == known[0].casefold():
                continue
            if what == "the key" and (beside := getattr(reader, "named_by", "")):
                named.setdefault(beside, []).append(file.path)
                continue
            field = layout.fields[place]
            folded = {spelling.casefold() for spelling in known}
            others = [other for at, other in enumerate(layout.fields) if at != place and other.casefold() in folded]
            beside = f", not {' or '.join(map(repr, others))}" if others else ""
            taken.setdefault((what, field, beside), []).append(file.path)
    notes = [f"{paths[0]}{_more(paths)}: column {field!r} is taken for {what}{beside}" for (what, field, beside), paths in taken.items()]
    return notes + [f"{paths[0]}{_more(paths)}: its symbols are those of {beside} beside it" for beside, paths in named.items()]


def absences(files: Sequence[InputFile], readers: Sequence[Reader], plan: SourcePlan) -> list[str]:
    """For people: which columns that are not required are not in which files."""
    notes = []
    layouts: list[tuple[str, Layout, frozenset[str]]] = [
        (file.path, layout, getattr(reader, "drawn", frozenset()))
        for file, reader in zip(files, readers, strict=True)
        if (layout := getattr(reader, "layout", None))
    ]
    for place, column in enumerate(plan.columns):
        without = [path for path, layout, drawn in layouts if layout.columns[place] < 0 and column.name not in drawn]
        if without:
            notes.append(f"{without[0]}{_more(without)}: no column {column.name!r}; it is optional, so its values are null")
    return notes


def mixtures(files: Sequence[InputFile], readers: Sequence[Reader], plan: SourcePlan) -> list[str]:
    """For people: columns of Parquet files that are of one type here and of another there, where that changes what a value means."""
    inner = [(file.path, reader.inner if isinstance(reader, WithPath) else reader) for file, reader in zip(files, readers, strict=True)]
    typed = [(path, reader) for path, reader in inner if isinstance(reader, ParquetReader)]
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
