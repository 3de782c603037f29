"""Whether the input of a run was as good as was asked for: `quality.tolerate` [R21]."""

from __future__ import annotations

from offbeat.core.ledger import Ledger
from offbeat.core.plan import TolerancePlan


def below(tolerance: TolerancePlan, before: Ledger, after: Ledger) -> list[str]:
    """A line for each share of rows that this run exceeded; before, after: the ledger when it began and when it ended."""
    rows = (after.rows_in - before.rows_in) - (after.filtered - before.filtered)
    if rows <= 0:
        return []
    found = {
        "quarantined": (after.quarantined.total() - before.quarantined.total(), tolerance.quarantined),
        "late": (after.late - before.late, tolerance.late),
    }
    return [
        f"{n:,} of {rows:,} rows ({_percent(n / rows)}) are {what}, more than `quality.tolerate` allows ({_percent(most)})"
        for what, (n, most) in found.items()
        if most is not None and n > most * rows
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
