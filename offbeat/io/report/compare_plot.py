"""Detectors side by side, drawn: scores over time with threshold, votes and labelled spans, and a map of how far they agree."""

from __future__ import annotations

import html
from collections.abc import Sequence
from importlib import import_module
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console

from offbeat.core.batch import F64, I64
from offbeat.errors import UserError
from offbeat.evaluate.comparison import Comparison
from offbeat.evaluate.series import Series
from offbeat.io.report.compare_report import comparison_report
from offbeat.io.report.console import safe
from offbeat.io.report.page import write_page
from offbeat.io.write.atomic_file import prepare

MOST_POINTS = 2_000
"""Points drawn of a detector; of more rows, the highest score of each group of neighbours in time."""
_KINDS = ("rgba(229,142,26,0.30)", "rgba(48,164,108,0.30)", "rgba(142,78,198,0.30)", "rgba(0,162,199,0.30)", "rgba(214,64,159,0.30)")
_LINE, _ODD, _LIMIT, _TEXT, _GRID = "#4c8dd6", "#e5484d", "#e58e1a", "#7d8794", "rgba(128,128,128,0.22)"
_CONFIG = {"displaylogo": False, "responsive": True}
_PANEL = 190


def check_plot(path: Path) -> None:
    """Raise UserError where nothing can be drawn there, before any work is done."""
    plotly_module("graph_objects")
    prepare(path)


def plot_comparison(comparison: Comparison, path: Path, *, title: str, zone: str = "UTC", remarks: Sequence[str] = ()) -> Path:
    """Draw the comparison into one HTML file; returns its path. Raises UserError where that is not possible."""
    body = _scores(comparison, zone).to_html(full_html=False, include_plotlyjs=True, config=_CONFIG)
    if comparison.agreements:
        body += _maps(comparison).to_html(full_html=False, include_plotlyjs=False, config=_CONFIG)
    console = Console(width=160, record=True, file=StringIO())
    console.print(comparison_report(comparison, remarks))
    body += f"<pre>{html.escape(console.export_text())}</pre>"
    what = (
        f"Scores run from 0 to 1, 0.5 is the threshold, red points are votes. Of neighbours in time only the highest score is drawn, at "
        f"its own time: at most {MOST_POINTS:,} points a detector."
    )
    return write_page(path, title, what, body)


def highest(time_ns: I64, score: F64, most: int = MOST_POINTS) -> I64:
    """Indices of at most `most` scored rows in the order of time: of each group of neighbours, of equal counts, the first highest."""
    scored = np.flatnonzero(~np.isnan(score))
    order = scored[np.argsort(time_ns[scored], kind="stable")]
    if len(order) <= most:
        return order
    edges = np.linspace(0, len(order), most + 1).astype(np.int64)
    return np.array([order[a + int(np.argmax(score[order[a:b]]))] for a, b in pairwise(edges.tolist())], np.int64)


def plotly_module(module: str) -> Any:
    """A module of plotly, which is an extra. Raises UserError where it is not installed."""
    try:
        return import_module(f"plotly.{module}")
    except ImportError as error:
        raise UserError("plots need plotly: pip install 'offbeat[dashboard]'") from error


def _scores(comparison: Comparison, zone: str) -> Any:
    graph, subplots = plotly_module("graph_objects"), plotly_module("subplots")
    n = len(comparison.series)
    titles = [_title(series, said.votes, said.judged) for series, said in zip(comparison.series, comparison.flags, strict=True)]
    figure = subplots.make_subplots(rows=n, cols=1, shared_xaxes=True, vertical_spacing=min(0.06, 0.4 / n), subplot_titles=titles)
    for panel, series in enumerate(comparison.series, start=1):
        if comparison.labelled is not None:
            for span in _spans(graph, comparison.labelled.truths[panel - 1].events, zone, shown=panel == 1):
                figure.add_trace(span, row=panel, col=1)
        figure.add_trace(_points(graph, series, zone), row=panel, col=1)
        figure.add_hline(y=0.5, line={"color": _LIMIT, "dash": "dot", "width": 1}, row=panel, col=1)
        figure.update_yaxes(range=[-0.02, 1.02], gridcolor=_GRID, zeroline=False, row=panel, col=1)
    figure.update_xaxes(gridcolor=_GRID, zeroline=False)
    figure.update_xaxes(title_text=html.escape(zone), row=n, col=1)
    style_figure(figure, 140 + _PANEL * n)
    figure.update_layout(legend={"orientation": "h", "y": 1 + 60 / (140 + _PANEL * n), "yanchor": "bottom", "x": 0})
    return figure


def _title(series: Series, votes: int, judged: int) -> str:
    return f"{html.escape(safe(series.name))}: {votes:,} votes on {judged:,} rows"


def _points(graph: Any, series: Series, zone: str) -> Any:
    index = highest(series.rows.time_ns, series.score)
    times = series.rows.time_ns[index]
    pauses = np.flatnonzero(np.diff(times) > (times[-1] - times[0]) // 50) + 1 if len(index) else index
    score = np.insert(series.score[index], pauses, np.nan)  # no line over a night
    index = np.insert(index, pauses, index[pauses])
    voted = series.voted[index]
    return graph.Scatter(
        x=local_times(series.rows.time_ns[index], zone),
        y=score,
        mode="lines+markers",
        line={"color": _LINE, "width": 0.7},
        marker={"color": np.where(voted, _ODD, _LINE), "size": np.where(voted, 5, 2)},
        text=[html.escape(safe(series.rows.keys[slot])) for slot in series.rows.slots[index].tolist()],
        hovertemplate="%{text}<br>%{x}<br>score %{y:.3f}<extra></extra>",
        showlegend=False,
    )


def _spans(graph: Any, events: pl.DataFrame, zone: str, *, shown: bool) -> list[Any]:
    """The labelled spans of each kind as one filled trace, with an edge so that the shortest are seen too."""
    found = []
    for i, kind in enumerate(events["kind"].unique().sort().to_list()):
        color = _KINDS[i % len(_KINDS)]
        of_kind = events.filter(pl.col("kind") == kind)
        begin, end = (local_times(of_kind[name].to_physical().to_numpy(), zone) for name in ("from", "to"))
        x = [value for a, b in zip(begin, end, strict=True) for value in (a, a, b, b, a, None)]
        found.append(
            graph.Scatter(
                x=x,
                y=[0, 1, 1, 0, 0, None] * of_kind.height,
                mode="lines",
                fill="toself",
                fillcolor=color,
                line={"color": color, "width": 1},
                name=html.escape(safe(kind)),
                legendgroup=kind,
                showlegend=shown,
                hoverinfo="skip",
            )
        )
    return found


def _maps(comparison: Comparison) -> Any:
    graph, subplots = plotly_module("graph_objects"), plotly_module("subplots")
    names = [series.name for series in comparison.series]
    place = {name: i for i, name in enumerate(names)}
    jaccard, correlation = np.eye(len(names)), np.eye(len(names))
    for pair in comparison.agreements:
        a, b = place[pair.a], place[pair.b]
        jaccard[a, b] = jaccard[b, a] = np.nan if pair.jaccard is None else pair.jaccard
        correlation[a, b] = correlation[b, a] = np.nan if pair.rank_correlation is None else pair.rank_correlation
    labels = [html.escape(safe(name)) for name in names]
    titles = ["rows that both flag / that one flags (Jaccard)", "rank correlation of the scores"]
    figure = subplots.make_subplots(rows=1, cols=2, horizontal_spacing=0.16, subplot_titles=titles)
    for column, (values, low, scale) in enumerate(((jaccard, 0, "Blues"), (correlation, -1, "RdBu")), start=1):
        text = [["" if np.isnan(value) else f"{value:.2f}" for value in row] for row in values.tolist()]
        heat = graph.Heatmap(
            x=labels, y=labels, z=values, zmin=low, zmax=1, colorscale=scale, text=text, texttemplate="%{text}", showscale=False
        )
        figure.add_trace(heat, row=1, col=column)
        figure.update_yaxes(autorange="reversed", row=1, col=column)
    style_figure(figure, 160 + 44 * len(names))
    return figure


def style_figure(figure: Any, height: int) -> None:
    """Colours that suit a light and a dark page."""
    figure.update_layout(
        height=height,
        margin={"l": 60, "r": 20, "t": 60, "b": 50},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": _TEXT, "size": 13},
    )


def local_times(time_ns: I64, zone: str) -> list[str]:
    """Times as plotly draws them: local to `zone`, without an offset."""
    times = pl.Series(time_ns).cast(pl.Datetime("ns", "UTC")).dt.convert_time_zone(zone)
    return times.dt.to_string("%Y-%m-%d %H:%M:%S%.6f").to_list()
