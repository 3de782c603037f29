"""The windows of an alert's target, made again: a customer's days, and a region's same hour of other days."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from command import Command, offbeat

from offbeat.dashboard.window_series import window_series
from offbeat.errors import UserError
from offbeat.io.report.drawing import drawing_of
from offbeat.spec.load import load_plan

__all__ = ["offbeat"]


@pytest.mark.heavy
def test_days_of_a_customer_and_hours_of_a_region(offbeat: Command, tmp_path: Path) -> None:
    assert offbeat("generate", "cdr", "--customers", 20, "--days", 30, "--rows", 20_000, "--seed", 1, "--out", tmp_path / "cdr").code == 0
    assert offbeat("run", "cdr", tmp_path / "cdr", "--alerts", tmp_path / "a.jsonl").code == 0
    alerts = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    plan = load_plan("cdr")
    rows = pl.concat(pl.read_parquet(file, hive_partitioning=False) for file in sorted((tmp_path / "cdr").rglob("*.parquet")))
    local = pl.col("timestamp").dt.replace_time_zone("UTC").dt.convert_time_zone("Africa/Algiers")
    for view, column in (("customer_day", "customer_id"), ("region_hour", "wilaya_code")):
        alert = max((one for one in alerts if one["view"] == view and one["row"]["records"]), key=lambda one: one["time"])
        found = window_series(alert, plan, str(tmp_path / "cdr"))
        own = rows.filter(pl.col(column).cast(pl.String) == alert["key"]).with_columns(at=local)
        if view == "customer_day":
            counted = own.group_by(pl.col("at").dt.truncate("1d")).len()
            assert dict(found.select(pl.col("time").dt.convert_time_zone("Africa/Algiers").dt.date(), "records").rows()) == {
                at.date(): n for at, n in counted.rows()
            }
        else:
            hour = pl.Series([alert["time"]]).str.to_datetime("%+", time_zone="UTC").dt.convert_time_zone("Africa/Algiers").dt.hour()[0]
            counted = own.filter(pl.col("at").dt.hour() == hour).group_by(pl.col("at").dt.date()).len()
            told = found.select(pl.col("time").dt.convert_time_zone("Africa/Algiers").dt.date(), "records").filter(pl.col("records") > 0)
            assert dict(told.rows()) == dict(counted.rows())
        drawing = drawing_of(alert, found, plan=plan, zone=plan.zone)
        assert [mark.value for panel in drawing.panels for mark in panel.marks if mark.main]
    with pytest.raises(UserError):
        window_series(alert | {"key": "'; DROP"}, plan, str(tmp_path / "cdr"))
