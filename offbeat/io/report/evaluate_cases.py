"""Anomalies that were found, drawn: the value that was judged, what is usual for it, and the alerts of the key around."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from offbeat.core.batch import F64
from offbeat.core.days import DAY_NS
from offbeat.evaluate.evaluation import Evaluation
from offbeat.io.report.chart_svg import Panel, Trace, chart_svg
from offbeat.io.report.console import Record, compared, number, out_of_range, safe
from offbeat.io.report.svg import extent

_OTHER, _ODD, _USUAL, _LIMIT = "#4c8dd6", "#e5484d", "#30a46c", "#8e4ec6"
_SPAN, _RANGE = "rgba(229,142,26,0.25)", "rgba(48,164,108,0.22)"
_MOST_ALERTS = 500
"""Alerts drawn around an anomaly."""
_PANEL = 190
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


def draw_cases(cases: Sequence[Case], zone: str) -> str:
    """A drawing with a panel for each case."""
    return chart_svg(case_panels(cases, zone), height=_PANEL, label="anomalies that were found, and the alerts around them")


def case_panels(cases: Sequence[Case], zone: str) -> list[Panel]:
    """What is drawn of each case."""
    panels = []
    for i, (event, worst, near) in enumerate(cases):
        quantity = judged(worst)
        traces = [*_usual(worst, near, quantity), *_alerts(near, quantity), _anomaly()]
        begin, end, around = event["begin_ns"], event["end_ns"], event["around_ns"]
        y = extent([value for trace in traces for value in trace.y.tolist()])
        last = zone if i == len(cases) - 1 else ""
        spans = [(float(begin), float(end), _SPAN)]
        ends = (float(begin - around), float(end + around))
        panels.append(Panel(_title(event, quantity), ends, y, traces, last, safe(quantity.title, 40), zone, spans))
    return panels


def _alerts(near: pl.DataFrame, quantity: Quantity) -> list[Trace]:
    """The value of each alert, over what it judges: a point for a row, a line from end to end for a window."""
    found = []
    for right, name, color in ((False, "alert of the key elsewhere", _OTHER), (True, "alert that meets an anomaly", _ODD)):
        chosen = near.filter(pl.col("right") == right)
        rows = chosen.to_dicts()
        if not rows:
            continue
        values = [level(alert, quantity).value for alert in rows]
        words = [f"severity {number(alert['severity'], 3)}, {safe(alert['level'])}" for alert in rows]
        begin, end = _ends(chosen)
        told = [part for word in words for part in (word, "", "")]
        found.append(Trace(_lines(begin, end), _lines(values, values), color, line=4, dots=3.5, words=told, name=name))
    return found


def _usual(worst: Record, near: pl.DataFrame, quantity: Quantity) -> list[Trace]:
    """What the alerts were held against, each over its own time; of the worst also over the time from which it was learnt."""
    said = [level(alert, quantity) for alert in near.to_dicts()]
    begin, end = _ends(near)
    spans = [(a, b, one) for a, b, one in zip(begin, end, said, strict=True)]
    learnt = _learnt(worst, quantity)
    ranges = [span for span in [*learnt, *spans] if span[2].low is not None and span[2].high is not None]
    found = []
    if ranges:
        x = [at for a, b, _ in ranges for at in (a, a, b, b, a, None)]
        y = [at for _, _, one in ranges for at in (one.low, one.high, one.high, one.low, one.low, None)]
        found.append(Trace(_floats(x), _floats(y), _RANGE, line=1, fill=True, name="usual range"))
    for a, b, one in learnt:
        name = "usual value, over the time it was learnt from"
        found.append(Trace(_floats([a, b]), _floats([one.usual] * 2), _USUAL, line=2, dash="2 4", name=name))
    for name, values, color, dash in (
        ("usual value", [one.usual for one in said], _USUAL, ""),
        ("limit", [one.limit for one in said], _LIMIT, "7 4"),
    ):
        if any(value is not None for value in values):
            dots = 2.5 if begin == end else 0.0
            found.append(Trace(_lines(begin, end), _lines(values, values), color, line=2, dash=dash, dots=dots, name=name))
    return found


def _learnt(alert: Record, quantity: Quantity) -> list[tuple[int, int, Level]]:
    """From when to when the usual value was learnt, and which it is; nothing where the alert does not tell."""
    window = next((d.get("window") for d in alert["detectors"] or () if d["name"] == quantity.detector), None)
    known = level(alert, quantity)
    if window is None or known.usual is None or window["from"] is None or window["to"] is None:
        return []
    begin, end = pl.Series([window["from"], window["to"]]).cast(pl.Datetime("ns", "UTC")).cast(pl.Int64).to_list()
    return [(begin, end, known)]


def _anomaly() -> Trace:
    """The shaded span in the legend."""
    return Trace(_floats([None]), _floats([None]), _SPAN, name="the anomaly, by its label")


def _ends(alerts: pl.DataFrame) -> tuple[list[int], list[int]]:
    """When what the alerts judge begins and ends; the same where they judge rows."""
    begin = alerts["time"].cast(pl.Int64)
    end = begin + pl.select(pl.when(alerts["length"] > 1).then(alerts["length"]).otherwise(0)).to_series()
    return begin.to_list(), end.to_list()


def _lines(begin: Sequence[float | None], end: Sequence[float | None]) -> F64:
    """Lines that do not hang together."""
    return _floats([at for a, b in zip(begin, end, strict=True) for at in (a, b, None)])


def _floats(values: Sequence[float | None]) -> F64:
    return np.array([math.nan if value is None else value for value in values], np.float64)


def _title(event: Mapping[str, Any], quantity: Quantity) -> str:
    return safe(f"{event['kind']}: {event['key']}, {event['view']}, {quantity.detector}", 100)
