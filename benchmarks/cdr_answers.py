"""What offbeat and its peers say about call records, in one shape, and whether they say the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import polars as pl

FLAGS = ("zscore", "night_owls", "spike_ratio")
_TIE = 1e-9
_FIRST = date(2024, 1, 1)
_LOCAL = timedelta(hours=1)  # Algiers is an hour ahead of UTC all year


@dataclass(frozen=True, slots=True)
class Answers:
    """customer_days: customer, day, the FLAGS and z, with at least one flag of its own; region_hours: region, day, hour, upper."""

    customer_days: pl.DataFrame
    region_hours: pl.DataFrame


def peer_answers(out: Path) -> Answers:
    """What `cdr_duckdb` or `cdr_spark` wrote."""
    hive = any((out / "customer_days").glob("day=*"))
    days = pl.scan_parquet(out / "customer_days" / "**" / "*.parquet", hive_partitioning=hive)
    hours = pl.scan_parquet(out / "region_hours" / "*.parquet")
    z = pl.max_horizontal("z_sessions", "z_total", "z_most").alias("z")
    own = days.select(pl.col("customer_id").cast(pl.Int64).alias("customer"), pl.col("day").cast(pl.Int64), *FLAGS, z)
    return Answers(
        own.filter(pl.any_horizontal(*FLAGS)).collect(),
        hours.select("region", pl.col("day").cast(pl.Int64), pl.col("hour").cast(pl.Int64), "upper").collect(),
    )


def our_answers(alerts: Path) -> Answers:
    """What stands in a Parquet file of alerts; the z of a row is three times what the detector calls observed."""
    rows = pl.scan_parquet(alerts).select("view", "key", pl.col("time").dt.replace_time_zone(None).alias("time") + _LOCAL, "detectors")
    rows = rows.with_columns(day=(pl.col("time").dt.date() - _FIRST).dt.total_days())

    def of(name: str, field: str) -> pl.Expr:
        chosen = pl.col("detectors").list.eval(pl.element().filter(pl.element().struct["name"] == name).struct[field])
        return chosen.list.first()

    days = rows.filter(pl.col("view") == "customer_day").select(
        pl.col("key").cast(pl.Int64).alias("customer"),
        "day",
        *(of(name, "voted").fill_null(value=False).alias(name) for name in FLAGS),
        (3 * of("zscore", "observed")).alias("z"),
    )
    hours = rows.filter(pl.col("view") == "region_hour").select(
        pl.col("key").alias("region"), "day", pl.col("time").dt.hour().cast(pl.Int64).alias("hour"), of("upper", "voted").alias("upper")
    )
    return Answers(days.collect(), hours.collect())


def same_answers(all_of_them: Mapping[str, Answers]) -> str:
    """One sentence on what is the same.

    Customer-days whose z lies within 1e-9 of the limit may differ: three programs round an exact 3 in three ways. So may those of customers
    whose days were all alike before: any other day is infinitely far out for us, and z is 0 in system B. Raises SystemExit, naming the
    first that differ, where anything else does.
    """
    (first, base), *others = all_of_them.items()
    ties = alike = 0
    for name, other in others:
        both = base.customer_days.join(other.customer_days, on=["customer", "day"], how="full", coalesce=True, suffix="_other")
        z, z_other = pl.col("z"), pl.col("z_other")
        apart_in = {flag: pl.col(flag).fill_null(value=False) != pl.col(f"{flag}_other").fill_null(value=False) for flag in FLAGS}
        infinite = pl.col("zscore").fill_null(value=False) & z.is_null()
        alike = max(alike, both.filter(infinite).height)
        apart_in["zscore"] &= ~infinite
        differs = pl.any_horizontal(*apart_in.values())
        tie = (pl.coalesce(z, z_other) - 3).abs() <= 3 * _TIE
        ties = max(ties, both.filter(differs & tie).height)
        odd = both.filter((differs & ~tie.fill_null(value=False)) | ((z - z_other).abs() > _TIE * z.abs()))
        if odd.height:
            raise SystemExit(f"{first} and {name} differ on {odd.height:,} customer-days, the first:\n{odd.head(3).to_dicts()}")
        keys = ["region", "day", "hour", "upper"]
        apart = pl.concat(
            [
                base.region_hours.join(other.region_hours, on=keys, how="anti"),
                other.region_hours.join(base.region_hours, on=keys, how="anti"),
            ]
        )
        if apart.height:
            raise SystemExit(f"{first} and {name} differ on {apart.height:,} region-hours, the first: {apart.head(3).to_dicts()}")
    counts = ", ".join(f"{base.customer_days[flag].sum():,} {flag}" for flag in FLAGS)
    return (
        f"The same from all: {counts} and {base.region_hours.height:,} region-hours, z to 1e-9; {ties} customer-days with a z of exactly 3 "
        "but for rounding, which one flags and another does not."
        + f" {alike} more are flagged by {first} alone, as all days of the customer were alike before."
        * (alike > 0)
    )
