"""The examples run as they are shipped: on the real files, with a ledger that adds up."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from folders import ROOT

import offbeat
from offbeat.spec.load import load_plan

EXAMPLES = ROOT / "examples"
DATA = ROOT.parent / "shared" / "data"


def ledger_of(result: Any) -> dict[str, Any]:
    """The ledger, after adding it up [S6]."""
    ledger: dict[str, Any] = result.ledger
    parts = ("scored", "warming_up", "late", "duplicate", "pending")
    assert ledger["rows_in"] == sum(ledger[part] for part in parts) + sum(ledger["quarantined"].values())
    assert ledger["pending"] == 0
    return ledger


def run_on(example: str, folder: str, out: Path) -> Any:
    if not (DATA / folder).is_dir():
        pytest.skip(f"needs ../shared/data/{folder}")
    return offbeat.run(EXAMPLES / example, str(DATA / folder), alerts=[str(out / "alerts.parquet")])


def rules_of(alerts: pl.DataFrame) -> set[str]:
    votes = alerts.select(pl.col("detectors").explode()).unnest("detectors")
    return set(votes.filter(pl.col("voted"))["name"].cast(pl.String))


@pytest.mark.parametrize("example", sorted(path.name for path in EXAMPLES.glob("*.yaml")))
def test_every_example_is_a_valid_pipeline(example: str) -> None:
    assert load_plan(EXAMPLES / example).views


def test_ticks(tmp_path: Path) -> None:
    result = run_on("ticks.yaml", "ticks_dirty", tmp_path)
    ledger = ledger_of(result)
    files = sorted((DATA / "ticks_dirty").glob("*.gz"))
    frames = [pl.read_csv(file, has_header=False, new_columns=["token", "time", "price", "volume"]) for file in files]
    of_1970 = sum(frame.filter(pl.col("time").str.starts_with("1970")).height for frame in frames)
    distinct = sum(frame.filter(~pl.col("time").str.starts_with("1970")).n_unique() for frame in frames)
    assert ledger["rows_in"] == sum(frame.height for frame in frames) == 61_064 + 46_364
    assert ledger["quarantined"] == {"not_before": of_1970} == {"not_before": 4}
    assert ledger["late"] == 0
    assert ledger["duplicate"] == ledger["rows_in"] - of_1970 - distinct  # repetitions lie close together: 64 rows of memory find them all
    assert "price_jump" in rules_of(result.alerts)


def test_bars_5min(tmp_path: Path) -> None:
    ledger = ledger_of(result := run_on("bars_5min.yaml", "bars_5min", tmp_path))
    assert ledger["rows_in"] == sum(len(file.read_text().splitlines()) - 1 for file in (DATA / "bars_5min").glob("*.csv"))
    assert result.alerts["key"].n_unique() == 5  # the sixth file has no rows


def test_market_minute(tmp_path: Path) -> None:
    result = run_on("market_minute.yaml", "bars", tmp_path)
    assert ledger_of(result)["rows_in"] == 37_179
    assert set(result.alerts["view"].cast(pl.String)) == {"market", "sector"}


def test_notebook(capsys: pytest.CaptureFixture[str]) -> None:
    names = runpy.run_path(str(EXAMPLES / "notebook.py"))
    assert "severity" in capsys.readouterr().out
    assert {"price_jump", "volume_surge"} <= rules_of(names["result"].alerts)


def test_nodobo(tmp_path: Path) -> None:
    if not (DATA / "cdr").is_dir():
        pytest.skip("needs ../shared/data/cdr")
    source = DATA / "cdr" / "nodobo_calls.csv"
    result = offbeat.run(EXAMPLES / "nodobo.yaml", str(source), alerts=[str(tmp_path / "alerts.parquet")])
    ledger = ledger_of(result)
    lines = source.read_text().splitlines()
    assert ledger["rows_in"] == len(lines) == 13_035
    assert ledger["quarantined"] == {"not_before": sum(line.endswith(" 1980") for line in lines)} == {"not_before": 31}
    # The night that began 2011: calls of one phone between two and six o'clock, counted by hand in the file.
    night = [line for line in lines if line.startswith("07681546436") and " Jan 01 0" in line and line.endswith("2011")]
    hours = [int(line.split()[3][:2]) for line in night]
    alert = result.alerts.filter((pl.col("key").cast(pl.String) == "07681546436") & (pl.col("time").dt.date() == pl.date(2011, 1, 1)))
    assert alert["row"].struct.field("night").to_list() == [sum(2 <= hour <= 5 for hour in hours)]


def test_vast2008(tmp_path: Path) -> None:
    if not (DATA / "cdr").is_dir():
        pytest.skip("needs ../shared/data/cdr")
    source = DATA / "cdr" / "vast2008_calls.csv"
    result = offbeat.run(EXAMPLES / "vast2008.yaml", str(source), alerts=[str(tmp_path / "alerts.parquet")])
    ledger = ledger_of(result)
    calls = pl.read_csv(source)
    assert ledger["quarantined"] == {"duration": calls.filter(pl.col("Duration(seconds)") < 0).height} == {"duration": 4}
    good = calls.filter(pl.col("Duration(seconds)") >= 0).with_columns(pl.col("Datetime").str.head(11).alias("hour"))
    assert ledger["views"]["tower_hour"]["windows"] == good.select("Cell Tower", "hour").n_unique()
    assert ledger["views"]["caller_day"]["windows"] == good.select("From", pl.col("Datetime").str.head(8)).n_unique()
