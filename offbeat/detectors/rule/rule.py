"""The rule detector: an SQL condition on the row and its windows."""

from __future__ import annotations

import numpy as np

from offbeat.core.batch import F64, I64, Bools
from offbeat.core.compiled import compiled, compiled_inner
from offbeat.core.evidence import Evidence, WindowSpan
from offbeat.core.out_of_range import OutOfRange
from offbeat.core.plan import RulePlan
from offbeat.detectors.detector import Detector, DetectorInput, Kind, Verdicts

_SIDES = {">": 1, ">=": 2, "<": -1, "<=": -2, "": 0}


@compiled_inner
def _ratio(side: int, fired: bool, observed: float, threshold: float, floor: float) -> float:
    """How many times over the limit, 0 or more: observed / threshold, or the inverse for a lower limit.

    A limit that is not above 0 is no ratio: where the comparison holds, `floor` stands in for it, or else nothing (1).
    """
    if side == 0:
        return 2.0 if fired else 0.0
    if observed != observed or threshold != threshold:
        return 0.0
    holds = (observed > threshold if side > 0 else observed < threshold) or (abs(side) == 2 and observed == threshold)
    if threshold > 0.0:
        if side > 0:
            return max(observed / threshold, 0.0)
        if observed > 0.0:
            return threshold / observed
        # Nothing at all, where there should be something.
        return max(threshold / floor, 1.0) if floor > 0.0 else np.inf
    if not holds:
        return 0.0
    size = observed if side > 0 else -observed
    return max(size / floor, 1.0) if floor > 0.0 else 1.0


@compiled
def _judge(side: int, when: F64, observed: F64, threshold: F64, floor: F64, score: F64, voted: Bools, exceedance: F64) -> None:
    for i in range(len(when)):
        if when[i] != when[i]:
            score[i] = np.nan
            voted[i] = False
            exceedance[i] = np.nan
            continue
        fired = when[i] == 1.0
        r = _ratio(side, fired, observed[i], threshold[i], floor[i % len(floor)])
        voted[i] = fired
        exceedance[i] = r
        # Overflow to infinity is a score of 1, not a null.
        score[i] = r / (1.0 + r) if r <= 1e300 else 1.0


_NO_FLOOR = np.full(1, np.nan)


class Rule(Detector):
    """Judges rows by the outputs of the view's program; keeps no state."""

    def __init__(self, plan: RulePlan) -> None:
        super().__init__(plan)
        self._plan = plan
        self._side = _SIDES[plan.comparison]
        if plan.early:
            self.judges = frozenset({Kind.ROWS, Kind.OPEN})

    def judge(self, batch: DetectorInput) -> Verdicts:
        """Verdicts on n rows; none where the condition is null."""
        n, outputs = len(batch), batch.outputs
        score, voted, exceedance = np.empty(n), np.empty(n, np.bool_), np.empty(n)
        when = outputs[self._plan.when]
        observed = outputs[self._plan.observed] if self._side else when
        threshold = outputs[self._plan.threshold] if self._side else when
        floor = outputs[self._plan.floor] if self._plan.floor >= 0 else _NO_FLOOR
        _judge(self._side, when, observed, threshold, floor, score, voted, exceedance)
        self._outputs, self._verdicts = outputs, Verdicts(score, voted, exceedance, np.empty((0, n)))
        return self._verdicts

    def explain(self, index: I64) -> Evidence:
        """Both sides of the condition's comparison, where it has a verdict."""
        m, score = len(index), self._verdicts.score[index]
        silent = np.isnan(score)
        nothing = np.full(m, np.nan)

        def pick(output: int) -> F64:
            return np.where(silent, np.nan, self._outputs[output][index]) if output >= 0 else nothing

        features = (self._plan.measure,) if self._plan.measure else ()
        return Evidence(
            name=self.name,
            type=self.type,
            score=score,
            voted=self._verdicts.voted[index],
            raw=nothing,
            threshold=pick(self._plan.threshold),
            observed=pick(self._plan.observed),
            expected=pick(self._plan.expected),
            features=features,
            contributions=score[np.newaxis] if features else np.empty((0, m)),
            out_of_range=OutOfRange.none(m),
            notes=(),
            version=np.zeros(m, np.int64),
            window=WindowSpan.none(m),
        )
