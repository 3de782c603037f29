"""Drawings as figures of Plotly, in which one can look closer."""

from __future__ import annotations

import html
from importlib import import_module
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from offbeat.core.batch import I64
from offbeat.io.report.console import safe
from offbeat.io.report.drawing import Drawing, Panel

_LINE, _ODD, _EXPECTED, _LIMIT = "#3d8fd1", "#d55e00", "#009e73", "#e69f00"
_WINDOW, _BAND = "rgba(0,114,178,0.15)", "rgba(0,158,115,0.20)"


def figure_of(drawing: Drawing) -> Any:
    """The drawing as a figure; pauses are left out of its time axis."""
    graph: Any = import_module("plotly.graph_objects")
    subplots: Any = import_module("plotly.subplots")
    n = len(drawing.panels)
    figure = subplots.make_subplots(rows=n, cols=1, shared_xaxes=True, vertical_spacing=0.07)
    x = _broken(drawing.times, drawing)
    for row, panel in enumerate(drawing.panels, start=1):
        name = html.escape(safe(panel.name))
        mode = "lines+markers" if len(drawing.times) <= 250 else "lines"
        style = {"line": {"color": _LINE, "width": 1.5}, "marker": {"size": 4, "color": _LINE}}
        y = _values(panel, drawing)
        figure.add_trace(graph.Scatter(x=x, y=y, name=name, mode=mode, showlegend=False, connectgaps=False, **style), row=row, col=1)
        for kind, main in (("other alerts of this incident", False), ("this alert", True)):
            marks = [mark for mark in panel.marks if mark.main == main]
            if marks:
                marker = {"color": _ODD, "size": 13 if main else 9, "symbol": "diamond" if main else "diamond-open", "line": {"width": 2}}
                at = _texts(np.array([mark.time_ns for mark in marks], np.int64), drawing.zone)
                y = [mark.value for mark in marks]
                points = graph.Scatter(x=at, y=y, mode="markers", name=kind, marker=marker, showlegend=row == 1)
                figure.add_trace(points, row=row, col=1)
        for level in panel.levels:
            line = {"color": _LIMIT if level.limit else _EXPECTED, "dash": "dot" if level.limit else "dash", "width": 2}
            spot = "top left" if level.limit else "bottom left"
            figure.add_hline(
                y=level.value, line=line, annotation_text=html.escape(level.label), annotation_position=spot, row=row, col=1
            )
        for band in panel.bands:
            low = band.low if band.low is not None else min(v for v in panel.values if v is not None)
            high = band.high if band.high is not None else max(v for v in panel.values if v is not None)
            figure.add_hrect(
                y0=low, y1=high, fillcolor=_BAND, line_width=0, layer="below", annotation_text=html.escape(band.label), row=row, col=1
            )
        figure.update_yaxes(title_text=name, zeroline=False, row=row, col=1)
    for begin, end in drawing.shaded:
        a, b = _texts(np.array([begin, end], np.int64), drawing.zone)
        figure.add_vrect(x0=a, x1=b, fillcolor=_WINDOW, line_width=0, layer="below", row="all", col=1)
    hidden = [_texts(np.array(pause, np.int64) + np.array([1_000_000_000, -1_000_000_000]), drawing.zone) for pause in drawing.pauses]
    figure.update_xaxes(rangebreaks=[{"bounds": pause} for pause in hidden])
    figure.update_layout(
        height=120 + 230 * n,
        margin={"l": 10, "r": 10, "t": 30, "b": 30},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        hovermode="x unified",
        dragmode="zoom",
    )
    return figure


def heat_map(keys: list[str], times: list[str], counts: Any) -> Any:
    """Alerts by key and time."""
    graph: Any = import_module("plotly.graph_objects")
    labels = [html.escape(safe(key, 24)) for key in keys]
    told = "%{x}<br>%{z} alerts<extra></extra>"
    heat = graph.Heatmap(x=times, y=list(range(len(keys))), z=counts, colorscale="Cividis", hovertemplate=told, xgap=1, ygap=1)
    figure = graph.Figure(heat)
    figure.update_yaxes(tickmode="array", tickvals=list(range(len(keys))), ticktext=labels, autorange="reversed")
    figure.update_layout(height=110 + 22 * max(len(keys), 4), margin={"l": 10, "r": 10, "t": 10, "b": 30})
    return figure


def columns_over_time(times: list[str], counts: dict[str, list[int]], colors: dict[str, str]) -> Any:
    """Counts by time, stacked."""
    graph: Any = import_module("plotly.graph_objects")
    figure = graph.Figure(
        [graph.Bar(x=times, y=values, name=html.escape(safe(name)), marker={"color": colors.get(name)}) for name, values in counts.items()]
    )
    figure.update_layout(
        barmode="stack",
        height=240,
        margin={"l": 10, "r": 10, "t": 10, "b": 30},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )
    return figure


def _breaks(drawing: Drawing) -> I64:
    """Before which points the line breaks."""
    return np.searchsorted(drawing.times, np.array([end for _, end in drawing.pauses], np.int64))


def _broken(times: I64, drawing: Drawing) -> list[str]:
    at = _breaks(drawing)
    return _texts(np.insert(times, at, times[at]), drawing.zone)


def _values(panel: Panel, drawing: Drawing) -> list[float | None]:
    edges = [0, *_breaks(drawing).tolist(), len(panel.values)]
    out: list[float | None] = []
    for a, b in pairwise(edges):
        out += [*([None] if a else []), *panel.values[a:b]]
    return out


def _texts(times: I64, zone: str) -> list[str]:
    """Local times without an offset, as Plotly draws them."""
    series = pl.Series(times).cast(pl.Datetime("ns", "UTC")).dt.convert_time_zone(zone)
    return series.dt.to_string("%Y-%m-%d %H:%M:%S%.6f").to_list()
