"""`offbeat calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from offbeat.cli.options import Overrides

EXAMPLES = """\b
Examples:
  offbeat calibrate bars data/bars --budget '3 incidents/day'
  # As a file of its own; what it changes is shown
  offbeat calibrate my.yaml data --budget '20 alerts/day' --write mine-20.yaml
  offbeat calibrate cdr calls --budget '2 alerts/week per key' --since 2024-02-01
"""


def calibrate(
    pipeline: Annotated[str, typer.Argument(metavar="PIPELINE", help="A YAML file or a shipped pipeline.", show_default=False)],
    source: Annotated[list[str], typer.Argument(metavar="SOURCE", help="Files, folders or quoted patterns.", show_default=False)],
    budget: Annotated[
        str,
        typer.Option(
            metavar="TEXT", help="How many: 'N incidents/day' or 'N alerts/day', also /hour, /week, and per key.", show_default=False
        ),
    ],
    write: Annotated[
        Path | None, typer.Option(metavar="OUT.yaml", help="Write the changed pipeline here. The file itself is never changed.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Count from this time on.", show_default="from when every detector had voted once"),
    ] = None,
    limit: Annotated[int, typer.Option(min=0, metavar="N", help="Number of former episodes to show that would be gone.")] = 10,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Find limits that meet a budget of alerts.

    All detectors become stricter by the same share of their votes. Limits are found on two days of three, and checked on the third. Shows
    the change as a diff, and which former episodes it would have cost, the worst first. Nothing is changed in place.
    """
    from offbeat.cli.calibrating import Asked, run

    run(Asked(pipeline, tuple(source), budget, write, since, limit, tuple(overrides or ()), as_json))
