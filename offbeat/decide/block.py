"""Alerts as columns, before any sink gives them a form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from offbeat.core.batch import F64, I8, I32, I64
from offbeat.core.evidence import Evidence, WindowSpan

STATUSES = ("early", "provisional", "final", "retracted")
"""In rising order of precedence (S22); `AlertBlock.status` holds indices into it."""
EARLY, PROVISIONAL, FINAL, RETRACTED = range(4)


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
    detectors: tuple[Evidence, ...]
    """Of every detector of the view, in the order of the spec."""
    row: pl.DataFrame
    """(m, …) the judged rows, source columns only (a rollup's aggregates for a window)."""
    window: WindowSpan
    """The evidence window of the view."""
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
            window=self.window.take(index),
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
    details: list[str] | None = None
    """What is wrong with each row, in words; '' where its reason says it all, None where that is so for all of them."""
