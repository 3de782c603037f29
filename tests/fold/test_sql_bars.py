"""A1 and A2 of `bars` on the real file against a query that somebody who only knows S25 and SQL would write."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import duckdb
import pytest
from oracle import run
from real_bars import FOLDER, NAME, real_rows
from under_test import BARS

import offbeat

Fired = dict[tuple[str, int, str], tuple[float, float, float]]
"""(key, time, rule) → (observed, threshold, expected)"""

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the real bars are not here (../shared/data/bars)")

QUERY = """
WITH parsed AS (
    SELECT epoch_us(try_cast("timestamp" AS TIMESTAMPTZ)) AS us, try_cast(open AS DOUBLE) AS open, try_cast(high AS DOUBLE) AS high,
           try_cast(low AS DOUBLE) AS low, try_cast(close AS DOUBLE) AS close, try_cast(volume AS DOUBLE) AS volume
    FROM read_csv(?, all_varchar = true, null_padding = true, header = true)
), bars AS (
    SELECT * FROM parsed
    WHERE us IS NOT NULL AND open > 0 AND high > 0 AND low > 0 AND close > 0 AND volume >= 0
      AND high >= open AND high >= close AND high >= low AND low <= open AND low <= close
), judged AS (
    SELECT us, close, volume,
           last(close) OVER (ORDER BY us RANGE BETWEEN 60000000 PRECEDING AND 1 PRECEDING) AS previous,
           CAST(sum(volume) OVER ten AS DOUBLE) / count(*) OVER ten AS mean_volume,
           count(*) OVER ten AS bars
    FROM bars WINDOW ten AS (ORDER BY us RANGE BETWEEN 600000000 PRECEDING AND 1 PRECEDING)
)
SELECT us, 'price_jump', abs(close / previous - 1), 0.005e0, 0e0 FROM judged WHERE abs(close / previous - 1) > 0.005e0
UNION ALL
SELECT us, 'volume_surge', volume, 1.02e0 * mean_volume, mean_volume FROM judged WHERE bars >= 5 AND volume > 1.02e0 * mean_volume
"""


def by_sql() -> Fired:
    rows = duckdb.connect().execute(QUERY, [str(FOLDER / NAME)]).fetchall()
    fired: Fired = {("AARTIIND", us * 1000, rule): (float(a), float(b), float(c)) for us, rule, a, b, c in rows}
    assert len(fired) == len(rows)
    return fired


def fired_of(alerts: list[dict[str, Any]]) -> Fired:
    return {
        (alert["key"], alert["time_ns"], d["name"]): (d["observed"], d["threshold"], d["expected"])
        for alert in alerts
        for d in alert["detectors"]
        if d["voted"]
    }


@pytest.mark.heavy
def test_the_oracle_equals_the_query() -> None:
    oracle = run(BARS.pipeline, real_rows())
    assert fired_of(oracle.alerts) == by_sql()
    ledger = oracle.ledger()
    assert ledger.adds_up()
    assert ledger.quarantined == {"missing": 1}
    assert ledger.late + ledger.duplicate + ledger.pending == 0


def test_the_package_equals_the_query() -> None:
    """Set equality on (key, time, rule), and the very numbers: the arithmetic is the same."""
    result = offbeat.run("bars", str(FOLDER))
    ours: Fired = {}
    for key, time, detectors in result.alerts.select("key", "time", "detectors").iter_rows():
        ns = _nanoseconds(time)
        ours |= {(key, ns, d["name"]): (d["observed"], d["threshold"], d["expected"]) for d in detectors if d["voted"]}
    assert ours == by_sql()
    ledger = result.ledger
    parts = sum(ledger[name] for name in ("scored", "warming_up", "late", "duplicate", "pending")) + sum(ledger["quarantined"].values())
    assert ledger["rows_in"] == parts == len(real_rows())
    assert sum(ledger["quarantined"].values()) == 1
    assert result.alerts.height == len({(key, ns) for key, ns, _ in ours})


def _nanoseconds(time: Any) -> int:
    """An alert's time is RFC 3339 text or a time stamp of whole minutes."""
    moment = datetime.fromisoformat(time) if isinstance(time, str) else time
    return int(moment.timestamp()) * 1_000_000_000
