"""Alerts as a flat table: one row an alert, one plain value a cell, for lists that people and other programs read."""

from __future__ import annotations

from typing import Any

import polars as pl

from offbeat.io.report.console import Record, alert_records, compared, out_of_range, summary, that_voted

_FIRED = {"what": pl.String, "detector": pl.String, "feature": pl.String} | dict.fromkeys(("observed", "expected", "threshold"), pl.Float64)
FIRED = frozenset(_FIRED)
"""Columns that are told by the detector that voted with the highest score."""
_OWN = ("status", "votes", "voters", "pipeline", "view", "alert_id", "revision")


def alerts_flat(alerts: pl.DataFrame, zone: str = "UTC") -> pl.DataFrame:
    """The alerts of a frame (see `read_alerts`) as a flat table, in their order.

    `time` is in `zone`. `what` says in words what fired. `detector`, `feature`, `observed`, `expected` and `threshold` are those of the
    detector that voted with the highest score, and of the feature farthest from what is usual where it tells several. The values of the
    judged row are `row.NAME`.
    """
    plain = alerts.with_columns(pl.col("level", "key", *_OWN).exclude("votes", "voters", "revision").cast(pl.String))
    head = plain.select("level", "severity", "key", pl.col("time").dt.convert_time_zone(zone))
    return pl.concat([head, fired(alerts), plain.select(_OWN), inner(alerts, "row")], how="horizontal")


def fired(alerts: pl.DataFrame) -> pl.DataFrame:
    """(n,) the columns `FIRED` of alerts."""
    return pl.DataFrame([told(alert) for alert in alert_records(alerts.to_arrow())], schema=_FIRED)


def inner(alerts: pl.DataFrame, name: str) -> pl.DataFrame:
    """(n,) the fields of a struct as columns `NAME.FIELD`; of `window` those of its statistics."""
    column = alerts[name]
    if name == "window" and isinstance(column.dtype, pl.Struct):
        column = column.struct.field("statistics")
    if not isinstance(column.dtype, pl.Struct):
        return pl.DataFrame()
    return column.struct.unnest().rename(lambda field: f"{name}.{field}")


def told(alert: Record) -> dict[str, Any]:
    """The columns `FIRED` of one alert."""
    voted = that_voted(alert)
    if not voted:
        return dict.fromkeys(_FIRED)
    first = voted[0]
    words = {"what": summary(alert), "detector": first["name"], "feature": None}
    outside = out_of_range(first)
    if not outside:
        return words | {"observed": compared(first), "expected": first["expected"], "threshold": first["threshold"]}
    far = outside[0]
    above = far["observed"] is not None and far["expected"] is not None and far["observed"] > far["expected"]
    limit = far["high"] if above else far["low"]
    return words | {"feature": far["feature"], "observed": far["observed"], "expected": far["expected"], "threshold": limit}
