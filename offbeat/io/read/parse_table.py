"""From typed tables (Parquet, frames in memory) to the plan's columns and the faults of each row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from offbeat.core.batch import F64, I8, I64, NULL_INT
from offbeat.core.compiled import compiled
from offbeat.core.days import DAY_NS
from offbeat.core.plan import NO_KEY, Column, SourcePlan
from offbeat.errors import UserError
from offbeat.io.read.epoch import EPOCH_DIGITS, epoch_integers
from offbeat.io.read.fault_details import details
from offbeat.io.read.layout import KEY, TIME, Layout
from offbeat.io.read.numbers import BAD, EMPTY, IMPRECISE, READ
from offbeat.io.read.parse_columns import (
    TOLERANCE,
    Bools,
    Parsed,
    Places,
    column_values,
    fault_codes,
    number_series,
    scaled,
    slot_of,
    time_slots,
    times,
)
from offbeat.io.read.timestamps import Times, wall_clock

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
        if _is_text(kind):
            continue  # parsed as text of any other file is
        if column.kind in {"float", "decimal"} and not kind.is_numeric():
            raise _wrong(name, "column", field, kind, "a number", "numbers")
        if column.kind == "bool" and not isinstance(kind, pl.Boolean):
            raise _wrong(name, "column", field, kind, "true or false", "Booleans")
        if column.kind == "text" and not kind.is_integer():
            raise _wrong(name, "column", field, kind, "text", "text")
    if layout.key >= 0:
        field = layout.fields[layout.key]
        if not (_is_text(kinds[field]) or kinds[field].is_integer()):
            raise _wrong(name, "the key column", field, kinds[field], "text or a whole number", "text")
    if plan.time.rest:
        return  # dates and times of day, in any type that has a text
    field = layout.fields[layout.time]
    kind = kinds[field]
    if kind.is_numeric() and plan.time.format not in EPOCH_DIGITS:
        raise UserError(f"{name}: the time column {field!r} is {kind}; give its unit with `time: {{format: epoch}}` (or s, ms, us, ns)")
    if not (kind.is_numeric() or _is_text(kind) or isinstance(kind, pl.Datetime | pl.Date)):
        raise _wrong(name, "the time column", field, kind, "a time", "timestamps")


def _integers(series: pl.Series) -> I64:
    """Int64 with NULL_INT for null and for what does not fit."""
    whole = series.cast(pl.Int64, strict=False)
    return (whole.fill_null(NULL_INT) if whole.null_count() else whole).to_numpy()


def _floats(series: pl.Series) -> npt.NDArray[np.float64]:
    doubles = series.cast(pl.Float64, strict=False)
    return (doubles.fill_null(np.nan) if doubles.null_count() else doubles).to_numpy()


def places_of(name: str, texts: pl.Series) -> Places:
    """Texts (String, null where there is none) as the values of a file of text under one name."""
    if texts.null_count():
        texts = texts.fill_null("")  # below a null there may still be text
    array: Any = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets_buffer, data_buffer = array.buffers()
    n = len(texts)
    offsets = np.zeros(n + 1, np.int64) if offsets_buffer is None else np.frombuffer(offsets_buffer, np.int64)[array.offset :][: n + 1]
    empty = data_buffer is None or not data_buffer.size
    data: Any = np.zeros(1, np.uint8) if empty else np.frombuffer(data_buffer, np.uint8)
    bounds: Any = offsets.astype(np.int32)
    return Places(data, bounds[None, :-1], bounds[None, 1:], {name: 0}, np.zeros(n, np.int8), None)


def times_of(series: pl.Series, plan: SourcePlan) -> Times:
    """Event times of a column of any type that can hold them."""
    kind = series.dtype
    none = series.is_null().to_numpy()
    form = plan.time.format
    if kind.is_float():
        # The shortest decimal that gives the double is what was written: it is read as text is.
        series, kind = series.cast(pl.String), pl.String()
    if _is_text(kind):
        return times(places_of(TIME, _text(series)), plan)
    if kind.is_integer():
        out, bad = epoch_integers(_integers(series), form)
        return Times(out, none, bad | (~none & (out == NULL_INT)))
    if isinstance(kind, pl.Datetime):
        values = _integers(series.to_physical())
        factor = _UNITS[kind.time_unit]
        limit = (2**63 - 1) // factor
        there = values != NULL_INT
        bad = there & ((values > limit) | (values < -limit))
        out = np.where(there & ~bad, values * factor, NULL_INT)
        if kind.time_zone is not None:
            return Times(out, none, bad)
    else:
        days = _integers(series.to_physical().cast(pl.Int64))
        bad = (days != NULL_INT) & (np.abs(days) > _MOST_DAYS)
        out = np.where((days != NULL_INT) & ~bad, days * DAY_NS, NULL_INT)
    out, later = wall_clock(out, plan.time.zone)
    return Times(out, none, bad | (~none & (out == NULL_INT)), not none.all(), later)


def _times_in_parts(parts: list[pl.Series], plan: SourcePlan) -> Times:
    """A date and a time of day in columns of their own."""
    slots = time_slots(plan)
    every = [places_of(slot, _text(_written(part))) for slot, part in zip(slots, parts, strict=True)]
    offsets = np.cumsum([0, *(len(one.data) for one in every)])[:-1].astype(np.int32)
    begins = np.concatenate([one.begins + offset for one, offset in zip(every, offsets, strict=True)])
    ends = np.concatenate([one.ends + offset for one, offset in zip(every, offsets, strict=True)])
    data: Any = np.concatenate([one.data for one in every])
    return times(Places(data, begins, ends, {slot: i for i, slot in enumerate(slots)}, every[0].marks, None), plan)


def _written(part: pl.Series) -> pl.Series:
    """A part of a time as text: dates and times of day in ISO 8601."""
    if isinstance(part.dtype, pl.Datetime):
        return part.dt.date().cast(pl.String)
    if isinstance(part.dtype, pl.Time):
        return part.dt.to_string("%H:%M:%S%.f")
    return part.cast(pl.String)


@compiled
def _multiply(values: I64, factor: int, out: I64, fits: Bools) -> None:
    limit = (2**63 - 1) // factor
    for i in range(len(values)):
        fits[i] = -limit <= values[i] <= limit
        out[i] = values[i] * factor if fits[i] else NULL_INT


def _fixed(series: pl.Series, column: Column) -> tuple[I64, I8]:
    """Values · 10^scale and their status; NaN is BAD, unless the column allows it."""
    states = _states(series.is_not_null().to_numpy())
    there = states == READ
    if series.dtype.is_float():
        doubles = _floats(series)
        out, holds = scaled(doubles, column.scale)
        finite = np.isfinite(doubles)
        states[there & finite & ~holds] = IMPRECISE
        if not column.allow_nan:
            states[there & ~finite] = BAD
        return out, states
    if isinstance(series.dtype, pl.Decimal):
        units = series.cast(pl.Decimal(38, column.scale), strict=False)
        out = _integers(units.to_physical())
        states[there & (out == NULL_INT)] = IMPRECISE
        if series.dtype.scale > column.scale:
            # Of the same scale they are subtracted exactly.
            rest = (series - units.cast(series.dtype, strict=False)).cast(pl.Float64).abs().fill_null(0.0).to_numpy()
            states[there & (rest * 10.0**column.scale > TOLERANCE)] = IMPRECISE
        return out, states
    values = _integers(series)
    out, fits = np.empty_like(values), np.empty(len(values), np.bool_)
    _multiply(values, 10**column.scale, out, fits)
    states[there & ~fits] = IMPRECISE
    return out, states


def _rows_as_json(frame: pl.DataFrame) -> Callable[[npt.NDArray[np.intp]], list[str]]:
    def raw(rows: npt.NDArray[np.intp]) -> list[str]:
        return frame[np.asarray(rows, dtype=np.int64)].write_ndjson().split("\n")[:-1] if len(rows) else []

    return raw


def _text(series: pl.Series) -> pl.Series:
    """Strings; an empty one is null, as in a text file."""
    values = series.cast(pl.String)
    return values.set(values == "", None) if (values == "").any() else values


@dataclass(slots=True)
class _Table:
    """The wanted columns of a table, typed; as `Values` of text."""

    series: list[pl.Series]
    statuses: list[I8]
    times: Times
    keys: pl.Series | None
    given: dict[str, pl.Series]
    """Slot → the column as it stands in the table."""


def _states(there: Bools) -> I8:
    states: I8 = np.where(there, np.int8(READ), np.int8(EMPTY))
    return states


def _times(parts: list[pl.Series], plan: SourcePlan) -> Times:
    return _times_in_parts(parts, plan) if plan.time.rest else times_of(parts[0], plan)


def table_times(frame: pl.DataFrame, layout: Layout, plan: SourcePlan) -> Times:
    """Event times of the rows of a table."""
    places = (layout.time, *layout.time_rest)
    return _times([_without_nulls(frame[layout.fields[place]], plan.nulls) for place in places], plan)


def _read_table(frame: pl.DataFrame, layout: Layout, plan: SourcePlan) -> _Table:
    n = len(frame)
    fields = {field: _without_nulls(frame[field], plan.nulls) for field in frame.columns}
    slots = dict(zip(time_slots(plan), (layout.time, *layout.time_rest), strict=True))
    given = {slot: fields[layout.fields[place]] for slot, place in slots.items()}
    times = _times(list(given.values()), plan)
    keys = None
    if layout.key >= 0:
        key = given[KEY] = fields[layout.fields[layout.key]]
        # The greatest integers have no place in Int64: those keys go by their decimal form at once.
        small = key.dtype.is_integer() and key.dtype not in (pl.UInt64, pl.Int128, pl.UInt128)
        keys = key.cast(pl.Int64) if small else _text(key)
        if plan.key_optional and keys.null_count():
            keys = keys.cast(pl.String).fill_null(NO_KEY)
    out: list[pl.Series] = []
    statuses: list[I8] = []
    matrix = np.empty((sum(c.kind == "float" for c in plan.columns), n))
    at = 0
    for column, place in zip(plan.columns, layout.columns, strict=True):
        row = matrix[at] if column.kind == "float" else None
        at += column.kind == "float"
        if place >= 0:
            given[slot_of(column)] = fields[layout.fields[place]]
        values, status = _column(given.get(slot_of(column)), n, column, plan, row)
        out.append(values)
        statuses.append(status)
    return _Table(out, statuses, times, keys, given)


def _column(given: pl.Series | None, n: int, column: Column, plan: SourcePlan, row: F64 | None) -> tuple[pl.Series, I8]:
    if given is None or isinstance(given.dtype, pl.Null):
        given = pl.Series([None], dtype=pl.String).new_from_index(0, n)
    elif column.compared and not given.dtype.is_signed_integer():
        given = given.cast(pl.String)  # 17.0 is 17, and what has no place in int64 stands as its hash
    given = _without_nulls(given, column.nulls)
    if _is_text(given.dtype):
        return column_values(places_of(slot_of(column), _text(given)), column, plan, row)
    there = given.is_not_null().to_numpy()
    if row is not None:
        row[:] = _floats(given)
        return number_series(column.name, row, there), _states(there)
    if column.kind == "decimal":
        integers, states = _fixed(given, column)
        return number_series(column.name, integers, (states == READ) & (integers != NULL_INT)), states
    if column.kind == "bool":
        return given.cast(pl.Boolean).alias(column.name), _states(there)
    return _text(given).alias(column.name), _states(there)


def _without_nulls(series: pl.Series, nulls: Sequence[str]) -> pl.Series:
    """The column without what stands for null: such texts, and the numbers that they are."""
    if not nulls:
        return series
    if _is_text(series.dtype):
        return series.set(series.cast(pl.String).str.strip_chars(" \t").is_in(list(nulls)).fill_null(value=False), None)
    if series.dtype.is_integer():
        whole = [int(null) for null in nulls if null.removeprefix("-").isdecimal()]
        hit = [series == number for number in whole if abs(number) < 2**63]
    elif series.dtype.is_float():
        numbers = [number for number in map(_number, nulls) if number is not None]
        hit = [series.is_nan() if number != number else series == number for number in numbers]
    elif series.dtype.is_decimal():
        hit = [series.cast(pl.Float64) == number for number in map(_number, nulls) if number is not None and abs(number) < float("inf")]
    else:
        return series
    for rows in hit:
        series = series.set(rows.fill_null(value=False), None)
    return series


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def parse_table(frame: pl.DataFrame, layout: Layout, plan: SourcePlan, mark: int, done: int) -> Parsed:
    """Rows of a table whose types were checked by `check_types`."""
    n = len(frame)
    read = _read_table(frame, layout, plan)
    wrong, imprecise = np.zeros(n, dtype=np.bool_), np.zeros(n, dtype=np.bool_)
    missing = read.times.empty
    if read.keys is not None:
        missing = missing | read.keys.is_null().to_numpy()
    for column, status in zip(plan.columns, read.statuses, strict=True):
        wrong |= status == BAD
        imprecise |= status == IMPRECISE
        if column.required:
            missing = missing | (status == EMPTY)
    faults = fault_codes(n, encoding=None, ragged=None, missing=missing, wrong=wrong, time=read.times.bad, imprecise=imprecise)
    told = partial(_table_details, frame, layout, plan, faults)
    return Parsed(
        pl.DataFrame(read.series),
        read.keys,
        read.times.utc,
        faults,
        _rows_as_json(frame),
        mark,
        done,
        later=read.times.later,
        local=read.times.local,
        details=told,
    )


def _table_details(frame: pl.DataFrame, layout: Layout, plan: SourcePlan, faults: I8, rows: npt.NDArray[np.intp]) -> list[str]:
    read = _read_table(frame[np.asarray(rows, dtype=np.int64)], layout, plan)

    def value(slot: str, row: int) -> str | None:
        series = read.given.get(slot)
        return None if series is None else "" if series[row] is None else str(series[row])

    keys = None if read.keys is None else read.keys.is_null().to_numpy()
    return details([int(code) for code in faults[rows]], plan, read.times, keys, read.statuses, value, _names(layout, plan))


def _names(layout: Layout, plan: SourcePlan) -> dict[str, str]:
    places = [*zip(time_slots(plan), (layout.time, *layout.time_rest), strict=True), (KEY, layout.key)]
    places += [(slot_of(column), place) for column, place in zip(plan.columns, layout.columns, strict=True)]
    return {slot: layout.fields[place] for slot, place in places if place >= 0}
