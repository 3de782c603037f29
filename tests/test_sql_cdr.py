"""Call records against SQL written from the description of system B: aggregates, baselines, z-scores, patterns, region hours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from command import Command, offbeat

from offbeat.evaluate.generate_cdr import generate_cdr

__all__ = ["offbeat"]
ROWS, DAYS = 60_000, 50

# Algiers is an hour ahead of UTC all year.
DAY_SQL = """
WITH r AS (SELECT *, "timestamp" AT TIME ZONE 'UTC' + INTERVAL 1 HOUR AS local FROM read_parquet($files)),
d AS (
  SELECT customer_id, date_trunc('day', local) AS day,
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
SELECT customer_id::VARCHAR AS key, day - INTERVAL 1 HOUR AS start, n, mb, top, hours, night, evening, spike,
  CASE WHEN days >= 14 AND n > 0 THEN greatest(abs(n - mean_n) / nullif(std_n, 0), abs(mb - mean_mb) / nullif(std_mb, 0),
    abs(top - mean_top) / nullif(std_top, 0)) END AS z
FROM b
"""
REGION_SQL = """
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


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cdr") / "records"
    generate_cdr(out, rows=ROWS, days=DAYS, customers=150, seed=3)
    return out


def frame_of(query: str, parameters: dict[str, str]) -> pl.DataFrame:
    found = duckdb.connect().sql(query, params=parameters)
    assert found is not None
    return pl.DataFrame(found.pl())


def votes(alerts: list[dict[str, Any]], view: str, detector: str) -> set[tuple[str, str]]:
    """(key, start) of the alerts that a detector voted for."""
    chosen = [alert for alert in alerts if alert["view"] == view]
    return {(a["key"], a["time"][:19]) for a in chosen for d in a["detectors"] if d["name"] == detector and d["voted"]}


def starts(frame: pl.DataFrame) -> set[tuple[str, str]]:
    return {(key, start.strftime("%Y-%m-%dT%H:%M:%S")) for key, start in frame.select("key", "start").iter_rows()}


@pytest.mark.heavy
def test_customer_days_and_region_hours_are_those_of_sql(records: Path, offbeat: Command, tmp_path: Path) -> None:
    out = tmp_path / "alerts.jsonl"
    done = offbeat("run", "cdr", records, "--alerts", out, "--json")
    assert done.code == 0, done.err
    ledger = json.loads(done.out)
    assert ledger["rows_in"] == ledger["scored"] + ledger["warming_up"] == ROWS
    alerts = [json.loads(line) for line in out.read_text().splitlines()]
    files = {"files": str(records / "**" / "*.parquet")}
    days = frame_of(DAY_SQL, files)
    assert ledger["views"]["customer_day"]["windows"] == days.height
    assert votes(alerts, "customer_day", "zscore") == starts(days.filter(pl.col("z") > 3))
    assert votes(alerts, "customer_day", "night_owls") == starts(days.filter(pl.col("night") > 10))
    assert votes(alerts, "customer_day", "spike_ratio") == starts(days.filter(pl.col("spike") & (pl.col("night") <= 10)))
    known = {(key, start.strftime("%Y-%m-%dT%H:%M:%S")): row for key, start, *row in days.iter_rows()}
    compared = 0
    for alert in alerts:
        if alert["view"] != "customer_day":
            continue
        n, mb, top, hours, night, evening, _, z = known[alert["key"], alert["time"][:19]]
        row = alert["row"]
        assert (row["sessions"] or 0, row["hours"] or 0, row["night"], row["evening"]) == (n, hours, night, evening)
        assert row["total_mb"] is mb is None or row["total_mb"] == pytest.approx(mb, rel=1e-12)
        assert row["max_mb"] == top
        observed = next(d["observed"] for d in alert["detectors"] if d["name"] == "zscore")
        assert (observed is None) == (z is None)
        if z is not None:
            assert observed * 3 == pytest.approx(z, rel=1e-9)
            compared += 1
    assert compared > 100
    hours_of_regions = frame_of(REGION_SQL, files)
    assert votes(alerts, "region_hour", "upper") == starts(hours_of_regions.filter("upper"))
    assert votes(alerts, "region_hour", "lower") == starts(hours_of_regions.filter("lower"))
