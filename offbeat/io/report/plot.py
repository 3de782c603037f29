"""An alert drawn: the rows around it, those that it was held against, what was expected and where the limit lay; one HTML file."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import polars as pl

from offbeat.core.plan import Plan, RulePlan
from offbeat.errors import UserError
from offbeat.io.report.console import Record, number, safe, summary
from offbeat.io.report.contributions import contribution_figures
from offbeat.io.report.explain import explain_words, headline
from offbeat.io.report.page import write_page

_MOST_ROWS = 5_000
"""Rows drawn; of more, those nearest to the alert."""
_LINE, _ODD, _EXPECTED, _LIMIT, _WINDOW = "#4c8dd6", "#e5484d", "#30a46c", "#e58e1a", "rgba(76,141,214,0.14)"
_TEXT, _GRID = "#7d8794", "rgba(128,128,128,0.22)"


def plot_alert(
    alert: Record, rows: pl.DataFrame, path: str | Path, *, plan: Plan | None = None, zone: str = "UTC", columns: Sequence[str] = ()
) -> Path:
    """Draw the alert into one HTML file that needs no network; returns its path.

    `rows`: the neighbours of the alert's row and the row itself, with `time` (Datetime, UTC) and numeric columns. One panel for each of
    `columns`; without them, for the columns that the detectors which voted look at. Raises UserError where plotly is missing, there is
    nothing to draw, or the file cannot be written.
    """
    figure = _figure(alert, _near(rows, alert["time"]), list(columns) or drawn_columns(alert, rows.columns, plan), zone)
    plot = figure.to_html(full_html=False, include_plotlyjs=True, config={"displaylogo": False, "responsive": True})
    for bars in contribution_figures(alert):
        plot += bars.to_html(full_html=False, include_plotlyjs=False, config={"displaylogo": False, "responsive": True})
    words = html.escape(explain_words(alert, plan, zone=zone))
    return write_page(Path(path), headline(alert, zone), summary(alert), f'{plot}\n<pre class="words">{words}</pre>')


def drawn_columns(alert: Record, available: Sequence[str], plan: Plan | None = None) -> list[str]:
    """Columns of the rows that the detectors which voted look at, at most three, in the order in which they are first named."""
    texts = [part["feature"] for d in alert["detectors"] if d["voted"] for part in sorted(d["contributions"] or (), key=_weight)]
    if plan is not None:
        written = _features(plan, alert["view"])
        texts = [written.get(text, text) for text in texts]
        voted = {d["name"] for d in alert["detectors"] if d["voted"]}
        rules = [d for view in plan.views if view.name == alert["view"] for d in view.detectors if isinstance(d, RulePlan)]
        texts += [rule.text for rule in rules if rule.name in voted]
    numeric = [name for name, value in (alert["row"] or {}).items() if isinstance(value, int | float) and not isinstance(value, bool)]
    usable = [name for name in available if name in numeric]
    named = [name for text in texts for name in re.findall(r"\w+", text) if name in usable]
    return list(dict.fromkeys(named))[:3] or usable[:1]


def _features(plan: Plan, view: str) -> dict[str, str]:
    """Features of a view's windows and the expressions behind them, as the plan's text has them."""
    windows = (json.loads(plan.text)["views"].get(view, {}) if plan.text else {}).get("windows", {})
    return {name: text for window in windows.values() for name, text in window["features"].items()}


def _weight(part: dict[str, Any]) -> float:
    return -abs(float(part["value"] or 0.0))


def _near(rows: pl.DataFrame, time: object) -> pl.DataFrame:
    rows = rows.sort("time")
    if rows.height <= _MOST_ROWS:
        return rows
    at = rows.select((pl.col("time") < _instant(time)).sum()).item()
    start = max(0, min(at - _MOST_ROWS // 2, rows.height - _MOST_ROWS))
    return rows.slice(start, _MOST_ROWS)


def _instant(time: object) -> pl.Expr:
    """The alert's time to the nanosecond."""
    if isinstance(time, str):
        return pl.lit(time).str.to_datetime("%+", time_unit="ns", time_zone="UTC")
    return pl.lit(time).cast(pl.Datetime("ns", "UTC"))


def _figure(alert: Record, rows: pl.DataFrame, columns: list[str], zone: str) -> Any:
    try:
        graph: Any = import_module("plotly.graph_objects")
        subplots: Any = import_module("plotly.subplots")
    except ImportError as error:
        raise UserError("plots need plotly: pip install 'offbeat[dashboard]'") from error
    columns = [name for name in columns if name in rows.columns]
    if not columns or rows.is_empty():
        raise UserError(f"there is nothing to draw for alert {safe(alert['alert_id'])}: no numeric column of the rows around it")
    figure = subplots.make_subplots(rows=len(columns), cols=1, shared_xaxes=True, vertical_spacing=0.06)
    at = _local([alert["time"]], zone)
    x = _local(rows["time"], zone)
    for panel, name in enumerate(columns, start=1):
        label = html.escape(safe(name))
        style: dict[str, Any] = {
            "mode": "lines+markers" if rows.height <= 200 else "lines",
            "line": {"color": _LINE, "width": 1.5},
            "marker": {"size": 4},
        }
        figure.add_trace(graph.Scatter(x=x, y=rows[name].to_list(), name=label, showlegend=False, **style), row=panel, col=1)
        value = (alert["row"] or {}).get(name)
        if value is not None:
            _levels(figure, alert, name, value, panel)
            odd = graph.Scatter(
                x=at,
                y=[value],
                mode="markers",
                name="the alert",
                showlegend=panel == 1,
                marker={"color": _ODD, "size": 12, "symbol": "diamond"},
            )
            figure.add_trace(odd, row=panel, col=1)
        figure.update_yaxes(title_text=label, gridcolor=_GRID, zeroline=False, row=panel, col=1)
    shaded = _shade(figure, alert, x, zone)
    figure.update_xaxes(gridcolor=_GRID, zeroline=False)
    legend = f"; shaded: what {' and '.join(shaded)} held it against" if shaded else ""
    figure.update_xaxes(title_text=html.escape(zone + legend), row=len(columns), col=1)
    figure.update_layout(
        height=160 + 260 * len(columns),
        margin={"l": 60, "r": 20, "t": 30, "b": 50},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": _TEXT, "size": 13},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        hovermode="x unified",
    )
    return figure


def _shade(figure: Any, alert: Record, drawn: Sequence[str], zone: str) -> list[str]:
    """Shade what the detectors that voted held the row against, as far as it is drawn; gives their names."""
    names: dict[tuple[str, str], list[str]] = {}
    for detector in alert["detectors"]:
        window = detector.get("window")
        if detector["voted"] and window is not None and window["from"] is not None:
            begin, end = _local([window["from"], window["to"]], zone)
            if end >= drawn[0]:
                names.setdefault((max(begin, drawn[0]), end), []).append(safe(detector["name"]))
    for begin, end in names:
        figure.add_vrect(x0=begin, x1=end, fillcolor=_WINDOW, line_width=0, layer="below", row="all", col=1)
    return [name for its in names.values() for name in its]


def _levels(figure: Any, alert: Record, name: str, value: float, panel: int) -> None:
    """What was expected and the limit, where a detector compares this very column (not, say, a ratio of it, or a model's score of it)."""
    for detector in alert["detectors"]:
        named = any(name in re.findall(r"\w+", part["feature"]) for part in detector["contributions"] or ())
        if not detector["voted"] or not named or detector.get("raw") is not None or detector["observed"] != value:
            continue
        for kind, color, dash in (("expected", _EXPECTED, "dash"), ("threshold", _LIMIT, "dot")):
            level = detector[kind]
            if level is not None:
                word = "limit" if kind == "threshold" else kind
                note = f"{html.escape(safe(detector['name']))}: {word} {number(level)}"
                place = "top left" if kind == "threshold" else "bottom left"
                figure.add_hline(
                    y=level,
                    line={"color": color, "dash": dash, "width": 1.5},
                    annotation_text=note,
                    annotation_position=place,
                    row=panel,
                    col=1,
                )


def _local(times: Sequence[Any] | pl.Series, zone: str) -> list[str]:
    """Times as plotly draws them: local to `zone`, without an offset."""
    if isinstance(times, pl.Series):
        series = times.cast(pl.Datetime("ns", "UTC"))
    else:
        series = pl.select(pl.concat_list([_instant(time) for time in times]).explode()).to_series()
    return series.dt.convert_time_zone(zone).dt.to_string("%Y-%m-%d %H:%M:%S%.6f").to_list()
