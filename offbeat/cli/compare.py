"""`offbeat compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from offbeat.errors import UserError

EXAMPLES = """\b
Examples:
  # All detectors of a pipeline, and its vote
  offbeat compare trades data/trades
  # Two of them, with a plot
  offbeat compare trades data/trades --detectors forest,vote --plot page.html
  # What each finds of the planted anomalies
  offbeat compare trades trades.csv --labels _trades_labels.parquet
  # Two pipelines
  offbeat compare trades data --with mine.yaml
  # One pipeline, before and after a change
  offbeat compare trades data --with trades --set trade.forest.trees=200
"""


def compare(
    pipeline: Annotated[str, typer.Argument(metavar="PIPELINE", help="A YAML file, or a shipped name (trades).", show_default=False)],
    source: Annotated[
        list[str] | None,
        typer.Argument(metavar="SOURCE", help="Files, folders, patterns in quotes, or - for JSON lines on standard input."),
    ] = None,
    detectors: Annotated[
        str | None,
        typer.Option(metavar="A,B,…", help="Show only these; vote is what they come to together. Default: all.", show_default=False),
    ] = None,
    others: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="PIPELINE", help="Another pipeline beside it, on the same source; may be given again."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What was odd: CSV or Parquet with key, kind, from, to or key, time, label.", show_default=False),
    ] = None,
    tolerance: Annotated[
        str | None,
        typer.Option(metavar="LENGTH", help="How long after an anomaly flags count for it: 50 rows, 30s.", show_default="longest window"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else.")] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Draw scores over time and the agreement into this file.", show_default=False)
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="Change one value of PIPELINE (not of --with): view.detector.param=value."),
    ] = None,
) -> None:
    """Put detectors side by side on one source: how often each flags, how far they agree, and with labels what they find.

    All detectors judge the same rows, as `offbeat run` would; no alert is written anywhere.
    """
    if not source:
        raise UserError(f"no source: name a file, a folder, a pattern in quotes, or -, as in: offbeat compare {pipeline} PATH")
    if others and "-" in source:
        raise UserError("standard input can be read once only: to compare pipelines, write it to a file")
    if tolerance is not None and labels is None:
        raise UserError("--tolerance says how far labels reach: it needs --labels FILE")
    from offbeat.cli.comparing import Wanted, carry_out

    wanted = Wanted(
        pipeline=pipeline,
        sources=tuple(source),
        detectors=tuple(word.strip() for word in detectors.split(",") if word.strip()) if detectors is not None else (),
        others=tuple(others or ()),
        labels=labels,
        tolerance=tolerance,
        as_json=as_json,
        plot=plot,
        overrides=tuple(overrides or ()),
    )
    carry_out(wanted)
