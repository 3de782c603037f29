"""What every detector says of rows, whatever its method."""

from __future__ import annotations

from dataclasses import dataclass

from offbeat.core.batch import F64, Bools


@dataclass(frozen=True, slots=True)
class Verdicts:
    """One detector's word on n rows. Higher = odder."""

    score: F64
    """(n,) calibrated, 0…1, 0.5 at the threshold [S18]; NaN: no verdict (null or warming up)."""
    voted: Bools
    """(n,) whether it says anomaly."""
    exceedance: F64
    """(n,) r: how many times the threshold was reached; severity of a rule is 1 - 1/r [S19]."""
    ratios: F64
    """(terms, n) r of each value of a range detector, with the sign of its side; (0, n) for others."""
