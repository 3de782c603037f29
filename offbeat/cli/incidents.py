"""`offbeat incidents`: working through the episodes of a store."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from offbeat.cli.options import RaisedBy

EXAMPLES = """\b
Examples:
  # What waits, worst first
  offbeat incidents sqlite:///alerts.db
  offbeat incidents sqlite:///alerts.db show b1a7cdc43e5a
  offbeat incidents sqlite:///alerts.db ack b1a7cdc43e5a --why 'calling the exchange'
  offbeat incidents sqlite:///alerts.db snooze b1a7cdc43e5a --until 4h
  offbeat incidents sqlite:///alerts.db resolve b1a7cdc43e5a
  # What is known; a maintenance window has --since and --until
  offbeat incidents sqlite:///alerts.db mute 'SIM-*' --why 'test SIMs' --until 2024-06-30
  offbeat incidents sqlite:///alerts.db mutes
  offbeat incidents sqlite:///alerts.db list --state resolved --json
"""


class What(StrEnum):
    """What can be done."""

    LIST = "list"
    SHOW = "show"
    ACK = "ack"
    RESOLVE = "resolve"
    CLOSE = "close"
    REOPEN = "reopen"
    SUPPRESS = "suppress"
    SNOOZE = "snooze"
    COMMENT = "comment"
    MUTE = "mute"
    UNMUTE = "unmute"
    MUTES = "mutes"


def incidents(
    store: Annotated[str, typer.Argument(metavar="STORE", help="sqlite:///FILE.db or postgresql://USER@HOST/NAME.", show_default=False)],
    what: Annotated[What, typer.Argument(metavar="ACTION", help=", ".join(What) + ".")] = What.LIST,
    which: Annotated[
        list[str] | None,
        typer.Argument(metavar="INCIDENT", help="Incidents, by the first digits of their ids; a key for mute, a number for unmute."),
    ] = None,
    why: Annotated[str, typer.Option(metavar="TEXT", help="A reason or comment, kept with the action.")] = "",
    who: Annotated[str | None, typer.Option(metavar="NAME", help="Who does it.", show_default="the user's name")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only alerts from this time on; for mute: alerts from this time on are muted.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="End of a snooze or mute: a time, or a duration from now (4h).")] = None,
    view: Annotated[str, typer.Option(metavar="VIEW", help="For mute: only alerts of this view.")] = "",
    state: Annotated[
        list[str] | None,
        typer.Option(metavar="STATE", help="List those of this state, also muted, inhibited and snoozed ones. Repeatable; or all."),
    ] = None,
    key: Annotated[list[str] | None, typer.Option(metavar="KEY", help="List those with alerts of this key. Repeatable.")] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Number of incidents to list.")] = 20,
    pipeline: RaisedBy = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, an object a line.")] = False,
) -> None:
    """List the incidents of a store, and act on them.

    An incident is an episode with what people did about it: open, acknowledged, resolved, closed, suppressed, snoozed. It is attached to
    its alerts, so it stays when a late alert joins it with another.
    """
    from offbeat.cli.working_incidents import Asked, work

    work(
        Asked(
            store=store,
            what=what,
            which=tuple(which or ()),
            why=why,
            who=who,
            since=since,
            until=until,
            view=view,
            states=tuple(state or ()),
            keys=tuple(key or ()),
            limit=limit,
            pipeline=pipeline,
            as_json=as_json,
        )
    )
