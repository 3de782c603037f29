"""Features of the shipped `trades` on all real trades against a query that somebody who only knows S26 and SQL would write."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest
from real_trades import AIG
from under_test_models import TRADE_FEATURES, TRADES

import offbeat

pytestmark = pytest.mark.skipif(not AIG.exists(), reason="the real trades are not here (../shared/data/trades)")

# Sums in whole billionths are exact, so the query has no rounding of its own but the last.
TICKS = """
WITH ticks AS (
    SELECT row_number() OVER (ORDER BY ts_recv, sequence) AS n, epoch_ns(ts_recv::TIMESTAMP_NS) AS ns,
           price::DOUBLE AS price, CAST(round(price::DOUBLE * 1e9) AS HUGEINT) AS p, size::HUGEINT AS size, side
    FROM read_csv(?, all_varchar = true) QUALIFY n <= ?
)
"""
FEATURES = """
SELECT last(price) OVER w AS current_price, last(size) OVER w AS current_size,
       (sum(p) OVER w)::DOUBLE / 1e9 / 100 AS price_mean,
       sqrt((100 * sum(p * p) OVER w - (sum(p) OVER w) * (sum(p) OVER w))::DOUBLE / 9900) / 1e9 AS price_std,
       min(price) OVER w AS price_min, max(price) OVER w AS price_max, max(price) OVER w - min(price) OVER w AS price_range,
       (sum(size) OVER w)::DOUBLE / 100 AS volume_mean,
       sqrt((100 * sum(size * size) OVER w - (sum(size) OVER w) * (sum(size) OVER w))::DOUBLE / 9900) AS volume_std,
       sum(size) OVER w AS volume_total, count(*) OVER w AS trade_count,
       CASE WHEN max(ns) OVER w > min(ns) OVER w THEN 99 / ((max(ns) OVER w - min(ns) OVER w) / 1e9) END AS trades_per_second,
       CASE WHEN max(ns) OVER w > min(ns) OVER w THEN (max(ns) OVER w - min(ns) OVER w) / 1e9 / 99 END AS avg_time_between_trades,
       price_std / abs(price_mean) AS price_volatility,
       last(price) OVER w / first(price) OVER w - 1 AS price_momentum,
       (last(size) OVER w)::DOUBLE / first(size) OVER w - 1 AS volume_momentum,
       (count(*) FILTER (side = 'A') OVER w) / 100e0 AS ask_ratio, (count(*) FILTER (side = 'B') OVER w) / 100e0 AS bid_ratio
FROM ticks WINDOW w AS (ORDER BY n ROWS BETWEEN 99 PRECEDING AND CURRENT ROW) ORDER BY n
"""
OTHERS = """
, changes AS (
    SELECT *, price - lag(price) OVER (ORDER BY n) AS change, (ns - lag(ns) OVER (ORDER BY n)) / 1e9 AS pause FROM ticks
)
SELECT avg(change) OVER w AS move, max(change) OVER w AS jump, max(pause) OVER w AS longest, avg(pause) OVER w AS usual,
       (count(*) FILTER (side = 'A' AND size >= 200) OVER w) / 50e0 AS large_asks, mad(price) OVER w AS spread,
       quantile_cont(size::DOUBLE, 0.9) OVER w AS large, median(price) OVER w AS middle
FROM changes WINDOW w AS (ORDER BY n ROWS BETWEEN 49 PRECEDING AND CURRENT ROW) ORDER BY n
"""


def by_sql(query: str, rows: int) -> pl.DataFrame:
    table = duckdb.connect().sql(TICKS + query, params=[str(AIG), rows]).to_arrow_table()
    found = pl.from_arrow(table)
    assert isinstance(found, pl.DataFrame)
    return found.select(pl.all().cast(pl.Float64))


def by_us(tmp_path: Path, text: str, file: Path) -> pl.DataFrame:
    """Every row is an alert, whose evidence holds the features."""
    spec = tmp_path / "p.yaml"
    spec.write_text(text[: text.index("    detectors:")] + "    detectors: {any: {type: rule, when: price > 0}}\n")
    result = offbeat.run(str(spec), str(file))
    alerts = result.alerts
    assert alerts.height == result.ledger["rows_in"]
    return alerts.get_column("window").struct.field("statistics").struct.unnest()


def assert_equal(ours: pl.DataFrame, sql: pl.DataFrame, names: tuple[str, ...], warm_up: int) -> None:
    assert ours.height == sql.height
    for name in names:
        a, b = ours.get_column(name).to_numpy(), sql.get_column(name).to_numpy()
        assert np.isnan(a[:warm_up]).all(), name
        a, b = a[warm_up:], b[warm_up:]
        assert (np.isnan(a) == np.isnan(b)).all(), name
        known = ~np.isnan(b)
        worst = np.abs(a - b)[known] - 1e-9 * np.abs(b[known])
        assert worst.max() <= 0, f"{name}: row {warm_up + int(np.flatnonzero(known)[worst.argmax()])}"


def test_all_features_of_all_trades(tmp_path: Path) -> None:
    sql = by_sql(FEATURES, 10**9)
    assert sql.height == 206_337
    ours = by_us(tmp_path, TRADES.text(), AIG)
    assert tuple(ours.columns) == TRADE_FEATURES == tuple(sql.columns)
    assert_equal(ours, sql, TRADE_FEATURES, 99)


def test_the_other_functions_of_windows(tmp_path: Path) -> None:
    """Changes, pauses, shares, medians and quantiles of 20,000 trades."""
    text = TRADES.text()
    head, tail = text[: text.index("          current_price:")], text[text.index("    detectors:") :]
    features = """
          move: mean(diff(price))
          jump: max(diff(price))
          longest: max(gap())
          usual: mean(gap())
          large_asks: share(side = 'A' AND size >= 200)
          spread: mad(price)
          large: quantile(size, 0.9)
          middle: median(price)
"""
    file = tmp_path / "some.csv"
    pl.read_csv(AIG, infer_schema=False).head(20_000).write_csv(file)
    ours = by_us(tmp_path, head.replace("100 rows", "50 rows") + features + tail, file)
    sql = by_sql(OTHERS, 20_000)
    # A mean of changes is small against the prices whose rounding it carries: compare what they add up to.
    assert np.allclose(ours["move"].to_numpy()[49:], sql["move"].to_numpy()[49:], rtol=1e-9, atol=1e-13, equal_nan=True)
    assert_equal(ours, sql, ("jump", "longest", "usual", "large_asks", "spread", "large", "middle"), 49)
