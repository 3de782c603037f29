"""`offbeat learn`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from offbeat.cli.options import RaisedBy

EXAMPLES = """\b
Examples:
  # What the labels ask for, and what it would cost
  offbeat learn sqlite:///alerts.db
  # Run over the rows themselves, before and after
  offbeat learn sqlite:///alerts.db data --pipeline my.yaml
  offbeat learn sqlite:///alerts.db --pipeline my.yaml --apply
  offbeat learn sqlite:///alerts.db --pipeline my.yaml --versions
  offbeat learn sqlite:///alerts.db --pipeline my.yaml --rollback 1
"""


def learn(
    store: Annotated[str, typer.Argument(metavar="STORE", help="sqlite:///FILE.db or postgresql://USER@HOST/NAME.", show_default=False)],
    source: Annotated[
        list[str] | None, typer.Argument(metavar="SOURCE", help="Files to run the pipeline over, before and after.", show_default=False)
    ] = None,
    pipeline: RaisedBy = None,
    write: Annotated[Path | None, typer.Option(metavar="OUT.yaml", help="Write the changed pipeline to a new file.")] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Change the file of --pipeline; the former text is kept in the store.")] = False,
    versions: Annotated[bool, typer.Option("--versions", help="List the versions that are kept.")] = False,
    rollback: Annotated[
        int | None, typer.Option(metavar="N", help="Bring back version N: into the file of --pipeline, or --write.")
    ] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Only alerts from this time on.")] = None,
    limit: Annotated[int, typer.Option(min=0, metavar="N", help="Number of incidents to show that would be gone.")] = 10,
    who: Annotated[str | None, typer.Option(metavar="NAME", help="Who applies it.", show_default="the user's name")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Propose limits from what people said of incidents.

    No incident labelled real is lost, and as many of those labelled false as can be. Shows the change as a diff, and which other
    incidents would be gone. Nothing changes before --apply or --write says so, and each version can be had back.
    """
    from offbeat.cli.learning import Asked, run

    run(Asked(store, tuple(source or ()), pipeline, write, apply, versions, rollback, since, limit, who, as_json))
