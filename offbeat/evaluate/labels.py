"""Label files: anomalies from … to, or a label for each time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import polars as pl

from offbeat.core.days import DAY_NS, local_midnights
from offbeat.core.key_spellings import plain_keys
from offbeat.errors import UserError

TIME = pl.Datetime("ns", "UTC")
EVENTS: dict[str, pl.DataType] = {"key": pl.String(), "kind": pl.String(), "from": TIME, "to": TIME}
POINTS: dict[str, pl.DataType] = {"key": pl.String(), "time": TIME, "label": pl.Boolean()}
UNNAMED = "anomaly"
"""Kind of the events of a file that names none."""

_FORMS = "key, kind, from, to (an anomaly a row) or key, time, label (a time a row, label 0 or 1)"
_WORDS = {"0": False, "1": True, "false": False, "true": True}
_UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000}
_MOST = 2**63 - 1
_FARTHEST = 106_740
"""Days from 1970 that nanoseconds reach, in either direction."""


@dataclass(frozen=True, slots=True)
class Labels:
    """Content of a labels file."""

    events: pl.DataFrame
    """Columns `EVENTS`: one row an anomaly, both ends included, in the order of key and time."""
    points: pl.DataFrame | None
    """Columns `POINTS`, in the order of key and time, where the file labels times; events are then made of them."""


def read_labels(path: str | Path, zone: str = "UTC") -> Labels:
    """Read a labels file, CSV (also .gz, .zst) or Parquet, in one of two forms; other columns are ignored.

    `key, kind, from, to`: one anomaly per row, both ends included. `key, time, label`: one time per row, label 0 or 1 (also false, true).
    Consecutive times of a key with label 1 are one event, from the first to the last; in a file without any 0, each is its own event.
    Times are RFC 3339 text, integer nanoseconds since 1970, or a time type; those without a zone are in `zone`. A date is a whole local day
    there: `from` its beginning, `to` its last nanosecond, and the `time` of a label its beginning, which is the time of a day's window.

    Raises UserError that names the file, and where it applies row, column and value.
    """
    file = Path(path)
    table = _read(file)
    columns = set(table.columns)
    if {"key", "kind", "from", "to"} <= columns:
        return Labels(_events(file, table, zone), None)
    if {"key", "time", "label"} <= columns:
        points = _points(file, table, zone)
        return Labels(_runs(points), points)
    raise UserError(f"{file}: a labels file has the columns {_FORMS}; this one has {', '.join(table.columns) or 'none'}")


def _read(file: Path) -> pl.DataFrame:
    name = file.name.lower()
    try:
        if not file.is_file():
            raise UserError(f"no labels at {file}: {'it is a folder' if file.is_dir() else 'it does not exist'}")
        if name.endswith((".parquet", ".pq")):
            return pl.read_parquet(file)
        if name.endswith((".csv", ".csv.gz", ".csv.zst")):
            return pl.read_csv(file, infer_schema=False)
    except pl.exceptions.NoDataError:
        raise UserError(f"{file}: the file is empty; a labels file has the columns {_FORMS}") from None
    except (OSError, pl.exceptions.PolarsError) as error:
        raise UserError(f"cannot read labels from {file}: {str(error).splitlines()[0]}") from error
    raise UserError(f"{file}: labels are read from .csv (also .gz, .zst) or .parquet files")


def _events(file: Path, table: pl.DataFrame, zone: str) -> pl.DataFrame:
    events = pl.DataFrame([_text(file, table, "key"), _text(file, table, "kind"), *(_time(file, table, c, zone) for c in ("from", "to"))])
    turned = (events["from"] > events["to"]).arg_true()
    if len(turned):
        row = int(turned[0])
        _refuse(file, row, "to", table["to"][row], f"an end at or after the beginning, {table['from'][row]}")
    return events.sort("key", "from", "to", "kind")


def _points(file: Path, table: pl.DataFrame, zone: str) -> pl.DataFrame:
    words = table["label"].cast(pl.String).str.strip_chars().str.to_lowercase()
    if table["label"].dtype.is_float():
        words = words.str.strip_suffix(".0")
    label = words.replace_strict(list(_WORDS), list(_WORDS.values()), default=None, return_dtype=pl.Boolean).alias("label")
    _whole(file, table, "label", label, "0 or 1")
    return pl.DataFrame([_text(file, table, "key"), _time(file, table, "time", zone), label]).sort("key", "time", maintain_order=True)


def _runs(points: pl.DataFrame) -> pl.DataFrame:
    """Events of labelled times, sorted by key and time."""
    lists_all = not points["label"].all()
    starts = (pl.col("label") != pl.col("label").shift()) | (pl.col("key") != pl.col("key").shift())
    run = starts.fill_null(value=True).cum_sum() if lists_all else pl.int_range(pl.len())
    odd = points.with_columns(run=run).filter("label").group_by("run", maintain_order=True)
    events = odd.agg(pl.col("key").first(), pl.col("time").min().alias("from"), pl.col("time").max().alias("to"))
    return events.select("key", pl.lit(UNNAMED).alias("kind"), "from", "to")


def _text(file: Path, table: pl.DataFrame, column: str) -> pl.Series:
    values = table[column]
    whole = values.dtype.is_float() and (values == values.floor()).all()  # as a table writes integers once one is missing
    if not (values.dtype.is_integer() or whole or isinstance(values.dtype, pl.String | pl.Categorical | pl.Enum)):
        raise UserError(f"{file}: column {column!r} is {values.dtype}, not text")
    text = plain_keys(values)
    _whole(file, table, column, text.replace("", None), "text")
    return text


def _time(file: Path, table: pl.DataFrame, column: str, zone: str) -> pl.Series:
    values = table[column]
    kind = values.dtype
    if isinstance(kind, pl.Datetime):
        count, unit = values.to_physical(), _UNITS[kind.time_unit]
        whole = count.set(count.abs() > _MOST // unit, None) * unit
        times = whole.cast(TIME) if kind.time_zone else _local(whole, zone)
    elif kind.is_integer():
        times = values.cast(pl.Int64, strict=False).cast(TIME)
    elif isinstance(kind, pl.String):
        texts = values.str.strip_chars()
        dates = _days(texts.str.to_date("%Y-%m-%d", strict=False), column, zone)
        numbers = texts.cast(pl.Int64, strict=False).cast(TIME)
        times = _parsed(texts, "%+").cast(TIME).fill_null(numbers)
        times = times.fill_null(_local(_parsed(texts.str.replace(" ", "T"), "%Y-%m-%dT%H:%M:%S%.f"), zone)).fill_null(dates)
    elif isinstance(kind, pl.Date):
        times = _days(values, column, zone)
    else:
        raise UserError(f"{file}: column {column!r} is {kind}, not a time")
    _whole(file, table, column, times, "a time such as 2013-10-07T13:30:00.5Z, a date, or nanoseconds since 1970")
    return times.alias(column)


def _days(dates: pl.Series, column: str, zone: str) -> pl.Series:
    """Where local days begin, or, in the column `to`, end."""
    numbers = dates.to_physical().cast(pl.Int64)
    known = numbers.set(numbers.abs() >= _FARTHEST, None)
    there = known.drop_nulls().to_numpy()
    if not len(there):
        return known.cast(TIME)
    low, high = int(there.min()), int(there.max())
    first, midnights = local_midnights(zone, low * DAY_NS, high * DAY_NS)
    place = (known.fill_null(low) - first + (column == "to")).to_numpy()
    times = pl.Series(midnights[place] - (column == "to"))
    return times.set(known.is_null(), None).cast(TIME)


def _parsed(texts: pl.Series, form: str) -> pl.Series:
    """Nanoseconds, null where the text is not of this form. A time beyond what they reach would wrap: microseconds tell."""
    zone = "UTC" if form == "%+" else None
    wide, exact = (texts.str.to_datetime(form, time_unit=unit, time_zone=zone, strict=False).to_physical() for unit in ("us", "ns"))
    return exact.set((wide.abs() > _MOST // 1_000).fill_null(value=True), None)


def _local(ns: pl.Series, zone: str) -> pl.Series:
    """Local times of `zone`; one that the clock skips is null, and of two the first is meant."""
    wall = ns.cast(pl.Datetime("ns"))
    return wall.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").dt.convert_time_zone("UTC")


def _whole(file: Path, table: pl.DataFrame, column: str, read: pl.Series, wanted: str) -> None:
    """Raise UserError for the first value that could not be read."""
    if read.null_count():
        row = int(read.is_null().arg_true()[0])
        values = table[column]
        if isinstance(values.dtype, pl.Datetime):  # what is beyond nanoseconds may be beyond Python's years, too
            values = values.to_physical()
        _refuse(file, row, column, values[row], wanted)


def _refuse(file: Path, row: int, column: str, value: Any, wanted: str) -> NoReturn:
    said = "is missing" if value is None or value == "" else f"is {value!r}" if isinstance(value, str) else f"is {value}"
    raise UserError(f"{file}, row {row + 1}: {column} {said}; expected {wanted}")
