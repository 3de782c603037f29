"""The pipeline `series`: files of metrics as they come, without any settings."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from command import DATA, Command, offbeat

__all__ = ["offbeat"]
DAY = 288
SPIKE, FLAT, SHIFT = 9 * DAY + 100, 11 * DAY + 30, 13 * DAY + 200


def metric(days: int = 16) -> list[float]:
    """A daily wave with noise, every five minutes; a spike, a night without its trough, and a level that rises."""
    noise = random.Random(4)
    values = [100 + 30 * math.sin(2 * math.pi * i / DAY) + noise.gauss(0, 2) for i in range(days * DAY)]
    values[SPIKE] += 120
    for i in range(SHIFT, len(values)):
        values[i] += 90
    return values


def rows(columns: tuple[str, str], epoch: bool) -> pl.DataFrame:
    values = metric()
    seconds = pl.Series([1_704_067_200 + 300 * i for i in range(len(values))])
    at = seconds if epoch else pl.from_epoch(seconds).dt.to_string("%Y-%m-%d %H:%M:%S")
    return pl.DataFrame({columns[0]: at, columns[1]: values})


def ran(offbeat: Command, tmp_path: Path, *args: object) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    out = tmp_path / "alerts.jsonl"
    out.unlink(missing_ok=True)
    done = offbeat("run", "series", *args, "--alerts", out, "--json")
    assert done.code == 0, done
    return json.loads(done.out), [json.loads(line) for line in out.read_text().splitlines()]


@pytest.mark.parametrize(
    ("columns", "epoch", "key"),
    [
        (("timestamp", "value"), False, ""),  # NAB
        (("timestamp", "value"), True, "KPI ID"),  # KPIs
        (("ds", "y"), False, "unique_id"),  # forecasting
        (("Time", "Value"), True, "host"),  # metrics
    ],
)
def test_files_as_they_come(offbeat: Command, tmp_path: Path, columns: tuple[str, str], epoch: bool, key: str) -> None:
    """Few alerts, among them the spike and the new level, and the key is named."""
    table = rows(columns, epoch)
    if key:
        table = table.with_columns(pl.lit("one").alias(key))
    file = tmp_path / "cpu.load.csv"
    table.write_csv(file)
    figures, alerts = ran(offbeat, tmp_path, file)
    assert figures["rows_in"] == len(table)
    assert figures["warming_up"] == 100
    assert {alert["key"] for alert in alerts} == {"one" if key else "cpu.load"}
    at = [round((pl.Series([a["time"]]).str.to_datetime(time_zone="UTC").dt.epoch("s")[0] - 1_704_067_200) / 300) for a in alerts]
    later = [place for place in at if place > 3 * DAY]
    assert SPIKE in later
    assert any(SHIFT <= place <= SHIFT + 30 for place in later)
    assert len(later) <= 8


def test_other_carriers_say_the_same(offbeat: Command, tmp_path: Path) -> None:
    table = rows(("timestamp", "value"), False).with_columns(pl.lit("m").alias("key"))
    found = []
    for form in ("csv", "parquet", "ndjson"):
        file = tmp_path / f"m.{form}"
        getattr(table, f"write_{form}")(file)
        _, alerts = ran(offbeat, tmp_path, file)
        found.append([(alert["alert_id"], alert["severity"]) for alert in alerts])
    assert found[0]
    assert found[0] == found[1] == found[2]


def test_a_restart_in_the_middle_changes_nothing(offbeat: Command, tmp_path: Path) -> None:
    table = rows(("timestamp", "value"), False).with_columns(pl.lit("m").alias("key"))
    whole = tmp_path / "whole.csv"
    table.write_csv(whole)
    _, expected = ran(offbeat, tmp_path, whole)
    out, state = tmp_path / "parts.jsonl", tmp_path / "state"
    parts = []
    for number, (begin, end) in enumerate(((0, SPIKE - 2), (SPIKE - 2, SPIKE + 40), (SPIKE + 40, len(table)))):
        parts.append(tmp_path / f"{number}.csv")
        table[begin:end].write_csv(parts[-1])
        assert offbeat("run", "series", *parts, "--alerts", out, "--state", state).code == 0
    assert [json.loads(line) for line in out.read_text().splitlines()] == expected


@pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data")
def test_real_files(offbeat: Command, tmp_path: Path) -> None:
    """Some of NAB's files: a dozen alerts, and no row lost that is no late one."""
    names = ("realTraffic/speed_7578", "realAdExchange/exchange-2_cpc_results", "realKnownCause/nyc_taxi", "realTweets/Twitter_volume_UPS")
    for name in names:
        figures, alerts = ran(offbeat, tmp_path, DATA / "labelled" / "nab" / "data" / f"{name}.csv")
        assert figures["scored"] + figures["warming_up"] + figures["late"] == figures["rows_in"]
        assert len(alerts) <= 10 + figures["rows_in"] / 500
