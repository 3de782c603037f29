"""Charts as SVG: where points land, what a NaN does, and that texts of strangers stay texts."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np

from offbeat.io.report.chart_svg import Panel, Trace, chart_svg, heat_svg
from offbeat.io.report.svg import extent

NAN = float("nan")
EVIL = '<script>alert("1")</script>&'


def test_points_land_where_they_belong() -> None:
    """One column: the panel is 74 to 986 wide and, under a title of 30, 100 high; 0 to 1 upwards is 130 to 30."""
    x, y = np.array([0.0, 1.0, NAN, 0.5, 2.0]), np.array([0.0, 1.0, NAN, 0.5, 9.0])
    drawn = chart_svg([Panel("t", (0.0, 1.0), (0.0, 1.0), [Trace(x, y, "red", line=2)])], height=100, label="l")
    assert 'd="M74.0 130.0L986.0 30.0M530.0 80.0L986.0 30.0"' in drawn, "a NaN parts lines, what is outside lies on the edge"
    stairs = chart_svg([Panel("t", (0.0, 1.0), (0.0, 1.0), [Trace(x, y, "red", line=2, steps=True)])], height=100, label="l")
    assert 'd="M74.0 130.0V30.0H986.0M530.0 80.0V30.0H986.0"' in stairs


def test_two_columns_and_a_legend_whose_names_come_once() -> None:
    point = np.array([0.5])
    panels = [Panel("a", (0.0, 1.0), (0.0, 1.0), [Trace(point, point, "red", dots=2, words=["w"], name="alerts")])] * 2
    drawn = chart_svg(panels, height=100, label="l", columns=2)
    assert drawn.count(">alerts</text>") == 1
    # Columns are 500 wide, their panels 74 to 486 and 574 to 986; the legend takes 22.
    assert re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', drawn) == [("280.0", "102.0"), ("780.0", "102.0")]
    assert drawn.count("<title>w</title>") == 2


def test_times_have_round_labels_in_their_zone() -> None:
    begin = 1_704_067_200 * 10**9  # 2024-01-01T00:00Z, 05:30 in Kolkata
    panel = Panel("t", (float(begin), float(begin + 4 * 3600 * 10**9)), (0.0, 1.0), [], zone="Asia/Kolkata")
    drawn = chart_svg([panel], height=100, label="l")
    assert re.findall(r">(\d\d:\d\d)<", drawn) == ["05:30", "06:00", "06:30", "07:00", "07:30", "08:00", "08:30", "09:00", "09:30"]
    assert drawn.count(">2024-01-01<") == 1


def test_texts_stay_texts() -> None:
    point = np.array([0.5])
    traces = [Trace(point, point, "red", dots=2, words=[EVIL], name=EVIL)]
    drawn = chart_svg([Panel(EVIL, (0.0, 1.0), (0.0, 1.0), traces, EVIL, EVIL)], height=100, label=EVIL)
    drawn += heat_svg(EVIL, [EVIL, "b"], np.array([[1.0, NAN], [-0.5, 0.0]]), label=EVIL)
    assert "<script" not in drawn
    root = ET.fromstring(f"<r>{drawn}</r>")  # noqa: S314 - ours
    assert sum(element.text == EVIL for element in root.iter("text")) == 6, "four of the chart, and the title and a row of the map"
    assert [element.text for element in root.iter("title")] == [EVIL]


def test_the_extent_has_some_room() -> None:
    assert extent([0.0, 100.0, None, NAN]) == (-6.0, 106.0)
    assert extent([4.0]) == (3.8, 4.2)
    assert extent([]) == (-1.0, 1.0)
