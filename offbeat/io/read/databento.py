"""How Databento writes trades outside DBN: CSV and Parquet with prices and times as text, as typed values, or as bare counts.

A price is counted in units of 1e-9, a time in nanoseconds since 1970. Files come "pretty" (decimals, ISO 8601) or as the counts
themselves; which one, the file itself tells.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from typing import Any

import pyarrow as pa

from offbeat.core.plan import SourcePlan
from offbeat.errors import UserError
from offbeat.io.read.arrow import ArrowReader, schema_of
from offbeat.io.read.csv import BLOCK, CsvReader
from offbeat.io.read.files import ByteStream, InputFile
from offbeat.io.read.job_symbols import NUMBER, WithSymbols, symbology_beside
from offbeat.io.read.layout import MissingColumnError
from offbeat.io.read.ndjson import NdjsonReader
from offbeat.io.read.parquet import ParquetReader, rows_of
from offbeat.io.read.parse_columns import Parsed

TRADE_FIELDS = (
    "ts_recv", "ts_event", "rtype", "publisher_id", "instrument_id", "action", "side", "depth", "price", "size", "flags", "ts_in_delta",
    "sequence", "symbol",
)  # fmt: skip
"""Columns of the trades schema, in Databento's order."""
PRICE_DIGITS = 9
UNDEF_PRICE = 2**63 - 1
_PRICE = "price"
_SAMPLE = 1 << 16
"""Bytes at the beginning of a CSV file by which its prices and times are known."""
_LEAST_COUNT = 10**6
"""A bare price of 0.001 or more; a CSV file without a decimal point and below that has whole prices."""

_parquet: Any = import_module("pyarrow.parquet")
_Inner = CsvReader | ParquetReader | ArrowReader | NdjsonReader


def prices_of(plan: SourcePlan) -> tuple[str, ...]:
    """Names of the plan's columns that hold the price."""
    return tuple(c.name for c in plan.columns if _PRICE in (c.name, *c.headers))


def counted_prices(name: str, plan: SourcePlan) -> SourcePlan:
    """The plan for a file whose prices are counts of 1e-9, taken as they are. Raises UserError where the plan has no such column."""
    prices = prices_of(plan)
    for column in plan.columns:
        if column.name in prices and (column.kind, column.scale) != ("decimal", PRICE_DIGITS):
            raise UserError(
                f"{name}: its prices are counts of 1e-9: declare the column as `{column.name}: {{type: decimal, scale: {PRICE_DIGITS}}}`"
            )
    columns = tuple(replace(c, scale=0) if c.name in prices else c for c in plan.columns)
    return replace(plan, columns=columns)


class DatabentoReader:
    """Reads one CSV, Parquet or NDJSON file of trades in whichever of Databento's spellings it is."""

    named_by = ""
    """The file beside it that its symbols are from, if they are not its own."""

    def __init__(self, file: InputFile, plan: SourcePlan, block: int = BLOCK) -> None:
        """Reads the header only. Raises UserError if the file cannot be read or lacks a column."""
        counts, epoch = _spelling(file, plan)
        fitted = counted_prices(file.path, plan) if counts else plan
        if epoch and plan.time.format == "auto":
            fitted = replace(fitted, time=replace(plan.time, format="ns"))
        self._inner: _Inner | WithSymbols
        try:
            self._inner = _inner(file, fitted, block)
        except MissingColumnError as error:
            if error.column != "symbol":
                raise
            beside = symbology_beside(file.path)
            if beside is not None and "symbol" in fitted.key_column:
                by_number = replace(fitted, key_column=(NUMBER,))
                self._inner = WithSymbols(_inner(file, by_number, block), beside)
                self.layout, self.header, self.named_by = self._inner.layout, self._inner.header, self._inner.named_by
                return
            raise MissingColumnError(
                f"{file.path}: no column 'symbol'; fetch the file with map_symbols=True, or as DBN, "
                "put the job's symbology.csv beside it, or use the number as the key: --set source.key=instrument_id",
                error.column,
            ) from error
        self.layout = self._inner.layout
        self.header = self._inner.header

    def statistics(self) -> tuple[int, int] | None:
        """See `Reader`."""
        return self._inner.statistics()

    def blocks(self, mark: int = 0) -> Iterator[Callable[[], Parsed]]:
        """Work to be done for each block after `mark`."""
        return self._inner.blocks(mark)


def _inner(file: InputFile, plan: SourcePlan, block: int) -> _Inner:
    if file.kind == "csv":
        return CsvReader(file, plan, block)
    if file.kind == "arrow":
        return ArrowReader(file, plan, rows_of(block))
    return ParquetReader(file, plan, rows_of(block)) if file.kind == "parquet" else NdjsonReader(file, plan, block)


def _spelling(file: InputFile, plan: SourcePlan) -> tuple[bool, bool]:
    """Whether prices and whether times are bare counts. What cannot be read here is left to the reader, which says what is wrong."""
    if file.kind in ("parquet", "arrow"):
        try:
            schema = _parquet.read_schema(file.path) if file.kind == "parquet" else schema_of(file.path)
        except (pa.ArrowException, OSError, ValueError, UserError):
            return False, False
        types = dict(zip(schema.names, schema.types, strict=True))
        price, time = types.get(_PRICE), next((types[h] for h in plan.time.headers if h in types), None)
        return (
            bool(prices_of(plan)) and price is not None and pa.types.is_integer(price),
            time is not None and pa.types.is_integer(time),
        )
    if file.kind == "ndjson":
        return False, False
    rows = _first_rows(file, plan)
    prices = [row[_PRICE] for row in rows if row.get(_PRICE)]
    times = [row[h] for row in rows for h in plan.time.headers if row.get(h)]
    counts = all(_whole(price) for price in prices) and any(abs(int(price)) >= _LEAST_COUNT for price in prices)
    return bool(prices_of(plan)) and counts, bool(times) and all(_whole(time) for time in times)


def _first_rows(file: InputFile, plan: SourcePlan) -> list[dict[str, str]]:
    """Whole rows at the beginning of a CSV file, by the names of its columns."""
    stream = ByteStream(file)
    try:
        head = stream.read(_SAMPLE)
    finally:
        stream.close()
    lines = head.decode("utf-8-sig", "replace").splitlines()
    if len(head) == _SAMPLE:
        lines.pop()
    read = csv.reader(lines, delimiter=plan.separator)
    names = list(plan.names) if not plan.header else [name.strip() for name in next(read, [])]
    return [dict(zip(names, row, strict=False)) for row in read]


def _whole(text: str) -> bool:
    return text.removeprefix("-").isdecimal()
