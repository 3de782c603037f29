"""Alerts as columns, before any sink gives them a form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from offbeat.core.batch import F64, I8, I32, I64, Bools
from offbeat.core.out_of_range import OutOfRange

STATUSES = ("early", "provisional", "final", "retracted")
"""In rising order of precedence (S22); `AlertBlock.status` holds indices into it."""
EARLY, PROVISIONAL, FINAL, RETRACTED = range(4)


@dataclass(frozen=True, slots=True)
class DetectorBlock:
    """What one detector said of m alerts; NaN where it gave no verdict or has no such value."""

    name: str
    score: F64
    threshold: F64
    voted: Bools
    observed: F64
    expected: F64
    features: tuple[str, ...]
    contributions: F64
    """(len(features), m): by feature, why the score is what it is."""
    odd: OutOfRange
    """Features outside what is usual for them, by their number in `features`."""
    notes: tuple[str, ...]
    """(m,) what a reader should know of the verdict; () for nothing at all."""
    version: I64
    """(m,) number of the training the model came from; 0 without one."""

    def take(self, index: I64) -> DetectorBlock:
        """What it said of the alerts at `index`."""
        return DetectorBlock(
            name=self.name,
            score=self.score[index],
            threshold=self.threshold[index],
            voted=self.voted[index],
            observed=self.observed[index],
            expected=self.expected[index],
            features=self.features,
            contributions=self.contributions[:, index],
            odd=self.odd.take(index),
            notes=tuple(self.notes[i] for i in index.tolist()) if self.notes else (),
            version=self.version[index],
        )


@dataclass(frozen=True, slots=True)
class AlertBlock:
    """m alerts of one view."""

    view: str
    ids: npt.NDArray[np.uint8]
    """(m, 16)"""
    revision: I64
    status: I8
    key: I32
    """(m,) index into `keys`."""
    keys: pl.Series
    """Distinct keys as text."""
    time_ns: I64
    severity: F64
    level: I8
    """Index into `levels`."""
    levels: tuple[str, ...]
    votes: I32
    voters: I32
    detectors: tuple[DetectorBlock, ...]
    row: pl.DataFrame
    """(m, …) the judged rows, source columns only (a rollup's aggregates for a window)."""
    window_from_ns: I64
    """Start of the evidence window; NULL_INT where the view has none."""
    window_to_ns: I64
    window_n: I64
    statistics: tuple[str, ...]
    values: F64
    """(len(statistics), m) features of the view at that row."""
    files: I32
    """(m,) file of the row, -1 for windows: provenance, kept beside the alert, not in it (S23)."""
    rows: I64

    def __len__(self) -> int:
        return len(self.time_ns)

    def take(self, index: I64) -> AlertBlock:
        """The alerts at `index`, in that order."""
        return AlertBlock(
            view=self.view,
            ids=self.ids[index],
            revision=self.revision[index],
            status=self.status[index],
            key=self.key[index],
            keys=self.keys,
            time_ns=self.time_ns[index],
            severity=self.severity[index],
            level=self.level[index],
            levels=self.levels,
            votes=self.votes[index],
            voters=self.voters[index],
            detectors=tuple(d.take(index) for d in self.detectors),
            row=self.row[index],
            window_from_ns=self.window_from_ns[index],
            window_to_ns=self.window_to_ns[index],
            window_n=self.window_n[index],
            statistics=self.statistics,
            values=self.values[:, index],
            files=self.files[index],
            rows=self.rows[index],
        )


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Rows that were not judged and are kept for reading, fixing and replaying: quarantined ones and late ones."""

    reasons: list[str]
    """(m,) the ledger's reason; `late` for late rows."""
    files: I32
    rows: I64
    keys: list[str | None]
    time_ns: I64
    raw: list[str]
    """Original text of each row."""
