"""Flat tables as files for people: CSV and XLSX that no spreadsheet takes for a formula, Parquet, JSON."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import IO, Any

import polars as pl

from offbeat.errors import UserError
from offbeat.io.write.atomic_file import whole_file

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""With these a spreadsheet begins a formula; the last four are their wide forms, which some take as well."""
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_MOST_ROWS = 1_048_575
_MOST_CHARACTERS = 32_767
_EXACT = 2**53
"""Above this a spreadsheet rounds whole numbers."""
_DAY_NS = 86_400_000_000_000
_EXCEL_EPOCH_DAYS = 25_569
"""Days from the beginning of a spreadsheet's calendar to 1970."""


def write_list(table: pl.DataFrame, kind: str, to: str) -> None:
    """Write a table to a file, which appears whole or not at all; `-` is standard output. `kind`: csv, xlsx, parquet or json.

    Times are in the zone of their column. Raises UserError where the file cannot be written, or cannot hold so much.
    """
    write = _KINDS[kind]
    if to == "-":
        write(table, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    with whole_file(Path(to), durable=False) as file:
        write(table, file)


def plain(text: str) -> str:
    """Text without control characters, and without those that turn the direction of reading: they are spelled out. Line ends stay."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text.replace("\r\n", "\n"))


def harmless(text: str) -> str:
    """A text as a cell of a CSV file: one that a spreadsheet would take for a formula begins with an apostrophe."""
    return _cell(("'" if text.startswith(_FORMULA) else "") + text)


def _csv(table: pl.DataFrame, to: IO[bytes]) -> None:
    columns = [_spelled(series) for series in table]
    cells = pl.DataFrame([_mapped(series, harmless) if series.dtype == pl.String else series for series in columns])
    cells = cells.rename({name: harmless(_titled(table[name])) for name in table.columns})
    to.write(b"\xef\xbb\xbf")  # without it Excel takes the file for the system's old encoding
    # In memory first: Polars writes to a file handle past Python's buffer.
    text = io.BytesIO()
    cells.write_csv(text, quote_style="non_numeric")
    to.write(text.getbuffer())


def _parquet(table: pl.DataFrame, to: IO[bytes]) -> None:
    data = io.BytesIO()
    table.write_parquet(data)
    to.write(data.getbuffer())


def _json(table: pl.DataFrame, to: IO[bytes]) -> None:
    times = [pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%S%.9f%:z") for name, kind in table.schema.items() if isinstance(kind, pl.Datetime)]
    data = io.BytesIO()
    table.with_columns(times).write_json(data)
    to.write(data.getbuffer() if table.height else b"[]")
    to.write(b"\n")


def _xlsx(table: pl.DataFrame, to: IO[bytes]) -> None:
    if table.height > _MOST_ROWS:
        raise UserError(f"a sheet holds {_MOST_ROWS:,} rows, not {table.height:,}: ask for fewer, or write --csv or --parquet")
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    data = io.BytesIO()
    xlsxwriter: Any = import_module("xlsxwriter")  # it brings no types; nor need other lists wait for it
    with xlsxwriter.Workbook(data, options) as book:
        sheet = book.add_worksheet("alerts")
        bold = book.add_format({"bold": True, "quote_prefix": True})
        # A text stays one also when somebody edits the cell.
        text, time = book.add_format({"quote_prefix": True}), book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss.000"})
        sheet.freeze_panes(1, 0)
        for place, series in enumerate(table):
            sheet.set_column(place, place, _width(series))
            sheet.write_string(0, place, _cell(_titled(series)), bold)
        kinds = table.dtypes
        naive = pl.col(name for name, kind in table.schema.items() if isinstance(kind, pl.Datetime))
        rows = (
            table.with_columns(naive.dt.replace_time_zone(None).dt.epoch("ns")) if pl.Datetime in [k.base_type() for k in kinds] else table
        )
        for number, row in enumerate(rows.iter_rows(), 1):
            for place, value in enumerate(row):
                if value is None:
                    continue
                if isinstance(kinds[place], pl.Datetime):
                    sheet.write_number(number, place, value / _DAY_NS + _EXCEL_EPOCH_DAYS, time)
                elif isinstance(value, bool):
                    sheet.write_boolean(number, place, value)
                elif isinstance(value, float) or (isinstance(value, int) and abs(value) <= _EXACT):
                    sheet.write_number(number, place, value)
                else:
                    sheet.write_string(number, place, _cell(str(value)), text)
        if table.width:
            sheet.autofilter(0, 0, table.height, table.width - 1)
    to.write(data.getbuffer())


_KINDS: dict[str, Callable[[pl.DataFrame, IO[bytes]], None]] = {"csv": _csv, "xlsx": _xlsx, "parquet": _parquet, "json": _json}
KINDS = tuple(_KINDS)


def _titled(series: pl.Series) -> str:
    """The column's heading: that of a time names its zone."""
    zone = series.dtype.time_zone if isinstance(series.dtype, pl.Datetime) else None
    return f"{series.name} ({zone})" if zone else series.name


def _spelled(series: pl.Series) -> pl.Series:
    return series.dt.strftime("%Y-%m-%d %H:%M:%S%.f") if isinstance(series.dtype, pl.Datetime) else series


def _mapped(series: pl.Series, change: Callable[[str], str]) -> pl.Series:
    return pl.Series(series.name, [None if text is None else change(text) for text in series.to_list()], pl.String)


def _cell(text: str) -> str:
    """A text without harm and as long as a spreadsheet's cell can be: the rest would fall into the next rows."""
    text = plain(text)
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 1] + "…"


def _width(series: pl.Series) -> float:
    """Characters that show most of a column."""
    if isinstance(series.dtype, pl.Datetime):
        return 24
    longest = max([len(_titled(series)) + 2, *(len(text) for text in series.head(200).cast(pl.String).to_list() if text is not None)])
    return float(min(60, max(8, longest)))
