"""All results of a comparison of detectors, as one object for tables, plots and programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from offbeat.evaluate.detection_quality import ALARMS, Tolerance, Truth, Worth, check_fit, truth_on, worth
from offbeat.evaluate.metrics import KindFigures
from offbeat.evaluate.series import QUANTILES, Agreement, Flags, Series, agreements, flags

QUANTILE_NAMES = tuple("max" if q == 1.0 else f"p{100 * q:g}" for q in QUANTILES)


@dataclass(frozen=True, slots=True)
class Labelled:
    """The comparison against labels."""

    file: str
    tolerance: Tolerance
    truths: list[Truth]
    """For each series; those of one view share theirs."""
    worth: list[Worth | None]
    """For each series; None if no label falls on its rows."""
    notes: list[str]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Detectors side by side."""

    series: list[Series]
    flags: list[Flags]
    """For each series."""
    agreements: list[Agreement]
    labelled: Labelled | None


def compared(
    series: Sequence[Series], events: pl.DataFrame | None = None, *, file: str = "labels", tolerance: Tolerance | None = None
) -> Comparison:
    """Compute all figures; with `events` (`labels.EVENTS`), those against them. Raises UserError where none falls on any row."""
    labelled = None
    if events is not None:
        reach = tolerance if tolerance is not None else Tolerance()
        by_rows = {id(s.rows): truth_on(events, s.rows, reach) for s in {id(s.rows): s for s in series}.values()}
        truths = [by_rows[id(s.rows)] for s in series]
        notes = check_fit(events, [(s.rows, truth) for s, truth in zip(series, truths, strict=True)], file)
        found = [worth(s, truth) if truth.events.height else None for s, truth in zip(series, truths, strict=True)]
        labelled = Labelled(file, reach, truths, found, notes)
    return Comparison(list(series), [flags(s) for s in series], agreements(series), labelled)


def as_dict(comparison: Comparison) -> dict[str, Any]:
    """The comparison as `--json` prints it."""
    detectors = []
    for i, (series, said) in enumerate(zip(comparison.series, comparison.flags, strict=True)):
        entry: dict[str, Any] = {
            "name": series.name,
            "type": series.kind,
            "rows": said.rows,
            "judged": said.judged,
            "without_verdict": (said.rows - said.judged) / said.rows if said.rows else None,
            "votes": said.votes,
            "flag_rate": said.flag_rate,
            "scores": None if said.quantiles is None else dict(zip(QUANTILE_NAMES, said.quantiles, strict=True)),
        }
        if comparison.labelled is not None:
            entry["labels"] = _worth(comparison.labelled.worth[i], comparison.labelled.truths[i])
        detectors.append(entry)
    found: dict[str, Any] = {"detectors": detectors, "agreement": [asdict(pair) for pair in comparison.agreements]}
    if comparison.labelled is not None:
        found["labels"] = {"file": comparison.labelled.file, "tolerance": str(comparison.labelled.tolerance)}
    return found


def _worth(found: Worth | None, truth: Truth) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        **kind_as_dict(found.alerts.overall),
        "recall_by_chance": found.by_chance,
        "false_alarms": found.alerts.false_alarms,
        "false_alarms_per_10000_rows": found.alerts.per_10_000_rows,
        "recall_at_false_alarms_per_10000_rows": {str(at): share for at, share in zip(ALARMS, found.found_at, strict=True)},
        "roc_auc": found.ranking.roc_auc,
        "pr_auc": found.ranking.pr_auc,
        "odd_rows": found.ranking.odd,
        "ordinary_rows": found.ranking.rows - found.ranking.odd,
        "rows_without_score": found.ranking.unscored,
        "rows_of_the_tolerance": int(truth.after.sum()),
        "kinds": {kind.kind: kind_as_dict(kind) for kind in found.alerts.kinds},
    }


def kind_as_dict(figures: KindFigures) -> dict[str, Any]:
    """Figures of a kind as `--json` prints them."""
    delay = figures.delay
    return {
        "events": figures.events,
        "found": figures.found,
        "precision": figures.precision,
        "recall": figures.recall,
        "f1": figures.f1,
        "median_delay_seconds": None if delay is None else delay.median_ns / 1e9,
        "greatest_delay_seconds": None if delay is None else delay.greatest_ns / 1e9,
    }
