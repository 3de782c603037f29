"""The windows of an alert's target, made again from the source by the pipeline itself: a customer's days, a region's hours."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from offbeat.core.plan import Plan
from offbeat.engines.notebook import run
from offbeat.errors import UserError
from offbeat.io.report.console import Record

_TABLE = "series"
_DAY = "1d"


def window_series(alert: Record, plan: Plan, source: str) -> pl.DataFrame:
    """The windows of the alert's view and key: `time` (their start, UTC), and the columns and features of the view.

    Where the view compares windows with those a season before, such as the same hour of other days, only these. Reads all of the source,
    and judges the rows of this key alone. Raises UserError where the pipeline cannot be narrowed to a key, or the source not be read.
    """
    told: dict[str, Any] = json.loads(plan.text)
    view = told["views"][alert["view"]]
    column = view["rollup"]["key"].get("column")
    if not column:
        raise UserError(f"view {alert['view']!r} has no column for its key: its windows are not made again")
    key = str(alert["key"]).replace("'", "''")
    told["source"]["columns"].setdefault(column, "text")
    kept = told["source"].get("where")
    told["source"]["where"] = f"{column} = '{key}'" + (f" AND ({kept})" if kept else "")
    told["views"], told["tables"] = {alert["view"]: view}, {_TABLE: {"view": alert["view"]}}
    told.pop("episodes", None)
    with TemporaryDirectory(prefix="offbeat-series-") as folder:
        run(told, source, tables=folder, workers=1)
        files = sorted((Path(folder) / _TABLE).rglob("*.parquet"))
        found = [pl.read_parquet(file, hive_partitioning=False) for file in files]
    if not found:
        raise UserError(f"{source} has no rows of {column} {alert['key']!r}")
    frame = pl.concat(found, how="diagonal_relaxed").with_columns(pl.col("start").cast(pl.Datetime("ns", "UTC")).alias("time"))
    seasons = {window.get("season") for window in view["windows"].values()} - {None}
    if seasons == {_DAY}:
        at = pl.select(pl.lit(alert["time"]).str.to_datetime("%+", time_unit="ns", time_zone="UTC")).item()
        own = pl.lit(at).cast(pl.Datetime("ns", "UTC")).dt.convert_time_zone(plan.zone).dt.time()
        frame = frame.filter(pl.col("time").dt.convert_time_zone(plan.zone).dt.time() == own)
    return frame.sort("time").filter(pl.col("time").diff().fill_null(timedelta(days=1)) != timedelta(0))
