"""From typed tables (Parquet, frames in memory) to the plan's columns and the faults of each row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from offbeat.core.batch import I64, NULL_INT
from offbeat.core.compiled import compiled
from offbeat.core.days import DAY_NS
from offbeat.core.plan import NO_KEY, Column, SourcePlan
from offbeat.errors import UserError
from offbeat.io.read.layout import Layout
from offbeat.io.read.parse_columns import Bools, Parsed, fault_codes, number_series, scaled
from offbeat.io.read.timestamps import EPOCH_DIGITS, by_format, epoch_floats, epoch_integers, finish_iso, local_to_utc, read_iso

_UNITS = {"ms": 1_000_000, "us": 1_000, "ns": 1}
_MOST_DAYS = (2**63 - 1) // DAY_NS - 1


def _is_text(kind: pl.DataType) -> bool:
    return isinstance(kind, pl.String | pl.Categorical | pl.Enum)


def _wrong(name: str, what: str, field: str, kind: pl.DataType, expected: str, written: str) -> UserError:
    has = "text" if _is_text(kind) else str(kind)
    instead = ", or declare it as text" if what == "column" and has == "text" else ""
    return UserError(f"{name}: {what} {field!r} is {has}, but the pipeline expects {expected}; write the column as {written}{instead}")


def check_types(name: str, kinds: dict[str, pl.DataType], layout: Layout, plan: SourcePlan) -> None:
    """Raise UserError that names file and column if a column's type cannot hold what the plan says."""
    for column, place in zip(plan.columns, layout.columns, strict=True):
        if place < 0:
            continue
        field = layout.fields[place]
        kind = kinds[field]
        if isinstance(kind, pl.Null):
            continue
        if column.kind in {"float", "decimal"} and not kind.is_numeric():
            raise _wrong(name, "column", field, kind, "a number", "numbers")
        if column.kind == "bool" and not isinstance(kind, pl.Boolean):
            raise _wrong(name, "column", field, kind, "true or false", "Booleans")
        if column.kind == "text" and not (_is_text(kind) or kind.is_integer()):
            raise _wrong(name, "column", field, kind, "text", "text")
    if layout.key >= 0:
        field = layout.fields[layout.key]
        if not (_is_text(kinds[field]) or kinds[field].is_integer()):
            raise _wrong(name, "the key column", field, kinds[field], "text or a whole number", "text")
    field = layout.fields[layout.time]
    kind = kinds[field]
    if kind.is_numeric() and plan.time.format not in EPOCH_DIGITS:
        raise UserError(f"{name}: the time column {field!r} is {kind}; give its unit with `time: {{format: s}}` (or ms, us, ns)")
    if not (kind.is_numeric() or _is_text(kind) or isinstance(kind, pl.Datetime | pl.Date)):
        raise _wrong(name, "the time column", field, kind, "a time", "timestamps")


def _integers(series: pl.Series) -> I64:
    """Int64 with NULL_INT for null and for what does not fit."""
    whole = series.cast(pl.Int64, strict=False)
    return (whole.fill_null(NULL_INT) if whole.null_count() else whole).to_numpy()


def _floats(series: pl.Series) -> npt.NDArray[np.float64]:
    doubles = series.cast(pl.Float64, strict=False)
    return (doubles.fill_null(np.nan) if doubles.null_count() else doubles).to_numpy()


def _text_times(series: pl.Series, plan: SourcePlan) -> tuple[I64, Bools]:
    if plan.time.format != "auto":
        if plan.time.format in EPOCH_DIGITS:
            numbers = series.cast(pl.Float64, strict=False)
            exact = series.cast(pl.Int64, strict=False)
            out, bad = epoch_integers(_integers(exact), EPOCH_DIGITS[plan.time.format])
            rest = exact.is_null().to_numpy()
            out[rest] = epoch_floats(_floats(numbers), EPOCH_DIGITS[plan.time.format])[rest]
            return out, bad | (series.is_not_null().to_numpy() & (out == NULL_INT))
        return by_format(series, plan.time.format, plan.time.zone)
    array = series.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    buffers: list[Any] = array.buffers()
    _, offsets_buffer, data_buffer = buffers
    n = len(series)
    if n == 0 or offsets_buffer is None or data_buffer is None:
        return np.full(n, NULL_INT, dtype=np.int64), np.zeros(n, dtype=np.bool_)
    offsets = np.frombuffer(offsets_buffer, dtype=np.int64)[array.offset : array.offset + n + 1].astype(np.int32)
    data = np.frombuffer(data_buffer, dtype=np.uint8)
    out = np.empty(n, dtype=np.int64)
    status = np.empty(n, dtype=np.int8)
    local = read_iso(data, offsets[:-1], offsets[1:], out, status)
    return finish_iso(out, status, local, plan.time.zone)


def times_of(series: pl.Series, plan: SourcePlan) -> tuple[I64, Bools]:
    """UTC nanoseconds (NULL_INT: none) and which values are there but are no time."""
    kind = series.dtype
    if _is_text(kind):
        return _text_times(_text(series), plan)
    if isinstance(kind, pl.Datetime):
        values = _integers(series.to_physical())
        factor = _UNITS[kind.time_unit]
        limit = (2**63 - 1) // factor
        there = values != NULL_INT
        bad = there & ((values > limit) | (values < -limit))
        out = np.where(there & ~bad, values * factor, NULL_INT)
        if kind.time_zone is not None:
            return out, bad
    elif isinstance(kind, pl.Date):
        days = _integers(series.to_physical().cast(pl.Int64))
        bad = (days != NULL_INT) & (np.abs(days) > _MOST_DAYS)
        out = np.where((days != NULL_INT) & ~bad, days * DAY_NS, NULL_INT)
    elif kind.is_integer():
        out, bad = epoch_integers(_integers(series), EPOCH_DIGITS[plan.time.format])
        return out, bad | (series.is_not_null().to_numpy() & (out == NULL_INT))
    else:
        out = epoch_floats(_floats(series), EPOCH_DIGITS[plan.time.format])
        return out, series.is_not_null().to_numpy() & (out == NULL_INT)
    rows = np.flatnonzero(out != NULL_INT)
    out[rows] = local_to_utc(out[rows], plan.time.zone)
    return out, bad | (series.is_not_null().to_numpy() & (out == NULL_INT))


@compiled
def _multiply(values: I64, factor: int, out: I64, fits: Bools) -> None:
    limit = (2**63 - 1) // factor
    for i in range(len(values)):
        fits[i] = -limit <= values[i] <= limit
        out[i] = values[i] * factor if fits[i] else NULL_INT


def _fixed(series: pl.Series, column: Column) -> tuple[I64, Bools]:
    """Values · 10^scale and which are there but do not fit (or are NaN, unless the column allows it)."""
    there = series.is_not_null().to_numpy()
    if series.dtype.is_float():
        doubles = _floats(series)
        out, fits = scaled(doubles, column.scale)
        bad = there & ~fits
        return out, bad & np.isfinite(doubles) if column.allow_nan else bad
    if series.dtype.is_decimal():
        out = _integers(series.cast(pl.Decimal(38, column.scale), strict=False).to_physical())
        return out, there & (out == NULL_INT)
    values = _integers(series)
    out, fits = np.empty_like(values), np.empty(len(values), np.bool_)
    _multiply(values, 10**column.scale, out, fits)
    return out, there & ~fits


def _rows_as_json(frame: pl.DataFrame) -> Callable[[npt.NDArray[np.intp]], list[str]]:
    def raw(rows: npt.NDArray[np.intp]) -> list[str]:
        return frame[np.asarray(rows, dtype=np.int64)].write_ndjson().split("\n")[:-1] if len(rows) else []

    return raw


def _text(series: pl.Series) -> pl.Series:
    """Strings; an empty one is null, as in a text file."""
    values = series.cast(pl.String)
    return values.set(values == "", None) if (values == "").any() else values


def parse_table(frame: pl.DataFrame, layout: Layout, plan: SourcePlan, mark: int, done: int) -> Parsed:
    """Rows of a table whose types were checked by `check_types`."""
    n = len(frame)
    series_at = {field: frame[field] for field in frame.columns}
    wrong = np.zeros(n, dtype=np.bool_)
    time = series_at[layout.fields[layout.time]]
    time_ns, bad_time = times_of(time, plan)
    missing = (time_ns == NULL_INT) & ~bad_time
    keys = None
    if layout.key >= 0:
        given = series_at[layout.fields[layout.key]]
        # The greatest integers have no place in Int64: those keys go by their decimal form at once.
        small = given.dtype.is_integer() and given.dtype not in (pl.UInt64, pl.Int128, pl.UInt128)
        keys = given.cast(pl.Int64) if small else _text(given)
        if keys.null_count() and plan.key_optional:
            keys = keys.cast(pl.String).fill_null(NO_KEY)
        missing |= keys.is_null().to_numpy()
    out: list[pl.Series] = []
    matrix = np.empty((sum(c.kind == "float" for c in plan.columns), n))
    at = 0
    for column, place in zip(plan.columns, layout.columns, strict=True):
        given = series_at[layout.fields[place]] if place >= 0 else pl.Series([None], dtype=pl.Null).new_from_index(0, n)
        there = given.is_not_null().to_numpy()
        if column.kind == "float":
            matrix[at] = _floats(given)
            values = number_series(column.name, matrix[at], there)
            at += 1
        elif column.kind == "decimal":
            integers, bad = _fixed(given.cast(pl.Int64) if isinstance(given.dtype, pl.Null) else given, column)
            wrong |= bad
            values = number_series(column.name, integers, integers != NULL_INT)
        elif column.kind == "bool":
            values = given.cast(pl.Boolean).alias(column.name)
        else:
            values = _text(given).alias(column.name)
            there = values.is_not_null().to_numpy()
        if column.required:
            missing |= ~there
        out.append(values)
    faults = fault_codes(n, encoding=None, ragged=None, missing=missing, wrong=wrong, time=bad_time)
    return Parsed(pl.DataFrame(out), keys, time_ns, faults, _rows_as_json(frame), mark, done)
