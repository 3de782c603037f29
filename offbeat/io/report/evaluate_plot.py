"""What alerts are worth, drawn: ROC and precision over recall, and of each kind an anomaly among the alerts around it."""

from __future__ import annotations

import html
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from offbeat.core.batch import F64, I64
from offbeat.evaluate.evaluation import Evaluation
from offbeat.io.report.compare_plot import plotly_module, style_figure
from offbeat.io.report.evaluate_cases import draw_cases, examples
from offbeat.io.report.evaluate_report import evaluation_report
from offbeat.io.report.page import write_page

_LINE, _GRID = "#4c8dd6", "rgba(128,128,128,0.22)"
_CONFIG = {"displaylogo": False, "responsive": True}
_MOST_POINTS = 2_000


def plot_evaluation(evaluation: Evaluation, path: Path, *, title: str) -> Path:
    """Draw the evaluation into one HTML file that needs no network; returns its path. Raises UserError where that is not possible."""
    body = _curves(evaluation).to_html(full_html=False, include_plotlyjs=True, config=_CONFIG)
    cases = examples(evaluation)
    if cases:
        body += draw_cases(cases, evaluation.zone).to_html(full_html=False, include_plotlyjs=False, config=_CONFIG)
    console = Console(width=160, record=True, file=StringIO())
    console.print(evaluation_report(evaluation, title=title))
    body += f"<pre>{html.escape(console.export_text())}</pre>"
    what = (
        "Curves: days of keys, ranked by their worst alert. Below, of each kind the anomaly that was found with the greatest certainty "
        "(shaded), among the alerts of its key: the value that was judged, over the row or window of each alert, and what is usual for it. "
        "Drawn is the feature furthest outside its usual range, of the detector that voted with the greatest score and names one; "
        "where none does, what the strongest detector observed, and its limit. Where there was no alert, nothing is drawn."
    )
    return write_page(path, title, what, body)


def _curves(evaluation: Evaluation) -> Any:
    graph, subplots = plotly_module("graph_objects"), plotly_module("subplots")
    points, areas = evaluation.ranked.points, evaluation.ranked.areas
    titles = [f"ROC (area {_area(areas.roc_auc)})", f"precision over recall (area {_area(areas.pr_auc)})"]
    figure = subplots.make_subplots(rows=1, cols=2, horizontal_spacing=0.12, subplot_titles=titles)
    odd, ordinary = areas.odd, areas.rows - areas.odd
    if odd and ordinary:
        recall, alarms = points.hits / odd, points.misses / ordinary
        precision = points.hits / (points.hits + points.misses)
        keep = _thinned(len(recall))
        text = ["no alert" if np.isinf(score) else f"{evaluation.ranked.by} ≥ {score:.3f}" for score in points.scores[keep].tolist()]
        roc = graph.Scatter(x=_from_zero(alarms[keep]), y=_from_zero(recall[keep]), mode="lines+markers", text=["", *text])
        figure.add_trace(roc, row=1, col=1)
        steps = {"shape": "vh", "color": _LINE}
        figure.add_trace(graph.Scatter(x=recall[keep], y=precision[keep], mode="lines+markers", line=steps, text=text), row=1, col=2)
        figure.add_trace(
            graph.Scatter(x=[0, 1], y=[0, 1], mode="lines", line={"dash": "dot", "color": _GRID}, hoverinfo="skip"), row=1, col=1
        )
    figure.update_traces(marker={"color": _LINE, "size": 3}, showlegend=False)
    for column, names in enumerate((("days of keys without anomaly that are flagged", "recall"), ("recall", "precision")), start=1):
        figure.update_xaxes(title_text=names[0], range=[-0.02, 1.02], gridcolor=_GRID, zeroline=False, row=1, col=column)
        figure.update_yaxes(title_text=names[1], range=[-0.02, 1.02], gridcolor=_GRID, zeroline=False, row=1, col=column)
    style_figure(figure, 420)
    return figure


def _thinned(n: int) -> I64:
    """At most so many places, first and last among them."""
    kept: I64 = np.unique(np.linspace(0, n - 1, min(n, _MOST_POINTS)).astype(np.int64))
    return kept


def _from_zero(values: F64) -> F64:
    return np.append(0.0, values)


def _area(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
