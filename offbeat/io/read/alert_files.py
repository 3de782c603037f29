"""Alerts read back from what the sinks wrote."""

from __future__ import annotations

import json
from functools import reduce
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from offbeat.decide.block import STATUSES
from offbeat.errors import UserError
from offbeat.io.address import address_of, shown
from offbeat.io.kafka import KAFKA
from offbeat.io.read.old_alerts import has_old, renewed
from offbeat.io.stores import is_store, store_class
from offbeat.io.write.alert_table import EMPTY
from offbeat.io.write.jsonl_sink import json_lines
from offbeat.io.write.part_folder import part_files
from offbeat.io.write.schema_union import fitted, widened

_TIME = pl.Datetime("ns", "UTC")


def read_alerts(uri: str | Path) -> pl.DataFrame:
    """All alerts of a JSONL file, a Parquet file, a folder of committed parts, a topic or a database, in the order they were written.

    Columns as in the Contract, times as Datetime("ns", "UTC"). A last line that is still being written is left out. Windows that were
    revised occur more than once: see `latest`. Raises UserError where there is nothing to read.
    """
    if str(uri).startswith(KAFKA):
        return _of_topic(str(uri))
    if is_store(str(uri)):
        lines: bytes = store_class("lines:stored_lines")(str(uri))
        return from_lines(lines, shown(str(uri)))
    if address_of(str(uri)) is not None:
        raise UserError(f"{shown(str(uri))}: alerts are read back from files, topics and databases only; ask the system behind that output")
    path = Path(str(uri).removeprefix("file://"))
    try:
        if path.is_dir():
            return _parts(part_files(path))
        if not path.is_file():
            raise UserError(f"no alerts at {path}: it does not exist")
        return _parts([path]) if path.suffix.lower() in {".parquet", ".pq"} else from_lines(path.read_bytes(), str(path))
    except OSError as error:
        raise UserError(f"cannot read alerts from {path}: {error.strerror or error}") from error
    except (pa.ArrowInvalid, pl.exceptions.PolarsError) as error:
        raise UserError(f"cannot read alerts from {path}: {str(error).splitlines()[0]}") from error


def latest(alerts: pl.DataFrame) -> pl.DataFrame:
    """One row per alert_id: that of the greatest revision, then of the last status in early < provisional < final < retracted [S22].

    The rows kept stay in their order; retracted ones are kept, so that a reader sees that they are.
    """
    if alerts["alert_id"].n_unique() == alerts.height:
        return alerts
    rank = pl.col("status").cast(pl.String).replace_strict(list(STATUSES), range(len(STATUSES)), return_dtype=pl.Int8)
    order = alerts.select("alert_id", "revision", rank=rank).with_row_index("at").sort("revision", "rank", "at")
    kept = order.unique("alert_id", keep="last")["at"].sort()
    return alerts[kept]


def mean_score() -> pl.Expr:
    """The mean score of the detectors that voted [S19], of a frame of alerts."""
    return pl.col("detectors").list.eval(pl.element().filter(pl.element().struct.field("voted")).struct.field("score")).list.mean()


def find_alert(uri: str | Path, alert_id: str) -> dict[str, Any]:
    """The latest record of the alert whose id begins with `alert_id`, as its JSON line reads. Raises UserError where none or several do."""
    if is_store(str(uri)):
        stored: dict[str, Any] = json.loads(store_class("lines:stored_line")(str(uri), alert_id))
        return stored
    wanted = alert_id.lower()
    found = latest(read_alerts(uri).filter(pl.col("alert_id").str.starts_with(wanted)))
    if found.is_empty() or not wanted:
        raise UserError(f"no alert {alert_id!r} in {uri}")
    if found.height > 1:
        raise UserError(f"{found.height} alerts in {uri} begin with {alert_id!r}; give more digits, such as {found['alert_id'][0]}")
    record: dict[str, Any] = json.loads(json_lines(found.to_arrow()))
    return record


def _of_topic(uri: str) -> pl.DataFrame:
    from offbeat.io.kafka.address import kafka_address  # noqa: PLC0415 - the client is an extra
    from offbeat.io.kafka.reading import AlertReader  # noqa: PLC0415

    address = kafka_address(uri)
    reader = AlertReader(address)
    try:
        return from_lines(reader.there(), str(address))
    finally:
        reader.close()


def _parts(files: list[Path]) -> pl.DataFrame:
    tables = [pq.ParquetFile(file).read() for file in files]
    schema = reduce(widened, [table.schema for table in tables], EMPTY)
    frame = pl.DataFrame(pa.concat_tables([fitted(table, schema) for table in tables]) if tables else schema.empty_table())
    return typed(frame)


def from_lines(data: bytes, where: str) -> pl.DataFrame:
    """Alerts as JSON lines; `where` is what an error calls them. Raises UserError where they are something else."""
    whole = data[: data.rfind(b"\n") + 1]
    if data[:1] not in {b"", b"{"}:
        raise UserError(f"cannot read alerts from {where}: it does not hold JSON lines")
    if not whole:
        return typed(pl.DataFrame(EMPTY.empty_table()))
    return typed(_ordered(pl.read_ndjson(whole, infer_schema_length=None), whole))


_WIDE = 32
"""Of structs with more fields Polars loses the order."""


def _ordered(frame: pl.DataFrame, lines: bytes) -> pl.DataFrame:
    """The fields of wide rows and statistics in the order of the first line that has them, others by name behind them."""
    row, window = frame.schema.get("row"), frame.schema.get("window")
    statistics = dict(window).get("statistics") if isinstance(window, pl.Struct) else None
    columns = []
    if isinstance(row, pl.Struct) and len(row.fields) > _WIDE:
        known = next((list(line["row"]) for line in map(json.loads, lines.splitlines()) if line["row"]), [])
        columns.append(_sorted(pl.col("row"), row, known).alias("row"))
    if isinstance(statistics, pl.Struct) and len(statistics.fields) > _WIDE:
        windows = (line["window"] or {} for line in map(json.loads, lines.splitlines()))
        known = next((list(inner["statistics"]) for inner in windows if inner.get("statistics")), [])
        inner = _sorted(pl.col("window").struct.field("statistics"), statistics, known).alias("statistics")
        columns.append(pl.when(pl.col("window").is_not_null()).then(pl.col("window").struct.with_fields(inner)).alias("window"))
    return frame.with_columns(columns)


def _sorted(column: pl.Expr, kind: pl.Struct, known: list[str]) -> pl.Expr:
    names = [f.name for f in kind.fields]
    order = [name for name in known if name in names] + sorted(set(names) - set(known))
    return pl.when(column.is_not_null()).then(pl.struct(column.struct.field(name) for name in order))


def typed(frame: pl.DataFrame) -> pl.DataFrame:
    """The types of the Contract, whatever the file could tell of them (a JSON column of nulls has none)."""
    if has_old(frame):
        frame = renewed(frame)
    wanted = pl.DataFrame(EMPTY.empty_table()).cast({pl.Categorical: pl.String}).schema
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        raise UserError(f"this is not a file of alerts: columns {', '.join(missing)} are missing")
    columns = []
    for name, kind in frame.schema.items():
        if name == "window" and isinstance(kind, pl.Struct):
            field = pl.col(name).struct.field
            ends = [_time(field(end), end_kind) for end, end_kind in ((f.name, f.dtype) for f in kind.fields) if end in {"from", "to"}]
            inner = pl.struct(*ends, field("n").cast(pl.Int64), _statistics(kind))
            columns.append(pl.when(pl.col(name).is_not_null()).then(inner).alias(name))
        elif name == "time":
            columns.append(_time(pl.col(name), kind))
        elif name == "detectors":
            columns.append(_entries(pl.col(name), kind, _plain(wanted[name])))
        elif name in wanted and name not in {"row", "window"}:
            columns.append(pl.col(name).cast(wanted[name]))
        else:
            columns.append(pl.col(name))
    return frame.select(columns)


def _entries(column: pl.Expr, kind: object, wanted: pl.DataType) -> pl.Expr:
    """Entries of `detectors`: times as such, and fields that a file leaves out as null, or empty where they are lists."""
    if not (isinstance(wanted, pl.List) and isinstance(wanted.inner, pl.Struct)):
        raise TypeError(f"{wanted} is no type of detectors")
    inner = kind.inner if isinstance(kind, pl.List) else None
    have = {field.name: field.dtype for field in inner.fields} if isinstance(inner, pl.Struct) else {}
    inside = []
    for field in wanted.inner.fields:
        value, here = pl.element().struct.field(field.name), have.get(field.name)
        if here is None:
            value = pl.lit([] if isinstance(field.dtype, pl.List) else None, field.dtype)
        elif field.name == "window" and isinstance(here, pl.Struct):
            ends = [_time(value.struct.field(end.name), end.dtype).alias(end.name) for end in here.fields if end.name in {"from", "to"}]
            span = pl.struct(*ends, value.struct.field("n").cast(pl.Int64))
            value = pl.when(value.is_not_null()).then(span)
        else:
            value = value.cast(field.dtype)
            value = value.fill_null(pl.lit([], field.dtype)) if isinstance(field.dtype, pl.List) else value
        inside.append(value.alias(field.name))
    return column.list.eval(pl.struct(inside)) if have else column.cast(wanted)


def _statistics(window: pl.Struct) -> pl.Expr:
    """Statistics are doubles also where a file holds nothing but null."""
    kind = next(f.dtype for f in window.fields if f.name == "statistics")
    column = pl.col("window").struct.field("statistics")
    return column.cast(pl.Struct([pl.Field(f.name, pl.Float64) for f in kind.fields])) if isinstance(kind, pl.Struct) else column


def _time(column: pl.Expr, kind: object) -> pl.Expr:
    return column.str.to_datetime("%+", time_unit="ns", time_zone="UTC") if kind == pl.String else column.cast(_TIME)


def _plain(kind: pl.DataType) -> pl.DataType:
    """The type with text instead of categories, at any depth."""
    if isinstance(kind, pl.List):
        return pl.List(_plain(pl.Series([], dtype=kind.inner).dtype))
    if isinstance(kind, pl.Struct):
        return pl.Struct([pl.Field(f.name, _plain(pl.Series([], dtype=f.dtype).dtype)) for f in kind.fields])
    return pl.String() if kind == pl.Categorical else kind
