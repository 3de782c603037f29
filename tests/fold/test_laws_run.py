"""The laws from the top: `offbeat.run` on a table in memory equals the oracle."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl
import pytest
from case import Case
from harness import comparable, ledger_of
from hypothesis import given, settings
from oracle import run
from oracle_spec import Pipeline, Row, Value
from strategies import MORE, Stream, streams
from under_test import BUFFERED, PLAIN, ROLLED, SIDES
from yaml import safe_load

import offbeat

OPTIONAL = {"buffered": ("x", "n", "seq"), "plain": ("x",), "sides": ("size", "side", "seq"), "rolled": ("price", "side")}
EXACT = 2**50
"""Below it n / 10^scale comes back as n; what a table of doubles cannot hold is not this test's matter."""


def _fits(case: Case, row: Row) -> bool:
    """Rows that a table can hold and that need no fault."""
    if row.fault or row.key is None or row.time_ns is None or row.time_ns > 2**62:
        return False
    return not any(
        value == ""  # null, from every source: definitions.md
        or (value is None and name not in OPTIONAL[case.name])
        or (isinstance(value, int) and abs(value) > EXACT)
        for name, value in row.columns.items()
    )


def _table(pipeline: Pipeline, rows: list[Row]) -> pl.DataFrame:
    columns = [pl.Series("key", [row.key for row in rows], pl.String), pl.Series("time", [row.time_ns for row in rows], pl.Int64)]
    for column in pipeline.columns:
        values: list[Value] = [row.columns[column.name] for row in rows]
        if column.kind == "decimal":
            scaled = [None if value is None else int(value) / 10**column.scale for value in values]
            columns.append(pl.Series(column.name, scaled, pl.Float64))
        else:
            columns.append(pl.Series(column.name, values, pl.String if column.kind == "text" else pl.Float64))
    return pl.DataFrame([series.cast(pl.Datetime("ns", "UTC")) if series.name == "time" else series for series in columns])


@pytest.mark.heavy
@pytest.mark.parametrize("case", [BUFFERED, PLAIN, SIDES, ROLLED], ids=lambda case: case.name)
def test_a_table_gives_the_oracles_alerts(case: Case) -> None:
    spec: dict[str, Any] = safe_load(case.text())

    @settings(max_examples=12 * MORE)
    @given(streams(case))
    def law(stream: Stream) -> None:
        rows = [replace(row, row=number) for number, row in enumerate((r for r in stream.rows if _fits(case, r)), start=1)]
        oracle = run(case.pipeline, rows)
        result = offbeat.run(spec, _table(case.pipeline, rows))
        expected = sorted((a["alert_id"], a["view"], a["key"], a["severity"], a["votes"]) for a in oracle.alerts)
        assert sorted(result.alerts.select("alert_id", "view", "key", "severity", "votes").rows()) == expected
        assert comparable(result.ledger, case.pipeline) == ledger_of(oracle)

    law()
