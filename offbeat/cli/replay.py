"""`offbeat replay`."""

from __future__ import annotations

from typing import Annotated

import typer

from offbeat.errors import UserError

EXAMPLES = """\b
Examples:
  # Play history as if it were live
  offbeat replay data/trades --speed 60x | offbeat run trades -
  # See what a file holds, as JSON lines
  offbeat replay data/AIG.dbn.zst --speed max | head -3
  # Merge all files into one, in event-time order
  offbeat replay data/trades trades.ndjson --speed max
  # A source of your own, at its own pace
  offbeat replay my.csv --pipeline my.yaml
"""


def replay(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A file, a folder, or a quoted pattern.", show_default=False)],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A new FILE.ndjson or FILE.jsonl, or - for standard output.")] = "-",
    pipeline: Annotated[
        str | None,
        typer.Option(
            "--pipeline", metavar="PIPELINE", help="Pipeline that describes SOURCE.", show_default="the shipped one that fits its columns"
        ),
    ] = None,
    speed: Annotated[
        str, typer.Option("--speed", metavar="SPEED", help="1x is real time, 60x plays a minute per second, max does not wait.")
    ] = "1x",
) -> None:
    """Replay a source in event-time order.

    Merges the rows of all files and keys by event time and writes them as JSON lines, at their own pace or faster. `offbeat run PIPELINE -`
    scores them as it would score the files.
    """
    pace = _speed(speed)
    if source == "-":
        raise UserError("cannot replay standard input; name a file, a folder or a quoted pattern")
    from offbeat.cli.replaying import send

    send(source, target, pipeline, pace)


def _speed(text: str) -> float | None:
    """Seconds of event time in a second; None for `max`."""
    if text == "max":
        return None
    try:
        pace = float(text.removesuffix("x"))
    except ValueError:
        pace = 0.0
    if not text.endswith("x") or not 0 < pace < float("inf"):
        raise UserError(f"--speed {text}: expected a factor such as 1x or 60x, or max")
    return pace
