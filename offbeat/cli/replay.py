"""`offbeat replay`."""

from __future__ import annotations

from typing import Annotated

import typer

from offbeat.cli.options import Describes
from offbeat.errors import UserError
from offbeat.io.kafka import KAFKA

EXAMPLES = """\b
Examples:
  # Play history as if it were live
  offbeat replay data/trades --speed 60x | offbeat run trades -
  # See what a file holds, as JSON lines
  offbeat replay data/AIG.dbn.zst --speed max | head -3
  # Merge all files into one, in event-time order
  offbeat replay data/trades trades.ndjson --speed max
  # Into a topic of Kafka, a minute per second; goes on after an interruption
  offbeat replay data/trades kafka://b:9092/trades --speed 60x --resume mon
  # A source of your own, at its own pace
  offbeat replay my.csv --pipeline my.yaml
"""


def replay(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A file, a folder, or a quoted pattern.", show_default=False)],
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="A new FILE.ndjson or FILE.jsonl, kafka://HOST:PORT/TOPIC, or - for standard output.")
    ] = "-",
    pipeline: Describes = None,
    speed: Annotated[
        str, typer.Option("--speed", metavar="SPEED", help="1x is real time, 60x plays a minute per second, max does not wait.")
    ] = "1x",
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume", metavar="NAME", help="To a topic: a name for this replay; the same command again goes on where it stopped."
        ),
    ] = None,
    punctuate: Annotated[
        str,
        typer.Option(
            "--punctuate",
            metavar="DURATION",
            help="To a topic: how often all partitions are told which time has passed, so that windows become final; 0s for never.",
        ),
    ] = "1m",
    payload: Annotated[str, typer.Option("--format", metavar="FORMAT", help="To a topic: what records are: json, avro or arrow.")] = "json",
    schema: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Avro schema; written from the pipeline if it is not there.", show_default="none"),
    ] = None,
    registry: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Register the Avro schema there; records begin with its id.", show_default="none"),
    ] = None,
) -> None:
    """Replay a source in event-time order.

    Merges the rows of all files and keys by event time and writes them as JSON lines, at their own pace or faster. `offbeat run PIPELINE -`
    scores them as it would score the files.
    """
    pace = _speed(speed)
    if source == "-":
        raise UserError("cannot replay standard input; name a file, a folder or a quoted pattern")
    if resume is not None and not target.startswith(KAFKA):
        raise UserError(f"--resume is for a replay to {KAFKA}HOST:PORT/TOPIC")
    if payload != "json" and not target.startswith(KAFKA):
        raise UserError(f"--format {payload} is for a replay to {KAFKA}HOST:PORT/TOPIC")
    from offbeat.cli.replaying import TopicOptions, send
    from offbeat.cli.request import check_payload
    from offbeat.spec.duration import duration_ns

    check_payload(payload, (schema,) if schema is not None else (), registry)
    try:
        every_ns = duration_ns(punctuate)
    except ValueError as error:
        raise UserError(f"--punctuate: {error}") from error
    send(source, target, pipeline, pace, TopicOptions(resume, every_ns, payload, schema, registry))


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
