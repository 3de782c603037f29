"""What `offbeat report` does: it chooses the alerts, finds their incidents, and reads the rows around the worst ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from offbeat.cli.reading import plan_of, records
from offbeat.core.plan import Plan
from offbeat.engines.episodes import episodes_of, ready
from offbeat.errors import UserError
from offbeat.io.address import shown
from offbeat.io.read.alert_query import Filters, open_alerts
from offbeat.io.report.alert_report import Case, figures_of, write_report
from offbeat.io.report.around import rows_around
from offbeat.io.report.console import Record, alert_records, moment
from offbeat.io.write.atomic_file import prepare
from offbeat.io.write.episode_table import episode_table
from offbeat.spec.duration import instant_ns

_WORDS = frozenset({"status", "level", "pipeline", "view"})
_NEEDED = ("alert_id", "revision", "status", "pipeline", "view", "key", "time", "severity", "level")


@dataclass(frozen=True, slots=True)
class Asked:
    """The command line."""

    uri: str
    out: Path
    day: str | None
    top: int
    ledger: Path | None
    pipeline: str | None


def write(asked: Asked) -> Path:
    """Write the report; returns its path. Raises UserError for what a person can put right."""
    if asked.out.suffix.lower() not in {".html", ".htm"}:
        raise UserError(f"--out {asked.out}: a report is a file FILE.html")
    ledger = _ledger(asked.ledger) if asked.ledger is not None else None
    prepare(asked.out)
    there = open_alerts(asked.uri)
    try:
        first = next(there.worst(Filters()), pl.DataFrame())
        plan = plan_of(asked.pipeline, str(first["pipeline"][0])) if first.height else None
        zone = plan.zone if plan is not None else "UTC"
        filters = Filters() if asked.day is None else _of_day(asked.day, zone)
        # Frames come worst first; of most alerts the report needs a few columns only.
        few, worst, at = [], list[pl.DataFrame](), 0
        for frame in there.worst(filters):
            few.append(frame.select(pl.col(name).cast(pl.String) if name in _WORDS else name for name in _NEEDED))
            if at < asked.top:
                worst.append(frame.head(asked.top))
                at += frame.height
        alerts = pl.concat(few, how="vertical_relaxed") if few else first.select(name for name in _NEEDED if name in first.columns)
        cases: list[Case] = []
        count = None
        if alerts.height:
            cases, count = _cases(asked, alerts, worst, plan, zone)
    finally:
        there.close()
    when = f" of {asked.day}" if asked.day is not None else ""
    title = f"Alerts{when}: {shown(asked.uri)}"
    spans = f"Times in {zone}."
    if alerts.height:
        begin, end = alerts.select(pl.col("time").min().alias("a"), pl.col("time").max().alias("b")).row(0)
        spans = f"From {moment(begin, zone)} to {moment(end, zone)}."
    return write_report(asked.out, title, spans, figures_of(alerts, count, zone), cases, plan=plan, zone=zone, ledger=ledger)


def _cases(asked: Asked, alerts: pl.DataFrame, worst: list[pl.DataFrame], plan: Plan | None, zone: str) -> tuple[list[Case], int | None]:
    """The worst incidents and how many there are; where the pipeline is not at hand, the worst alerts."""
    if plan is None or alerts["pipeline"].n_unique() > 1 or alerts["pipeline"][0] != plan.name:
        found = [record for frame in worst for record in records(frame)][: asked.top]
        return [_case(asked, record, f"pipeline {record['pipeline']}, view {record['view']}", plan) for record in found], None
    episodes = episodes_of(ready(plan.episodes), alerts)
    cases = []
    for episode in alert_records(episode_table(episodes, episodes.ranked(asked.top))):
        record = _record(asked, episode["worst"], worst)
        n = episode["alerts"]
        told = f"{n:,} alert{'s' * (n != 1)}, {moment(episode['start'], zone)} to {moment(episode['end'], zone)}"
        cases.append(_case(asked, record, told, plan))
    return cases, len(episodes)


def _record(asked: Asked, alert_id: str, worst: list[pl.DataFrame]) -> dict[str, Any]:
    for frame in worst:
        found = frame.filter(pl.col("alert_id") == alert_id)
        if found.height:
            return records(found)[0]
    from offbeat.io.read.alert_files import find_alert

    return find_alert(asked.uri, alert_id)


def _case(asked: Asked, record: Record, told: str, plan: Plan | None) -> Case:
    try:
        return Case(record, told, rows_around(record, asked.uri, plan))
    except (UserError, OSError) as error:
        return Case(record, told, None, str(error))


def _of_day(day: str, zone: str) -> Filters:
    try:
        first = date.fromisoformat(day)
        return Filters(since_ns=instant_ns(day, zone), until_ns=instant_ns((first + timedelta(days=1)).isoformat(), zone))
    except (ValueError, OverflowError) as error:
        raise UserError(f"--day {day}: expected a date such as 2024-01-31") from error


def _ledger(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read the ledger {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise UserError(f"the ledger {path} is not JSON: write it with `offbeat run ... --json > {path}`") from error
    if not isinstance(found, dict) or "rows_in" not in found:
        raise UserError(f"the ledger {path} is not what a run's --json prints: it has no rows_in")
    return found
