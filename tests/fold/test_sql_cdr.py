"""Call records against SQL written from the description of system B: baselines, z-scores, region hours, patterns, consolidation."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
from command import OFFBEAT

from offbeat.evaluate.generate_cdr import generate_cdr

pytestmark = pytest.mark.heavy
ROWS, DAYS, CUSTOMERS = 2_000_000, 60, 4_000

# Algiers is an hour ahead of UTC all year. Volumes are summed as integers of 1e-6 MB, so that no sum depends on an order.
CUSTOMER_DAYS = """
CREATE VIEW record AS
SELECT customer_id::VARCHAR AS customer, "timestamp" AT TIME ZONE 'UTC' + INTERVAL 1 HOUR AS local, cdr_type = 'DATA' AS data,
  data_volume_mb AS mb, round(data_volume_mb * 1e6)::HUGEINT AS bytes, wilaya_code AS region
FROM read_parquet($files);
CREATE TABLE customer_day AS
SELECT customer, local::DATE AS day, count(*) FILTER (data) AS sessions, sum(bytes) FILTER (data) / 1e6 AS total_mb,
  max(mb) FILTER (data) AS max_mb, nullif(count(DISTINCT hour(local)) FILTER (data), 0) AS hours, count(*) AS records,
  count(*) FILTER (hour(local) IN (2, 3, 4, 5)) AS night, count(*) FILTER (hour(local) IN (20, 21, 22, 23)) AS evening,
  max(bytes) * count(bytes) > 5 * sum(bytes) AS spike
FROM record GROUP BY ALL;
"""
SQL = """
-- What never varied has no spread: another value is infinitely far out.
CREATE MACRO distance(x, mean, std) AS
  CASE WHEN std > 0 THEN abs(x - mean) / std WHEN abs(x - mean) <= 1e-9 * abs(mean) THEN 0.0 ELSE 'inf'::DOUBLE END;
CREATE TABLE baseline AS
SELECT d.customer, d.day, count(*) AS days, avg(p.sessions) AS mean_sessions, stddev_samp(p.sessions) AS std_sessions,
  avg(p.total_mb) AS mean_total_mb, stddev_samp(p.total_mb) AS std_total_mb,
  avg(p.max_mb) AS mean_max_mb, stddev_samp(p.max_mb) AS std_max_mb, avg(p.hours) AS mean_hours, stddev_samp(p.hours) AS std_hours
FROM customer_day AS d JOIN customer_day AS p ON p.customer = d.customer AND p.sessions > 0 AND p.day < d.day - INTERVAL 6 DAY
GROUP BY ALL HAVING count(*) >= 14;
CREATE TABLE zscore AS
SELECT customer, day, sessions, total_mb, max_mb, hours, distance(sessions, mean_sessions, std_sessions) AS z_sessions,
  distance(total_mb, mean_total_mb, std_total_mb) AS z_total_mb, distance(max_mb, mean_max_mb, std_max_mb) AS z_max_mb,
  greatest(z_sessions, z_total_mb, z_max_mb) AS z
FROM customer_day JOIN baseline USING (customer, day) WHERE sessions > 0;
-- A region has every hour from its first one to before that of the newest record, or later where it has records.
CREATE TABLE hour AS
WITH filled AS (SELECT region, date_trunc('hour', local) AS t, sum(bytes) AS bytes, true AS there FROM record
                WHERE region IS NOT NULL GROUP BY ALL),
  ticks AS (SELECT region, unnest(generate_series(min(t), (SELECT max(t) FROM filled) - INTERVAL 1 HOUR, INTERVAL 1 HOUR)) AS t
            FROM filled GROUP BY region)
SELECT region, t AS "at", CASE WHEN there THEN bytes / 1e6 ELSE 0 END AS total_mb FROM filled FULL JOIN ticks USING (region, t);
CREATE TABLE region_hour AS
SELECT *, total_mb > usual_mb + 3 * spread_mb AS upper, total_mb < usual_mb - 3 * spread_mb AS lower
FROM (SELECT h.region, h.at, h.total_mb, avg(p.total_mb) AS usual_mb, stddev_samp(p.total_mb) AS spread_mb
      FROM hour AS h JOIN hour AS p
        ON p.region = h.region AND p.at < h.at AND p.at >= h.at - INTERVAL 27 DAY AND hour(p.at) = hour(h.at)
      GROUP BY ALL HAVING count(*) >= 2);
CREATE TABLE pattern AS
SELECT customer, day, records, night, evening, night > 10 AS night_owls, night <= 10 AND spike AS spike_ratio
FROM customer_day WHERE night > 10 OR spike;
CREATE TABLE consolidated AS
SELECT customer, day, coalesce(z > 3, false) AS zscore, coalesce(abs(z - 3) < 1e-8, false) AS tie,
  coalesce(night_owls, false) AS night_owls, coalesce(spike_ratio, false) AS spike_ratio,
  coalesce(up, false) AS upper, coalesce(low, false) AS lower
FROM customer_day LEFT JOIN zscore USING (customer, day) LEFT JOIN pattern USING (customer, day)
LEFT JOIN (SELECT customer, local::DATE AS day, bool_or(upper) AS up, bool_or(lower) AS low
           FROM record JOIN region_hour AS r ON r.region = record.region AND r.at = date_trunc('hour', local)
           GROUP BY ALL) USING (customer, day);
"""


@dataclass(frozen=True, slots=True)
class Told:
    """What offbeat said of the records, beside a database of what SQL says."""

    sql: duckdb.DuckDBPyConnection
    ledger: dict[str, Any]
    alerts: pl.DataFrame
    tables: Path

    def ask(self, query: str) -> pl.DataFrame:
        """What SQL says."""
        found = self.sql.sql(query)
        assert found is not None
        return pl.DataFrame(found.pl())

    def table(self, name: str) -> pl.DataFrame:
        """A table of offbeat's, with the local time of its windows as `at`, and the day."""
        rows = pl.read_parquet(self.tables / name / "**" / "*.parquet", hive_partitioning=False)
        at = pl.col("start").dt.convert_time_zone("Africa/Algiers").dt.replace_time_zone(None)
        return rows.with_columns(at=at, day=at.dt.date()).rename({"customer_id": "customer", "wilaya_code": "region"}, strict=False)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    home = tmp_path_factory.mktemp("cdr")
    generate_cdr(home / "records", rows=ROWS, days=DAYS, customers=CUSTOMERS, seed=3)
    outputs: list[str | Path] = ["--alerts", home / "alerts.parquet", "--tables", home / "tables", "--json"]
    for name in ("zscore_all", "absence"):  # what system B does not have
        outputs += ["--set", f"customer_day.{name}.enabled=false"]
    done = subprocess.run([OFFBEAT, "run", "cdr", home / "records", *outputs], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with duckdb.connect() as con:
        con.execute(CUSTOMER_DAYS.replace("$files", f"'{home / 'records' / '**' / '*.parquet'}'") + SQL)
        yield Told(con, json.loads(done.stdout), pl.read_parquet(home / "alerts.parquet"), home / "tables")


def assert_same(ours: pl.DataFrame, theirs: pl.DataFrame, keys: list[str], numbers: list[str]) -> None:
    """The same keys, and the same numbers to 1e-9 of their size; a null is like a null."""
    assert ours.height == ours.unique(keys).height
    assert set(ours.select(keys).iter_rows()) == set(theirs.select(keys).iter_rows())
    both = ours.join(theirs, on=keys, suffix="_sql", validate="1:1")
    assert both.height == theirs.height > 1_000
    for name in numbers:
        one, two = pl.col(name).cast(pl.Float64), pl.col(f"{name}_sql").cast(pl.Float64)
        differs = (one.is_null() != two.is_null()) | ((one - two).abs() > 1e-9 * two.abs()).fill_null(value=False)
        wrong = both.filter(differs)
        assert wrong.is_empty(), (name, wrong.height, wrong.head(3).to_dicts())


def votes(alerts: pl.DataFrame, view: str, detector: str) -> set[tuple[str, str]]:
    """(key, local start) of the alerts that a detector voted for."""
    rows = alerts.filter(pl.col("view") == view).select("key", "time", "detectors").explode("detectors").unnest("detectors")
    chosen = rows.filter((pl.col("name") == detector) & pl.col("voted"))
    local = pl.col("time").dt.convert_time_zone("Africa/Algiers").dt.strftime("%Y-%m-%d %H")
    return set(chosen.select("key", local).iter_rows())


def windows(frame: pl.DataFrame, key: str, start: str) -> set[tuple[str, str]]:
    """The same of rows that SQL found."""
    return set(frame.select(key, pl.col(start).cast(pl.Datetime).dt.strftime("%Y-%m-%d %H")).iter_rows())


def test_the_ledger_adds_up_and_counts_the_customer_days(told: Told) -> None:
    assert told.ledger["rows_in"] == told.ledger["scored"] + told.ledger["warming_up"] == ROWS
    assert told.ledger["views"]["customer_day"]["windows"] == told.ask("SELECT count(*) AS n FROM customer_day")["n"].item()


def test_alerts_are_the_flags_of_sql(told: Told) -> None:
    flagged = told.ask("SELECT * FROM consolidated")
    ties = windows(flagged.filter("tie"), "customer", "day")
    assert len(ties) < 10
    found = votes(told.alerts, "customer_day", "zscore")
    assert len(found) > 1_000
    assert found - ties == windows(flagged.filter("zscore"), "customer", "day") - ties
    for name in ("night_owls", "spike_ratio"):
        assert votes(told.alerts, "customer_day", name) == windows(flagged.filter(name), "customer", "day") != set()
    hours = told.ask("SELECT * FROM region_hour")
    for name in ("upper", "lower"):
        assert votes(told.alerts, "region_hour", name) == windows(hours.filter(name), "region", "at") != set()


def test_observed_values_of_alerts_are_those_of_sql(told: Told) -> None:
    alerts = told.alerts.filter(pl.col("view") == "customer_day")
    zscore = pl.col("detectors").list.eval(pl.element().filter(pl.element().struct["name"] == "zscore").struct["raw"]).list.first()
    day = pl.col("time").dt.convert_time_zone("Africa/Algiers").dt.date().alias("day")
    columns = ["sessions", "total_mb", "max_mb", "hours", "records", "night", "evening"]
    row = [pl.col("row").struct[name] for name in columns]
    ours = alerts.select(pl.col("key").alias("customer"), day, *row, (3 * zscore).alias("z"))
    theirs = told.ask("SELECT d.*, z FROM customer_day AS d LEFT JOIN zscore USING (customer, day)")
    endless = pl.when(pl.col("z").is_finite()).then("z").alias("z")  # a raw score beyond all numbers is null
    theirs = theirs.with_columns(pl.col("sessions").replace(0, None), endless).join(ours, on=["customer", "day"], how="semi")
    assert_same(ours, theirs, ["customer", "day"], [*columns, "z"])


def test_table_of_baselines(told: Told) -> None:
    features = [f"{what}_{name}" for name in ("sessions", "total_mb", "max_mb", "hours") for what in ("mean", "std")]
    assert_same(told.table("baselines"), told.ask("FROM baseline"), ["customer", "day"], ["days", *features])


def test_table_of_zscores(told: Told) -> None:
    found, expected = told.table("zscores"), told.ask("FROM zscore")
    distances = [pl.col(f"zscore_{name}").abs().fill_null(1e300).alias(f"z_{name}") for name in ("sessions", "total_mb", "max_mb")]
    numbers = ["sessions", "total_mb", "max_mb", "hours", "z_sessions", "z_total_mb", "z_max_mb"]
    expected = expected.with_columns(pl.col("z_sessions", "z_total_mb", "z_max_mb").replace(np.inf, 1e300))
    assert_same(found.with_columns(distances), expected, ["customer", "day"], numbers)
    clear = found.join(expected.filter((pl.col("z") - 3).abs() > 1e-8), on=["customer", "day"], suffix="_sql")
    assert (clear["zscore_voted"] == (clear["z"] > 3)).all()


def test_table_of_region_hours(told: Told) -> None:
    expected = told.ask("FROM region_hour WHERE upper OR lower")
    found = told.table("region_hours").rename({"upper_voted": "upper", "lower_voted": "lower"})
    assert_same(found, expected, ["region", "at", "upper", "lower"], ["total_mb", "usual_mb", "spread_mb"])


def test_table_of_patterns(told: Told) -> None:
    names = ["night_owls", "spike_ratio"]
    found = told.table("patterns").rename({f"{name}_voted": name for name in names})
    assert_same(found, told.ask("FROM pattern"), ["customer", "day", *names], ["records", "night", "evening"])


def test_table_of_consolidated_customer_days(told: Told) -> None:
    own = ["zscore", "night_owls", "spike_ratio"]
    names = {f"{name}_voted": name for name in own} | {"region_hour_upper": "upper", "region_hour_lower": "lower"}
    flags = list(names.values())
    found = told.table("consolidated").rename(names).with_columns(pl.col(flags).fill_null(value=False))
    expected = told.ask("FROM consolidated")
    ties = expected.filter("tie").select("customer", "day")
    some = pl.any_horizontal(flags)
    ours = found.filter(some).join(ties, on=["customer", "day"], how="anti").select("customer", "day", *flags)
    theirs = expected.filter(some & ~pl.col("tie")).select("customer", "day", *flags)
    assert ours.height == theirs.height > 10_000
    assert set(ours.iter_rows()) == set(theirs.iter_rows())
    assert 0 < ours.filter(~pl.any_horizontal(own)).height < ours.height
