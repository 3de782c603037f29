"""The rule detector: an SQL condition on the row and its windows."""

from __future__ import annotations

import numpy as np

from offbeat.core.batch import F64, I64, Bools
from offbeat.core.compiled import compiled
from offbeat.core.evidence import Evidence, WindowSpan
from offbeat.core.out_of_range import OutOfRange
from offbeat.core.plan import RulePlan
from offbeat.detectors.detector import Detector, DetectorInput, Kind, Verdicts

_CAP = 100.0
_SIDES = {">": 1, ">=": 2, "<": -1, "<=": -2, "": 0}


@compiled
def _ratio(side: int, fired: bool, observed: float, threshold: float) -> float:
    """How many times over the limit: observed / threshold, or the inverse for a lower limit, cut to [0, 100]."""
    if side == 0:
        return 2.0 if fired else 0.0
    over, under = (observed, threshold) if side > 0 else (threshold, observed)
    holds = over > under or (abs(side) == 2 and over == under)
    if over != over or not under > 0.0:
        return _CAP if holds else 0.0
    r = over / under
    return min(max(r, 0.0), _CAP)


@compiled
def _judge(side: int, when: F64, observed: F64, threshold: F64, score: F64, voted: Bools, exceedance: F64) -> None:
    for i in range(len(when)):
        if when[i] != when[i]:
            score[i] = np.nan
            voted[i] = False
            exceedance[i] = np.nan
            continue
        fired = when[i] == 1.0
        r = _ratio(side, fired, observed[i], threshold[i])
        voted[i] = fired
        exceedance[i] = r
        score[i] = r / (1.0 + r)


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
        _judge(self._side, when, observed, threshold, score, voted, exceedance)
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
