"""Remarks on the ledger of a run: figures that mostly mean that pipeline and data do not fit."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from offbeat.core.ledger import Ledger
from offbeat.core.plan import QualityPlan

_MANY_OUTSIDE = 0.2
"""Above this share of bars outside of sessions, the calendar or the zone is hardly right."""


def remarks(quality: QualityPlan, ledger: Ledger, untrained: Sequence[str], first_aside: str | None, unanswered: str) -> list[str]:
    """Remarks where rows had several versions, where no row was scored, and where the source's condition had
    nothing to go by.

    `untrained`: why models were never trained; `first_aside`: the first quarantined row, in words; `unanswered`: see `Fold.unanswered`.
    """
    return [*_filter(ledger, unanswered), *_versions(quality, ledger), *_nothing_judged(ledger, untrained, first_aside)]


def outside_sessions(gaps: pl.DataFrame, calendar: str, zone: str) -> list[str]:
    """A remark where many rows lie outside the calendar's sessions (see `gap_report`): calendar or zone are hardly those of the data."""
    if gaps.is_empty():
        return []
    seen, outside = (int(gaps[name].fill_null(0).sum()) for name in ("bars_seen", "bars_outside"))
    if outside <= _MANY_OUTSIDE * (seen + outside):
        return []
    share = f"{outside:,} of {seen + outside:,} bars ({outside / (seen + outside):.0%}) lie outside the sessions of calendar {calendar}"
    return [f"{share}; check `quality.calendar`, and the zone of times ({zone})"]


def _filter(ledger: Ledger, unanswered: str) -> list[str]:
    if unanswered:
        return [f"no row has a value for `source.where` ({unanswered}), so all rows were taken"]
    if ledger.rows_in and ledger.filtered == ledger.rows_in:
        return ["no row is one of this pipeline: `source.where` is false for all of them, so all are filtered"]
    return []


def _versions(quality: QualityPlan, ledger: Ledger) -> list[str]:
    rows = ledger.quarantined["conflict"]
    if not rows:
        return []
    equal = f"{rows:,} row{'s are' if rows > 1 else ' is'} another version of a row that came before (equal on {', '.join(quality.unique)})"
    if quality.keep_last:
        return [f"{equal}, but came after a later row, when that one was scored: quarantined as `conflict`"]
    instead = "; to score the last version instead: --set quality.keep=last" if "time" in quality.unique else ""
    return [f"{equal}: the first version counts, the others are quarantined as `conflict`{instead}"]


def _nothing_judged(ledger: Ledger, untrained: Sequence[str], first_aside: str | None) -> list[str]:
    if ledger.rows_in == ledger.filtered or ledger.pending:
        return []
    if ledger.scored:
        return list(untrained)
    if first_aside is not None and not ledger.warming_up:
        return [f"no row could be used; the first one: {first_aside}"]
    if ledger.warming_up:
        known = f"{ledger.warming_up:,} rows are too few, or the values that detectors need are null"
        fit = "check that the windows (`over`, `min_rows`) fit the time between rows"
        return [f"no detector had a verdict: {known}; {fit}", *untrained]
    return []
