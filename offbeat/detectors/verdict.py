"""What every detector says of rows, whatever its method."""

from __future__ import annotations

from dataclasses import dataclass

from offbeat.core.batch import F64, I64, Bools
from offbeat.core.out_of_range import OutOfRange


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


@dataclass(frozen=True, slots=True)
class Evidence:
    """One detector's reasons for m chosen rows; NaN where it has none."""

    threshold: F64
    observed: F64
    expected: F64
    features: tuple[str, ...]
    contributions: F64
    """(len(features), m); what they sum to is the detector's business."""
    odd: OutOfRange
    notes: tuple[str, ...]
    """(m,) what a reader should know of the verdict, "" for nothing; () where there is nothing for any row."""
    version: I64
    """(m,) number of the training that the model came from, or one that names it; 0 without a model."""
