"""The rows around an alert's, read again from the file that it came from."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from offbeat.core.plan import Plan
from offbeat.errors import UserError
from offbeat.io.kafka import KAFKA
from offbeat.io.read.neighbours import neighbours, rows_near
from offbeat.io.report.console import Record
from offbeat.io.report.drawing import instant_ns
from offbeat.io.write.provenance import find_origin

_LEAST, _MOST = 120, 2_500
"""Rows on each side."""


def rows_around(alert: Record, uri: str, plan: Plan | None, sources: Sequence[str] = ()) -> pl.DataFrame:
    """Rows of the alert's key before and after its own, as many as the detectors that voted held it against.

    `uri`: the output that holds the alert; a store, and what is kept beside a file, tell which row each alert came from. `sources`: where
    the rows are otherwise, such as those that came by standard input or a topic. Raises UserError where nothing tells, or the file is gone.
    """
    if plan is None:
        raise UserError(f"a plot needs pipeline {alert['pipeline']!r}; name its file with --pipeline FILE.yaml")
    used = [d["window"]["n"] for d in alert["detectors"] if d["voted"] and d.get("window") is not None]
    each_side = min(max([_LEAST, *used]), _MOST)
    try:
        return _by_origin(alert, uri, plan, each_side)
    except UserError:
        if not sources or any(view.rollup is not None for view in plan.views if view.name == alert["view"]):
            raise
    return rows_near(plan.source, sources, alert["key"], instant_ns(alert["time"]), each_side=each_side)


def _by_origin(alert: Record, uri: str, plan: Plan, each_side: int) -> pl.DataFrame:
    if uri.startswith(KAFKA):
        raise UserError("a topic does not tell which row an alert came from: name the source of the rows")
    origin = find_origin(uri, alert["alert_id"])
    if origin is None:
        raise UserError("this alert is about a window, not a row; only alerts about rows can be plotted")
    return neighbours(plan.source, origin, alert["key"], each_side=each_side)
