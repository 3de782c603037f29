"""`offbeat alerts` and `offbeat explain`: reading what a run wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ALERTS_EXAMPLES = """\b
Examples:
  offbeat alerts alerts.jsonl
  offbeat alerts out.parquet --limit 50
  offbeat alerts out.parquet --key AARTIIND --key TCS
  # What is in a topic, and what comes
  offbeat alerts kafka://broker:9092/anomalies
"""
EXPLAIN_EXAMPLES = """\b
Examples:
  offbeat explain worst --alerts alerts.jsonl
  offbeat explain 4b1239cb0fa7 --alerts out.parquet --plot alert.html
  # An alert of your own pipeline
  offbeat explain worst --alerts mine.jsonl --pipeline my.yaml
"""

_Pipeline = Annotated[
    str | None,
    typer.Option(metavar="PIPELINE", help="Pipeline that raised the alerts.", show_default="the shipped one of that name"),
]


def alerts(
    uri: Annotated[
        str, typer.Argument(metavar="URI", help="A file, folder or topic that `offbeat run --alerts` wrote to.", show_default=False)
    ],
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Number of alerts to show.")] = 20,
    key: Annotated[list[str] | None, typer.Option(metavar="KEY", help="Only alerts of this key. Repeatable.")] = None,
    pipeline: _Pipeline = None,
    follow: Annotated[
        bool | None,
        typer.Option("--follow/--no-follow", help="Of a topic, go on with alerts as they come.", show_default="--follow on a terminal"),
    ] = None,
) -> None:
    """List the worst alerts of a run, or of a topic.

    Sorted by severity, then votes, then score. Times are in the zone of the pipeline, in UTC where the pipeline is not known. Of a topic,
    new alerts follow, a line each, until Ctrl-C.
    """
    import polars as pl

    from offbeat.cli.reading import of_keys, plan_of, records
    from offbeat.cli.say import say
    from offbeat.cli.terminal import console, show
    from offbeat.errors import UserError
    from offbeat.io.kafka import KAFKA
    from offbeat.io.read.alert_files import latest, read_alerts
    from offbeat.io.report.run_report import ranked, worst_table

    if uri.startswith(KAFKA) and (console().is_terminal if follow is None else follow):
        from offbeat.cli.following import follow_topic

        follow_topic(uri, limit, key or [], pipeline)
        return
    if follow:
        raise UserError(f"--follow is for topics, {KAFKA}HOST:PORT/TOPIC; a file is listed as it is")
    found = latest(read_alerts(uri))
    if key:
        found, lacking = of_keys(found, key)
        if found.is_empty():
            raise UserError(f"no alerts of {lacking} in {uri}")
        if lacking:
            say(f"no alerts of {lacking} in {uri}")
    worst = records(ranked(found, limit))
    plan = plan_of(pipeline, worst[0]["pipeline"]) if worst else None
    zone = plan.zone if plan is not None else "UTC"
    show(worst_table(worst, found.filter(pl.col("status") != "retracted").height, zone=zone), console())


def explain(
    alert_id: Annotated[
        str, typer.Argument(metavar="ALERT_ID", help="The id of an alert, its first digits, or worst.", show_default=False)
    ],
    uri: Annotated[
        str, typer.Option("--alerts", metavar="URI", help="A file or folder that `offbeat run --alerts` wrote.", show_default=False)
    ],
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="Plot the alert and the rows around it into this file.", show_default=False),
    ] = None,
    pipeline: _Pipeline = None,
) -> None:
    """Explain why an alert was raised.

    Shows what was observed and expected, the limit, which detectors voted, and the evidence. A plot also shows the rows before and after,
    read again from the source file.
    """
    from offbeat.cli.reading import draw, one, plan_of
    from offbeat.cli.say import put
    from offbeat.cli.terminal import console, show
    from offbeat.io.report.explain import explain_panel

    alert = one(uri, alert_id)
    plan = plan_of(pipeline, alert["pipeline"])
    show(explain_panel(alert, plan, zone=plan.zone if plan is not None else "UTC"), console())
    if plot is not None:
        put(f"plot: {draw(alert, uri, plot, plan)}")
