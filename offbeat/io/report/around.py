"""The rows around an alert's, read again from the file that it came from."""

from __future__ import annotations

import polars as pl

from offbeat.core.plan import Plan
from offbeat.errors import UserError
from offbeat.io.read.neighbours import neighbours
from offbeat.io.report.console import Record
from offbeat.io.write.provenance import find_origin

_LEAST, _MOST = 120, 2_500
"""Rows on each side."""


def rows_around(alert: Record, uri: str, plan: Plan | None) -> pl.DataFrame:
    """Rows of the alert's key before and after its own, as many as the detectors that voted held it against.

    `uri`: the output that holds the alert; beside it is written which row each alert came from. Raises UserError where that is not told,
    or the file is gone.
    """
    if plan is None:
        raise UserError(f"a plot needs pipeline {alert['pipeline']!r}; name its file with --pipeline FILE.yaml")
    origin = find_origin(uri, alert["alert_id"])
    if origin is None:
        raise UserError("this alert is about a window, not a row; only alerts about rows can be plotted")
    used = [d["window"]["n"] for d in alert["detectors"] if d["voted"] and d.get("window") is not None]
    return neighbours(plan.source, origin, alert["key"], each_side=min(max([_LEAST, *used]), _MOST))
