"""An evaluation from the command line: alerts and labels read, then tables, JSON or a page."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from offbeat.cli.reading import plan_of
from offbeat.cli.say import put
from offbeat.cli.terminal import console, show
from offbeat.core.days import DAY_NS
from offbeat.core.plan import Plan
from offbeat.errors import UserError
from offbeat.evaluate.evaluation import as_dict, evaluate
from offbeat.evaluate.labels import read_labels
from offbeat.io.read.alert_files import latest, read_alerts
from offbeat.io.report.compare_plot import check_plot
from offbeat.io.report.evaluate_plot import plot_evaluation
from offbeat.io.report.evaluate_report import evaluation_report
from offbeat.spec.duration import duration_ns


@dataclass(frozen=True, slots=True)
class Wanted:
    """The command line of `offbeat evaluate`."""

    alerts: str
    labels: Path
    tolerance: str
    pipeline: str | None
    span: str | None
    rows: int | None
    key_days: int | None
    ledger: Path | None
    as_json: bool
    html: Path | None


def carry_out(wanted: Wanted) -> None:
    """Evaluate and show. Raises UserError for what a person can put right."""
    tolerance = _duration("--tolerance", wanted.tolerance)
    span = None if wanted.span is None else _duration("--span", wanted.span)
    alerts = latest(read_alerts(wanted.alerts)).filter(pl.col("status") != "retracted")
    plan = _plan(wanted.pipeline, alerts)
    zone = plan.zone if plan is not None else "UTC"
    events = read_labels(wanted.labels, zone).events
    lengths = _lengths(plan, alerts, span)
    rows, key_days = wanted.rows, wanted.key_days
    if wanted.ledger is not None:
        told = _judged(wanted.ledger, lengths)
        rows, key_days = rows or told[0], key_days or told[1]
    if wanted.html is not None:
        check_plot(wanted.html)
    evaluation = evaluate(_scored(alerts), events, lengths=lengths, zone=zone, tolerance_ns=tolerance, rows=rows, key_days=key_days)
    title = f"{wanted.alerts} against {wanted.labels}"
    if wanted.html is not None:
        plot_evaluation(evaluation, wanted.html, title=title)
    if wanted.as_json:
        page = {} if wanted.html is None else {"html": str(wanted.html)}
        put(json.dumps({"file": wanted.alerts, "labels": str(wanted.labels), **as_dict(evaluation), **page}))
        return
    show(evaluation_report(evaluation, title=title), console())
    if wanted.html is not None:
        put(f"page: {wanted.html}")


def _duration(option: str, text: str) -> int:
    try:
        return duration_ns(text)
    except ValueError as error:
        raise UserError(f"{option}: {error}") from None


def _plan(pipeline: str | None, alerts: pl.DataFrame) -> Plan | None:
    names = alerts["pipeline"].cast(pl.String).unique().sort().to_list()
    if len(names) > 1:
        raise UserError(f"the alerts are from {len(names)} pipelines ({', '.join(names)}); evaluate one pipeline at a time")
    return plan_of(pipeline, names[0]) if names else None


def _lengths(plan: Plan | None, alerts: pl.DataFrame, span: int | None) -> dict[str, int]:
    """Lengths of the windows of each view; views of rows are not in it."""
    if span is not None:
        return dict.fromkeys(alerts["view"].cast(pl.String).unique().sort().to_list(), max(span, 1))
    return {view.name: view.rollup.size_ns for view in plan.views if view.rollup is not None} if plan is not None else {}


def _scored(alerts: pl.DataFrame) -> pl.DataFrame:
    """With `score`, the mean of the detectors that voted [S19]."""
    voted = pl.col("detectors").list.eval(pl.element().filter(pl.element().struct.field("voted")).struct.field("score"))
    return alerts.with_columns(voted.list.mean().cast(pl.Float64).alias("score"))


def _judged(file: Path, lengths: dict[str, int]) -> tuple[int, int | None]:
    """Rows judged, and days of keys: known where views judge windows, which a ledger counts."""
    try:
        said: Any = json.loads(file.read_bytes())
        rows = int(said["scored"])
        views = {str(name): int(counts["scored"]) for name, counts in said.get("views", {}).items()}
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{file} is not the output of `offbeat run --json`") from None
    if not views or any(lengths.get(name, 1) == 1 for name in views):
        return rows, None
    return rows, round(sum(n * lengths[name] for name, n in views.items()) / DAY_NS) or None
