"""Parquet files in batches of rows, only the columns that the plan needs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import Any, Literal

import numpy as np
import polars as pl
import pyarrow as pa

from offbeat.core.batch import EVER, NULL_INT
from offbeat.core.plan import SourcePlan
from offbeat.errors import UserError
from offbeat.io.read.epoch import ANY_UNIT, EITHER
from offbeat.io.read.files import InputFile
from offbeat.io.read.parse_columns import Parsed
from offbeat.io.read.parse_table import times_of
from offbeat.io.read.table_file import TableColumns

ROWS = 1 << 17
"""Rows of a batch."""

_ROW_BYTES = 32
"""Of a row in memory, roughly."""
_CODE_BYTES = 4
"""A column that takes less than that for each row holds places in a dictionary."""

_UNITS: dict[str, Literal["ms", "us", "ns"]] = {"milliseconds": "ms", "microseconds": "us", "nanoseconds": "ns"}
_parquet: Any = import_module("pyarrow.parquet")


def rows_of(block: int) -> int:
    """Rows of a batch that takes about as much memory as a block of so many bytes."""
    return max(block // _ROW_BYTES, 1)


class ParquetReader:
    """Reads one Parquet file; `Parsed.mark` counts rows."""

    header = None

    def __init__(self, file: InputFile, plan: SourcePlan, rows: int = ROWS) -> None:
        """Reads the footer only. rows: those of a batch.

        Raises UserError if the file is no (whole) Parquet file, lacks a column, or has one of a wrong type.
        """
        self._file = file
        self._plan = plan
        self._rows = rows
        with self._open() as opened:
            metadata = opened.metadata
            schema = opened.schema_arrow
            self._groups = [opened.metadata.row_group(i).num_rows for i in range(opened.num_row_groups)]
            self._columns = TableColumns(file.path, _instants(schema, opened.schema), plan)
        self.layout, self.kinds, self._names = self._columns.layout, self._columns.kinds, self._columns.names
        places = zip(plan.columns, self.layout.columns, strict=True)
        texts = [self.layout.fields[place] for column, place in places if column.kind == "text" and place >= 0]
        self._coded = [name for name in texts if name in schema.names and _is_text(schema, name) and _is_coded(metadata, name)]
        self._int96 = [name for name in self._names if _is_int96(metadata, name)]
        self._ranges = None if self._int96 else _time_ranges(metadata, self.layout.fields[self.layout.time], schema, plan)

    def _open(self, coded: Sequence[str] = (), int96: str | None = None) -> Any:
        try:
            return _parquet.ParquetFile(self._file.path, read_dictionary=coded, coerce_int96_timestamp_unit=int96)
        except UnicodeDecodeError as error:
            raise UserError(f"{self._file.path}: a column has a name that is not UTF-8; write the file with other names") from error
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise UserError(f"{self._file.path}: cannot be read: {error.strerror or type(error).__name__}") from error
            why = str(error).splitlines()[0][:120]
            # That the magic bytes are missing says it over again, and no more.
            why = "" if "magic bytes" in why else f" ({why})"
            raise UserError(f"{self._file.path}: not a complete Parquet file{why}; fetch or write it again") from error

    def statistics(self) -> tuple[int, int] | None:
        """Least and greatest time as ns UTC, where the file's footer has them; None: read the rows."""
        there = [(low, high) for low, high in self._ranges or () if low <= high]
        return (min(low for low, _ in there), max(high for _, high in there)) if there else None

    def blocks(self, mark: int = 0) -> Iterator[Callable[[], Parsed]]:
        """Work to be done for each batch of rows after the first `mark`."""
        total = sum(self._groups)
        first = at = 0
        while first < len(self._groups) and at + self._groups[first] <= mark:
            at += self._groups[first]
            first += 1
        if first == len(self._groups):
            return
        floors = self._floors()
        edges = np.cumsum(self._groups)
        groups = range(first, len(self._groups))
        with ExitStack() as stack:
            opened = stack.enter_context(self._open(self._coded))
            batches = opened.iter_batches(batch_size=self._rows, row_groups=groups, columns=self._names)
            beside: Iterator[Any] | None = None
            if self._int96:
                coarse = stack.enter_context(self._open(int96="us"))
                beside = coarse.iter_batches(batch_size=self._rows, row_groups=groups, columns=self._int96)
            while True:
                try:
                    batch = next(batches, None)
                    micros = next(beside, None) if beside is not None else None
                except (pa.ArrowException, OSError) as error:
                    why = str(error).splitlines()[0][:120]
                    raise UserError(f"{self._file.path}: damaged after row {at} ({why}); fetch or write the file again") from error
                if batch is None:
                    return
                end = at + batch.num_rows
                if end > mark:
                    skipped = max(mark - at, 0)
                    floor = floors[int(np.searchsorted(edges, at, side="right"))]
                    fine = None if micros is None else micros.slice(skipped)
                    yield partial(self._parse, batch.slice(skipped), fine, end, self._file.size * end // total, floor)
                at = end

    def _floors(self) -> list[int]:
        """For each row group, a time before which no row lies in it or the ones after; NULL_INT where the footer does not say."""
        floors = [EVER]
        for low, _ in reversed(self._ranges or [(NULL_INT, 0)] * len(self._groups)):
            floors.append(min(low, floors[-1]))
        return floors[:0:-1]

    def _parse(self, batch: pa.RecordBatch, micros: pa.RecordBatch | None, mark: int, done: int, floor_ns: int) -> Parsed:
        columns = zip(batch.schema.names, batch.columns, strict=True)
        series = [pl.Series(name, _decoded(column) if name in self._coded else column) for name, column in columns]
        frame = self._columns.chosen(pl.DataFrame(series))
        if micros is not None:
            frame = frame.with_columns(_whole_range(frame, pl.DataFrame(micros), name) for name in self._int96)
        return replace(self._columns.parse(frame, mark, done), floor_ns=floor_ns)


def _is_text(schema: Any, name: str) -> bool:
    return bool(pa.types.is_string(schema.field(name).type))


def _is_int96(metadata: Any, name: str) -> bool:
    """Whether a column has the old form of instants that Hive, Impala and Spark write."""
    return any(c.path == name and c.physical_type == "INT96" for c in map(metadata.schema.column, range(metadata.num_columns)))


def _instants(schema: Any, stored: Any) -> Any:
    """The schema with INT96 as what it is by its definition, an instant in UTC; Arrow knows no zone of it."""
    for place, name in enumerate(schema.names):
        column = next((c for c in map(stored.column, range(len(stored.names))) if c.path == name), None)
        if column is not None and column.physical_type == "INT96":
            schema = schema.set(place, pa.field(name, pa.timestamp("ns", "UTC")))
    return schema


def _whole_range(frame: pl.DataFrame, micros: pl.DataFrame, name: str) -> pl.Series:
    """An INT96 column in nanoseconds, or, where one of its times has no place in them, in microseconds: Arrow would wrap it around."""
    nanos, wide = frame.get_column(name).to_physical(), micros.get_column(name).to_physical()
    fits = (nanos // 1000 == wide).fill_null(value=True).all()
    return (nanos.cast(pl.Datetime("ns", "UTC")) if fits else wide.cast(pl.Datetime("us", "UTC"))).alias(name)


def _column(group: Any, name: str) -> Any:
    """A column's part of the footer; None where it is nested and so has several."""
    return next((group.column(c) for c in range(group.num_columns) if group.column(c).path_in_schema == name), None)


def _is_coded(metadata: Any, name: str) -> bool:
    """Whether all row groups keep a column as places in a dictionary, so that its texts need not be made row by row."""
    for g in range(metadata.num_row_groups):
        group = metadata.row_group(g)
        column = _column(group, name)
        if column is None or not column.has_dictionary_page or column.total_uncompressed_size > _CODE_BYTES * group.num_rows:
            return False
    return True


def _decoded(column: Any) -> pl.Series:
    return pl.Series(column.dictionary).gather(pl.Series(column.indices))


def _time_ranges(metadata: Any, name: str, schema: Any, plan: SourcePlan) -> list[tuple[int, int]] | None:
    """Least and greatest time of each row group by its statistics, for times that are no text; None: the rows must be read."""
    if name not in schema.names or plan.time.rest:
        return None
    kind = schema.field(name).type
    if plan.time.format in (ANY_UNIT, EITHER) and pa.types.is_integer(kind):
        return None  # the greatest count need not be the latest time
    if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind) or pa.types.is_integer(kind)):
        return None
    ranges: list[tuple[int, int]] = []
    for g in range(metadata.num_row_groups):
        group = metadata.row_group(g)
        column = _column(group, name)
        statistics = column.statistics if column is not None else None
        if statistics is None or not statistics.has_min_max:
            if group.num_rows:
                return None
            ranges.append((EVER, NULL_INT))
            continue
        ends = _ends(statistics, kind)
        if ends is None:
            return None
        times = times_of(ends, plan)
        if NULL_INT in times.utc:
            return None
        ranges.append((int(times.utc[0]), int(times.utc[1] if times.later is None else times.later[1])))
    return ranges


def _ends(statistics: Any, kind: Any) -> pl.Series | None:
    """Least and greatest value of a column of times; None where the footer keeps them in a form that is not known here."""
    if not pa.types.is_timestamp(kind):
        try:
            return pl.Series([statistics.min, statistics.max])
        except (pl.exceptions.PolarsError, ValueError, TypeError, OverflowError):
            return None
    # Not as Python's datetimes: these end at the microsecond, and Arrow imports pandas for them, half a second of the start.
    unit = _UNITS.get(json.loads(statistics.logical_type.to_json()).get("timeUnit"))
    if unit is None or statistics.physical_type != "INT64":
        return None
    return pl.Series([statistics.min_raw, statistics.max_raw], dtype=pl.Int64).cast(pl.Datetime(unit, kind.tz and "UTC"))
