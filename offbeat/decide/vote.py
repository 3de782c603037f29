"""From the detectors' verdicts to alerts: vote, severity, level [S19]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offbeat.core.batch import F64, I8, I32, I64, Bools
from offbeat.core.compiled import compiled


@dataclass(frozen=True, slots=True)
class Decisions:
    """The rows of a batch that are alerts, and how many of all n rows were judged."""

    index: I64
    """(m,) rows to report."""
    alert: Bools
    """(m,) whether the row is an alert; False where it is reported only because it was one before."""
    votes: I32
    voters: I32
    severity: F64
    level: I8
    judged: Bools
    """(n,) at least one detector gave a verdict."""
    scored: int
    warming_up: int
    abstained: int


@compiled
def _decide(
    score: F64, voted: Bools, exceedance: F64, at_least: int, limits: F64, before: Bools,
    index: I64, alert: Bools, votes: I32, voters: I32, severity: F64, level: I8, judged: Bools, counts: I64,
) -> int:
    m = 0
    detectors = score.shape[0]
    for i in range(score.shape[1]):
        v = 0
        k = 0
        r = 0.0
        for d in range(detectors):
            if score[d, i] == score[d, i]:
                k += 1
                if voted[d, i]:
                    v += 1
                    r = max(r, exceedance[d, i])
        judged[i] = k > 0
        if k == 0:
            counts[1] += 1
        elif k < at_least:
            counts[2] += 1
        else:
            counts[0] += 1
        fires = k >= at_least and v >= at_least
        if fires or (len(before) > 0 and before[i]):
            s = max(0.0, 1.0 - 1.0 / r) if r > 0.0 else 0.0
            index[m] = i
            alert[m] = fires
            votes[m] = v
            voters[m] = k
            severity[m] = s
            level[m] = 0
            for j in range(len(limits)):
                if s > limits[j]:
                    level[m] = len(limits) - j
                    break
            m += 1
    return m


class Vote:
    """`at_least` votes make an alert; `limits` are the severities above which the levels begin, greatest first."""

    def __init__(self, at_least: int, limits: tuple[float, ...]) -> None:
        self._at_least = at_least
        self._limits = np.array(limits, np.float64)

    def decide(self, score: F64, voted: Bools, exceedance: F64, before: Bools) -> Decisions:
        """The first three (detectors, n); `before` (n,) marks rows to report in any case, or is empty."""
        n = score.shape[1]
        index, severity = np.empty(n, np.int64), np.empty(n)
        votes, voters, level = np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.int8)
        alert, judged, counts = np.empty(n, np.bool_), np.empty(n, np.bool_), np.zeros(3, np.int64)
        m = _decide(
            score, voted, exceedance, self._at_least, self._limits, before, index, alert, votes, voters, severity, level, judged, counts
        )
        scored, warming_up, abstained = (int(c) for c in counts)
        return Decisions(index[:m], alert[:m], votes[:m], voters[:m], severity[:m], level[:m], judged, scored, warming_up, abstained)
