"""Alerts read back, with the pipeline that raised them and the rows around them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from offbeat.core.plan import Plan
from offbeat.errors import UserError
from offbeat.io.address import shown
from offbeat.io.read.alert_files import find_alert
from offbeat.io.read.alert_query import Filters, open_alerts
from offbeat.io.report.around import rows_around
from offbeat.io.report.console import Record, alert_records
from offbeat.io.report.plot import plot_alert
from offbeat.spec.load import load_plan, shipped


def records(alerts: pl.DataFrame) -> list[dict[str, Any]]:
    """A frame of alerts as their JSON lines read."""
    return alert_records(alerts.to_arrow())


def one(uri: str, alert_id: str) -> dict[str, Any]:
    """The alert that a person named, or the worst one. Raises UserError where there is none."""
    if alert_id != "worst":
        return find_alert(uri, alert_id)
    there = open_alerts(uri)
    try:
        worst = records(next(there.worst(Filters())).head(1))
    finally:
        there.close()
    if not worst:
        raise UserError(f"no alerts in {shown(uri)}")
    return worst[0]


def plan_of(pipeline: str | None, name: str) -> Plan | None:
    """The pipeline that a person named, else the shipped one of the alert's name; None where neither is at hand."""
    if pipeline is None:
        return load_plan(name) if name in shipped() else None
    plan = load_plan(pipeline)
    if plan.name != name:
        raise UserError(f"{pipeline} is pipeline {plan.name!r}, but the alert is from {name!r}; name the pipeline that raised it")
    return plan


def draw(alert: Record, uri: str, path: Path, plan: Plan | None) -> Path:
    """Draw the alert among the rows around it. Raises UserError where these cannot be read."""
    rows = rows_around(alert, uri, plan)
    return plot_alert(alert, rows, path, plan=plan, zone=plan.zone if plan is not None else "UTC")
