"""The pipeline `ticks`: planted trades are found, and `replay` still takes trades for `trades`."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
from command import Command, offbeat

from offbeat.cli.replaying import readable

__all__ = ["offbeat"]


def test_spikes_large_trades_and_stuck_prices_are_found(offbeat: Command, tmp_path: Path) -> None:
    trades, labels, alerts = tmp_path / "trades.csv", tmp_path / "labels.csv", tmp_path / "alerts.jsonl"
    made = ("generate", "trades", "--rows", 100_000, "--symbols", 2, "--seed", 21, "--every", 2000, "--out", trades, "--labels", labels)
    assert offbeat(*made).code == 0
    done = offbeat("run", "ticks", trades, "--alerts", alerts, "--json")
    assert done.code == 0
    report = json.loads(done.out)
    # The budget is of rows; the cooldown leaves fewer.
    assert 10 < report["alerts"] < 0.004 * report["rows_in"]
    found = pl.read_ndjson(alerts, infer_schema_length=None).select("key", pl.col("time").str.to_datetime(time_unit="ns", time_zone="UTC"))
    events = pl.read_csv(labels)
    begin, end = (pl.col(name).str.to_datetime(time_unit="ns", time_zone="UTC") for name in ("from", "to"))
    events = events.with_columns(begin, end).filter(pl.col("kind").is_in(["price_spike", "size_spike", "stuck_price"]))
    hits = events.join(found, on="key").filter(pl.col("time").is_between(pl.col("from"), pl.col("to")))
    assert hits.select("key", "from").unique().height > 0.6 * events.height
    voted = [one for line in alerts.read_text().splitlines() for one in json.loads(line)["detectors"] if one["voted"]]
    assert all("rows of this key" in one["note"] for one in voted), "how rare it was, though all detectors are rules"


def test_trades_are_read_by_trades_where_no_pipeline_is_named(offbeat: Command, tmp_path: Path) -> None:
    trades = tmp_path / "trades.csv"
    assert offbeat("generate", "trades", "--rows", 1000, "--symbols", 1, "--out", trades).code == 0
    assert readable(str(trades), None)[0].name == "trades"
