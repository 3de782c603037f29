"""`offbeat label`: what an incident turned out to be."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from offbeat.cli.options import RaisedBy

EXAMPLES = """\b
Examples:
  offbeat label b1a7cdc43e5a real --store sqlite:///alerts.db
  offbeat label 94a245a98c20 false --why 'opening auction' --store sqlite:///alerts.db
  offbeat label 94a245a98c20 none --store sqlite:///alerts.db
"""


class Label(StrEnum):
    """What can be said."""

    REAL = "real"
    FALSE = "false"
    NONE = "none"


def label(
    incident: Annotated[str, typer.Argument(metavar="INCIDENT", help="The first digits of an incident's id.", show_default=False)],
    what: Annotated[Label, typer.Argument(metavar="LABEL", help="real, false, or none to take it back.", show_default=False)],
    store: Annotated[str, typer.Option(metavar="STORE", help="sqlite:///FILE.db or postgresql://USER@HOST/NAME.", show_default=False)],
    why: Annotated[str, typer.Option(metavar="TEXT", help="Why.")] = "",
    who: Annotated[str | None, typer.Option(metavar="NAME", help="Who says so.", show_default="the user's name")] = None,
    pipeline: RaisedBy = None,
) -> None:
    """Say whether an incident was real or false.

    `offbeat learn` proposes limits from what was said. Nothing else changes.
    """
    from offbeat.cli.say import put
    from offbeat.cli.working_incidents import user_name
    from offbeat.engines.incidents import open_incidents
    from offbeat.errors import UserError
    from offbeat.io.report.console import ID_DIGITS
    from offbeat.store.database import StoreGoneError

    try:
        with open_incidents(store, pipeline, most=None) as incidents:
            found = incidents.incident(incident)
            done = incidents.label(found, user_name(who), None if what is Label.NONE else what.value, why)
    except StoreGoneError as error:
        raise UserError(f"the store cannot be reached: {error}") from error
    put(f"{done.incident_id[:ID_DIGITS]} {done.label or 'has no label'}")
