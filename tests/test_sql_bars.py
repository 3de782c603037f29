"""A1 and A2 of `bars` on the real file against a query that somebody who only knows S25 and SQL would write."""

from __future__ import annotations

import csv
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from oracle import run
from oracle_spec import SECOND, Row, Value
from under_test import BARS

FOLDER = Path(__file__).parent.parent.parent / "shared" / "data" / "bars"
NAME = "AARTIIND__EQ__NSE__NSE__MINUTE.csv"
Fired = dict[tuple[str, int, str], tuple[float, float, float]]
"""(key, time, rule) → (observed, threshold, expected)"""

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the real bars are not here (../shared/data/bars)")

QUERY = """
WITH parsed AS (
    SELECT epoch_us(try_cast("timestamp" AS TIMESTAMPTZ)) AS us, try_cast(open AS DOUBLE) AS open, try_cast(high AS DOUBLE) AS high,
           try_cast(low AS DOUBLE) AS low, try_cast(close AS DOUBLE) AS close, CAST(try_cast(volume AS DOUBLE) AS BIGINT) AS volume
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


def real_rows() -> list[Row]:
    """The file by the standard library; a line that is not whole is a fault."""
    rows: list[Row] = []
    with (FOLDER / NAME).open(newline="") as lines:
        for number, line in enumerate(csv.DictReader(lines), start=1):
            try:
                seconds = int(datetime.fromisoformat(line["timestamp"]).timestamp())
                columns: dict[str, Value] = {name: float(line[name]) for name in ("open", "high", "low", "close")}
                columns["volume"] = int(float(line["volume"]))
            except (ValueError, TypeError):
                rows.append(Row("AARTIIND", None, {}, fault="missing", row=number))
            else:
                rows.append(Row("AARTIIND", seconds * SECOND, columns, row=number))
    return rows


@pytest.mark.heavy
def test_the_oracle_equals_the_query() -> None:
    oracle = run(BARS.pipeline, real_rows())
    assert fired_of(oracle.alerts) == by_sql()
    ledger = oracle.ledger()
    assert ledger.adds_up()
    assert ledger.quarantined == {"missing": 1}
    assert ledger.late + ledger.duplicate + ledger.pending == 0
