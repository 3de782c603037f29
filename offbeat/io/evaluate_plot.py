"""What alerts are worth, drawn: ROC and precision over recall, and of each kind an anomaly among the alerts around it."""

from __future__ import annotations

import html
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console

from offbeat.core.batch import F64, I64
from offbeat.core.days import DAY_NS
from offbeat.evaluate.evaluation import Evaluation
from offbeat.io.compare_plot import local_times, plotly_module, style_figure
from offbeat.io.console import number, safe
from offbeat.io.evaluate_report import evaluation_report
from offbeat.io.page import write_page

_LINE, _ODD, _EXPECTED, _LIMIT = "#4c8dd6", "#e5484d", "#30a46c", "#e58e1a"
_GRID, _SPAN = "rgba(128,128,128,0.22)", "rgba(229,142,26,0.25)"
_CONFIG = {"displaylogo": False, "responsive": True}
_MOST_POINTS = 2_000
_MOST_ALERTS = 500
"""Alerts drawn around an anomaly."""
_PANEL = 230


def plot_evaluation(evaluation: Evaluation, path: Path, *, title: str) -> Path:
    """Draw the evaluation into one HTML file that needs no network; returns its path. Raises UserError where that is not possible."""
    body = _curves(evaluation).to_html(full_html=False, include_plotlyjs=True, config=_CONFIG)
    cases = examples(evaluation)
    if cases:
        body += _cases(cases, evaluation).to_html(full_html=False, include_plotlyjs=False, config=_CONFIG)
    console = Console(width=160, record=True, file=StringIO())
    console.print(evaluation_report(evaluation, title=title))
    body += f"<pre>{html.escape(console.export_text())}</pre>"
    what = (
        "Curves: days of keys, ranked by their worst alert. Below, of each kind the anomaly that was found with the greatest certainty "
        "(shaded) among the alerts of its key: what its strongest detector observed (points, in the middle of a window; red: right) and "
        "expected (crosses; dotted where it was learnt), and its threshold (dashes)."
    )
    return write_page(path, title, what, body)


def examples(evaluation: Evaluation) -> list[tuple[dict[str, Any], dict[str, Any], pl.DataFrame]]:
    """Of each kind that was found: the anomaly, its worst alert, and the alerts of the same key and view around it, in order of time."""
    alerts = evaluation.alerts.sort(evaluation.ranked.by, "time", descending=[True, False], nulls_last=True, maintain_order=True)
    chosen = []
    for kind in evaluation.figures.kinds:
        found = evaluation.events.filter((pl.col("kind") == kind.kind) & (pl.col("alerts") > 0))
        right = alerts.filter(pl.col("right")).select("key", "view", "time", "length", "alert_id")
        hits = right.lazy().with_row_index("rank").join(found.lazy().select("key", "from", "to"), on="key")
        ends = pl.col("to").cast(pl.Int64) + evaluation.tolerance_ns
        met = (pl.col("time").cast(pl.Int64) <= ends) & (pl.col("time").cast(pl.Int64) + pl.col("length") > pl.col("from").cast(pl.Int64))
        best = hits.filter(met).sort("rank", "from").head(1).collect()
        if best.is_empty():
            continue
        event = best.row(0, named=True) | {"kind": kind.kind}
        begin, end = (int(best[name].cast(pl.Int64)[0]) for name in ("from", "to"))
        around = max(10 * event["length"], 2 * (end - begin), DAY_NS // 24)
        time = pl.col("time").cast(pl.Int64)
        near = evaluation.alerts.filter(
            (pl.col("key") == event["key"]) & (pl.col("view") == event["view"]) & time.is_between(begin - around, end + around)
        )
        worst = evaluation.alerts.filter(pl.col("alert_id") == event["alert_id"]).to_dicts()[0]
        chosen.append((event | {"begin_ns": begin, "end_ns": end}, worst, near.sort("time").head(_MOST_ALERTS)))
    return chosen


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


def _cases(cases: list[tuple[dict[str, Any], dict[str, Any], pl.DataFrame]], evaluation: Evaluation) -> Any:
    graph, subplots = plotly_module("graph_objects"), plotly_module("subplots")
    told = [_strongest(worst) for _, worst, _ in cases]
    titles = [_title(event, detector) for (event, _, _), detector in zip(cases, told, strict=True)]
    figure = subplots.make_subplots(rows=len(cases), cols=1, vertical_spacing=min(0.12, 0.5 / len(cases)), subplot_titles=titles)
    for panel, ((event, worst, near), detector) in enumerate(zip(cases, told, strict=True), start=1):
        for trace in _verdicts(graph, near, detector, evaluation.zone):
            figure.add_trace(trace, row=panel, col=1)
        baseline = _baseline(graph, worst, detector, evaluation.zone)
        if baseline is not None:
            figure.add_trace(baseline, row=panel, col=1)
        begin, end = local_times(np.array([event["begin_ns"], event["end_ns"]]), evaluation.zone)
        figure.add_vrect(x0=begin, x1=end, fillcolor=_SPAN, line={"color": _SPAN, "width": 2}, layer="below", row=panel, col=1)
        figure.update_yaxes(gridcolor=_GRID, zeroline=False, row=panel, col=1)
    figure.update_xaxes(gridcolor=_GRID, zeroline=False)
    figure.update_xaxes(title_text=html.escape(evaluation.zone), row=len(cases), col=1)
    style_figure(figure, 100 + _PANEL * len(cases))
    return figure


def _verdicts(graph: Any, near: pl.DataFrame, detector: str, zone: str) -> list[Any]:
    """What a detector said in each alert: at the time of the row, in the middle of the window."""
    times: I64 = (near["time"].cast(pl.Int64) + near["length"] // 2).to_numpy()
    verdicts = [next((d for d in row if d["name"] == detector), None) or {} for row in near["detectors"].to_list()]
    colors = np.where(near["right"].to_numpy(), _ODD, _LINE).tolist()
    levels = near.select("severity", "level").iter_rows()
    text = [f"severity {number(severity, 3)}<br>{html.escape(safe(level))}" for severity, level in levels]
    found = []
    for name, color, symbol in (("observed", colors, "circle"), ("expected", _EXPECTED, "x"), ("threshold", _LIMIT, "line-ew-open")):
        y = [verdict.get(name) for verdict in verdicts]
        marker = {"color": color, "size": 8, "symbol": symbol}
        x = local_times(times, zone)
        found.append(graph.Scatter(x=x, y=y, mode="markers", marker=marker, text=text, name=name, showlegend=False))
    return found


def _baseline(graph: Any, alert: dict[str, Any], detector: str, zone: str) -> Any:
    """What was expected, over the time it was learnt from; None where the alert does not tell."""
    window = alert["window"]
    expected = next(d["expected"] for d in alert["detectors"] if d["name"] == detector)
    if window is None or expected is None or window["from"] is None or window["to"] is None:
        return None
    ends = pl.Series([window["from"], window["to"]]).cast(pl.Datetime("ns", "UTC")).cast(pl.Int64).to_numpy()
    line = {"color": _EXPECTED, "dash": "dot", "width": 2}
    return graph.Scatter(
        x=local_times(ends, zone), y=[expected] * 2, mode="lines", line=line, name="expected, learnt here", showlegend=False
    )


def _strongest(alert: dict[str, Any]) -> str:
    """The detector that voted with the greatest score."""
    voted = [d for d in alert["detectors"] if d["voted"]] or alert["detectors"]
    best = max(voted, key=lambda d: -1.0 if d["score"] is None else float(d["score"]))
    return str(best["name"])


def _title(event: dict[str, Any], detector: str) -> str:
    return html.escape(safe(f"{event['kind']}: {event['key']}, {event['view']}, {detector}", 100))
