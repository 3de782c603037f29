"""Anomalies that were found, drawn: the value that was judged, what is usual for it, and the alerts of the key around."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from offbeat.core.days import DAY_NS
from offbeat.evaluate.evaluation import Evaluation
from offbeat.io.report.compare_plot import local_times, plotly_module, style_figure
from offbeat.io.report.console import Record, compared, number, out_of_range, safe

_OTHER, _ODD, _USUAL, _LIMIT = "#4c8dd6", "#e5484d", "#30a46c", "#8e4ec6"
_GRID, _SPAN, _RANGE = "rgba(128,128,128,0.22)", "rgba(229,142,26,0.25)", "rgba(48,164,108,0.22)"
_MOST_ALERTS = 500
"""Alerts drawn around an anomaly."""
_PANEL, _BETWEEN = 240, 75
"""Pixels of a panel with the space to the next one, and of that space."""
Case = tuple[dict[str, Any], dict[str, Any], pl.DataFrame]
"""An anomaly, its worst alert, and the alerts of the same key and view around it, in order of time."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """What is drawn of an anomaly."""

    detector: str
    feature: str | None
    """What the detector found outside its usual range; None: it does not say, and what it compared with its limit is drawn."""
    title: str
    """Of the axis."""


@dataclass(frozen=True, slots=True)
class Level:
    """The value of one alert, and what it was held against, as far as that is known."""

    value: float | None
    usual: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None


def examples(evaluation: Evaluation) -> list[Case]:
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
        chosen.append((event | {"begin_ns": begin, "end_ns": end, "around_ns": around}, worst, near.sort("time").head(_MOST_ALERTS)))
    return chosen


def judged(alert: Record) -> Quantity:
    """What to draw of an alert: of the detectors that voted, the one with the greatest score that says which feature was unusual.

    Such a detector goes before any rule; without one, it is what the detector with the greatest score compared with its limit.
    """
    voted = [d for d in alert["detectors"] if d["voted"]] or list(alert["detectors"])
    best = max([d for d in voted if out_of_range(d)] or voted, key=lambda d: -1.0 if d["score"] is None else float(d["score"]))
    outside = out_of_range(best)
    name = str(best["name"])
    if outside:
        return Quantity(name, outside[0]["feature"], f"{outside[0]['feature']} of {alert['key']}")
    parts = list(best["contributions"] or ())
    if best.get("raw") is not None:
        return Quantity(name, None, f"raw score of {name}, {alert['key']}")
    return Quantity(name, None, f"{parts[0]['feature'] if len(parts) == 1 else f'observed by {name}'} of {alert['key']}")


def level(alert: Record, quantity: Quantity) -> Level:
    """The quantity in one alert. Where its detector found nothing out of range, the value is that of the row or the window."""
    detector = next((d for d in alert["detectors"] or () if d["name"] == quantity.detector), None)
    if quantity.feature is None:
        return Level(None) if detector is None else Level(compared(detector), detector["expected"], limit=detector["threshold"])
    outside = next((found for found in out_of_range(detector or {}) if found["feature"] == quantity.feature), None)
    if outside is not None:
        return Level(outside["observed"], outside["expected"], outside["low"], outside["high"])
    known = [alert["row"] or {}, (alert["window"] or {}).get("statistics") or {}]
    values = [values[quantity.feature] for values in known if values.get(quantity.feature) is not None]
    return Level(float(values[0]) if values and isinstance(values[0], int | float) else None)


def draw_cases(cases: Sequence[Case], zone: str) -> Any:
    """A figure with a panel for each case."""
    graph, subplots = plotly_module("graph_objects"), plotly_module("subplots")
    told = [judged(worst) for _, worst, _ in cases]
    titles = [_title(event, quantity) for (event, _, _), quantity in zip(cases, told, strict=True)]
    figure = subplots.make_subplots(rows=len(cases), cols=1, vertical_spacing=_BETWEEN / (_PANEL * len(cases)), subplot_titles=titles)
    named: set[str] = set()
    for panel, ((event, worst, near), quantity) in enumerate(zip(cases, told, strict=True), start=1):
        for trace in [*_usual(graph, worst, near, quantity, zone), *_alerts(graph, near, quantity, zone), _anomaly(graph)]:
            trace.update(legendgroup=trace.name, showlegend=trace.name not in named)
            named.add(trace.name)
            figure.add_trace(trace, row=panel, col=1)
        begin, end, around = event["begin_ns"], event["end_ns"], event["around_ns"]
        x = local_times(np.array([begin, end, begin - around, end + around]), zone)
        figure.add_vrect(x0=x[0], x1=x[1], fillcolor=_SPAN, line={"color": _SPAN, "width": 2}, layer="below", row=panel, col=1)
        figure.update_xaxes(range=x[2:], gridcolor=_GRID, zeroline=False, row=panel, col=1)
        title = {"text": html.escape(safe(quantity.title, 40)), "font": {"size": 12}}
        figure.update_yaxes(title=title, gridcolor=_GRID, zeroline=False, row=panel, col=1)
    figure.update_xaxes(title_text=html.escape(zone), row=len(cases), col=1)
    style_figure(figure, _PANEL * len(cases) + 190)
    figure.update_layout(margin_t=140, margin_l=80, legend={"orientation": "h", "y": 1 + 35 / (_PANEL * len(cases)), "yanchor": "bottom"})
    return figure


def _alerts(graph: Any, near: pl.DataFrame, quantity: Quantity, zone: str) -> list[Any]:
    """The value of each alert, over what it judges: a point for a row, a line from end to end for a window."""
    found = []
    for right, name, color in ((False, "alert of the key elsewhere", _OTHER), (True, "alert that meets an anomaly", _ODD)):
        chosen = near.filter(pl.col("right") == right)
        rows = chosen.to_dicts()
        if not rows:
            continue
        values = [level(alert, quantity).value for alert in rows]
        text = [f"severity {number(alert['severity'], 3)}<br>{html.escape(safe(alert['level']))}" for alert in rows]
        begin, end = _ends(chosen, zone)
        line, marker = {"color": color, "width": 4}, {"color": color, "size": 7}
        x, y, words = _lines(begin, end), _lines(values, values), _lines(text, text)
        found.append(graph.Scatter(x=x, y=y, text=words, mode="lines+markers", line=line, marker=marker, name=name))
    return found


def _usual(graph: Any, worst: Record, near: pl.DataFrame, quantity: Quantity, zone: str) -> list[Any]:
    """What the alerts were held against, each over its own time; of the worst also over the time from which it was learnt."""
    said = [level(alert, quantity) for alert in near.to_dicts()]
    begin, end = _ends(near, zone)
    spans = [(a, b, one) for a, b, one in zip(begin, end, said, strict=True)]
    learnt = _learnt(worst, quantity, zone)
    ranges = [span for span in [*learnt, *spans] if span[2].low is not None and span[2].high is not None]
    found = []
    if ranges:
        x = [at for a, b, _ in ranges for at in (a, a, b, b, a, None)]
        y = [at for _, _, one in ranges for at in (one.low, one.high, one.high, one.low, one.low, None)]
        line = {"color": _RANGE, "width": 1}
        found.append(graph.Scatter(x=x, y=y, mode="lines", fill="toself", fillcolor=_RANGE, line=line, name="usual range"))
    for a, b, one in learnt:
        line = {"color": _USUAL, "dash": "dot", "width": 2}
        found.append(
            graph.Scatter(x=[a, b], y=[one.usual] * 2, mode="lines", line=line, name="usual value, over the time it was learnt from")
        )
    mode = "lines+markers" if begin == end else "lines"
    for name, values, style in (
        ("usual value", [one.usual for one in said], {"color": _USUAL, "width": 2}),
        ("limit", [one.limit for one in said], {"color": _LIMIT, "dash": "dash", "width": 2}),
    ):
        if any(value is not None for value in values):
            marker = {"color": style["color"], "size": 7, "symbol": "line-ew-open"}
            found.append(graph.Scatter(x=_lines(begin, end), y=_lines(values, values), mode=mode, line=style, marker=marker, name=name))
    return found


def _learnt(alert: Record, quantity: Quantity, zone: str) -> list[tuple[str, str, Level]]:
    """From when to when the usual value was learnt, and which it is; nothing where the alert does not tell."""
    window = next((d.get("window") for d in alert["detectors"] or () if d["name"] == quantity.detector), None)
    known = level(alert, quantity)
    if window is None or known.usual is None or window["from"] is None or window["to"] is None:
        return []
    ends = pl.Series([window["from"], window["to"]]).cast(pl.Datetime("ns", "UTC")).cast(pl.Int64).to_numpy()
    begin, end = local_times(ends, zone)
    return [(begin, end, known)]


def _anomaly(graph: Any) -> Any:
    """The shaded span in the legend."""
    marker = {"color": _SPAN, "size": 12, "symbol": "square"}
    return graph.Scatter(x=[None], y=[None], mode="markers", marker=marker, name="the anomaly, by its label")


def _ends(alerts: pl.DataFrame, zone: str) -> tuple[list[str], list[str]]:
    """When what the alerts judge begins and ends; the same where they judge rows."""
    begin = alerts["time"].cast(pl.Int64)
    end = begin + pl.select(pl.when(alerts["length"] > 1).then(alerts["length"]).otherwise(0)).to_series()
    return local_times(begin.to_numpy(), zone), local_times(end.to_numpy(), zone)


def _lines(begin: Sequence[Any], end: Sequence[Any]) -> list[Any]:
    """As plotly draws lines that do not hang together."""
    return [at for a, b in zip(begin, end, strict=True) for at in (a, b, None)]


def _title(event: Mapping[str, Any], quantity: Quantity) -> str:
    return html.escape(safe(f"{event['kind']}: {event['key']}, {event['view']}, {quantity.detector}", 100))
