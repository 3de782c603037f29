"""Rows that another package's source has in hand, as a chunk: typed, and with their faults, as rows of a file are."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from offbeat.core.chunk import Chunk, Position
from offbeat.core.plan import SourcePlan
from offbeat.io.read.decoder import Decoder
from offbeat.io.read.frame import to_polars, with_key
from offbeat.io.read.layout import lay_out
from offbeat.io.read.parse_columns import Parsed
from offbeat.io.read.parse_table import check_types, parse_table
from offbeat.io.read.table_file import inner, paths


def chunk_of_records(
    plan: SourcePlan, records: Sequence[Mapping[str, Any] | bytes], position: Position, *, first_row: int = 1, file: int = 0
) -> Chunk:
    """Records as a chunk, one row each: dicts, or JSON objects as bytes. Their fields have the names that the pipeline gives to columns.

    position: the place after them (see `Source.chunks`). first_row: the number of the first record in its file, from 1; file: index of
    that in `Source.files`. A value that does not fit its column, or bytes that are no JSON object, is a fault of that row alone. Values of
    dicts may be what JSON has, and dates, times, decimals and NumPy's scalars. Where the pipeline draws its key from the names of files,
    a record has it in `key` or `symbol`.
    """
    texts = [record if isinstance(record, bytes) else json.dumps(record, default=_plain).encode() for record in records]
    sizes = np.fromiter(map(len, texts), np.int64, len(texts))
    ends = np.cumsum(sizes)
    parsed = Decoder(plan).decode(b"".join(texts), ends - sizes, ends)
    parsed.raw = partial(_lines, parsed.raw)
    return _chunk(parsed, position, first_row, file)


def chunk_of_table(plan: SourcePlan, table: Any, position: Position, *, first_row: int = 1, file: int = 0, name: str = "table") -> Chunk:
    """A table as a chunk: a Polars, Arrow or pandas frame, or a dict of columns, as `chunk_of_records`.

    name: what messages call it. Raises UserError where a column is missing or of a type that cannot hold what the pipeline wants.
    """
    frame = to_polars(table)
    keyed = plan if plan.key_column else with_key(plan)
    names = paths(frame)
    layout = lay_out(name, names, keyed)
    frame = pl.DataFrame([inner(frame, names[i]) for i in layout.wanted])
    check_types(name, dict(frame.schema), layout, plan)
    return _chunk(parse_table(frame, layout, plan, 0, 0), position, first_row, file)


def _lines(raw: Callable[[npt.NDArray[np.intp]], list[str]], rows: npt.NDArray[np.intp]) -> list[str]:
    """The records as they are set aside, each on a line of its own: a line end in JSON is white space."""
    return [" ".join(text.split("\n")) for text in raw(rows)]


def _chunk(parsed: Parsed, position: Position, first_row: int, file: int) -> Chunk:
    p = parsed
    return Chunk(p.frame, None, p.keys, p.time_ns, p.faults, file, first_row, None, None, p.raw, position, details=p.details)


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)  # read digit by digit, as a number in a text file is
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a record holds {value!r}, which JSON has no word for")
