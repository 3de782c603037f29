"""What each feature added to a detector's score, as bars."""

from __future__ import annotations

import html
from importlib import import_module
from typing import Any

from offbeat.io.report.console import Record, parts_are_signed, safe

_MOST = 10
"""Features drawn: those that weigh most."""
_TOWARDS, _AWAY, _TEXT, _GRID = "#e5484d", "#4c8dd6", "#7d8794", "rgba(128,128,128,0.22)"


def contribution_figures(alert: Record) -> list[Any]:
    """A plotly figure for each detector with a verdict that looks at several features."""
    graph: Any = import_module("plotly.graph_objects")
    figures = []
    for detector in alert["detectors"] or ():
        parts = [part for part in detector["contributions"] or () if part["value"]]
        if len(parts) < 2:
            continue
        drawn = sorted(parts, key=lambda part: -abs(part["value"]))[:_MOST][::-1]
        values = [part["value"] for part in drawn]
        signed = parts_are_signed(detector)
        bars = graph.Bar(
            x=values,
            y=[html.escape(safe(part["feature"])) for part in drawn],
            orientation="h",
            marker={"color": [_AWAY if value < 0 and signed else _TOWARDS for value in values]},
        )
        figure = graph.Figure(bars)
        voted = "voted" if detector["voted"] else "did not vote"
        figure.update_layout(
            title={"text": f"{html.escape(safe(detector['name']))} {voted}: contribution of each feature", "font": {"size": 14}},
            height=110 + 24 * len(drawn),
            margin={"l": 180, "r": 20, "t": 40, "b": 30},
            paper_bgcolor="rgba(0,0,0,0)",
            plot_bgcolor="rgba(0,0,0,0)",
            font={"color": _TEXT, "size": 13},
        )
        figure.update_xaxes(gridcolor=_GRID, zerolinecolor=_GRID)
        figures.append(figure)
    return figures
