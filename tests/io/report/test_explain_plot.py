"""The drawing: one file that needs no network, with the right columns, levels and window, and no way in for hostile text."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from alert_blocks import as_table, two_bars

from offbeat.errors import UserError
from offbeat.io.report.console import alert_records
from offbeat.io.report.plot import drawn_columns, plot_alert

AT = 1_700_000_000_000_000_001
HOSTILE = "</script><img src=x onerror=alert(1)>"


def rows(count: int = 61) -> pl.DataFrame:
    times = pl.Series([AT + (i - count // 2) * 60_000_000_000 for i in range(count)]).cast(pl.Datetime("ns", "UTC"))
    close = [100.0 if i != count // 2 else 101.5 for i in range(count)]
    return pl.DataFrame({"time": times, "close": close, "volume": list(range(count)), "side": ["A"] * count})


def figure(path: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The traces and the layout in the page."""
    call = path.read_text(encoding="utf-8").rsplit("Plotly.newPlot(", 1)[1]
    start = call.index("[")
    data, end = json.JSONDecoder().raw_decode(call[start:])
    layout, _ = json.JSONDecoder().raw_decode(call[start + end :].lstrip(" ,\n"))
    return data, layout


def test_the_jump_is_drawn(tmp_path: Path) -> None:
    path = plot_alert(alert_records(as_table(two_bars()))[0], rows(), tmp_path / "deep" / "a.html")
    page = path.read_text(encoding="utf-8")
    assert [p.name for p in path.parent.iterdir()] == ["a.html"]
    assert not re.search(r"<(script|link)[^>]*(src|href)=", page), "nothing comes from elsewhere"
    traces, layout = figure(path)
    assert [t["name"] for t in traces] == ["close", "the alert"]
    assert (traces[0]["x"][30], traces[0]["y"][30]) == ("2023-11-14 22:13:20.000000", 101.5)
    assert (traces[1]["x"], traces[1]["y"]) == (["2023-11-14 22:13:20.000000"], [101.5])
    (window,) = [s for s in layout["shapes"] if s["type"] == "rect"]
    assert (window["x0"], window["x1"]) == ("2023-11-14 22:12:20.000000", "2023-11-14 22:13:20.000000")
    assert [s for s in layout["shapes"] if s["type"] == "line"] == [], "0.005 is a limit of the ratio, not of the price"


def test_limit_and_expectation_of_the_column_itself(tmp_path: Path) -> None:
    alert = alert_records(as_table(two_bars()))[1] | {"time": "2023-11-14T22:13:20.000000001Z"}
    traces, layout = figure(plot_alert(alert, rows(), tmp_path / "a.html", zone="Asia/Kolkata"))
    assert traces[0]["name"] == "volume"
    assert traces[0]["x"][30] == "2023-11-15 03:43:20.000000"
    assert [s["y0"] for s in layout["shapes"]] == [100.0, 102.0]
    assert layout["xaxis"]["title"]["text"] == "Asia/Kolkata", "nothing is shaded"
    assert [a["text"] for a in layout["annotations"]] == ["volume_surge: expected 100", "volume_surge: limit 102"]


def test_hostile_keys_and_names_stay_text(tmp_path: Path) -> None:
    alert = alert_records(as_table(two_bars()))[1]
    alert |= {"key": HOSTILE, "row": {HOSTILE: 408.0}}
    alert["detectors"][1] |= {"name": HOSTILE, "contributions": [{"feature": HOSTILE, "value": 1.0}]}
    page = plot_alert(alert, rows().rename({"volume": HOSTILE}), tmp_path / "a.html", columns=[HOSTILE]).read_text(encoding="utf-8")
    assert "<img src=x" not in page


def test_of_many_rows_the_nearest_are_drawn(tmp_path: Path) -> None:
    alert = alert_records(as_table(two_bars()))[0]
    traces, _ = figure(plot_alert(alert, rows(20_001).sample(fraction=1.0, shuffle=True, seed=1), tmp_path / "a.html"))
    assert len(traces[0]["x"]) == 5_000
    assert traces[0]["x"] == sorted(traces[0]["x"])
    assert 101.5 in traces[0]["y"]


def test_columns_are_those_the_voters_look_at() -> None:
    jump, surge = alert_records(as_table(two_bars()))
    assert drawn_columns(jump, ["time", "volume", "close"]) == ["close"]
    assert drawn_columns(surge, ["time", "volume", "close"]) == ["volume"]
    assert drawn_columns(surge | {"detectors": []}, ["time", "volume"]) == ["volume"]


@pytest.mark.parametrize("neighbours", [rows().head(0), rows().select("time", "side")])
def test_nothing_to_draw(tmp_path: Path, neighbours: pl.DataFrame) -> None:
    with pytest.raises(UserError, match="nothing to draw"):
        plot_alert(alert_records(as_table(two_bars()))[0], neighbours, tmp_path / "a.html")
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="folder"):
        plot_alert(alert_records(as_table(two_bars()))[0], rows(), tmp_path)
