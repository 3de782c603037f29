"""Parquet files in batches of rows, only the columns that the plan needs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
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
from offbeat.io.read.files import InputFile
from offbeat.io.read.layout import lay_out
from offbeat.io.read.parse_columns import Parsed
from offbeat.io.read.parse_table import check_types, parse_table, times_of

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
            schema = opened.schema_arrow
            self._groups = [opened.metadata.row_group(i).num_rows for i in range(opened.num_row_groups)]
            self.layout = lay_out(file.path, schema.names, plan)
            places = (self.layout.time, self.layout.key, *self.layout.columns)
            self._names = list(dict.fromkeys(schema.names[i] for i in places if i >= 0))
            try:
                empty = pl.from_arrow(pa.Table.from_batches([], pa.schema([schema.field(n) for n in self._names])))
            except (pl.exceptions.PolarsError, ValueError, TypeError) as error:
                raise UserError(f"{file.path}: a column has a type that cannot be read: {str(error).splitlines()[0]}") from error
            metadata = opened.metadata
        found = zip(plan.columns, self.layout.columns, strict=True)
        texts = [schema.names[place] for column, place in found if column.kind == "text" and place >= 0]
        self._coded = [name for name in texts if pa.types.is_string(schema.field(name).type) and _is_coded(metadata, name)]
        self.kinds: dict[str, pl.DataType] = dict(empty.schema) if isinstance(empty, pl.DataFrame) else {}
        """Types of the columns that are read."""
        check_types(file.path, self.kinds, self.layout, plan)
        self._ranges = _time_ranges(metadata, schema.names[self.layout.time], schema, plan)

    def _open(self, coded: Sequence[str] = ()) -> Any:
        try:
            return _parquet.ParquetFile(self._file.path, read_dictionary=coded)
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
        with self._open(self._coded) as opened:
            batches = opened.iter_batches(batch_size=self._rows, row_groups=range(first, len(self._groups)), columns=self._names)
            while True:
                try:
                    batch = next(batches, None)
                except (pa.ArrowException, OSError) as error:
                    why = str(error).splitlines()[0][:120]
                    raise UserError(f"{self._file.path}: damaged after row {at} ({why}); fetch or write the file again") from error
                if batch is None:
                    return
                end = at + batch.num_rows
                if end > mark:
                    fresh = batch.slice(max(mark - at, 0))
                    floor = floors[int(np.searchsorted(edges, at, side="right"))]
                    yield partial(self._parse, fresh, end, self._file.size * end // total, floor)
                at = end

    def _floors(self) -> list[int]:
        """For each row group, a time before which no row lies in it or the ones after; NULL_INT where the footer does not say."""
        floors = [EVER]
        for low, _ in reversed(self._ranges or [(NULL_INT, 0)] * len(self._groups)):
            floors.append(min(low, floors[-1]))
        return floors[:0:-1]

    def _parse(self, batch: pa.RecordBatch, mark: int, done: int, floor_ns: int) -> Parsed:
        columns = zip(self._names, batch.columns, strict=True)
        frame = pl.DataFrame([pl.Series(name, _decoded(column) if name in self._coded else column) for name, column in columns])
        return replace(parse_table(frame, self.layout, self._plan, mark, done), floor_ns=floor_ns)


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
    kind = schema.field(name).type
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
        times, _ = times_of(ends, plan)
        if NULL_INT in times:
            return None
        ranges.append((int(times[0]), int(times[1])))
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
