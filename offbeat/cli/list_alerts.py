"""What `offbeat alerts` does: a list on the screen, or a flat table in a file."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from offbeat.cli.listing import PERIODS, Chosen, Where, choose, missing
from offbeat.cli.reading import plan_of, records
from offbeat.cli.say import put, say
from offbeat.cli.terminal import console, show
from offbeat.errors import UserError
from offbeat.io.address import shown
from offbeat.io.kafka import KAFKA
from offbeat.io.read.alert_query import AlertList, Filters, open_alerts
from offbeat.io.report.console import alerts_table
from offbeat.io.report.flat_alerts import alerts_flat
from offbeat.io.report.run_report import worst_table
from offbeat.io.stores import is_store
from offbeat.io.write.list_files import write_list
from offbeat.spec.duration import instant_ns

_ON_SCREEN = 20


@dataclass(frozen=True, slots=True)
class Request:
    """The command line of `offbeat alerts`."""

    uri: str
    top: int | None
    per: str | None
    since: str | None
    until: str | None
    levels: tuple[str, ...]
    keys: tuple[str, ...]
    where: str | None
    files: dict[str, str]
    """Kind of file → its name."""
    pipeline: str | None


def follows(request: Request, asked: bool | None) -> bool:
    """Whether alerts are shown as they come. Raises UserError where that cannot be."""
    topic = request.uri.startswith(KAFKA)
    more = [name for name in ("per", "since", "until", "levels", "where", "files") if getattr(request, name)]
    if asked and not topic and not is_store(request.uri):
        raise UserError(f"--follow is for topics and databases, {KAFKA}HOST:PORT/TOPIC; a file is listed as it is")
    if asked and more:
        raise UserError("--follow goes with --top and --key only; leave the others out, or take --no-follow")
    return not more and ((topic and console().is_terminal) if asked is None else asked)


def list_alerts(request: Request) -> None:
    """Raises UserError for what a person can put right."""
    if request.per is not None and request.per not in PERIODS:
        raise UserError(f"--per {request.per}: expected {', '.join(PERIODS)}")
    where = None if request.where is None else Where(request.where)
    there = open_alerts(request.uri)
    try:
        zone = _zone(request.pipeline, there)
        filters = Filters(
            keys=request.keys,
            levels=request.levels,
            since_ns=_instant("--since", request.since, zone),
            until_ns=_instant("--until", request.until, zone),
        )
        lacking = missing(there, request.keys, request.levels)
        top = request.top or (None if request.files else _ON_SCREEN)
        chosen = choose(there, filters, where=where, top=top, per=request.per, zone=zone)
    finally:
        there.close()
    name = shown(request.uri)
    if lacking:
        if not chosen.rows:
            raise UserError(f"no alerts of {lacking} in {name}")
        say(f"no alerts of {lacking} in {name}")
    if not request.files:
        _show(chosen, request.per, zone)
    for kind, to in request.files.items():
        write_list(flat_of(chosen, zone), kind, to)
        if to != "-":
            put(f"{chosen.rows:,} alert{'' if chosen.rows == 1 else 's'}, times in {zone}: {to}")


def flat_of(chosen: Chosen, zone: str) -> pl.DataFrame:
    """The flat table of what was chosen."""
    return pl.concat([alerts_flat(frame, zone) for frame in chosen.alerts], how="diagonal_relaxed") if chosen.alerts else _nothing(zone)


def _nothing(zone: str) -> pl.DataFrame:
    from offbeat.io.read.alert_files import typed
    from offbeat.io.write.alert_table import EMPTY

    return alerts_flat(typed(pl.DataFrame(EMPTY.empty_table())), zone)


def _show(chosen: Chosen, per: str | None, zone: str) -> None:
    worst = [record for frame in chosen.alerts for record in records(frame)]
    if per is None or not worst:
        total = len(worst) if chosen.total is None else chosen.total
        show(worst_table(worst, total, zone=zone), console())
    else:
        of = "" if chosen.total is None else f" of {chosen.total:,}"
        show(alerts_table(worst, title=f"the worst of each {per}: {len(worst):,}{of} alerts", zone=zone), console())


def _zone(pipeline: str | None, there: AlertList) -> str:
    frame = next(there.worst(Filters()), pl.DataFrame())
    if frame.is_empty():
        return "UTC"
    plan = plan_of(pipeline, str(frame["pipeline"][0]))
    return plan.zone if plan is not None else "UTC"


def _instant(option: str, text: str | None, zone: str) -> int | None:
    if text is None:
        return None
    try:
        return instant_ns(text, zone)
    except ValueError as error:
        raise UserError(f"{option} {text}: expected a date or time such as 2024-01-31 or 2024-01-31T09:15:00") from error
