"""The drawing: one file that needs no network, with the right columns, levels and window, and no way in for hostile text."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from alert_blocks import as_table, two_bars

from offbeat.errors import UserError
from offbeat.io.report.console import alert_records
from offbeat.io.report.drawing import drawing_of, drawn_columns
from offbeat.io.report.plot import plot_alert
from offbeat.io.report.svg import svg_of

AT = 1_700_000_000_000_000_001
MINUTE, HOUR = 60_000_000_000, 3_600_000_000_000
HOSTILE = "</script><img src=x onerror=alert(1)>"
JUMP, SURGE = alert_records(as_table(two_bars()))


def rows(count: int = 61) -> pl.DataFrame:
    times = pl.Series([AT + (i - count // 2) * MINUTE for i in range(count)]).cast(pl.Datetime("ns", "UTC"))
    close = [100.0 if i != count // 2 else 101.5 for i in range(count)]
    return pl.DataFrame({"time": times, "close": close, "volume": list(range(count)), "side": ["A"] * count})


def drawn(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - we wrote it


def of_class(svg: ET.Element, name: str) -> list[ET.Element]:
    return [element for element in svg.iter() if element.get("class") == name]


def points(path: ET.Element) -> list[tuple[str, float, float]]:
    """The points of a line: M begins a new one."""
    return [(kind, float(x), float(y)) for kind, x, y in re.findall(r"([ML])([-\d.]+) ([-\d.]+)", path.get("d") or "")]


def test_the_jump_is_drawn(tmp_path: Path) -> None:
    path = plot_alert(JUMP, rows(), tmp_path / "deep" / "a.html")
    page = path.read_text(encoding="utf-8")
    assert [p.name for p in path.parent.iterdir()] == ["a.html"]
    assert not re.search(r"<(script|link|img|iframe)", page), "no script, and nothing from elsewhere"
    assert path.stat().st_size < 60_000
    drawing = drawing_of(JUMP, rows())
    (panel,) = drawing.panels
    assert (panel.name, panel.values[30], panel.levels) == ("close", 101.5, []), "0.005 is a limit of the ratio, not of the price"
    assert [(mark.time_ns, mark.value, mark.main) for mark in panel.marks] == [(AT, 101.5, True)]
    assert (drawing.shaded, drawing.shaded_by, drawing.pauses) == ([(AT - MINUTE, AT)], ["price_jump"], [])


def test_places_in_the_drawing() -> None:
    svg = drawn(svg_of(drawing_of(JUMP, rows())))
    line = points(of_class(svg, "line")[0])
    assert [kind for kind, _, _ in line] == ["M"] + ["L"] * 60
    xs = [x for _, x, _ in line]
    assert np.allclose(np.diff(xs), np.diff(xs)[0], atol=0.11), "a minute is as wide everywhere"
    _, x, y = line[30]
    assert all(y < other for i, (_, _, other) in enumerate(line) if i != 30), "the jump is the highest"
    (mark,) = of_class(svg, "mark main")
    top = re.match(r"M([-\d.]+) ([-\d.]+)l7 7", mark.get("d") or "")
    assert top is not None
    assert (float(top[1]), float(top[2]) + 7) == pytest.approx((x, y), abs=0.11)
    (window,) = of_class(svg, "window")
    assert (float(window.get("x") or 0), float(window.get("width") or 0)) == pytest.approx((line[29][1], x - line[29][1]), abs=0.11)


def test_limit_and_expectation_of_the_column_itself() -> None:
    drawing = drawing_of(SURGE | {"time": "2023-11-14T22:13:20.000000001Z"}, rows(), zone="Asia/Kolkata")
    (panel,) = drawing.panels
    assert panel.name == "volume"
    assert [(level.value, level.limit, level.label) for level in panel.levels] == [
        (100.0, False, "volume_surge: expected 100"),
        (102.0, True, "volume_surge: limit 102"),
    ]
    assert drawing.shaded == [], "nothing is shaded"
    words = "".join(drawn(svg_of(drawing)).itertext())
    assert "volume_surge: limit 102" in words
    assert "Asia/Kolkata" in words
    assert "04:00" in words, "22:30 in UTC"
    assert "2023-11-15 03:43:20 critical: volume 408" in words


def test_no_line_through_the_night() -> None:
    """Two sessions of half an hour, 18 hours apart."""
    times = [AT + i * MINUTE for i in range(-29, 1)] + [AT + 18 * HOUR + i * MINUTE for i in range(30)]
    frame = pl.DataFrame({"time": pl.Series(times).cast(pl.Datetime("ns", "UTC")), "close": [100.0 + i % 2 for i in range(60)]})
    drawing = drawing_of(JUMP, frame)
    assert drawing.pauses == [(AT, AT + 18 * HOUR)]
    line = points(of_class(drawn(svg_of(drawing)), "line")[0])
    assert [i for i, (kind, _, _) in enumerate(line) if kind == "M"] == [0, 30]
    widths = np.diff([x for _, x, _ in line])
    assert widths[29] < widths[0], "the night takes no room"


def test_other_alerts_are_marked_where_they_are_drawn() -> None:
    others = [JUMP | {"alert_id": "1", "time": "2023-11-14T22:10:20.000000001Z"}, JUMP | {"alert_id": "2", "time": "2023-11-14T22:10:50Z"}]
    (panel,) = drawing_of(JUMP, rows(), others=[*others, JUMP]).panels
    assert [(mark.main, (AT - mark.time_ns) // MINUTE) for mark in panel.marks] == [(True, 0), (False, 3)]


def test_hostile_keys_and_names_stay_text(tmp_path: Path) -> None:
    alert = SURGE | {"key": HOSTILE, "row": {HOSTILE: 408.0}}
    alert["detectors"][1] |= {"name": HOSTILE, "contributions": [{"feature": HOSTILE, "value": 1.0}, {"feature": "b", "value": 2.0}]}
    page = plot_alert(alert, rows().rename({"volume": HOSTILE}), tmp_path / "a.html", columns=[HOSTILE]).read_text(encoding="utf-8")
    assert "&lt;img src=x" in page
    assert "<img" not in page
    assert "<script" not in page


def test_of_many_rows_the_nearest_are_drawn_and_no_peak_is_lost() -> None:
    drawing = drawing_of(JUMP, rows(20_001).sample(fraction=1.0, shuffle=True, seed=1))
    assert len(drawing.times) == 5_000
    assert (np.diff(drawing.times) > 0).all()
    assert 101.5 in drawing.panels[0].values
    line = points(of_class(drawn(svg_of(drawing)), "line")[0])
    assert len(line) <= 1_300
    assert min(y for _, _, y in line) < sorted(y for _, _, y in line)[1], "the one peak is among the points"


@pytest.mark.parametrize("values", [[None] * 61, [5.0] * 61, [float("inf")] * 61, [1e300, -1e300] * 30 + [0.0], [-1.0] * 61])
def test_odd_series_are_drawn(values: list[float | None]) -> None:
    frame = rows().with_columns(close=pl.Series(values, dtype=pl.Float64))
    assert of_class(drawn(svg_of(drawing_of(JUMP, frame))), "line")
    assert of_class(drawn(svg_of(drawing_of(JUMP, frame[30:31]))), "line"), "one row alone"


def test_columns_are_those_the_voters_look_at() -> None:
    jump, surge = alert_records(as_table(two_bars()))
    assert drawn_columns(jump, ["time", "volume", "close"]) == ["close"]
    assert drawn_columns(surge, ["time", "volume", "close"]) == ["volume"]
    assert drawn_columns(surge | {"detectors": []}, ["time", "volume"]) == ["volume"]


@pytest.mark.parametrize("neighbours", [rows().head(0), rows().select("time", "side")])
def test_nothing_to_draw(tmp_path: Path, neighbours: pl.DataFrame) -> None:
    with pytest.raises(UserError, match="nothing to draw"):
        plot_alert(JUMP, neighbours, tmp_path / "a.html")
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="folder"):
        plot_alert(JUMP, rows(), tmp_path)
