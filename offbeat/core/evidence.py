"""A detector's verdicts on the rows that are reported, and its reasons: an entry of an alert's `detectors`, by columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from offbeat.core.batch import F64, I64, NULL_INT, Bools
from offbeat.core.out_of_range import OutOfRange


@dataclass(frozen=True, slots=True)
class WindowSpan:
    """What each of m rows was held against: earlier rows, windows or ticks, the training rows of a model."""

    from_ns: I64
    """(m,) time of the first of them, ns UTC; NULL_INT: there was none."""
    to_ns: I64
    """(m,) time up to which they reach: of the last one, where they are a model's, else the end of the window."""
    n: I64
    """(m,) how many they are; NULL_INT: the row was held against nothing but itself."""

    @staticmethod
    def none(m: int) -> WindowSpan:
        """M rows that were held against nothing but themselves."""
        nothing = np.full(m, NULL_INT)
        return WindowSpan(nothing, nothing, nothing)

    @staticmethod
    def joined(parts: Sequence[WindowSpan]) -> WindowSpan:
        """The rows of all parts, one part after the other."""
        return WindowSpan(
            np.concatenate([part.from_ns for part in parts]),
            np.concatenate([part.to_ns for part in parts]),
            np.concatenate([part.n for part in parts]),
        )

    def take(self, index: I64) -> WindowSpan:
        """Those of the rows at `index`."""
        return WindowSpan(self.from_ns[index], self.to_ns[index], self.n[index])


@dataclass(frozen=True, slots=True)
class Evidence:
    """One detector's verdicts on m rows, and its reasons. NaN where it has no such value; what is not finite is null in the record."""

    name: str
    type: str
    score: F64
    """(m,) calibrated, 0…1, 0.5 at the threshold [S18]; NaN: no verdict."""
    voted: Bools
    raw: F64
    """(m,) what `threshold` is compared with where that is not `observed`: a model's score, the greatest distance of several values."""
    threshold: F64
    observed: F64
    """(m,) the value that was judged, where it is one."""
    expected: F64
    """(m,) what it would have been in a usual row."""
    features: tuple[str, ...]
    contributions: F64
    """(len(features), m) by feature, why the score is what it is; what they sum to is the detector's business."""
    out_of_range: OutOfRange
    """Features outside what is usual for them, by their number in `features`."""
    notes: tuple[str, ...]
    """(m,) what a reader should know of the verdict, "" for nothing; () where there is nothing for any row."""
    version: I64
    """(m,) number of the training that the model came from, or one that names it; 0 without a model."""
    window: WindowSpan

    @staticmethod
    def no_verdict(name: str, type_: str, m: int, why: str) -> Evidence:
        """No verdict on m rows, for one reason."""
        nothing = np.full(m, np.nan)
        return Evidence(
            name, type_, nothing, np.zeros(m, np.bool_), nothing, nothing, nothing, nothing, (), np.empty((0, m)),
            OutOfRange.none(m), (why,) * m, np.zeros(m, np.int64), WindowSpan.none(m),
        )  # fmt: skip

    @staticmethod
    def joined(parts: Sequence[Evidence]) -> Evidence:
        """One detector's evidence of several parts, one after the other."""
        first = parts[0]
        if len(parts) == 1:
            return first

        def together(name: str) -> np.ndarray:
            return np.concatenate([getattr(part, name) for part in parts])

        told = any(part.notes for part in parts)
        return Evidence(
            name=first.name,
            type=first.type,
            score=together("score"),
            voted=together("voted"),
            raw=together("raw"),
            threshold=together("threshold"),
            observed=together("observed"),
            expected=together("expected"),
            features=first.features,
            contributions=np.concatenate([part.contributions for part in parts], axis=1),
            out_of_range=OutOfRange.joined([part.out_of_range for part in parts]),
            notes=tuple(note for part in parts for note in part.notes or ("",) * len(part.score)) if told else (),
            version=together("version"),
            window=WindowSpan.joined([part.window for part in parts]),
        )

    def take(self, index: I64) -> Evidence:
        """The evidence of the rows at `index`."""
        return Evidence(
            name=self.name,
            type=self.type,
            score=self.score[index],
            voted=self.voted[index],
            raw=self.raw[index],
            threshold=self.threshold[index],
            observed=self.observed[index],
            expected=self.expected[index],
            features=self.features,
            contributions=self.contributions[:, index],
            out_of_range=self.out_of_range.take(index),
            notes=tuple(self.notes[i] for i in index.tolist()) if self.notes else (),
            version=self.version[index],
            window=self.window.take(index),
        )
