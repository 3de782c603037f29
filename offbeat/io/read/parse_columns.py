"""From places of values in bytes to typed columns and the faults of each row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from offbeat.core.batch import F64, I8, I32, I64, NULL_INT
from offbeat.core.chunk import FAULTS
from offbeat.core.compiled import compiled
from offbeat.core.plan import NO_KEY, Column, SourcePlan
from offbeat.io.read.csv_tokens import ESCAPED, Bytes, gather
from offbeat.io.read.epoch import ANY_UNIT, EITHER, EPOCH_DIGITS, hard_epoch, read_epoch
from offbeat.io.read.layout import KEY, TIME
from offbeat.io.read.numbers import BAD, EMPTY, HARD, IMPRECISE, READ, SPECIAL, read_fixed, read_floats, read_ids
from offbeat.io.read.spellings import joined, spelling_of, usual_numbers, without_nulls
from offbeat.io.read.timestamps import Times, by_format, finish_iso, read_iso

Bools = npt.NDArray[np.bool_]

_pa: Any = import_module("pyarrow")
_QUOTE = 34
_DTYPES: dict[str, Any] = {"float": pl.Float64, "decimal": pl.Int64, "text": pl.String, "bool": pl.Boolean}
_EXACT = 2.0**53
_BEYOND = 2.0**63
TOLERANCE = 1e-6
"""Of a unit: what is nearer to a whole number of them is one."""
_NOISE = 2.0**-50
"""Eight units in the last place of a double."""
_DIGITS = 17
"""Digits with which a double is written in full."""


Details = Callable[[npt.NDArray[np.intp]], list[str]]
"""What is wrong with the rows of these indices, in words: the column and its value; empty where nothing is known."""


def no_details(rows: npt.NDArray[np.intp]) -> list[str]:
    """Of rows of which nothing is known."""
    return [""] * len(rows)


@dataclass(slots=True)
class Parsed:
    """Rows of one block of a file, or of messages, typed; n rows. See `Chunk` for the meaning of what has the same name there."""

    frame: pl.DataFrame
    keys: pl.Series | None
    time_ns: I64
    faults: npt.NDArray[np.int8]
    raw: Callable[[npt.NDArray[np.intp]], list[str]]
    mark: int = 0
    """Where the file goes on after these rows: an offset in its unpacked bytes (CSV, NDJSON) or a row number (Parquet)."""
    done: int = 0
    """Bytes of the file on disk read so far."""
    rows: I64 | None = None
    files: npt.NDArray[np.int32] | None = None
    floor_ns: int = NULL_INT
    later: I64 | None = None
    """(n,) see `Times.later`: until `settled` decides, `time_ns` has the earlier instants."""
    local: bool = False
    """Whether some time had no zone of its own."""
    details: Details = no_details


@dataclass(frozen=True, slots=True)
class Places:
    """Where the values of n rows lie: `begins[i]`, `ends[i]` (w, n) for the i-th wanted name."""

    data: Bytes
    begins: I32
    ends: I32
    slots: dict[str, int]
    """KEY, TIME or the column's name with "." before it → row of `begins`; names that the file lacks are not in it."""
    marks: I8
    encoding: Bools | None
    """(n,) rows that are not UTF-8, None: there are none."""
    json: bool = False
    """Whether values of text are in quotes, and others are not."""

    def of(self, rows: npt.NDArray[np.intp]) -> Places:
        """The places of some rows."""
        encoding = None if self.encoding is None else self.encoding[rows]
        return replace(self, begins=self.begins[:, rows], ends=self.ends[:, rows], marks=self.marks[rows], encoding=encoding)


def slot_of(column: Column) -> str:
    """The name of a plan's column in `Places.slots`, never KEY or TIME."""
    return "." + column.name


@compiled
def _read_bools(data: Bytes, begins: I32, ends: I32, out: npt.NDArray[np.bool_], status: I8) -> None:
    for i in range(len(begins)):
        at, end = begins[i], ends[i]
        while at < end and data[at] == 32:
            at += 1
        while end > at and data[end - 1] == 32:
            end -= 1
        out[i] = False
        status[i] = BAD
        first = data[at] | 32 if end > at else 0
        if end == at:
            status[i] = EMPTY
        elif end - at == 1 and (first in (116, 102) or data[at] in (48, 49)):
            out[i] = first == 116 or data[at] == 49
            status[i] = READ
        elif end - at == 4 and first == 116 and data[at + 1] | 32 == 114 and data[at + 2] | 32 == 117 and data[at + 3] | 32 == 101:
            out[i] = True
            status[i] = READ
        elif end - at == 5 and first == 102 and data[at + 1] | 32 == 97 and data[at + 2] | 32 == 108 and data[at + 3] | 32 == 115:
            status[i] = READ if data[at + 4] | 32 == 101 else BAD


def texts(places: Places, slot: int, rows: npt.NDArray[np.intp] | None = None) -> pl.Series:
    """Values as strings, null where empty; of all rows, or of some."""
    begins, ends, marks = places.begins[slot], places.ends[slot], places.marks
    unreadable = places.encoding
    if rows is not None:
        begins, ends, marks = begins[rows], ends[rows], marks[rows]
        unreadable = None if unreadable is None else unreadable[rows]
    if unreadable is not None:
        begins = np.where(unreadable, ends, begins)
    n = len(begins)
    offsets = np.zeros(n + 1, dtype=np.int64)
    np.cumsum(ends - begins, out=offsets[1:])
    out = np.empty(int(offsets[-1]), dtype=np.uint8)
    gather(places.data, begins, ends, offsets, out)
    empty = begins == ends
    valid = pa.array(~empty).buffers()[1] if empty.any() else None
    array = pa.LargeStringArray.from_buffers(n, _pa.py_buffer(offsets), _pa.py_buffer(out), valid)
    series = pl.Series(array)
    escaped = np.flatnonzero(marks & ESCAPED)
    if len(escaped):
        # Doubled quotes stand for one, but only where the value itself was quoted.
        quoted = np.zeros(n, dtype=np.bool_)
        quoted[escaped] = (begins[escaped] > 0) & (places.data[begins[escaped] - 1] == _QUOTE)
        plain = series.str.replace_all('""', '"', literal=True)
        series = series.zip_with(~pl.Series(quoted), plain)
    return series


def floats(places: Places, slot: int, out: F64, rows: npt.NDArray[np.intp] | None = None) -> I8:
    """Nearest doubles into `out`; returns the status of each value."""
    begins, ends = places.begins[slot], places.ends[slot]
    if rows is not None:
        begins, ends = begins[rows], ends[rows]
    status = np.empty(len(begins), dtype=np.int8)
    if read_floats(places.data, begins, ends, out, status):
        hard = np.flatnonzero(status == HARD)
        written = texts(places, slot, hard if rows is None else rows[hard]).str.strip_chars()
        out[hard] = written.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
        status[hard] = READ
    return status


@compiled
def _scale(values: F64, factor: float, out: I64, holds: Bools) -> None:
    for i in range(len(values)):
        product = values[i] * factor
        whole = np.rint(product)
        # The double nearest to a decimal, and what a few operations on doubles leave of one, differ from it in the last few bits.
        holds[i] = abs(whole) < _BEYOND and abs(product - whole) <= TOLERANCE + _NOISE * abs(whole)
        out[i] = np.int64(whole) if abs(whole) < _BEYOND else NULL_INT


def scaled(values: F64, scale: int) -> tuple[I64, Bools]:
    """rint(x · 10^scale) of doubles, NULL_INT where that does not fit int64; and which values such a column holds [R4]."""
    out = np.empty(len(values), np.int64)
    holds = np.empty(len(values), np.bool_)
    _scale(values, 10.0**scale, out, holds)
    return out, holds


def _exactly(text: str, scale: int) -> tuple[int, bool]:
    """Beyond 2^53 a double would lose digits that the text has. With more digits than a double is written with, they are meant."""
    value = Decimal(text.strip())
    units = value.scaleb(scale)
    whole = round(units)
    meant = len(value.as_tuple().digits) > _DIGITS and abs(units - whole) > Decimal(TOLERANCE)
    return (whole, not meant) if -(2**63) < whole < 2**63 else (NULL_INT, False)


def fixed(places: Places, slot: int, scale: int, *, rounds: bool = False) -> tuple[I64, I8]:
    """Values · 10^scale [S9] and their status.

    Exact where the text has no more than `scale` decimals, else the rounded product of the double, so that text and binary doubles of the
    same number agree. What is further from a whole number of units than doubles are is IMPRECISE [R4], unless it `rounds`, as times do.
    """
    begins, ends = places.begins[slot], places.ends[slot]
    out = np.empty(len(begins), dtype=np.int64)
    status = np.empty(len(begins), dtype=np.int8)
    if read_fixed(places.data, begins, ends, scale, out, status):
        hard = np.flatnonzero(status == HARD)
        doubles = np.empty(len(hard))
        floats(places, slot, doubles, hard)
        out[hard], holds = scaled(doubles, scale)
        large = np.flatnonzero(np.abs(doubles) * 10.0**scale >= _EXACT)
        large = large[np.abs(doubles[large]) * 10.0**scale < 2.0**64]
        for place, text in zip(large.tolist(), texts(places, slot, hard[large]), strict=True):
            out[hard[place]], holds[place] = _exactly(text, scale)
        status[hard] = np.where(holds | (rounds & (out[hard] != NULL_INT)), READ, IMPRECISE)
    return out, status


def times(places: Places, plan: SourcePlan) -> Times:
    """Event times."""
    form, zone = plan.time.format, plan.time.zone
    if form in EPOCH_DIGITS and form != EITHER:
        return _epoch_times(places, plan)
    if plan.time.rest:
        slots = [places.slots[name] for name in time_slots(plan)]
        places = _alone(places, TIME, *joined(places.data, places.begins[slots], places.ends[slots]))
    slot = places.slots[TIME]
    if form == "auto":
        return _iso_times(places, slot, zone)
    if form == EITHER:
        return _iso_or_epoch(places, slot, plan)
    return by_format(texts(places, slot), form, zone)


def _iso_times(places: Places, slot: int, zone: str) -> Times:
    begins, ends = places.begins[slot], places.ends[slot]
    out = np.empty(len(begins), dtype=np.int64)
    status = np.empty(len(begins), dtype=np.int8)
    local = read_iso(places.data, begins, ends, out, status)
    return finish_iso(out, status, local, zone)


def _iso_or_epoch(places: Places, slot: int, plan: SourcePlan) -> Times:
    """Each value as whichever of the two it is."""
    found = _iso_times(places, slot, plan.time.zone)
    if not found.bad.any():
        return found
    counted = _epoch_times(_alone(places, TIME, places.data, places.begins[slot], places.ends[slot]), plan)
    numbers = found.bad & ~counted.bad
    utc = np.where(numbers, counted.utc, found.utc)
    later = None if found.later is None else np.where(numbers, counted.utc, found.later)
    return replace(found, utc=utc, bad=found.bad & ~numbers, later=later)


def _epoch_times(places: Places, plan: SourcePlan) -> Times:
    out, state = _epoch(places, plan)
    return Times(out, state == EMPTY, (state != EMPTY) & (state != READ))


def _epoch(places: Places, plan: SourcePlan) -> tuple[I64, I8]:
    places = _usual(places, TIME, plan)
    if plan.time.format not in (ANY_UNIT, EITHER):
        return fixed(places, places.slots[TIME], EPOCH_DIGITS[plan.time.format], rounds=True)
    begins, ends = places.begins[places.slots[TIME]], places.ends[places.slots[TIME]]
    out = np.empty(len(begins), dtype=np.int64)
    status = np.empty(len(begins), dtype=np.int8)
    if read_epoch(places.data, begins, ends, out, status):
        hard = np.flatnonzero(status == HARD)
        out[hard] = [hard_epoch(text) for text in texts(places, places.slots[TIME], hard)]
        status[hard] = np.where(out[hard] == NULL_INT, BAD, READ)
    return out, status


def time_slots(plan: SourcePlan) -> tuple[str, ...]:
    """Names in `Places.slots` of what a time consists of."""
    return (TIME, *(f"{TIME} {part}" for part in range(1, len(plan.time.rest) + 1)))


def _alone(places: Places, name: str, data: Bytes, begins: I32, ends: I32) -> Places:
    return Places(data, begins[None], ends[None], {name: 0}, places.marks, places.encoding)


def _usual(places: Places, name: str, plan: SourcePlan) -> Places:
    """The places of a number, in the usual spelling where the source has one of its own."""
    spelling = spelling_of(plan)
    if spelling is None or not spelling.of_numbers:
        return places
    slot = places.slots[name]
    return _alone(places, name, *usual_numbers(places.data, places.begins[slot], places.ends[slot], spelling, quoted=places.json))


def _validity(ok: Bools) -> pa.Buffer | None:
    return None if ok.all() else pa.array(ok).buffers()[1]


def number_series(name: str, values: F64 | I64, ok: Bools) -> pl.Series:
    """A column over the array's own memory; null where not `ok`."""
    kind = pa.float64() if values.dtype == np.float64 else pa.int64()
    return pl.Series(name, pa.Array.from_buffers(kind, len(values), [_validity(ok), _pa.py_buffer(values)]))


def fault_codes(
    n: int, *, encoding: Bools | None, ragged: Bools | None, missing: Bools, wrong: Bools, time: Bools, imprecise: Bools | None
) -> I8:
    """The first of FAULTS that applies to each of n rows."""
    faults = np.zeros(n, dtype=np.int8)
    for code, rows in ((6, imprecise), (5, time), (4, wrong), (3, missing), (2, ragged), (1, encoding)):
        if rows is not None:
            faults[rows] = code
    return faults


@dataclass(slots=True)
class Values:
    """What the places of n rows hold, typed; and for each column what became of its values (status, see `numbers`)."""

    series: list[pl.Series]
    statuses: list[I8]
    times: Times
    keys: pl.Series | None


def read_values(places: Places, plan: SourcePlan) -> Values:
    """Parse the values of n rows."""
    spelling = spelling_of(plan)
    if spelling is not None and spelling.nulls:
        places = replace(places, ends=without_nulls(places.data, places.begins, places.ends, spelling.nulls))
    n = places.begins.shape[1]
    keys = texts(places, places.slots[KEY]) if KEY in places.slots else None
    if keys is not None and plan.key_optional and keys.null_count():
        keys = keys.fill_null(NO_KEY)
    # One array for all floats, so that the consumer gets them as a matrix without a copy.
    matrix = np.empty((sum(c.kind == "float" for c in plan.columns), n))
    at = 0
    series: list[pl.Series] = []
    statuses: list[I8] = []
    for column in plan.columns:
        row = matrix[at] if column.kind == "float" else None
        at += column.kind == "float"
        values, status = column_values(places, column, plan, row)
        series.append(values)
        statuses.append(status)
    return Values(series, statuses, times(places, plan), keys)


def column_values(places: Places, column: Column, plan: SourcePlan, out: F64 | None = None) -> tuple[pl.Series, I8]:
    """A column of n rows and what became of each value. out (n,): where doubles go."""
    name = slot_of(column)
    n = places.begins.shape[1]
    if name not in places.slots:
        if column.kind == "float" and out is not None:
            out[:] = np.nan
        return pl.Series(column.name, [None], dtype=_DTYPES[column.kind]).new_from_index(0, n), np.full(n, EMPTY, np.int8)
    if column.nulls:
        nulls = [null.encode() for null in column.nulls]
        places = replace(places, ends=without_nulls(places.data, places.begins, places.ends, nulls))
    if column.kind in ("float", "decimal") and not column.compared:
        places = _usual(places, name, plan)
    slot = places.slots[name]
    status: I8 = np.empty(n, dtype=np.int8)
    if column.kind == "float":
        doubles = np.empty(n) if out is None else out
        status = floats(places, slot, doubles)
        return number_series(column.name, doubles, (status == READ) | (status == SPECIAL)), status
    if column.kind == "decimal":
        if column.compared:
            integers = np.empty(n, dtype=np.int64)
            read_ids(places.data, places.begins[slot], places.ends[slot], integers, status)
        else:
            integers, status = fixed(places, slot, column.scale)
        if not column.allow_nan:
            status[status == SPECIAL] = BAD
        return number_series(column.name, integers, status == READ), status
    if column.kind == "bool":
        flags = np.empty(n, dtype=np.bool_)
        _read_bools(places.data, places.begins[slot], places.ends[slot], flags, status)
        return pl.Series(column.name, pa.array(flags, mask=status != READ)), status
    return texts(places, slot).alias(column.name), np.where(places.begins[slot] == places.ends[slot], EMPTY, READ).astype(np.int8)


def build(places: Places, plan: SourcePlan, ragged: Bools | None) -> Parsed:
    """Frame, keys, times and faults of n rows; their original text is left to the caller.

    ragged: rows whose fields cannot be told apart or are too many.
    """
    n = places.begins.shape[1]
    values = read_values(places, plan)
    wrong, imprecise = np.zeros(n, dtype=np.bool_), np.zeros(n, dtype=np.bool_)
    missing = values.times.empty
    if values.keys is not None and values.keys.null_count():
        missing = missing | values.keys.is_null().to_numpy()
    for column, status in zip(plan.columns, values.statuses, strict=True):
        wrong |= status == BAD
        imprecise |= status == IMPRECISE
        # A column that the file lacks is not missing in a row.
        if column.required and slot_of(column) in places.slots:
            missing = missing | (status == EMPTY)
    faults = fault_codes(
        n, encoding=places.encoding, ragged=ragged, missing=missing, wrong=wrong, time=values.times.bad, imprecise=imprecise
    )
    found = values.times
    return Parsed(pl.DataFrame(values.series), values.keys, found.utc, faults, _no_text, later=found.later, local=found.local)


def _no_text(_rows: npt.NDArray[np.intp]) -> list[str]:
    raise NotImplementedError


assert FAULTS == ("", "encoding", "ragged", "missing", "type", "time", "precision")  # noqa: S101 (the codes above are places in it)
