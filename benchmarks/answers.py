"""The answers, computed independently of offbeat: A1 and A2 of S25 over a folder of bars, in Polars."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from benchmarks.make_bars import TIME_FORMAT


def read_bars(path: Path) -> pl.DataFrame:
    """One file of bars (CSV or Parquet) with `time` in nanoseconds UTC; broken lines left out."""
    if path.suffix == ".parquet":
        return pl.read_parquet(path).with_columns(time=pl.col("timestamp").dt.cast_time_unit("ns"))
    bars = pl.read_csv(path, truncate_ragged_lines=True).drop_nulls("open")
    return bars.with_columns(time=pl.col("timestamp").str.to_datetime(TIME_FORMAT, time_unit="ns", time_zone="UTC"))


def expected_alerts(folder: Path) -> pl.DataFrame:
    """All (symbol, time, rule) that must be alerted, sorted."""
    found = []
    for path in sorted(folder.iterdir()):
        bars = read_bars(path)
        ten = bars.rolling("time", period="10m", closed="left").agg(n=pl.len(), total=pl.col("volume").sum())
        judged = bars.with_columns(
            ten["n"],
            ten["total"],
            previous=pl.when(pl.col("time").diff() <= pl.duration(seconds=60)).then(pl.col("close").shift(1)),
        )
        jump = (pl.col("close") / pl.col("previous") - 1).abs() > 0.005
        surge = (pl.col("n") >= 5) & (pl.col("volume") > 1.02 * (pl.col("total") / pl.col("n")))
        for rule, condition in (("price_jump", jump), ("volume_surge", surge)):
            hits = judged.filter(condition).select("time", rule=pl.lit(rule))
            found.append(hits.select(pl.lit(path.name.split("_")[0]).alias("symbol"), "time", "rule"))
    return pl.concat(found).sort("symbol", "time", "rule")
