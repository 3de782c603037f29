"""What there is to draw of an alert: panels of values over time, what was expected, and the limits; how it is drawn is told elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from offbeat.core.batch import I64
from offbeat.core.plan import Plan, RulePlan
from offbeat.errors import UserError
from offbeat.io.report.console import Record, number, safe

_MOST_ROWS = 5_000
"""Rows drawn; of more, those nearest to the alert."""
_PAUSE_NS = 3_600_000_000_000
"""A pause in the rows is left out if it takes an hour or more, and ten times as long as usual: the night between two sessions."""
_PAUSE_TIMES = 10
_MOST_PAUSES = 200


@dataclass(frozen=True, slots=True)
class Level:
    """A horizontal line: what a detector expected, or its limit."""

    value: float
    label: str
    limit: bool


@dataclass(frozen=True, slots=True)
class Band:
    """Between which values the column usually lies."""

    low: float | None
    high: float | None
    label: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A row that was alerted on."""

    time_ns: int
    value: float
    label: str
    main: bool
    """Whether it is the alert that the drawing is about."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One column of the rows."""

    name: str
    values: list[float | None]
    levels: list[Level] = field(default_factory=list)
    bands: list[Band] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Drawing:
    """Panels over the same times, in nanoseconds, rising."""

    zone: str
    times: I64
    panels: list[Panel]
    shaded: list[tuple[int, int]]
    """Spans of the rows that the alert was held against."""
    shaded_by: list[str]
    """The detectors that held it against them."""
    pauses: list[tuple[int, int]]
    """Spans without rows, such as nights, that are left out: no line is drawn across them."""


def drawing_of(
    alert: Record,
    rows: pl.DataFrame,
    *,
    plan: Plan | None = None,
    zone: str = "UTC",
    columns: Sequence[str] = (),
    others: Sequence[Record] = (),
) -> Drawing:
    """The alert among the rows around it.

    `rows`: with `time` (Datetime, UTC) and numeric columns. One panel for each of `columns`; without them, for those that the detectors
    which voted look at. `others`: further alerts of the key; those on rows that are drawn are marked too. Raises UserError where there is
    nothing to draw.
    """
    rows = _near(rows, alert["time"])
    wanted = [name for name in (list(columns) or drawn_columns(alert, rows.columns, plan)) if name in rows.columns]
    if not wanted or rows.is_empty():
        raise UserError(f"there is nothing to draw for alert {safe(alert['alert_id'])}: no numeric column of the rows around it")
    times = rows["time"].cast(pl.Datetime("ns", "UTC")).to_physical().to_numpy()
    panels = []
    for name in wanted:
        value = (alert["row"] or {}).get(name)
        marks = [_mark(alert, name, main=True)] if value is not None else []
        for other in others:
            if other["alert_id"] != alert["alert_id"] and _is_number((other["row"] or {}).get(name)):
                mark = _mark(other, name, main=False)
                if (times == mark.time_ns).any():  # not, say, that of another hour than those drawn
                    marks.append(mark)
        levels = _levels(alert, name, value) if value is not None else []
        bands = _bands(alert, name, plan) if value is not None else []
        panels.append(Panel(name, rows[name].to_list(), levels, bands, marks))
    shaded, by = _shaded(alert, times)
    return Drawing(zone, times, panels, shaded, by, _pauses(times))


def drawn_columns(alert: Record, available: Sequence[str], plan: Plan | None = None) -> list[str]:
    """Columns of the rows that the detectors which voted look at, at most three, in the order in which they are first named."""
    texts = [part["feature"] for d in alert["detectors"] if d["voted"] for part in sorted(d["contributions"] or (), key=_weight)]
    if plan is not None:
        written = _features(plan, alert["view"])
        texts = [written.get(text, text) for text in texts]
        voted = {d["name"] for d in alert["detectors"] if d["voted"]}
        rules = [d for view in plan.views if view.name == alert["view"] for d in view.detectors if isinstance(d, RulePlan)]
        texts += [rule.text for rule in rules if rule.name in voted]
    usable = [name for name in available if _is_number((alert["row"] or {}).get(name))]
    named = [name for text in texts for name in re.findall(r"\w+", text) if name in usable]
    return list(dict.fromkeys(named))[:3] or usable[:1]


def instant_ns(time: object) -> int:
    """A time of a record, as text or as datetime, in nanoseconds since 1970."""
    found: int = pl.select(_instant(time)).to_series().to_physical().item()
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


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


def _mark(alert: Record, name: str, *, main: bool) -> Mark:
    value = alert["row"][name]
    return Mark(instant_ns(alert["time"]), value, f"{safe(alert['level'])}: {safe(name)} {number(value)}", main)


def _shaded(alert: Record, times: I64) -> tuple[list[tuple[int, int]], list[str]]:
    """What the detectors that voted held the row against, as far as it is drawn, and their names."""
    names: dict[tuple[int, int], list[str]] = {}
    for detector in alert["detectors"]:
        window = detector.get("window")
        if detector["voted"] and window is not None and window["from"] is not None:
            begin, end = instant_ns(window["from"]), instant_ns(window["to"])
            if end >= times[0]:
                names.setdefault((max(begin, int(times[0])), end), []).append(safe(detector["name"]))
    return list(names), [name for its in names.values() for name in its]


def _levels(alert: Record, name: str, value: float) -> list[Level]:
    """What was expected and the limit, where a detector compares this very column (not, say, a ratio of it, or a model's score of it)."""
    found = []
    for detector in alert["detectors"]:
        named = any(name in re.findall(r"\w+", part["feature"]) for part in detector["contributions"] or ())
        if not detector["voted"] or not named or detector.get("raw") is not None or detector["observed"] != value:
            continue
        for kind, word in (("expected", "expected"), ("threshold", "limit")):
            if detector[kind] is not None:
                found.append(Level(detector[kind], f"{safe(detector['name'])}: {word} {number(detector[kind])}", kind == "threshold"))
    return found


def _bands(alert: Record, name: str, plan: Plan | None) -> list[Band]:
    """Where the column usually lies, if a detector that voted found this very value out of its range: the narrowest such range."""
    same = {name} | {feature for feature, text in (_features(plan, alert["view"]) if plan else {}).items() if text == f"last({name})"}
    ranges = [
        part
        for detector in alert["detectors"]
        if detector["voted"]
        for part in detector.get("out_of_range") or ()
        if part["feature"] in same and (part["low"] is not None or part["high"] is not None)
    ]
    if not ranges:
        return []
    part = min(ranges, key=lambda part: _width(part["low"], part["high"]))
    return [Band(part["low"], part["high"], f"usual: {number(part['low'], 4)} to {number(part['high'], 4)}")]


def _width(low: float | None, high: float | None) -> float:
    return float("inf") if low is None or high is None else high - low


def _pauses(times: I64) -> list[tuple[int, int]]:
    """Pauses that are much longer than the time between rows usually is; none where they are the rule."""
    steps = np.diff(times)
    if not len(steps):
        return []
    found = np.flatnonzero((steps >= _PAUSE_NS) & (steps >= _PAUSE_TIMES * np.median(steps)))
    return [(int(times[i]), int(times[i + 1])) for i in found] if len(found) <= _MOST_PAUSES else []
