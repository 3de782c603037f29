"""`offbeat alerts` and `offbeat explain`: reading what a run wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from offbeat.cli.options import RaisedBy

ALERTS_EXAMPLES = """\b
Examples:
  offbeat alerts alerts.jsonl
  offbeat alerts out.parquet --top 50 --key AARTIIND --key TCS
  offbeat alerts sqlite:///alerts.db --level critical --since 2024-03-01
  # The five worst of each day, for a spreadsheet
  offbeat alerts sqlite:///alerts.db --top 5 --per day --xlsx worst.xlsx
  offbeat alerts out.parquet --where 'severity > 0.9 AND volume > 1e6'
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

_File = Annotated[
    str | None, typer.Option(metavar="FILE", help="Write a flat table to this file, - for standard output.", show_default=False)
]


def alerts(
    uri: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE", help="A file, folder, topic or database that `offbeat run --alerts` wrote to.", show_default=False
        ),
    ],
    top: Annotated[
        int | None,
        typer.Option("--top", "--limit", min=1, metavar="N", help="Number of alerts, the worst first.", show_default="20; all into a file"),
    ] = None,
    per: Annotated[
        str | None, typer.Option(metavar="PERIOD", help="The worst of each hour, day, week or month.", show_default="the worst of all")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only alerts from this date or time on, in the zone of the list.", show_default=False)
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Only alerts before this date or time.", show_default=False)] = None,
    level: Annotated[list[str] | None, typer.Option(metavar="LEVEL", help="Only alerts of this level. Repeatable.")] = None,
    key: Annotated[list[str] | None, typer.Option(metavar="KEY", help="Only alerts of this key. Repeatable.")] = None,
    where: Annotated[
        str | None,
        typer.Option(
            metavar="CONDITION",
            help="Only alerts for which this is true: an expression as in pipelines, over columns of the alert and of its row.",
            show_default=False,
        ),
    ] = None,
    csv: _File = None,
    xlsx: _File = None,
    parquet: _File = None,
    json: _File = None,
    pipeline: RaisedBy = None,
    follow: Annotated[
        bool | None,
        typer.Option(
            "--follow/--no-follow",
            help="Of a topic or a database, go on with alerts as they come.",
            show_default="--follow for a topic on a terminal",
        ),
    ] = None,
) -> None:
    """List the worst alerts, or write them to a file for others.

    Sorted by severity, then votes, then score. Times are in the zone of the pipeline, in UTC where the pipeline is not known. Of a topic,
    and of a database with --follow, new alerts follow, a line each, until Ctrl-C.
    """
    from offbeat.cli.list_alerts import Request, follows, list_alerts

    files = {"csv": csv, "xlsx": xlsx, "parquet": parquet, "json": json}
    request = Request(
        uri, top, per, since, until, tuple(level or ()), tuple(key or ()), where, {kind: to for kind, to in files.items() if to}, pipeline
    )
    if follows(request, follow):
        from offbeat.cli.following import follow_store, follow_topic
        from offbeat.io.stores import is_store

        (follow_store if is_store(uri) else follow_topic)(uri, top or 20, key or [], pipeline)
    else:
        list_alerts(request)


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
    pipeline: RaisedBy = None,
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
