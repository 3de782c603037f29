"""Columns in the spelling in which JSON lines carry them, so that reading them back gives the very same values."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import numpy.typing as npt
import polars as pl

from offbeat.core.batch import I64, NULL_INT
from offbeat.core.plan import SourcePlan, TimePlan
from offbeat.io.read.epoch import EITHER, EPOCH_DIGITS

_EXACT = 10**15
"""Below this the shortest decimal of the double n / 10^scale is n / 10^scale itself."""
KEY_FIELD = "key"
"""The field of the key where the plan draws it from names of files."""
_ISO = "%Y-%m-%dT%H:%M:%S%.9fZ"


def quotients(counts: pl.Series, scale: int) -> pl.Series:
    """N / 10^scale with one rounding; Polars would multiply by the inverse, with two. Null stays null."""
    values = counts.fill_null(0).to_numpy() / 10.0**scale
    return pl.Series(counts.name, values, dtype=pl.Float64).set(counts.is_null(), None)


def decimal_numbers(counts: pl.Series, scale: int) -> pl.Series:
    """Integers n that stand for n / 10^scale, as numbers; as texts where a double could not hold one of them. Null stays null."""
    if scale == 0:
        return counts
    if int(np.abs(counts.fill_null(0).to_numpy()).max(initial=0)) < _EXACT:
        return quotients(counts, scale)
    texts = [None if n is None else format(Decimal(n).scaleb(-scale), "f") for n in counts]
    return pl.Series(counts.name, texts, dtype=pl.String)


def iso_times(name: str, time_ns: I64) -> pl.Series:
    """Nanoseconds UTC as RFC 3339 with nine digits; NULL_INT becomes null."""
    times = pl.Series(name, time_ns)
    return times.set(times == NULL_INT, None).cast(pl.Datetime("ns")).dt.to_string(_ISO)


def iso_time(time_ns: int) -> str:
    """One time as `iso_times` writes it."""
    return str(iso_times("", np.array([time_ns]))[0])


def as_read(plan: SourcePlan, frame: pl.DataFrame, keys: pl.Series, time_ns: I64) -> pl.DataFrame:
    """Rows in the fields and spellings that `plan` reads from JSON lines to the very same values.

    frame: the plan's columns (see `Chunk.frame`); keys (n,): String; time_ns (n,): none of them NULL_INT.
    """
    key = plan.key_column[0] if plan.key_column else KEY_FIELD
    fields = {key: keys.alias(key), **_time_fields(plan.time, time_ns)}
    for column in plan.columns:
        values = frame.get_column(column.name)
        if column.kind == "decimal":
            values = decimal_numbers(values, column.scale)
        elif column.kind == "float" and not values.is_finite().all():
            values = values.cast(pl.String)  # JSON has no NaN
        fields.setdefault(column.name, values)
    return pl.DataFrame([values.alias(name) for name, values in fields.items()])


def _time_fields(time: TimePlan, time_ns: I64) -> dict[str, pl.Series]:
    whole = _times(time, time_ns)
    if not time.rest:
        return {time.headers[0]: whole}
    names = (time.headers[0], *time.rest)
    parts = whole.str.replace("T", " ", literal=True) if time.format in ("auto", EITHER) else whole
    split = parts.str.splitn(" ", len(names)).struct.unnest()
    return {name: split.to_series(place).alias(name) for place, name in enumerate(names)}


def _times(time: TimePlan, time_ns: I64) -> pl.Series:
    name = time.headers[0]
    if time.format in ("auto", EITHER):
        return iso_times(name, time_ns)
    if time.format not in EPOCH_DIGITS:
        return pl.Series(name, time_ns).cast(pl.Datetime("ns", "UTC")).dt.convert_time_zone(time.zone).dt.to_string(time.format)
    digits = EPOCH_DIGITS[time.format]
    unit = 10**digits
    return pl.Series(name, time_ns // unit) if bool((time_ns % unit == 0).all()) else decimal_numbers(pl.Series(name, time_ns), digits)


def json_text(frame: pl.DataFrame) -> bytes:
    """A line for each row, an object with its fields in the order of the columns."""
    return frame.write_ndjson().encode() if len(frame) else b""


def json_rows(frame: pl.DataFrame) -> list[str]:
    """The lines of `json_text`, without their ends."""
    return json_text(frame).decode().split("\n")[:-1]


def epoch_ns(counts: npt.NDArray[np.uint64]) -> I64:
    """Unsigned nanoseconds since 1970; NULL_INT where they leave the int64 range, as an undefined time does."""
    return np.where(counts < np.uint64(2**63), counts, np.uint64(2**63)).view(np.int64)
