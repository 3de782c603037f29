"""`offbeat report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from offbeat.cli.options import RaisedBy

EXAMPLES = """\b
Examples:
  offbeat report alerts.jsonl -o report.html
  # Yesterday's, in the pipeline's zone
  offbeat report sqlite:///alerts.db --day 2024-06-28 -o report.html
  # With the ledger of the run
  offbeat run bars data/ --alerts alerts.jsonl --json > run.json
  offbeat report alerts.jsonl --ledger run.json -o report.html
"""


def report(
    uri: Annotated[
        str, typer.Argument(metavar="URI", help="A file, folder, topic or store that `offbeat run --alerts` wrote to.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE.html", help="The file to write.", show_default=False)],
    day: Annotated[
        str | None, typer.Option(metavar="DATE", help="Only alerts of this day, in the pipeline's zone.", show_default="all")
    ] = None,
    top: Annotated[int, typer.Option(min=0, max=50, metavar="N", help="Incidents shown in full, the worst.")] = 10,
    ledger: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="What the run's --json printed: where every row went.", show_default=False)
    ] = None,
    pipeline: RaisedBy = None,
) -> None:
    """Write a report on alerts into one HTML file.

    It has a summary, and the worst incidents drawn and explained. It needs no network, holds no script, and can be printed and sent.
    """
    from offbeat.cli.reporting import Asked, write
    from offbeat.cli.say import put

    put(f"report: {write(Asked(uri, out, day, top, ledger, pipeline))}")
