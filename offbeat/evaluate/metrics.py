"""Quality of alerts and scores against known anomalies: plain functions from arrays and frames to figures.

Events have the columns `labels.EVENTS` (both ends included), alerts and rows the columns `key` and `time` (Datetime, ns, UTC). A figure
that would divide by nothing is None, never a made-up 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from offbeat.core.batch import F64, I64, Bools
from offbeat.evaluate.labels import TIME

ALL = "all"
"""The name of the kind in figures over all kinds."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """How well scores rank anomalous rows above the others."""

    rows: int
    """Rows with a score."""
    odd: int
    """Anomalous ones among them."""
    unscored: int
    """Rows whose score is NaN; they are left out."""
    roc_auc: float | None
    """Probability that an anomalous row scores higher than another, ties counted half; None if all rows are anomalous, or none."""
    pr_auc: float | None
    """Average precision: the precision at each distinct score, weighted by the recall it adds; None as above."""


@dataclass(frozen=True, slots=True)
class Delay:
    """Time from the beginning of an event to its first alert, over the events found, nanoseconds."""

    median_ns: float
    mean_ns: float
    greatest_ns: int


@dataclass(frozen=True, slots=True)
class KindFigures:
    """Quality of alerts for one kind of event, or for all."""

    kind: str
    events: int
    found: int
    """Events with at least one alert."""
    alerts: int
    """Alerts that lie in an event of the kind."""
    precision: float | None
    """Those among themselves and the false alarms: alerts about other kinds are neither right nor wrong."""
    recall: float | None
    """Share of the events that are found."""
    f1: float | None
    """Harmonic mean of the two: precision over alerts, recall over events (Fc1 of Garg et al. 2021); 0 where no event is found."""
    delay: Delay | None


@dataclass(frozen=True, slots=True)
class AlertFigures:
    """Quality of alerts."""

    alerts: int
    false_alarms: int
    """Alerts that lie in no event."""
    per_10_000_rows: float | None
    """False alarms per 10,000 rows; None if the number of rows is not known."""
    per_key_day: float | None
    """False alarms per key and day; None likewise."""
    overall: KindFigures
    kinds: tuple[KindFigures, ...]
    """In the order of their names."""


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """What a threshold lets through as it is lowered from score to score; n distinct scores, greatest first."""

    scores: F64
    """(n,)"""
    hits: I64
    """(n,) anomalous rows at or above each score."""
    misses: I64
    """(n,) other rows at or above it."""


def curve(odd: Bools, scores: F64, others_last: int = 0) -> Curve:
    """The curve of `scores` (n,), higher = more anomalous, none of them NaN, against the truth `odd` (n,); equal scores stand together.

    `others_last`: so many more rows are not odd, and have the score -inf.
    """
    if others_last:
        odd, scores = np.append(odd, False), np.append(scores, -np.inf)
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1) if len(ranked) else np.zeros(0, np.int64)
    hits: I64 = np.cumsum(odd[order], dtype=np.int64)[last]
    misses: I64 = last + 1 - hits
    if others_last:
        misses[-1] += others_last - 1
    return Curve(ranked[last], hits, misses)


def ranking(odd: Bools, scores: F64, others_last: int = 0) -> Ranking:
    """Areas under the curves of `scores` (n,), higher = more anomalous, NaN = none, against the truth `odd` (n,).

    Equal scores stand together, so their order does not matter. Definitions as in scikit-learn's roc_auc_score and average_precision_score.
    `others_last`: see `curve`. Raises ValueError where lengths differ.
    """
    if odd.shape != scores.shape:
        raise ValueError(f"{len(scores)} scores for {len(odd)} labels")
    scored = ~np.isnan(scores)
    odd, scores = odd[scored], scores[scored]
    rows, positives = len(odd) + others_last, int(np.count_nonzero(odd))
    unscored = int(np.count_nonzero(~scored))
    if positives in {0, rows}:
        return Ranking(rows, positives, unscored, None, None)
    found = curve(odd, scores, others_last)
    hits, misses = found.hits, found.misses
    added, before = np.diff(hits, prepend=0), hits - np.diff(hits, prepend=0)
    twice = int(np.sum(np.diff(misses, prepend=0) * (2 * before + added)))  # a pair won counts 2, a tie 1: exact in integers
    return Ranking(
        rows,
        positives,
        unscored,
        roc_auc=twice / (2 * positives * (rows - positives)),
        pr_auc=float(np.sum(added * (hits / (hits + misses)))) / positives,
    )


def in_events(events: pl.DataFrame, rows: pl.DataFrame, tolerance_ns: int = 0) -> Bools:
    """Which `rows` lie in an event of their key, that is in [from, to + tolerance]; shape (rows,)."""
    return _Lines(events, rows, tolerance_ns).covered(np.ones(events.height, dtype=np.bool_))


def found_events(events: pl.DataFrame, alerts: pl.DataFrame, tolerance_ns: int = 0) -> pl.DataFrame:
    """`events` with how many `alerts` lie in each, and the time of the first (`first_alert`, null where there is none)."""
    return _Lines(events, alerts, tolerance_ns).found()


def alert_figures(
    events: pl.DataFrame, alerts: pl.DataFrame, *, tolerance_ns: int = 0, rows: int | None = None, key_days: int | None = None
) -> AlertFigures:
    """Precision, recall and delay of `alerts`, over all and for each kind of event, and the false alarms.

    An event is found if at least one alert of its key lies in [from, to + tolerance]. `rows` and `key_days` are those that were scored: see
    `count_key_days`. An alert is one row: of alerts that were revised, give the latest.
    """
    lines = _Lines(events, alerts, tolerance_ns)
    found = lines.found()
    every: Bools = np.ones(events.height, dtype=np.bool_)
    inside = int(np.count_nonzero(lines.covered(every)))
    false = alerts.height - inside
    kinds = []
    for kind in events["kind"].unique().sort().to_list():
        chosen: Bools = (events["kind"] == kind).to_numpy()
        kinds.append(kind_figures(kind, found.filter(pl.Series(chosen)), int(np.count_nonzero(lines.covered(chosen))), false))
    return AlertFigures(
        alerts.height,
        false,
        per_10_000_rows=false * 10_000 / rows if rows else None,
        per_key_day=false / key_days if key_days else None,
        overall=kind_figures(ALL, found, inside, false),
        kinds=tuple(kinds),
    )


def count_key_days(rows: pl.DataFrame, zone: str = "UTC") -> int:
    """Distinct pairs of key and local day among `rows`."""
    return rows.select("key", pl.col("time").dt.convert_time_zone(zone).dt.date()).n_unique()


def kind_figures(kind: str, found: pl.DataFrame, alerts: int, false: int) -> KindFigures:
    """Figures of the events `found` (see `found_events`), of which `alerts` alerts lie in any, beside `false` ones in no event at all."""
    hit = found.filter(pl.col("alerts") > 0)
    precision = alerts / (alerts + false) if alerts + false else None
    recall = hit.height / found.height if found.height else None
    f1 = None
    if recall is not None:
        f1 = 2 * precision * recall / (precision + recall) if precision and recall else 0.0
    delays: I64 = (hit["first_alert"] - hit["from"]).to_physical().to_numpy()
    delay = Delay(float(np.median(delays)), float(np.mean(delays)), int(np.max(delays))) if len(delays) else None
    return KindFigures(kind, found.height, hit.height, alerts, precision, recall, f1, delay)


class _Lines:
    """Events and rows as integers on one line, key after key and time after time, so that sorted searches stay within a key."""

    def __init__(self, events: pl.DataFrame, rows: pl.DataFrame, tolerance_ns: int) -> None:
        self._events = events
        starts, ends, times = (_ns(frame[name]) for frame, name in ((events, "from"), (events, "to"), (rows, "time")))
        ends = np.minimum(ends, np.iinfo(np.int64).max - tolerance_ns) + tolerance_ns
        self._times = times
        distinct, places = np.unique(np.concatenate([starts, ends, times]), return_inverse=True)
        names = events["key"].unique(maintain_order=True)
        known = pl.Enum(names.cast(pl.String))
        keys = pl.concat([events["key"], events["key"], rows["key"].cast(pl.String)]).cast(known, strict=False).to_physical()
        line = places + keys.cast(pl.Int64).fill_null(names.len()).to_numpy() * len(distinct)
        self._starts, self._ends, self._rows = np.split(line, [events.height, 2 * events.height])

    def covered(self, chosen: Bools) -> Bools:
        """Which rows lie in one of the chosen events: more have begun than ended before."""
        begun = np.searchsorted(np.sort(self._starts[chosen]), self._rows, side="right")
        ended = np.searchsorted(np.sort(self._ends[chosen]), self._rows, side="left")
        inside: Bools = begun > ended
        return inside

    def found(self) -> pl.DataFrame:
        """The events with `alerts` and `first_alert`."""
        order = np.argsort(self._rows, kind="stable")
        line, times = self._rows[order], self._times[order]
        first = np.searchsorted(line, self._starts, side="left")
        counts = np.searchsorted(line, self._ends, side="right") - first
        when = pl.Series("first_alert", [int(times[i]) if n > 0 else None for i, n in zip(first, counts, strict=True)], pl.Int64)
        return self._events.with_columns(pl.Series("alerts", counts, pl.Int64), when.cast(TIME))


def _ns(times: pl.Series) -> I64:
    ns: I64 = times.cast(TIME).to_physical().to_numpy()
    return ns
