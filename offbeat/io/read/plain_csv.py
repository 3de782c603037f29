"""The quick way through a block of CSV: Polars reads it, if nothing in it is out of the ordinary.

Polars' reader is fast, but it does not say which rows it had to bend: it misses an empty surplus field, fails a whole block for a stray
quote, and loses the tie between rows and lines on quoted line ends. So its result counts only for a block in which every line has just the
fields of the header and every value could be read; any other block takes the careful way (`tokens`), which judges row by row.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from offbeat.core.batch import I64
from offbeat.core.plan import SourcePlan
from offbeat.io.read.epoch import EPOCH_DIGITS
from offbeat.io.read.fault_details import shown
from offbeat.io.read.layout import KEY, TIME
from offbeat.io.read.parse_columns import Parsed, fault_codes, scaled, slot_of
from offbeat.io.read.spellings import spelling_of
from offbeat.io.read.timestamps import Times, by_format, finish_iso, read_iso

_SURPLUS = "surplus"
_LINE_END = ord("\n")
_EXACT = 2.0**51
"""Below this a number times 10^scale, rounded, is the integer that its digits say."""


def plain_head(width: int, separator: str) -> bytes:
    """The line that must stand before a block for `parse_plain`: it names the `width` fields by their places, and one more."""
    return separator.join([*(str(i) for i in range(width)), _SURPLUS]).encode() + b"\n"


def parse_plain(
    block: bytes, width: int, fields: Mapping[str, int], name: str, plan: SourcePlan, mark: int, done: int
) -> Parsed | None:
    """The rows of a block of whole lines behind `plain_head`, or None where the careful way must be taken.

    width: fields of the header. fields: KEY, TIME and columns (see `slot_of`) to their places among them. name: what the header calls
    the time.
    """
    # Nulls of a decimal column are no numbers that the quick way takes; doubles would pass.
    if any(c.kind == "bool" or c.compared or (c.nulls and c.kind != "decimal") or slot_of(c) not in fields for c in plan.columns):
        return None
    if plan.time.format in EPOCH_DIGITS or plan.time.rest or spelling_of(plan) is not None:
        return None
    if len(set(fields.values())) < len(fields) or b'"' in block or b"\r" in block or b"\0" in block or not block.isascii():
        return None
    frame = _read(block, width, fields, plan)
    if frame is None:
        return None
    n = frame.height
    series: list[pl.Series] = []
    for column in plan.columns:
        read = frame.get_column(str(fields[slot_of(column)]))
        if column.kind == "decimal":
            integers = _whole(read, column.scale)
            if integers is None:
                return None
            read = pl.Series(integers)
        series.append(read.alias(column.name))
    written = frame.get_column(str(fields[TIME]))
    times = _times(written, plan)
    none = np.zeros(n, np.bool_)
    faults = fault_codes(n, encoding=None, ragged=None, missing=none, wrong=none, time=times.bad, imprecise=None)
    keys = frame.get_column(str(fields[KEY])) if KEY in fields else None
    told = partial(_no_time, name, written)
    lines = partial(_lines, block)
    frame = pl.DataFrame(series)
    return Parsed(frame, keys, times.utc, faults, lines, mark, done, later=times.later, local=times.local, details=told)


def _no_time(name: str, times: pl.Series, rows: npt.NDArray[np.intp]) -> list[str]:
    return [f"{name} {shown(times[row])} is no time" for row in rows.tolist()]


def _read(block: bytes, width: int, fields: Mapping[str, int], plan: SourcePlan) -> pl.DataFrame | None:
    """The wanted fields by their places, as text or doubles, without a null; None where that is not possible."""
    kinds: dict[str, Any] = {str(place): pl.String for place in fields.values()} | {_SURPLUS: pl.String}
    kinds |= {str(fields[slot_of(c)]): pl.Float64 for c in plan.columns if c.kind != "text"}
    last = str(width - 1)
    wanted = list(dict.fromkeys([*kinds, last]))
    try:
        frame = pl.read_csv(
            block,
            columns=wanted,
            schema_overrides={last: pl.String} | kinds,
            separator=plan.separator,
            quote_char=None,
            ignore_errors=True,
            truncate_ragged_lines=True,
        )
    except pl.exceptions.PolarsError:
        return None
    lines = int(np.count_nonzero(np.frombuffer(block, np.uint8) == _LINE_END)) - block.endswith(b"\n")
    whole = frame.height == lines and frame.get_column(_SURPLUS).null_count() == lines
    if not whole or any(frame.get_column(name).null_count() for name in wanted if name != _SURPLUS):
        return None
    return frame


def _whole(values: pl.Series, scale: int) -> I64 | None:
    doubles = values.to_numpy()
    integers, holds = scaled(doubles, scale)
    return integers if holds.all() and bool((np.abs(doubles) * 10.0**scale < _EXACT).all()) else None


def _times(texts: pl.Series, plan: SourcePlan) -> Times:
    if plan.time.format != "auto":
        return by_format(texts, plan.time.format, plan.time.zone)
    array: Any = texts.to_arrow().cast(pa.large_string())
    n = len(array)
    _, offsets, data = array.buffers()
    ends = np.frombuffer(offsets, np.int64)[array.offset : array.offset + n + 1].astype(np.int32)
    out, status = np.empty(n, np.int64), np.empty(n, np.int8)
    local = read_iso(np.frombuffer(data, np.uint8), ends[:-1], ends[1:], out, status)
    return finish_iso(out, status, local, plan.time.zone)


def _lines(block: bytes, rows: npt.NDArray[np.intp]) -> list[str]:
    ends = np.append(np.flatnonzero(np.frombuffer(block, np.uint8) == _LINE_END), len(block))
    return [block[ends[row] + 1 : ends[row + 1]].decode() for row in rows]
