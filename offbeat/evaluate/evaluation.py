"""Quality of a run's alerts, against known anomalies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from offbeat.core.batch import F64, I64, Bools
from offbeat.core.key_spellings import spelled_like
from offbeat.errors import UserError
from offbeat.evaluate.comparison import kind_as_dict
from offbeat.evaluate.labels import TIME
from offbeat.evaluate.metrics import ALL, AlertFigures, Curve, Ranking, curve, found_events, in_events, kind_figures, ranking

_SHOWN = 3
_FARTHEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class ViewFigures:
    """Alerts of one view."""

    view: str
    length_ns: int
    """Length of the windows that its alerts are about; 1: rows."""
    alerts: int
    false_alarms: int


@dataclass(frozen=True, slots=True, eq=False)
class RankedDays:
    """Key-days, ranked by the worst alert of each."""

    by: str
    """`severity`, or `score` where an alert has no severity."""
    listed: int
    """Key-days that have an alert or lie in an anomaly."""
    key_days: int | None
    """All that were scored; None: not known, so only those listed are ranked."""
    left_out: int
    """Key-days that lie in the tolerance after an anomaly only: neither anomalous nor ordinary."""
    areas: Ranking
    points: Curve
    """Of those listed, and the others last; key-days without any alert have the score -inf."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """All figures."""

    figures: AlertFigures
    views: tuple[ViewFigures, ...]
    ranked: RankedDays
    events: pl.DataFrame
    """`labels.EVENTS` with `alerts` (how many lie in each) and `first_alert`."""
    alerts: pl.DataFrame
    """As given, with `length` (ns) and `right` (whether it lies in an anomaly)."""
    tolerance_ns: int
    zone: str
    notes: tuple[str, ...]


def evaluate(
    alerts: pl.DataFrame,
    events: pl.DataFrame,
    *,
    lengths: Mapping[str, int] | None = None,
    zone: str = "UTC",
    tolerance_ns: int = 0,
    rows: int | None = None,
    key_days: int | None = None,
) -> Evaluation:
    """Compare alerts with known anomalies (`events`, `labels.EVENTS`).

    `alerts`: `key`, `time` (of a window: its beginning), `view`, `severity`, `score`, and what else a reader wants back; of alerts that
    were revised the latest, without retracted ones. `lengths`: of the windows of each view, nanoseconds; views not named score rows.

    An alert is right if what it is about, a row or [time, time + length), meets an anomaly of its key, or the tolerance after one. It is
    known at the time of its row, or at the last moment of its window: delays run until then. `rows` and `key_days`: all that were judged.

    Raises UserError where there is no anomaly, or fewer key-days than have an alert or an anomaly.
    """
    if events.is_empty():
        raise UserError("the labels hold no anomaly; there is nothing to compare the alerts with")
    alerts = alerts.with_columns(_lengths(alerts, lengths or {}))
    events = events.with_columns(spelled_like(events["key"], alerts["key"]))
    found, right, by_kind = _matched(alerts, events, tolerance_ns)
    alerts = alerts.with_columns(pl.Series("right", right))
    false = alerts.height - int(right.sum())
    kinds = tuple(kind_figures(kind, found.filter(pl.col("kind") == kind), n, false) for kind, n in by_kind.items())
    figures = AlertFigures(
        alerts.height,
        false,
        per_10_000_rows=false * 10_000 / rows if rows else None,
        per_key_day=false / key_days if key_days else None,
        overall=kind_figures(ALL, found, int(right.sum()), false),
        kinds=kinds,
    )
    false_here = (~pl.col("right")).sum().alias("false")
    views = alerts.group_by(pl.col("view").cast(pl.String)).agg(pl.col("length").first(), pl.len().alias("alerts"), false_here).sort("view")
    return Evaluation(
        figures,
        tuple(ViewFigures(*row) for row in views.select("view", "length", "alerts", "false").iter_rows()),
        _ranked(alerts, events, zone, tolerance_ns, key_days),
        found,
        alerts,
        tolerance_ns,
        zone,
        tuple(_notes(alerts, events)),
    )


def _lengths(alerts: pl.DataFrame, lengths: Mapping[str, int]) -> pl.Series:
    views = alerts["view"].cast(pl.String)
    return views.replace_strict(list(lengths), list(lengths.values()), default=1, return_dtype=pl.Int64).alias("length")


def _matched(alerts: pl.DataFrame, events: pl.DataFrame, tolerance_ns: int) -> tuple[pl.DataFrame, Bools, dict[str, int]]:
    """Events with the alerts in each; which alerts are right; how many are so for each kind.

    A window is known at its last moment, so an event reaches the last moment of the window that holds its end.
    """
    kinds = events["kind"].unique().sort().to_list()
    counts: I64 = np.zeros(events.height, np.int64)
    first: I64 = np.full(events.height, _FARTHEST, np.int64)
    right: Bools = np.zeros(alerts.height, np.bool_)
    by_kind = dict.fromkeys(kinds, 0)
    for length in alerts["length"].unique().sort().to_list():
        mine: Bools = (alerts["length"] == length).to_numpy()
        of_length = alerts.filter(pl.Series(mine)).with_columns(_later("time", length - 1))
        reach = events.with_columns(_later("to", length - 1))
        found = found_events(reach, of_length, tolerance_ns)
        counts += found["alerts"].to_numpy()
        first = np.minimum(first, found["first_alert"].to_physical().fill_null(_FARTHEST).to_numpy())
        right[mine] = in_events(reach, of_length, tolerance_ns)
        for kind in kinds:
            by_kind[kind] += int(in_events(reach.filter(pl.col("kind") == kind), of_length, tolerance_ns).sum())
    when = pl.Series("first_alert", first, pl.Int64).set(pl.Series(counts == 0), None)
    return events.with_columns(pl.Series("alerts", counts), when.cast(TIME)), right, by_kind


def _later(column: str, ns: int) -> pl.Expr:
    """The column, moved, and not past the end of time."""
    return (pl.min_horizontal(pl.col(column).cast(TIME).cast(pl.Int64), pl.lit(_FARTHEST - ns)) + ns).cast(TIME).alias(column)


def _ranked(alerts: pl.DataFrame, events: pl.DataFrame, zone: str, tolerance_ns: int, key_days: int | None) -> RankedDays:
    by = "severity" if alerts["severity"].null_count() == 0 else "score"
    last = (pl.col("time").cast(pl.Int64) + pl.col("length") - 1).cast(TIME).alias("to")
    score = pl.col(by).cast(pl.Float64).fill_null(0.0).alias("score")
    judged = _days(alerts.select(pl.col("key").cast(pl.String), pl.col("time").alias("from"), last, score), zone)
    worst = judged.group_by("key", "day").agg(pl.col("score").max())
    odd = _days(events.select("key", "from", "to"), zone).unique().with_columns(pl.lit(value=True).alias("odd"))
    reached = _days(events.select("key", pl.col("to").alias("from"), _later("to", tolerance_ns)), zone).unique()
    after = reached.join(odd, on=["key", "day"], how="anti")
    known = worst.join(odd, on=["key", "day"], how="full", coalesce=True)
    if key_days is not None and key_days < known.height:
        raise UserError(f"{known.height:,} key-days have an alert or an anomaly; there cannot be only {key_days:,}")
    ranked = known.join(after, on=["key", "day"], how="anti")
    silent = after.join(known, on=["key", "day"], how="anti").height
    left_out = known.height - ranked.height + (0 if key_days is None else min(silent, key_days - known.height))
    truth: Bools = ranked["odd"].fill_null(value=False).to_numpy()
    scores: F64 = ranked["score"].fill_null(-np.inf).to_numpy()
    others = 0 if key_days is None else key_days - ranked.height - left_out
    return RankedDays(by, known.height, key_days, left_out, ranking(truth, scores, others), curve(truth, scores, others))


def _days(spans: pl.DataFrame, zone: str) -> pl.DataFrame:
    """`key`, `from`, `to` and others as one row for each local day that is met; `day` instead of the times."""
    day = [pl.col(name).dt.convert_time_zone(zone).dt.date().cast(pl.Int32) for name in ("from", "to")]
    days = pl.int_ranges(day[0], day[1] + 1).alias("day")
    return spans.select(pl.all().exclude("from", "to"), days).explode("day")


def _notes(alerts: pl.DataFrame, events: pl.DataFrame) -> list[str]:
    """Remarks that a reader needs before trusting the figures."""
    if alerts.is_empty():
        return ["there are no alerts"]
    keys = set(alerts["key"].cast(pl.String).unique().to_list())
    if not keys & set(events["key"].to_list()):
        labelled, alerted = _some(events["key"]), _some(alerts["key"])
        return [f"no key of the labels ({labelled}) is among the keys of the alerts ({alerted}); are they from the same data?"]
    times = alerts["time"].cast(TIME).cast(pl.Int64)
    first, last = int(times.to_numpy().min()), int((times + alerts["length"] - 1).to_numpy().max())
    outside = events.filter((pl.col("to").cast(pl.Int64) < first) | (pl.col("from").cast(pl.Int64) > last)).height
    return [f"{outside:,} of {events.height:,} anomalies lie before the first or after the last alert"] if outside else []


def _some(keys: pl.Series) -> str:
    names = keys.cast(pl.String).unique(maintain_order=True).to_list()
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")


def as_dict(evaluation: Evaluation) -> dict[str, Any]:
    """The evaluation as `--json` prints it."""
    figures, ranked = evaluation.figures, evaluation.ranked
    return {
        "alerts": figures.alerts,
        **kind_as_dict(figures.overall),
        "false_alarms": figures.false_alarms,
        "false_alarms_per_10000_rows": figures.per_10_000_rows,
        "false_alarms_per_key_day": figures.per_key_day,
        "roc_auc": ranked.areas.roc_auc,
        "pr_auc": ranked.areas.pr_auc,
        "ranked": {
            "by": ranked.by,
            "key_days": ranked.areas.rows,
            "odd": ranked.areas.odd,
            "all_judged": ranked.key_days is not None,
            "left_out": ranked.left_out,
        },
        "kinds": {kind.kind: {"alerts": kind.alerts, **kind_as_dict(kind)} for kind in figures.kinds},
        "views": {
            view.view: {
                "alerts": view.alerts,
                "false_alarms": view.false_alarms,
                "window_seconds": view.length_ns / 1e9 if view.length_ns > 1 else None,
            }
            for view in evaluation.views
        },
        "tolerance_seconds": evaluation.tolerance_ns / 1e9,
        "zone": evaluation.zone,
        "notes": list(evaluation.notes),
    }
