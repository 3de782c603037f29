"""`offbeat load`."""

from __future__ import annotations

from typing import Annotated

import typer

from offbeat.cli.options import Describes, Master
from offbeat.errors import UserError
from offbeat.io.kafka import KAFKA

EXAMPLES = """\b
Examples:
  # All bars of a folder into a topic, on the cluster
  offbeat load /mnt/bars kafka://b:9092/bars --engine spark
  # Goes on after an interruption
  offbeat load /mnt/calls kafka://b:9092/calls --engine spark --resume march
  # On one machine, in the order of event time
  offbeat replay data/bars kafka://b:9092/bars --speed max
"""


def load(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="A file, a folder, or a quoted pattern, which all workers see under this name.", show_default=False
        ),
    ],
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help=f"{KAFKA}HOST:PORT/TOPIC; the topic is made if it is not there.", show_default=False)
    ],
    pipeline: Describes = None,
    resume: Annotated[
        str | None, typer.Option("--resume", metavar="NAME", help="A name for this load; the same command again goes on where it stopped.")
    ] = None,
    engine: Annotated[str, typer.Option(metavar="NAME", help="What carries the rows: spark.")] = "spark",
    master: Master = None,
) -> None:
    """Load files into a topic of Kafka, on a Spark cluster.

    Every readable row becomes a JSON record under the pipeline's key, once, the rows of a key in the order in which a run over the files
    reads them. A task for each partition of the topic.
    """
    if engine != "spark":
        raise UserError(f"--engine {engine}: load is for spark; on one machine, `offbeat replay SOURCE {KAFKA}HOST:PORT/TOPIC --speed max`")
    if source == "-":
        raise UserError("standard input cannot be read by a cluster: name a file, a folder or a quoted pattern")
    from offbeat.cli.execute_spark import load as execute

    raise typer.Exit(execute(source, target, pipeline, resume, master))
