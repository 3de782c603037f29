"""Range detectors: a value against what was usual for it. Z-score, band and quantiles differ only in what they call usual."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from offbeat.core.batch import F64, I32, I64, Bools
from offbeat.core.compiled import compiled, compiled_inner
from offbeat.core.evidence import Evidence, WindowSpan
from offbeat.core.out_of_range import OutOfRange
from offbeat.core.plan import RangePlan
from offbeat.detectors.detector import Detector, DetectorInput, Kind, Verdicts

_SAME = 1e-9
"""Relative difference up to which a value is its center, where nothing else ever was: rounding is no news."""


@compiled_inner
def _reach(outputs: F64, terms: I64, t: int, i: int) -> float:
    """The tolerance of a value on its side."""
    distance = outputs[terms[t, 0], i] - outputs[terms[t, 1], i]
    return float(outputs[terms[t, 3], i] if distance >= 0.0 else outputs[terms[t, 2], i])


@compiled_inner
def _ratio(outputs: F64, terms: I64, t: int, i: int, above: bool, fixed: bool) -> float:
    """How far a value lies from its center, in tolerances; NaN where that cannot be said [S7]."""
    center = outputs[terms[t, 1], i]
    distance = outputs[terms[t, 0], i] - center
    reach = _reach(outputs, terms, t, i)
    if distance != distance or (above and not distance >= 0.0):
        return np.nan
    if reach > 0.0:
        return float(distance / reach)
    if reach != 0.0 or fixed:
        return np.nan
    # Without any spread what is usual is 0 away, and anything else infinitely far.
    if abs(distance) <= _SAME * abs(center):
        return 0.0
    # Where other values were there as well, it must lie beyond them.
    value = outputs[terms[t, 0], i]
    if terms[t, 5] >= 0 and outputs[terms[t, 5], i] <= value <= outputs[terms[t, 6], i]:
        return np.nan
    return np.inf if distance > 0.0 else -np.inf


@compiled
def _judge(outputs: F64, terms: I64, above: bool, fixed: bool, ratios: F64, score: F64, voted: Bools, exceedance: F64) -> None:
    for i in range(outputs.shape[1]):
        raw = -1.0
        for t in range(terms.shape[0]):
            r = _ratio(outputs, terms, t, i, above, fixed)
            ratios[t, i] = r
            raw = max(raw, abs(r))  # a NaN on the right does not win
        if raw < 0.0:
            score[i] = np.nan
            exceedance[i] = np.nan
            voted[i] = False
        else:
            # Overflow to infinity is a score of 1, not a null.
            score[i] = raw / (1.0 + raw) if raw <= 1e300 else 1.0
            exceedance[i] = raw
            voted[i] = raw > 1.0


@compiled
def _without_spread(outputs: F64, terms: I64, ratios: F64, found: I64) -> None:
    for t in range(terms.shape[0]):
        for i in range(outputs.shape[1]):
            distance = outputs[terms[t, 0], i] - outputs[terms[t, 1], i]
            if distance == distance and ratios[t, i] != ratios[t, i]:
                found[t] += 1


@compiled
def _out_of_range(
    outputs: F64, terms: I64, positive: Bools, ratios: F64, index: I64, offsets: I64, feature: I32, values: F64
) -> int:
    found = 0
    for i in range(len(index)):
        row = index[i]
        for t in range(terms.shape[0]):
            if abs(ratios[t, row]) > 1.0:
                center = outputs[terms[t, 1], row]
                feature[found] = t
                values[0, found] = outputs[terms[t, 0], row]
                values[1, found] = center
                low = center - outputs[terms[t, 2], row]
                # What was never negative is not usual below 0, whatever its spread.
                if low < 0.0 and (positive[t] or (terms[t, 4] >= 0 and outputs[terms[t, 4], row] >= 0.0)):
                    low = 0.0
                values[2, found] = low
                values[3, found] = center + outputs[terms[t, 3], row]
                found += 1
        offsets[i + 1] = found
    return found


class Range(Detector):
    """Judges rows by the outputs of the view's program; keeps no state, its window is the view's.

    raw = max |value - center| / tolerance over the values, threshold 1 [S18]. With one value the evidence shows it as `observed`, the end
    of the range on its side as `threshold` and the center as `expected`; with several it shows `raw`. Contributions are the values'
    distances in the detector's unit (standard deviations for a z-score), signed. Where there is no spread at all, a value other than the
    center is infinitely far out. Of open windows only values above what is usual count, as
    what lies below may yet rise.
    """

    def __init__(self, plan: RangePlan) -> None:
        super().__init__(plan)
        self._features = tuple(term.feature for term in plan.terms)
        self._terms = np.array([[t.value, t.center, t.below, t.above, t.least, *(t.seen or (-1, -1))] for t in plan.terms], np.int64)
        self._positive = np.array([term.positive for term in plan.terms])
        self._limits = np.array([term.limit for term in plan.terms])
        self._fixed = False
        if plan.early:
            self.judges = frozenset({Kind.ROWS, Kind.OPEN})

    def as_of(self, time_ns: int) -> int:
        """As of one moment, a value without any spread has no verdict, as in the batch jobs that this mode repeats [S16]."""
        self._fixed = True
        return time_ns

    def judge(self, batch: DetectorInput) -> Verdicts:
        """Verdicts on n rows; none where no value has a ratio."""
        n = len(batch)
        score, voted, exceedance, ratios = np.empty(n), np.empty(n, np.bool_), np.empty(n), np.empty((len(self._terms), n))
        _judge(batch.outputs, self._terms, batch.kind is Kind.OPEN, self._fixed, ratios, score, voted, exceedance)
        self._outputs, self._verdicts = batch.outputs, Verdicts(score, voted, exceedance, ratios)
        return self._verdicts

    def left_out(self) -> Mapping[str, int]:
        """Values that are known, as their center is, but have no ratio, as their tolerance is not known, or says nothing."""
        found = np.zeros(len(self._terms), np.int64)
        _without_spread(self._outputs, self._terms, self._verdicts.ratios, found)
        return {value: n for value, n in zip(self._features, found.tolist(), strict=True) if n}

    def explain(self, index: I64) -> Evidence:
        """Values against their ranges."""
        m, outputs, verdicts = len(index), self._outputs, self._verdicts
        ratios = verdicts.ratios[:, index]
        silent = np.isnan(verdicts.score[index])
        if len(self._terms) == 1:
            value, center, below, above = outputs[self._terms[0, :4]][:, index]
            raw, observed, expected = np.full(m, np.nan), np.where(silent, np.nan, value), np.where(silent, np.nan, center)
            with np.errstate(over="ignore"):
                threshold = np.where(silent, np.nan, np.where(value >= center, center + above, center - below))
        else:
            raw, observed, expected = np.where(silent, np.nan, verdicts.exceedance[index]), np.full(m, np.nan), np.full(m, np.nan)
            threshold = np.where(silent, np.nan, 1.0)
        with np.errstate(over="ignore"):
            contributions = ratios * self._limits[:, np.newaxis]
        offsets, feature, values = np.zeros(m + 1, np.int64), np.empty(m * len(self._terms), np.int32), np.empty((4, m * len(self._terms)))
        found = _out_of_range(outputs, self._terms, self._positive, verdicts.ratios, index, offsets, feature, values)
        return Evidence(
            name=self.name,
            type=self.type,
            score=verdicts.score[index],
            voted=verdicts.voted[index],
            raw=raw,
            threshold=threshold,
            observed=observed,
            expected=expected,
            features=self._features,
            contributions=contributions,
            out_of_range=OutOfRange(offsets, feature[:found], values[:, :found]),
            notes=self._notes(ratios, index),
            version=np.zeros(m, np.int64),
            window=WindowSpan.none(m),
        )

    def _notes(self, ratios: F64, index: I64) -> tuple[str, ...]:
        """By row, which values were the same all the time before; () where there is no such row."""
        center, below, above = (self._outputs[self._terms[:, column]][:, index] for column in (1, 2, 3))
        still = np.isinf(ratios) & (np.where(ratios > 0.0, above, below) == 0.0)
        if not still.any():
            return ()
        notes = [""] * len(index)
        for t, p in zip(*(found.tolist() for found in np.nonzero(still)), strict=True):
            joined = f"{notes[p]}; " if notes[p] else ""
            notes[p] = f"{joined}{self._features[t]} never varied before: usual is {center[t, p]:.6g} exactly"
        return tuple(notes)
