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
  # The scores of all rows, to be evaluated elsewhere
  offbeat compare trades data/trades --scores scores.parquet
  # Two pipelines
  offbeat compare trades data --with mine.yaml
  # One pipeline, before and after a change
  offbeat compare trades data --with trades --set trade.forest.trees=200
"""


def compare(
    pipeline: Annotated[str, typer.Argument(metavar="PIPELINE", help="A YAML file or a shipped pipeline (trades).", show_default=False)],
    source: Annotated[
        list[str] | None,
        typer.Argument(metavar="SOURCE", help="Files, folders, quoted patterns, or - for JSON lines on standard input."),
    ] = None,
    detectors: Annotated[
        str | None,
        typer.Option(metavar="A,B,…", help="Show only these; vote is their joint decision.", show_default="all"),
    ] = None,
    others: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="PIPELINE", help="Compare with this pipeline on the same source. Repeatable."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Known anomalies: CSV or Parquet with key, kind, from, to or key, time, label.", show_default=False
        ),
    ] = None,
    tolerance: Annotated[
        str | None,
        typer.Option(
            metavar="LENGTH", help="How long after an anomaly a flag still finds it: 50 rows, 30s.", show_default="longest window"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print only one JSON object.")] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Plot scores over time and agreement into this file.", show_default=False)
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(metavar="FILE.parquet", help="Write what each detector said of every row into this file.", show_default=False),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="PATH=VALUE", help="Change one value of PIPELINE (not of --with): view.detector.param=value. Repeatable."
        ),
    ] = None,
) -> None:
    """Compare detectors on one source.

    Shows how often each flags, how far they agree and, with labels, what they find. All detectors score the same rows, as `offbeat run`
    would. No alerts are written.
    """
    if others and "-" in (source or ()):
        raise UserError("standard input can be read only once; to compare pipelines, write it to a file")
    if tolerance is not None and labels is None:
        raise UserError("--tolerance needs --labels FILE")
    from offbeat.cli.comparing import Wanted, carry_out

    wanted = Wanted(
        pipeline=pipeline,
        sources=tuple(source or ()),
        detectors=tuple(word.strip() for word in detectors.split(",") if word.strip()) if detectors is not None else (),
        others=tuple(others or ()),
        labels=labels,
        tolerance=tolerance,
        as_json=as_json,
        plot=plot,
        scores=scores,
        overrides=tuple(overrides or ()),
    )
    carry_out(wanted)
