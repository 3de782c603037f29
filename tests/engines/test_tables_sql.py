"""The tables of call records against SQL written from the description of system B, over what the generator wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from offbeat import run
from offbeat.evaluate.generate_cdr import generate_cdr

pytestmark = pytest.mark.heavy
ROWS, DAYS = 40_000, 45

# Algiers is an hour ahead of UTC all year.
DAYS_SQL = """
WITH r AS (SELECT *, "timestamp" AT TIME ZONE 'UTC' + INTERVAL 1 HOUR AS local FROM read_parquet($files)),
d AS (
  SELECT customer_id::VARCHAR AS customer_id, local::DATE AS day,
    count(*) FILTER (WHERE cdr_type = 'DATA') AS n,
    sum(round(data_volume_mb * 1e6)::HUGEINT) FILTER (WHERE cdr_type = 'DATA') / 1e6 AS mb,
    max(data_volume_mb) FILTER (WHERE cdr_type = 'DATA') AS top,
    count(DISTINCT hour(local)) FILTER (WHERE cdr_type = 'DATA') AS hours,
    count(*) FILTER (WHERE hour(local) IN (2, 3, 4, 5)) AS night,
    count(*) FILTER (WHERE hour(local) IN (20, 21, 22, 23)) AS evening,
    max(round(data_volume_mb * 1e6)::HUGEINT) * count(data_volume_mb) > 5 * sum(round(data_volume_mb * 1e6)::HUGEINT) AS spike
  FROM r GROUP BY ALL
),
b AS (
  SELECT d.*, count(p.n) AS days, avg(p.n) AS mean_n, stddev_samp(p.n) AS std_n, avg(p.mb) AS mean_mb, stddev_samp(p.mb) AS std_mb,
    avg(p.top) AS mean_top, stddev_samp(p.top) AS std_top
  FROM d LEFT JOIN d AS p ON p.customer_id = d.customer_id AND p.n > 0 AND p.day < d.day - INTERVAL 6 DAY
  GROUP BY ALL
)
SELECT *, spike AND night <= 10 AS spike_ratio, night > 10 AS night_owls, days >= 14 AND n > 0 AS scored,
  scored AND greatest(abs(n - mean_n) / std_n, abs(mb - mean_mb) / std_mb, abs(top - mean_top) / std_top) > 3 AS z_flag
FROM b
"""
HOURS_SQL = """
WITH r AS (SELECT wilaya_code AS key, date_trunc('hour', "timestamp" AT TIME ZONE 'UTC') AS start, data_volume_mb AS mb
  FROM read_parquet($files)),
h AS (SELECT key, start, sum(round(mb * 1e6)::HUGEINT) / 1e6 AS mb FROM r GROUP BY ALL),
b AS (
  SELECT h.*, count(p.mb) AS n, avg(p.mb) AS mean, stddev_samp(p.mb) AS std
  FROM h LEFT JOIN h AS p ON p.key = h.key AND p.start < h.start AND p.start >= h.start - INTERVAL 27 DAY
    AND hour(p.start) = hour(h.start)
  GROUP BY ALL
)
SELECT key, start, mb > mean + 3 * std AS upper, mb < mean - 3 * std AS lower FROM b WHERE n >= 2
"""
ACTIVE_SQL = """
SELECT DISTINCT customer_id::VARCHAR AS customer_id, ("timestamp" AT TIME ZONE 'UTC' + INTERVAL 1 HOUR)::DATE AS day,
  wilaya_code AS key, date_trunc('hour', "timestamp" AT TIME ZONE 'UTC') AS start
FROM read_parquet($files) WHERE wilaya_code IS NOT NULL
"""


def frame_of(query: str, parameters: dict[str, str]) -> pl.DataFrame:
    found = duckdb.connect().sql(query, params=parameters)
    assert found is not None
    return pl.DataFrame(found.pl())


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cdr") / "records"
    generate_cdr(out, rows=ROWS, days=DAYS, customers=120, seed=5)
    return out


@pytest.fixture(scope="module")
def expected(records: Path) -> dict[str, pl.DataFrame]:
    """Days of customers, hours of regions, and which customer was active in which."""
    files = {"files": str(records / "**" / "*.parquet")}
    queries = {"days": DAYS_SQL, "hours": HOURS_SQL, "active": ACTIVE_SQL}
    return {name: frame_of(query, files) for name, query in queries.items()}


@pytest.fixture(scope="module")
def written(records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tables")
    # What system B does not have.
    beside = [*(f"customer_day.{name}.enabled=false" for name in ("zscore_all", "absence")), "region_hour.rollup.fill=none"]
    run("cdr", records, tables=[out / "parquet", f"delta:{out / 'delta'}"], overrides=beside)
    return out


def table(written: Path, name: str) -> pl.DataFrame:
    path = written / "parquet" / name / "day=*" / "part-0.parquet"
    found = frame_of("SELECT * FROM read_parquet($path, hive_partitioning = true)", {"path": str(path)})
    return found.with_columns(pl.col("day").cast(pl.Date))


def same(found: pl.DataFrame, wanted: pl.DataFrame, exact: list[str], near: dict[str, str]) -> None:
    """`exact` columns are equal and name the rows; `near` columns of the first are those of the second to 1e-9."""
    assert found.height > 30
    assert sorted(found.select(exact).rows()) == sorted(wanted.select(exact).rows())
    both = found.select(*exact[:2], *near).join(wanted.select(*exact[:2], **{f"{k}_w": pl.col(v) for k, v in near.items()}), on=exact[:2])
    assert both.height == found.height
    for name in near:
        for a, b in both.select(name, f"{name}_w").rows():
            assert a is b is None or a == pytest.approx(b, rel=1e-9, abs=1e-9), name


def test_baselines(written: Path, expected: dict[str, pl.DataFrame]) -> None:
    wanted = expected["days"].filter(pl.col("days") >= 14).with_columns(pl.col("days").cast(pl.Float64))
    names = {"sessions": "n", "total_mb": "mb", "max_mb": "top"}
    near = {f"{what}_{ours}": f"{what}_{theirs}" for ours, theirs in names.items() for what in ("mean", "std")}
    same(table(written, "baselines"), wanted, ["customer_id", "day", "days"], near)


def test_zscores(written: Path, expected: dict[str, pl.DataFrame]) -> None:
    z = {f"z_{n}": (pl.col(n) - pl.col(f"mean_{n}")) / pl.col(f"std_{n}") for n in ("n", "mb", "top")}
    wanted = expected["days"].filter("scored").with_columns(**z).rename({"z_flag": "zscore_voted"})
    near = {"sessions": "n", "total_mb": "mb", "max_mb": "top", "hours": "hours"}
    near |= {"zscore_sessions": "z_n", "zscore_total_mb": "z_mb", "zscore_max_mb": "z_top"}
    same(table(written, "zscores"), wanted, ["customer_id", "day", "zscore_voted"], near)


def test_patterns(written: Path, expected: dict[str, pl.DataFrame]) -> None:
    names = {"night_owls": "night_owls_voted", "spike_ratio": "spike_ratio_voted"}
    wanted = expected["days"].filter(pl.col("night_owls") | pl.col("spike_ratio")).rename(names)
    same(table(written, "patterns"), wanted, ["customer_id", "day", *names.values()], {"night": "night", "evening": "evening"})


def utc(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.Datetime("us"))


def test_region_hours(written: Path, expected: dict[str, pl.DataFrame]) -> None:
    wanted = expected["hours"].filter(pl.col("upper") | pl.col("lower")).with_columns(utc("start"))
    found = table(written, "region_hours").with_columns(pl.col("start").dt.convert_time_zone("UTC").dt.replace_time_zone(None))
    found = found.rename({"wilaya_code": "key", "upper_voted": "upper", "lower_voted": "lower"})
    same(found, wanted, ["key", "start", "upper", "lower"], {})


def test_consolidated(written: Path, expected: dict[str, pl.DataFrame]) -> None:
    flagged = expected["hours"].filter(pl.col("upper") | pl.col("lower")).select("key", "start", "upper", "lower")
    seen = expected["active"].join(flagged, on=["key", "start"]).sort("customer_id", "day", "start", "key")
    wanted: dict[tuple[str, Any], list[Any]] = {}
    for customer, day, key, start, upper, lower in seen.select("customer_id", "day", "key", "start", "upper", "lower").rows():
        wanted.setdefault((customer, day), []).append((start, key, upper, lower))
    said = expected["days"].select("customer_id", "day", "z_flag", "night_owls", "spike_ratio")
    own = {(customer, day): flags for customer, day, *flags in said.rows()}
    keys = {key for key, flags in own.items() if any(flags)} | set(wanted)
    found = table(written, "consolidated")
    rows = {(row["customer_id"], row["day"]): bool(row["forest_voted"]) for row in found.iter_rows(named=True)}
    assert len(found) == len(rows) >= len(keys) > len(wanted) > 30
    assert keys <= set(rows)
    assert all(rows[key] for key in set(rows) - keys)  # the forest alone, which SQL does not know
    for row in found.iter_rows(named=True):
        key = row["customer_id"], row["day"]
        listed = [(f["start"].replace(tzinfo=None), f["wilaya_code"], f["upper"], f["lower"]) for f in row["region_hour"]]
        assert listed == wanted.get(key, [])
        assert row["region_hour_upper"] == any(upper for _, _, upper, _ in listed)
        assert row["region_hour_lower"] == any(lower for _, _, _, lower in listed)
        assert [bool(row["zscore_voted"]), row["night_owls_voted"], row["spike_ratio_voted"]] == own[key]
        assert (row["severity"] is None) == (row["level"] is None) == (not any(own[key]) and not rows[key])


@pytest.mark.parametrize("name", ["baselines", "zscores", "patterns", "region_hours", "consolidated"])
def test_delta_is_what_parquet_is(written: Path, name: str) -> None:
    delta = pl.read_delta(str(written / "delta" / name))
    parquet = pl.read_parquet(written / "parquet" / name / "**" / "*.parquet", hive_partitioning=True)
    order = [delta.columns[0], "start"]
    assert delta.select(parquet.columns).sort(order).equals(parquet.sort(order))
    assert delta.height > 30
