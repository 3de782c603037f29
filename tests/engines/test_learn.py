"""Limits that are learned: by any labels no real incident is lost, and no milder limits would do."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from offbeat.engines.calibration.judged_alerts import Judged
from offbeat.engines.calibration.learn import learn
from offbeat.engines.calibration.row_days import Days
from offbeat.fold.episode_alerts import AlertFacts
from offbeat.fold.episodes import EpisodeFold
from offbeat.spec.load import load_text

TEXT = """
name: p
source: {key: k, time: ts, columns: {v: float, w: float}}
views: {row: {detectors: {a: {type: rule, when: v > 10}, b: {type: rule, when: w > 1}}, vote: {quorum: QUORUM}}}
"""
ratios = st.sampled_from([np.nan, 1.0, 1.5, 2.0, 4.0, 8.0, np.inf])
incident = st.tuples(st.lists(st.tuples(ratios, ratios), min_size=1, max_size=3), st.sampled_from(["real", "false"]))


@given(st.lists(incident, min_size=2, max_size=8), st.sampled_from([1, 2]))
def test_no_real_incident_is_ever_lost(incidents: list[tuple[list[tuple[float, float]], str]], quorum: int) -> None:
    plan = load_text(TEXT.replace("QUORUM", str(quorum))).plan
    columns = [pair for pairs, _ in incidents for pair in pairs if sum(r >= 1 for r in pair) >= quorum]
    bounds, at = [], 0
    for pairs, said in incidents:
        n = sum(sum(r >= 1 for r in pair) >= quorum for pair in pairs)
        if n:
            bounds.append((np.arange(at, at + n), said))
            at += n
    real, false = ([alerts for alerts, said in bounds if said == label] for label in ("real", "false"))
    if not real or not false:
        return
    n = len(columns)
    none = AlertFacts.none()
    facts = AlertFacts(**{name: np.zeros((n, *array.shape[1:]), array.dtype) for name, array in none.arrays().items()})
    run = Judged(plan, Days(Counter(), "UTC"), 0, facts, [], EpisodeFold(plan.episodes), np.array(columns).T)
    lesson = learn(run, real, false)
    left = run.left(lesson.factors)
    assert lesson.kept == len(real) == sum(bool(left[alerts].any()) for alerts in real)
    assert lesson.stay == sum(bool(left[alerts].any()) for alerts in false)
    assert lesson.gone + lesson.stay == len(false)
    # By trying all limits between the ratios there are: none does better.
    levels = [0.5, 1.2, 1.7, 3.0, 6.0, 9.0, 1e5]
    best = 0
    for first in levels:
        for second in levels:
            other = run.left(np.array([first, second]))
            if all(other[alerts].any() for alerts in real):
                best = max(best, sum(not other[alerts].any() for alerts in false))
    assert lesson.gone == best
