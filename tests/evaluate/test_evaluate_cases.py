"""Anomalies drawn with what is usual: which quantity is chosen, and every value of the figure, from a few alerts made by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from offbeat.evaluate.evaluation import evaluate
from offbeat.evaluate.labels import EVENTS, TIME
from offbeat.io.read.alert_files import read_alerts
from offbeat.io.report.chart_svg import Panel
from offbeat.io.report.evaluate_cases import Level, case_panels, draw_cases, examples, judged, level

DAY_NS = 86_400_000_000_000
LEARNT = {"from": "2024-01-01T00:00:00.000000000Z", "to": "2024-01-03T00:00:00.000000000Z", "n": 2}
"""What `z` was held against; the view has a longer window."""


def detector(name: str, score: float, *odd: tuple[str, float, float, float, float], **more: Any) -> dict[str, Any]:
    """One that voted; `odd`: feature, observed, expected, low, high."""
    names = ("feature", "observed", "expected", "low", "high")
    said: dict[str, Any] = {"name": name, "type": "zscore", "model_version": None, "window": LEARNT, "score": score}
    said |= {"raw": 2.0, "threshold": 1.0, "voted": True, "observed": None, "expected": None, "contributions": [], "note": None}
    return said | {"out_of_range": [dict(zip(names, row, strict=True)) for row in odd]} | more


RULE = {
    "type": "rule", "raw": None, "window": None, "observed": 90.0, "threshold": 30.0, "expected": 20.0,
    "contributions": [{"feature": "top", "value": 0.9}],
}  # fmt: skip
LOUD = detector("loud", 0.95, **RULE)
Z = detector("z", 0.9, ("mb", 50.0, 10.0, -20.0, 40.0), ("n", 100.0, 10.0, 4.0, 16.0))
"""n lies 90 from what is expected, 15 times what is usual; mb 40, of 30."""


def alert(number: int, time: str, *detectors: dict[str, Any], n: float, key: str = "K") -> dict[str, Any]:
    window = {"from": "2023-06-01T00:00:00.000000000Z", "to": "2024-01-05T00:00:00.000000000Z", "n": 90, "statistics": {"mean_n": 10.0}}
    head = {"alert_id": f"{number:032x}", "revision": 0, "status": "final", "pipeline": "p", "view": "day", "key": key}
    said = {"time": f"2024-01-{time}:00.000000000Z", "severity": 0.5 + number / 100, "level": "high", "votes": 1, "voters": 1}
    rest = {"row": {"n": n, "mb": 5.0}, "window": window, "model_version": None, "plan_hash": "0" * 32, "offbeat_version": "0.1.0"}
    return head | said | {"detectors": list(detectors)} | rest


Drawn = dict[str, Any]


def drawn(folder: Path, alerts: list[dict[str, Any]], *, length: int) -> tuple[Panel, dict[str, Drawn], str]:
    """What is drawn of an anomaly of K on the 10th from 10:00 to 11:00: the panel, its traces by name, and the drawing."""
    path = folder / "alerts.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in alerts))
    labels = {"key": ["K"], "kind": ["flood"], "from": ["2024-01-10T10:00:00Z"], "to": ["2024-01-10T11:00:00Z"]}
    events = pl.DataFrame(labels).with_columns(pl.col("from", "to").str.to_datetime(time_zone="UTC").cast(TIME)).select(list(EVENTS))
    found = examples(evaluate(read_alerts(path), events, lengths={"day": length}))
    (panel,) = case_panels(found, "UTC")
    traces = {trace.name: {"x": times(trace.x), "y": plain(trace.y), "fill": trace.fill} for trace in panel.traces}
    assert len(traces) == len(panel.traces)
    return panel, traces, draw_cases(found, "UTC")


def plain(values: Any) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]


def times(values: Any) -> list[str | None]:
    return [None if ns is None else pl.Series([int(ns)]).cast(pl.Datetime("ns")).dt.to_string("%Y-%m-%d %H:%M")[0] for ns in plain(values)]


def at(*times: str) -> list[str | None]:
    """As they are read back: days of January with hour and minute; `-` parts lines."""
    return [None if time == "-" else f"2024-01-{time.replace('T', ' ')}" for time in times]


def test_the_judged_feature_with_its_usual_range(tmp_path: Path) -> None:
    """A rule had the greater score, but only `z` tells what is usual. On the 8th the rule alone voted: n is then that of the row."""
    calm = {**detector("z", 0.2, voted=False), "raw": 0.2}
    panel, traces, _ = drawn(tmp_path, [alert(2, "10T00:00", LOUD, Z, n=100.0), alert(1, "08T00:00", LOUD, calm, n=12.0)], length=DAY_NS)
    right, other = traces["alert that meets an anomaly"], traces["alert of the key elsewhere"]
    assert (right["x"], right["y"]) == (at("10T00:00", "11T00:00", "-"), [100.0, 100.0, None])
    assert (other["x"], other["y"]) == (at("08T00:00", "09T00:00", "-"), [12.0, 12.0, None])
    band = traces["usual range"]
    corners = [(a, a, b, b, a, "-") for a, b in (("01T00:00", "03T00:00"), ("10T00:00", "11T00:00"))]
    assert band["x"] == at(*corners[0], *corners[1])
    assert (band["y"], band["fill"]) == ([4.0, 16.0, 16.0, 4.0, 4.0, None] * 2, True)
    assert (traces["usual value"]["x"][3:], traces["usual value"]["y"][3:]) == (at("10T00:00", "11T00:00", "-"), [10.0, 10.0, None])
    learnt = traces["usual value, over the time it was learnt from"]
    assert (learnt["x"], learnt["y"]) == (at("01T00:00", "03T00:00"), [10.0, 10.0])
    assert "limit" not in traces
    assert (panel.title, panel.y_label, panel.x_label) == ("flood: K, day, z", "n of K", "UTC")
    ((begin, end, _),) = panel.spans
    assert times(np.array([begin, end])) == at("10T10:00", "10T11:00")
    assert times(np.array(panel.x)) == ["2023-12-31 10:00", "2024-01-20 11:00"]  # ten windows around it
    assert panel.y[0] < 4.0
    assert panel.y[1] > 100.0


def test_a_rule_alone_is_drawn_with_its_limit(tmp_path: Path) -> None:
    panel, traces, _ = drawn(tmp_path, [alert(2, "10T10:30", LOUD, n=90.0)], length=1)
    assert (traces["alert that meets an anomaly"]["x"], traces["alert that meets an anomaly"]["y"]) == (
        at("10T10:30", "10T10:30", "-"),
        [90.0, 90.0, None],
    )
    assert (traces["limit"]["y"][0], traces["usual value"]["y"][0]) == (30.0, 20.0)
    assert "usual range" not in traces
    assert panel.y_label == "top of K"


def test_every_colour_is_explained_once(tmp_path: Path) -> None:
    _, traces, page = drawn(tmp_path, [alert(2, "10T00:00", Z, n=100.0), alert(1, "08T00:00", LOUD, n=12.0)], length=DAY_NS)
    assert len(traces) == 6
    assert all(page.count(f">{name}</text>") == 1 for name in traces)


@pytest.mark.parametrize(
    ("detectors", "chosen"),
    [
        ([LOUD, Z], ("z", "n", "n of K")),
        ([Z, detector("forest", 0.99, ("mb", 50.0, 10.0, -20.0, 40.0))], ("forest", "mb", "mb of K")),
        ([LOUD, Z | {"voted": False}], ("loud", None, "top of K")),
        ([LOUD | {"contributions": []}], ("loud", None, "observed by loud of K")),
        ([LOUD | {"raw": 3.0}], ("loud", None, "raw score of loud, K")),
        ([LOUD | {"score": None, "voted": False}], ("loud", None, "top of K")),
    ],
)
def test_what_is_drawn(detectors: list[dict[str, Any]], chosen: tuple[str, str | None, str]) -> None:
    quantity = judged(alert(1, "10T00:00", *detectors, n=1.0))
    assert (quantity.detector, quantity.feature, quantity.title) == chosen


def test_a_value_that_nobody_tells_is_missing() -> None:
    quantity = judged(alert(1, "10T00:00", Z, n=1.0))
    silent = alert(1, "10T00:00", LOUD, n=1.0)
    assert level(silent | {"row": None}, quantity) == Level(None)
    assert level(silent | {"row": {"n": "text"}}, quantity) == Level(None)
    assert level(silent | {"row": None, "window": silent["window"] | {"statistics": {"n": 7}}}, quantity) == Level(7.0)
    assert level(silent | {"detectors": None}, quantity) == Level(1.0)
