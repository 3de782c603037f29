"""Weighted means, forecasts, seasons and the clock in views of rows, against values worked out by hand and by other means."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest
from command import Command, offbeat

from offbeat import run

__all__ = ["offbeat"]

START = datetime(2021, 3, 12, tzinfo=UTC)  # two days before New York's clocks are changed


def told(values: list[float | None], windows: dict[str, Any], step: timedelta = timedelta(minutes=10)) -> list[dict[str, float | None]]:
    """The statistics of each row from the second one on."""
    frame = pl.DataFrame({"k": "a", "t": [(START + i * step).isoformat() for i in range(len(values))], "x": values})
    spec = {
        "name": "p",
        "source": {
            "key": "k",
            "time": {"column": "t", "zone": "America/New_York"},
            "columns": {"x": {"type": "float", "required": False}, "y": {"type": "float", "required": False}},
        },
        "views": {"v": {"windows": windows, "detectors": {"all": {"type": "rule", "when": "hour() >= 0"}}}},
    }
    alerts = run(spec, frame).alerts.sort("time")
    assert len(alerts) == len(values)
    return [dict(window["statistics"]) for window in alerts["window"]]


def test_a_weighted_mean_by_hand() -> None:
    """With n = 3: a = 1, 1/2, 1/2, …; the row itself comes after it was read, a null changes nothing."""
    windows: dict[str, Any] = {"w": {"over": "all", "features": {"m": "ewma(x, 3)", "s": "ewstd(x, 3)"}}}
    rows = told([2.0, 4.0, None, 8.0, 0.0], windows)
    # 2 | 2 + 1 = 3, v = (0 + 2)/2 = 1 | the same | 3 + 2.5 = 5.5, v = (1 + 12.5)/2 = 6.75
    assert [row["m"] for row in rows] == [None, 2.0, 3.0, 3.0, 5.5]
    assert [row["s"] for row in rows] == [None, None, 1.0, 1.0, math.sqrt(6.75)]
    windows["w"]["current"] = True
    assert [row["m"] for row in told([2.0, 4.0, None, 8.0], windows)] == [2.0, 3.0, 3.0, 5.5]


def test_it_begins_as_the_plain_mean() -> None:
    random = Random(1)
    values = [random.gauss(5.0, 2.0) for _ in range(40)]
    rows = told([*values], {"w": {"over": "all", "features": {"m": "ewma(x, 1000)", "s": "ewstd(x, 1000)"}}})
    for i in range(2, 40):
        mean = math.fsum(values[:i]) / i
        assert rows[i]["m"] == pytest.approx(mean, rel=1e-12)
        assert rows[i]["s"] == pytest.approx(math.sqrt(math.fsum((x - mean) ** 2 for x in values[:i]) / i), rel=1e-12)


def test_how_long_a_value_stands_still() -> None:
    windows = {"w": {"over": "all", "current": True, "features": {"s": "still(x)"}}}
    assert [row["s"] for row in told([1.0, 1.0, None, 1.0, 2.0, 2.0, 1.0], windows)] == [0.0, 1.0, 1.0, 2.0, 0.0, 1.0, 0.0]


def test_what_is_not_finite_begins_anew() -> None:
    # The mean square of the distance between the second and the third value is not finite either.
    rows = told([1.7e308, -1.7e308, 1.0, 3.0], {"w": {"over": "all", "features": {"m": "ewma(x, 3)", "f": "ar(x, 2)"}}})
    assert [row["m"] for row in rows] == [None, 1.7e308, -1.7e308, 1.0]


@pytest.mark.parametrize(("season", "slot", "minutes"), [("1d", "1h", 60), ("7d", "30m", 30)])
def test_a_season_of_rows_goes_by_the_local_clock(season: str, slot: str, minutes: int) -> None:
    """Against a dictionary by what the clock in New York shows, over the night in which it is changed."""
    random = Random(2)
    values = [random.gauss(0.0, 1.0) for _ in range(6 * 24 * 16)]
    rows = told([*values], {"w": {"over": "all", "season": season, "slot": slot, "features": {"m": "ewma(x, 4)"}}})
    change = datetime(2021, 3, 14, 7, tzinfo=UTC)
    means: dict[tuple[int, ...], list[float]] = defaultdict(list)
    for i, x in enumerate(values):
        at = START + i * timedelta(minutes=10)
        local = at - timedelta(hours=5 if at < change else 4)
        place = (local.weekday() if season == "7d" else 0, local.hour, local.minute // minutes)
        expected = None
        for k, before in enumerate(means[place], start=1):
            expected = before if expected is None else expected + max(1 / k, 2 / 5) * (before - expected)
        assert rows[i]["m"] == expected, at
        means[place].append(x)


def test_a_sliding_window_has_a_season_too() -> None:
    """Two rows of the same hour: with one row every 30 minutes those of half an hour and of 24 hours ago, or of 24 and 24½."""
    values = [float(i) for i in range(200)]
    windows = {"w": {"over": "2 rows", "season": "1d", "slot": "1h", "min_rows": 2, "features": {"m": "mean(x)"}}}
    rows = told([*values], windows, timedelta(minutes=30))
    # New York has no hour from 02:00 to 03:00 on 14 March, so all of it ends before: 12 March 00:00 UTC and 54 hours are 108 rows.
    for i in range(50, 100):
        before = [i - 1, i - 48] if i % 2 else [i - 47, i - 48]
        assert rows[i]["m"] == sum(before) / 2, i


def test_hour_and_weekday_of_a_row() -> None:
    windows = {"w": {"over": "1 row", "current": True, "features": {"h": "max(hour())", "d": "max(weekday())"}}}
    rows = told([0.0] * 120, windows, timedelta(hours=1))
    for i, row in enumerate(rows):
        at = START + i * timedelta(hours=1)
        local = at - timedelta(hours=5 if at < datetime(2021, 3, 14, 7, tzinfo=UTC) else 4)
        assert (row["h"], row["d"]) == (local.hour, local.isoweekday())


def test_a_forecast_learns_what_repeats_itself() -> None:
    """A wave is foretold ten times better than by its last value; a level is foretold exactly, whatever it is."""
    random = Random(3)
    wave = [100.0 + 10.0 * math.sin(i / 3.0) + random.gauss(0.0, 0.01) for i in range(4000)]
    rows = told([*wave], {"w": {"over": "all", "features": {"f": "ar(x, 8)"}}})
    errors = [abs(wave[i] - float(rows[i]["f"] or 0.0)) for i in range(3000, 4000)]
    steps = [abs(wave[i] - wave[i - 1]) for i in range(3000, 4000)]
    assert sum(errors) < 0.1 * sum(steps)
    level = told([7.25] * 20, {"w": {"over": "all", "features": {"f": "ar(x, 4)"}}})
    assert [row["f"] for row in level] == [None] * 4 + [7.25] * 16


def test_one_odd_row_does_not_spoil_a_forecast() -> None:
    random = Random(4)
    values = [10.0 * math.sin(i / 3.0) + random.gauss(0.0, 0.1) for i in range(3000)]
    windows = {"w": {"over": "all", "features": {"f": "ar(x, 8)"}}}
    spiked = [*values[:2500], 1e6, *values[2501:]]
    plain, after = told([*values], windows), told([*spiked], windows)
    error = [sum(abs(values[i] - float(rows[i]["f"] or 0.0)) for i in range(2520, 3000)) for rows in (plain, after)]
    assert error[1] < 2.0 * error[0]


def test_a_stopped_run_goes_on(offbeat: Command, tmp_path: Path) -> None:
    """Half of the rows, then the rest with the same state, gives the alerts of all at once; another zone of the season is refused."""
    pipeline = """
name: p
source: {key: k, time: {column: t, zone: ZONE}, columns: {x: float}}
views:
  v:
    windows:
      level: {over: all, features: {level: "ewma(asinh(x), 20)", spread: "ewstd(asinh(x), 20)", next: "ar(x, 3)"}}
      usual: {over: all, season: 7d, slot: 30m, features: {usual: "ewma(x, 4)"}}
    detectors:
      far: {type: rule, when: abs(asinh(x) - level) > 1.5 * spread AND (next > -1e9 OR hour() = 3), expected: usual}
"""
    for zone in ("Europe/Rome", "UTC"):
        (tmp_path / f"{zone[:3]}.yaml").write_text(pipeline.replace("ZONE", zone))
    random = Random(6)
    rows = [{"k": f"k{i % 2}", "t": (START + i * timedelta(minutes=5)).isoformat(), "x": random.gauss(0.0, 1.0)} for i in range(3000)]
    for name, part in (("a", rows[:1700]), ("b", rows[1700:]), ("none", []), ("all", rows)):
        (tmp_path / f"{name}.ndjson").write_text("".join(json.dumps(row) + "\n" for row in part))
    at = tmp_path.joinpath
    assert offbeat("run", at("Eur.yaml"), at("all.ndjson"), "--alerts", at("whole.jsonl")).code == 0
    for file in ("a.ndjson", "b.ndjson"):
        assert offbeat("run", at("Eur.yaml"), at(file), "--state", at("kept"), "--continues", "--alerts", at("parts.jsonl")).code == 0
    assert offbeat("run", at("Eur.yaml"), at("none.ndjson"), "--state", at("kept"), "--alerts", at("parts.jsonl")).code == 0
    kept = at("parts.jsonl").read_text().splitlines()
    assert kept
    assert sorted(kept) == sorted(at("whole.jsonl").read_text().splitlines())
    assert "zone" in offbeat.refused("run", at("UTC.yaml"), at("b.ndjson"), "--state", at("kept"), "--alerts", at("other.jsonl"))
