"""What a run should say of its ledger in words: figures that mostly mean that pipeline and data do not fit."""

from __future__ import annotations

from collections.abc import Sequence

from offbeat.core.ledger import Ledger

_MANY_LATE = 0.01
"""Share of late rows from which on the input is hardly in order."""


def remarks(ledger: Ledger, untrained: Sequence[str], first_aside: str | None) -> list[str]:
    """A word where many rows were late, or where a run over many rows came to nothing.

    `untrained`: why models never spoke; `first_aside`: the first row set aside, in words.
    """
    return [*_late(ledger), *_nothing_judged(ledger, untrained, first_aside)]


def _late(ledger: Ledger) -> list[str]:
    if ledger.late <= _MANY_LATE * ledger.rows_in:
        return []
    late = f"{ledger.late:,} rows ({ledger.late / ledger.rows_in:.0%}) were late, as later ones of their key came before them"
    return [f"{late}: sort the files by time, or let such rows be waited for (`--set quality.lateness=1h`)"]


def _nothing_judged(ledger: Ledger, untrained: Sequence[str], first_aside: str | None) -> list[str]:
    if not ledger.rows_in or ledger.pending:
        return []
    if ledger.scored:
        return list(untrained)
    if first_aside is not None and not ledger.warming_up:
        return [f"no row could be used; the first: {first_aside}"]
    if ledger.warming_up:
        known = f"{ledger.warming_up:,} rows were too few, or what detectors look at was null"
        fit = "do the windows (`over`, `min_rows`) fit the distance between the rows?"
        return [f"no detector ever gave a verdict: {known}; {fit}", *untrained]
    return []
