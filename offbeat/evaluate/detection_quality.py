"""Quality of verdicts against labels, with a tolerance after each anomaly for windows that still hold it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl

from offbeat.core.batch import I64, Bools
from offbeat.core.key_spellings import spelled_like
from offbeat.errors import UserError
from offbeat.evaluate.labels import TIME
from offbeat.evaluate.metrics import AlertFigures, Ranking, alert_figures, found_events, in_events, ranking
from offbeat.evaluate.series import JudgedRows, Series
from offbeat.spec.duration import UNITS_NS

ALARMS = (10, 50)
"""False alarms per 10,000 rows at which detectors are compared, whatever their thresholds."""
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How long after its end an anomaly may still be flagged: a number of rows of its key, or a duration, whichever ends later."""

    rows: int = 0
    ns: int = 0

    def __str__(self) -> str:
        parts = [f"{self.rows:,} row{'s' * (self.rows != 1)}"] * (self.rows > 0)
        if self.ns:
            parts.append(next(f"{self.ns // size:,}{unit}" for unit, size in reversed(UNITS_NS.items()) if self.ns % size == 0))
        return " or ".join(parts) or "0s"


@dataclass(frozen=True, slots=True)
class Truth:
    """Labels as they fall on the rows of one view."""

    rows: pl.DataFrame
    """(n,) `key` and `time` of the rows."""
    events: pl.DataFrame
    """Events (`labels.EVENTS`) of keys and times that the rows have."""
    reached: pl.DataFrame
    """The same with `to` moved by the tolerance."""
    odd: Bools
    """(n,) rows within an event."""
    after: Bools
    """(n,) rows within the tolerance after an event, and in no other: neither anomalous nor ordinary."""
    other_keys: int
    """Events of keys without any row."""
    other_times: int
    """Events before the first or after the last row of their key."""


@dataclass(frozen=True, slots=True)
class Worth:
    """Quality of one detector."""

    alerts: AlertFigures
    """An event is found if a row is flagged from its beginning to its end and the tolerance after it; what is flagged there is no false
    alarm."""
    ranking: Ranking
    """Of rows within events against the others; rows of the tolerance are left out."""
    by_chance: float | None
    """Share of the events that the false alarms alone would find if each key's were moved by half of its rows: what recall is worth where
    flags are many and events long."""
    found_at: tuple[float | None, ...]
    """Share of the events found if the threshold were moved to where there are just `ALARMS` false alarms per 10,000 rows scored."""


def truth_on(events: pl.DataFrame, rows: JudgedRows, tolerance: Tolerance) -> Truth:
    """Find the rows of the labels."""
    frame = rows.frame()
    spans = frame.group_by(pl.col("key").cast(pl.String)).agg(first=pl.col("time").min(), last=pl.col("time").max())
    events = events.with_columns(spelled_like(events["key"], spans["key"]))
    known = events.join(spans, on="key", how="left", maintain_order="left")
    # A window's verdict is known once its last row is in: at the window's last moment.
    to = pl.col("to").cast(pl.Int64) + (rows.length_ns - 1)
    known = known.with_columns(to.cast(TIME).alias("to"))
    here = known.filter((pl.col("to") >= pl.col("first")) & (pl.col("from") <= pl.col("last"))).select(events.columns)
    strangers = known["first"].null_count()
    reached = here.with_columns(_reach(here, rows, frame, tolerance))
    odd = in_events(here, frame)
    return Truth(frame, here, reached, odd, in_events(reached, frame) & ~odd, strangers, events.height - strangers - here.height)


def _reach(events: pl.DataFrame, rows: JudgedRows, frame: pl.DataFrame, tolerance: Tolerance) -> pl.Series:
    """Ends of the events, moved: by rows, to the time of the last of them."""
    ends: I64 = events["to"].to_physical().to_numpy()
    moved = np.minimum(ends, np.iinfo(np.int64).max - tolerance.ns) + tolerance.ns
    if tolerance.rows:
        times: I64 = frame["time"].to_physical().to_numpy()
        order = np.argsort(rows.slots, kind="stable")
        begins = np.searchsorted(rows.slots[order], np.arange(len(rows.keys) + 1))
        slot = {name: i for i, name in enumerate(rows.keys)}
        for e, key in enumerate(events["key"]):
            of_key = times[order[begins[slot[key]] : begins[slot[key] + 1]]]
            last = min(int(np.searchsorted(of_key, ends[e], side="right")) - 1 + tolerance.rows, len(of_key) - 1)
            moved[e] = max(moved[e], of_key[last])
    return pl.Series("to", moved, pl.Int64).cast(TIME)


def worth(series: Series, truth: Truth) -> Worth:
    """Figures of one detector; false alarms are counted per row that it scored."""
    alerts = truth.rows.filter(pl.Series(series.voted))
    judged = int(np.count_nonzero(~np.isnan(series.score)))
    takes_part = ~truth.after
    return Worth(
        alert_figures(truth.reached, alerts, rows=judged),
        ranking(truth.odd[takes_part], series.score[takes_part]),
        _by_chance(series, truth),
        _found_at(series, truth, judged),
    )


def _by_chance(series: Series, truth: Truth) -> float | None:
    false = series.voted & ~(truth.odd | truth.after)
    slots = series.rows.slots
    order = np.argsort(slots, kind="stable")
    edges = np.searchsorted(slots[order], np.arange(len(series.rows.keys) + 1)).tolist()
    moved = np.zeros(len(slots), np.bool_)
    for begin, end in pairwise(edges):
        moved[order[begin:end]] = np.roll(false[order[begin:end]], (end - begin) // 2)
    return _share_found(truth, moved)


def _share_found(truth: Truth, flagged: Bools) -> float | None:
    if truth.events.is_empty():
        return None
    found = found_events(truth.reached, truth.rows.filter(pl.Series(flagged)))["alerts"] > 0
    return float(np.mean(found.to_numpy()))


def _found_at(series: Series, truth: Truth, judged: int) -> tuple[float | None, ...]:
    ordinary = np.sort(series.score[~(truth.odd | truth.after | np.isnan(series.score))])[::-1]
    found: list[float | None] = []
    for alarms in ALARMS:
        allowed = alarms * judged // 10_000
        found.append(_share_found(truth, series.score > ordinary[allowed]) if allowed < len(ordinary) else None)
    return tuple(found)


def check_fit(events: pl.DataFrame, truths: list[tuple[JudgedRows, Truth]], file: str) -> list[str]:
    """Remarks on labels that fall on no row. Raises UserError where none falls on any."""
    if any(truth.events.height for _, truth in truths):
        best = max((truth for _, truth in truths), key=lambda truth: truth.events.height)
        counts = ((best.other_keys, "of keys that have no rows"), (best.other_times, "outside the times of their key's rows"))
        return [f"{n:,} of {events.height:,} labels skipped: {why}" for n, why in counts if n]
    if events.is_empty():
        raise UserError(f"{file}: it holds no anomaly")
    rows = truths[0][0]
    if not len(rows.slots):
        raise UserError("the source has no rows that could be scored; there is nothing to compare the labels with")
    if all(truth.other_keys == events.height for _, truth in truths):
        odd, here = _some(events["key"].unique(maintain_order=True).to_list()), _some(list(rows.keys))
        raise UserError(f"{file}: none of its keys ({odd}) is among the keys of the rows ({here})")
    anomalies, all_rows = _span(events["from"]), _span(truths[0][1].rows["time"])
    raise UserError(f"{file}: its anomalies ({anomalies}) lie outside the times of the rows ({all_rows})")


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")


def _span(times: pl.Series) -> str:
    first, last = pl.Series([times.min(), times.max()]).dt.strftime("%Y-%m-%d %H:%M:%S")
    return f"{first} to {last} UTC"
