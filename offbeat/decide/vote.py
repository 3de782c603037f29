"""From the detectors' verdicts to alerts: vote, severity, level [S19]."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from offbeat.core.batch import F64, I8, I32, I64, Bools
from offbeat.core.compiled import compiled
from offbeat.core.plan import Part

_NONE: Bools = np.zeros(0, np.bool_)


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
    strength: F64
    """(m,) r of the detector that voted and is furthest over its threshold."""
    judged: Bools
    """(n,) at least one detector gave a verdict."""
    scored: int
    warming_up: int
    abstained: int

    def only(self, kept: Bools) -> Decisions:
        """Those of the reported rows that are marked in `kept` (m,)."""
        if kept.all():
            return self
        parts = {name: getattr(self, name)[kept] for name in ("index", "alert", "votes", "voters", "severity", "level", "strength")}
        return replace(self, **parts)


@compiled
def _reported(score: F64, voted: Bools, at_least: int, rows: I64, out: Bools) -> int:
    found = 0
    for p in range(len(rows)):
        i = rows[p]
        v = 0
        for d in range(score.shape[0]):
            if score[d, i] == score[d, i] and voted[d, i]:
                v += 1
        if v >= at_least:
            out[i] = True
            found += 1
    return found


@compiled
def _severity(i: int, score: F64, voted: Bools, v: int, k: int, ratios: F64, kinds: I64, weights: F64) -> float:
    """Weighted mean of the parts that have a value, each 0…1: r / (1 + r) for a ratio."""
    total = 0.0
    weight = 0.0
    for w in range(len(weights)):
        value = np.nan
        if kinds[w] == -1:
            value = 0.0
            for d in range(score.shape[0]):
                if score[d, i] == score[d, i] and voted[d, i]:
                    value += score[d, i]
            value /= v
        elif kinds[w] == -2:
            value = v / k
        else:
            r = abs(ratios[kinds[w], i])
            value = r / (1.0 + r) if r <= 1e300 else (1.0 if r > 1e300 else np.nan)
        if value == value:
            total += weights[w] * value
            weight += weights[w]
    return total / weight if weight > 0.0 else 0.0


@compiled
def _decide(
    score: F64, voted: Bools, exceedance: F64, at_least: int, limits: F64, before: Bools, ratios: F64, kinds: I64, weights: F64,
    silent: Bools,
    index: I64, alert: Bools, votes: I32, voters: I32, severity: F64, level: I8, strength: F64, judged: Bools, counts: I64,
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
        elif k < at_least or (len(silent) > 0 and silent[i]):
            counts[2] += 1
        else:
            counts[0] += 1
        fires = k >= at_least and v >= at_least
        if fires or (len(before) > 0 and before[i]):
            if len(weights) and v > 0:
                s = _severity(i, score, voted, v, k, ratios, kinds, weights)
            else:
                s = max(0.0, 1.0 - 1.0 / r) if r > 0.0 else 0.0
            index[m] = i
            alert[m] = fires
            votes[m] = v
            voters[m] = k
            severity[m] = s
            strength[m] = r
            level[m] = 0
            for j in range(len(limits)):
                if s > limits[j]:
                    level[m] = len(limits) - j
                    break
            m += 1
    return m


class Vote:
    """`at_least` votes make an alert; `limits` are the severities above which the levels begin, greatest first.

    Without `weights` the severity is 1 - 1/r of the detector furthest over its threshold. With them it is their weighted mean of: `score`,
    the mean calibrated score of those that voted; `confidence`, votes / voters; and r / (1 + r) for each value of a range detector, r being
    how far it lies from the center in units of its reach. A part without a value is left out.
    """

    def __init__(self, at_least: int, limits: tuple[float, ...], weights: tuple[Part, ...]) -> None:
        self._at_least = at_least
        self._limits = np.array(limits, np.float64)
        self._weights = np.array([part.weight for part in weights], np.float64)
        named = [part for part in weights if part.detector >= 0]
        self.ratios = [(part.detector, part.term) for part in named]
        """(detector, term) of each row of the `ratios` that `decide` is given."""
        kinds = [-1 if part.name == "score" else -2 if part.name == "confidence" else named.index(part) for part in weights]
        self._kinds = np.array(kinds, np.int64)

    def mark(self, score: F64, voted: Bools, rows: I64, reported: Bools) -> int:
        """Set `reported` (n,) where some `rows` are alerts, and return how many are; score and voted (detectors, n)."""
        return _reported(score, voted, self._at_least, rows, reported)

    def decide(
        self, score: F64, voted: Bools, exceedance: F64, before: Bools, ratios: F64, silent: Bools = _NONE
    ) -> Decisions:
        """The first three (detectors, n); `before` (n,) marks rows to report in any case, or is empty; `ratios` (len(self.ratios), n).

        `silent` (n,), or empty: rows of which the view has no verdict, whatever its detectors have.
        """
        n = score.shape[1]
        index, severity, strength = np.empty(n, np.int64), np.empty(n), np.empty(n)
        votes, voters, level = np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.int8)
        alert, judged, counts = np.empty(n, np.bool_), np.empty(n, np.bool_), np.zeros(3, np.int64)
        m = _decide(
            score, voted, exceedance, self._at_least, self._limits, before, ratios, self._kinds, self._weights,
            silent, index, alert, votes, voters, severity, level, strength, judged, counts,
        )  # fmt: skip
        scored, warming_up, abstained = counts.tolist()
        return Decisions(
            index[:m], alert[:m], votes[:m], voters[:m], severity[:m], level[:m], strength[:m], judged, scored, warming_up, abstained
        )
