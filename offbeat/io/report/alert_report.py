"""A report on alerts for others: one HTML file that needs no network and no script, to be read, sent and printed."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from offbeat.core.plan import Plan
from offbeat.errors import UserError
from offbeat.io.report.console import Record, by_verdict, compared, moment, number, summary
from offbeat.io.report.contributions import contribution_bars
from offbeat.io.report.counterfactual import counterfactuals
from offbeat.io.report.drawing import drawing_of
from offbeat.io.report.markup import COLORS, LEVELS, STYLE, bars, figures, level, table, text
from offbeat.io.report.page import write_page
from offbeat.io.report.svg import svg_of

MOST_BYTES = 1_400_000
"""Of the parts with drawings: those of incidents that do not fit any more are left out, and that is said."""
_MOST_KEYS = 12
_MOST_HOURS = 72
_PRINT = """
section { margin: 2rem 0; padding-top: .5rem; border-top: 1px solid rgba(128,128,128,.4); }
ul { margin: .4rem 0; padding-left: 1.2rem; overflow-wrap: anywhere; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: 0 2rem; }
@media print { body { margin: 0; max-width: none; font-size: 11px; } section { break-inside: avoid; } .ob-bars i, .ob-level, rect, path {
  print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""
_PARTS = ("scored", "warming_up", "late", "duplicate", "filtered", "pending")


@dataclass(frozen=True, slots=True)
class Case:
    """An incident, or an alert alone, that is shown in full."""

    alert: Record
    """The worst of its alerts."""
    told: str
    """How many alerts there are, and from when to when."""
    rows: pl.DataFrame | None = None
    """The rows around it."""
    why_not: str = ""
    """Why there are none."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What is counted over all alerts of the report."""

    alerts: int
    incidents: int | None
    mean_severity: float | None
    max_severity: float | None
    levels: Mapping[str, int]
    keys: Sequence[tuple[str, int]]
    """Those with most alerts."""
    all_keys: int
    hours: Sequence[tuple[str, int]]
    """By hour or, of longer times, by day or month."""
    per: str


def figures_of(alerts: pl.DataFrame, incidents: int | None, zone: str) -> Figures:
    """Counts of alerts with `severity`, `level`, `key` and `time`."""
    counted = alerts.group_by(pl.col("level").cast(pl.String)).len().rows()
    keys = alerts.group_by(pl.col("key").cast(pl.String)).len().sort("len", "key", descending=[True, False])
    hours, per = _over_time(alerts, zone)
    severity = alerts["severity"]
    mean, most = severity.mean(), severity.max()
    return Figures(
        alerts=alerts.height,
        incidents=incidents,
        mean_severity=mean if isinstance(mean, float) else None,
        max_severity=most if isinstance(most, float) else None,
        levels=dict(counted),
        keys=keys.head(_MOST_KEYS).rows(),
        all_keys=keys.height,
        hours=hours,
        per=per,
    )


def write_report(
    path: Path,
    title: str,
    what: str,
    told: Figures,
    cases: Sequence[Case],
    *,
    plan: Plan | None = None,
    zone: str = "UTC",
    ledger: Mapping[str, Any] | None = None,
) -> Path:
    """Write the report; returns its path. `ledger`: the object that a run's `--json` printed.

    Raises UserError where it cannot be written, or the ledger is none.
    """
    parts = [_summary(told)]
    if ledger is not None:
        parts.append(_ledger(ledger))
    size, left_out = 0, 0
    for place, case in enumerate(cases, start=1):
        part = _case(case, place, plan, zone)
        if size + len(part.encode()) > MOST_BYTES:
            left_out += 1
            continue
        size += len(part.encode())
        parts.append(part)
    if left_out:
        parts.append(f"<p>{left_out} further incidents are left out, so that the file stays small.</p>")
    if not cases:
        parts.append("<section><p>No alerts.</p></section>")
    return write_page(path, title, what, "\n".join(parts), style=STYLE + _PRINT)


def _summary(told: Figures) -> str:
    shown = [("alerts", f"{told.alerts:,}"), ("critical", f"{told.levels.get('critical', 0):,}"), ("keys", f"{told.all_keys:,}")]
    if told.incidents is not None:
        shown.insert(0, ("incidents", f"{told.incidents:,}"))
    shown.append(("mean severity", "-" if told.mean_severity is None else f"{told.mean_severity:.2f}"))
    shown.append(("highest severity", "-" if told.max_severity is None else f"{told.max_severity:.2f}"))
    names = [*LEVELS, *sorted(set(told.levels) - set(LEVELS))]
    columns = [bars("by level", [(name, float(n), f"{n:,}") for name in names if (n := told.levels.get(name, 0))], COLORS)]
    more = f": the {len(told.keys)} with most of {told.all_keys:,}" if told.all_keys > len(told.keys) else ""
    columns.append(bars(f"by key{more}", [(key, float(n), f"{n:,}") for key, n in told.keys]))
    columns.append(bars(f"by {told.per}", [(hour, float(n), f"{n:,}") for hour, n in told.hours]))
    return figures(shown) + '<div class="columns">' + "".join(f"<div>{column}</div>" for column in columns) + "</div>"


def _over_time(alerts: pl.DataFrame, zone: str) -> tuple[list[tuple[str, int]], str]:
    local = alerts.select(at=pl.col("time").dt.convert_time_zone(zone))
    for per, every, form in (("hour", "1h", "%Y-%m-%d %H:00"), ("day", "1d", "%Y-%m-%d"), ("month", "1mo", "%Y-%m")):
        counted = local.group_by(pl.col("at").dt.truncate(every)).len().sort("at")
        if counted.height <= (24 if per == "hour" else _MOST_HOURS) or per == "month":
            return [(at.strftime(form), n) for at, n in counted.tail(_MOST_HOURS).rows()], per
    return [], "hour"


def _ledger(ledger: Mapping[str, Any]) -> str:
    """Where every row went. Raises UserError for an object that is no run's."""
    try:
        rows_in, aside = int(ledger["rows_in"]), dict(ledger["quarantined"])
        parts = [(name.replace("_", " "), int(ledger.get(name, 0))) for name in _PARTS]
        parts += [(f"quarantined: {reason}", int(n)) for reason, n in sorted(aside.items(), key=lambda item: (-int(item[1]), item[0]))]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError("the ledger is not what a run's --json prints: rows_in or quarantined is missing or no number") from error
    lines = [[name, f"{n:,}", f"{100 * n / rows_in:.2f} %" if rows_in else "-"] for name, n in parts if n or name == "scored"]
    lines.append(["read", f"{rows_in:,}", "100 %" if rows_in else "-"])
    return f"<section><h2>Where every row went</h2>{table(['rows', 'number', 'share'], lines, frozenset({1, 2}))}</section>"


def _case(case: Case, place: int, plan: Plan | None, zone: str) -> str:
    alert = case.alert
    severity = "" if alert["severity"] is None else f" severity {alert['severity']:.2f}"
    parts = [f"<section><h2>{place}. {text(alert['key'])}, {text(moment(alert['time'], zone))}</h2>"]
    parts.append(f"<p>{level(alert['level'])}{severity}: {text(summary(alert), 600)}<br>{text(case.told)}</p>")
    drawn, why = "", case.why_not
    if case.rows is not None:
        try:
            drawn = svg_of(drawing_of(alert, case.rows, plan=plan, zone=zone))
        except UserError as error:
            why = str(error)
    parts.append(drawn or f"<p>The rows around it are not drawn: {text(why)}.</p>")
    lines = [
        [d["name"], verdict, number(compared(d), 5), number(d["threshold"], 5), number(d["expected"], 5)]
        for d, verdict in by_verdict(alert)
    ]
    parts.append(table(["detector", "verdict", "observed", "limit", "expected"], lines, frozenset({2, 3, 4})))
    parts.append("<ul>" + "".join(f"<li>{text(line, 600)}</li>" for line in counterfactuals(alert, plan)) + "</ul>")
    parts += contribution_bars(alert)[:1]
    parts.append(f"<p><small>alert {html.escape(str(alert['alert_id']))}</small></p></section>")
    return "\n".join(parts)
