"""offbeat as the benchmarks run it: one call, and its alerts read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import polars as pl

import offbeat
from offbeat.spec.load import load
from offbeat.spec.models import KeySpec, PipelineSpec


def bars(kind: Literal["csv", "parquet"] = "csv", key_column: str | None = None) -> PipelineSpec:
    """The shipped `bars`, for files of another kind or with the key in a column."""
    spec = load("bars").spec
    key = spec.source.key if key_column is None else KeySpec(column=key_column)
    return spec.model_copy(update={"source": spec.source.model_copy(update={"format": kind, "key": key})})


def run_ours(source: Path, alerts: Path, pipeline: PipelineSpec | str = "bars") -> Any:
    """One whole run into one Parquet file; the result has the ledger."""
    alerts.unlink(missing_ok=True)
    return offbeat.run(pipeline, str(source), alerts=[str(alerts)])


def alerts_of(path: Path) -> pl.DataFrame:
    """(symbol, time, rule) of every vote in a file of alerts, sorted."""
    votes = pl.scan_parquet(path).select("key", "time", "detectors").explode("detectors").unnest("detectors")
    voted = votes.filter(pl.col("voted"))
    columns = voted.select(pl.col("key").cast(pl.String).alias("symbol"), "time", pl.col("name").cast(pl.String).alias("rule"))
    return columns.sort("symbol", "time", "rule").collect()
