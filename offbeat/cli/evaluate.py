"""`offbeat evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from offbeat.cli.options import RaisedBy

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
            metavar="LABELS", help="Known anomalies: CSV or Parquet with key, kind, from, to or key, time, label.", show_default=False
        ),
    ],
    tolerance: Annotated[str, typer.Option(metavar="LENGTH", help="How long after an anomaly an alert still finds it: 30s, 10m.")] = "0s",
    pipeline: RaisedBy = None,
    span: Annotated[
        str | None,
        typer.Option(
            metavar="LENGTH", help="Length of the windows that alerts are about: 1d.", show_default="from the pipeline; 0 for rows"
        ),
    ] = None,
    rows: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Rows scored, for false alarms per 10,000 rows.", show_default=False)
    ] = None,
    key_days: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Key-days scored, for false alarms per 1,000 key-days, ROC and PR.", show_default=False),
    ] = None,
    ledger: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Output of `offbeat run --json`, for rows and, where windows are scored, key-days.", show_default=False
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print only one JSON object.")] = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Plot ROC, PR and one anomaly of each kind into this file.", show_default=False)
    ] = None,
) -> None:
    """Measure the alerts of a run against labels.

    Prints precision, recall, F1, delay and false alarms by kind of anomaly, ROC-AUC and PR-AUC. An alert is a true positive if its row, or
    any moment of its window, lies in an anomaly of its key.

    ROC and PR rank key-days by their worst alert: with --key-days or --ledger all key-days scored, else only those with an alert or an
    anomaly.
    """
    from offbeat.cli.evaluating import Wanted, carry_out

    carry_out(Wanted(alerts, labels, tolerance, pipeline, span, rows, key_days, ledger, as_json, html))
