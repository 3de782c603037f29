"""Remarks on the ledger of a run: figures that mostly mean that pipeline and data do not fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

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
    said = [*_filter(ledger, unanswered), *_versions(quality, ledger), *_nothing_judged(ledger, untrained, first_aside)]
    return [*said, *_silent(ledger, untrained)]


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


_MOST_SILENT = 0.05
"""Share of rows without a verdict, after the first verdict on their key, from which on it is said."""


def _silent(ledger: Ledger, untrained: Sequence[str]) -> list[str]:
    """Detectors that never had a verdict, or none on many rows [R9, R20]; models that were never trained say so themselves."""
    said = []
    known = " ".join(why.partition(":")[0] for why in untrained).replace(".", " ").split()
    for view, counts in ledger.views.items():
        for name, found in counts.detectors.items():
            silent = found.none.total()
            if not found.verdicts and found.warming_up and ledger.scored and name not in known:
                said.append(f"{view}.{name} never had a verdict: {_reasons(found.warming_up, {})}")
            elif silent > _MOST_SILENT * (silent + found.verdicts):
                lacking = silent + found.warming_up.total()
                share = f"{lacking:,} of {lacking + found.verdicts:,} rows ({100 * lacking / (lacking + found.verdicts):.0f} %)"
                why = _reasons(found.none, found.nearest_ns)
                said.append(f"{view}.{name} had no verdict on {share}, {silent:,} of them after the first verdict on their key: {why}")
    return said


def _reasons(reasons: Counter[str], nearest_ns: Mapping[str, int]) -> str:
    """The most frequent reasons, and how far back the row before lay where a window of time was empty."""
    words = []
    for reason, n in sorted(reasons.items(), key=lambda each: (-each[1], each[0]))[:3]:
        back = f"; the row before lies {nearest_ns[reason] / 1e9:.9g} s back or more" if reason in nearest_ns else ""
        words.append(f"{reason} ({n:,}{back})")
    return ", ".join(words)
