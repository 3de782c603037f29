"""`offbeat evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = """\b
Examples:
  offbeat evaluate alerts.jsonl bars/_labels.parquet
  # Alerts up to 10 minutes after an anomaly count; draw the curves
  offbeat evaluate alerts.jsonl labels.csv --tolerance 10m --html report.html
  # False alarms per row and per key-day
  offbeat run cdr calls --alerts out.parquet --json > ledger.json
  offbeat evaluate out.parquet calls_labels.parquet --ledger ledger.json
"""


def evaluate(
    alerts: Annotated[
        str, typer.Argument(metavar="ALERTS", help="A file or folder that `offbeat run --alerts` wrote.", show_default=False)
    ],
    labels: Annotated[
        Path,
        typer.Argument(
            metavar="LABELS", help="What was odd: CSV or Parquet with key, kind, from, to or key, time, label.", show_default=False
        ),
    ],
    tolerance: Annotated[str, typer.Option(metavar="LENGTH", help="How long after an anomaly alerts count for it: 30s, 10m.")] = "0s",
    pipeline: Annotated[
        str | None,
        typer.Option(metavar="PIPELINE", help="The pipeline that raised the alerts; a shipped one is found by itself.", show_default=False),
    ] = None,
    span: Annotated[
        str | None,
        typer.Option(
            metavar="LENGTH", help="How long the windows are that alerts judge: 1d.", show_default="as the pipeline says; 0 for rows"
        ),
    ] = None,
    rows: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Rows judged, for false alarms in 10,000 rows.", show_default=False)
    ] = None,
    key_days: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Days of all keys judged, for false alarms in 1,000 of them, and ranks.", show_default=False),
    ] = None,
    ledger: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="What `offbeat run --json` printed: rows, and days of keys where windows are judged.", show_default=False
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else.")] = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Draw ROC, PR and an anomaly of each kind into this file.", show_default=False)
    ] = None,
) -> None:
    """Hold the alerts of a run against labels: precision, recall, F1, delay, false alarms, by kind of anomaly; ROC-AUC and PR-AUC.

    An alert is right if its row, or any moment of its window, lies in an anomaly of its key. Ranked are days of keys, by the worst alert
    of each: with --key-days or --ledger all that were judged, otherwise those that have an alert or an anomaly.
    """
    from offbeat.cli.evaluating import Wanted, carry_out

    carry_out(Wanted(alerts, labels, tolerance, pipeline, span, rows, key_days, ledger, as_json, html))
