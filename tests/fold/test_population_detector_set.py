"""The population forest among a view's other detectors, and what its settings may be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from oracle_population import fixed, rolling
from population_windows import DAY, VIEW, windows

from offbeat.core.plan import Plan, PopulationPlan, RulePlan
from offbeat.core.state import decode, encode
from offbeat.detectors.detector import DetectorInput
from offbeat.fold.detector_set import DetectorSet
from offbeat.spec.lint import lint_text

WINDOWS = windows()
TEXT = """
name: calls
seed: 5
source:
  key: {column: who}
  time: {column: time}
  columns: {x: {type: decimal, scale: 6, required: false}}
views:
  v:
    rollup: {key: who, size: 1d, columns: {a: count(x), b: sum(x)}}
    vote: {quorum: 1}
    detectors:
      big: {type: rule, when: b > 100}
      forest: {type: population_forest, features: [a, b], over: 4d, sample_rows: 700, train_min: 450, trees: 12, sample: 64}
"""


def plan(text: str = TEXT) -> Plan:
    made = lint_text(text)
    assert made.plan is not None, made.problems
    return made.plan


def population(made: Plan) -> PopulationPlan:
    found = made.views[0].detectors[1]
    assert isinstance(found, PopulationPlan)
    return found


def batch_of(made: Plan, names: list[str], found: Sequence[int]) -> DetectorInput:
    """Some of the windows, with the outputs of the view's program."""
    chosen = [WINDOWS[i] for i in found]
    slots, starts = np.array([names.index(w.key) for w in chosen], np.int32), np.array([w.start for w in chosen])
    rule = made.views[0].detectors[0]
    outputs = np.full((len(made.views[0].program.outputs), len(chosen)), np.nan)
    outputs[list(population(made).inputs)] = np.array([w.features for w in chosen]).T
    assert isinstance(rule, RulePlan)
    outputs[rule.when] = outputs[population(made).inputs[1]] > 100
    return DetectorInput(names, slots, starts, outputs, np.zeros(len(slots), np.int64))


@pytest.mark.parametrize("size", [90, 5000])
def test_it_votes_beside_a_rule_and_survives_restarts(size: int) -> None:
    made = plan()
    forest = population(made)
    assert (forest.contamination, forest.features, forest.over_ns) == (0.05, ("a", "b"), 4 * DAY)
    expected = rolling(forest, VIEW, made.seed, WINDOWS)
    names = sorted({w.key for w in WINDOWS})
    detectors, nobody = DetectorSet(made.views[0], made.seed), np.zeros(0, np.bool_)
    for part in [range(len(expected))[at : at + size] for at in range(0, len(expected), size)]:
        again = DetectorSet(made.views[0], made.seed)
        again.restore(decode(encode(detectors.snapshot(np.arange(len(names))), {}), "state")[0], names)
        detectors = again
        decisions = detectors.judge(batch_of(made, names, part), nobody)
        big = [WINDOWS[i].features[1] > 100 for i in part]
        alerts = [place for place, i in enumerate(part) if expected[i].voted or big[place]]
        assert decisions.index.tolist() == alerts
        assert decisions.votes.tolist() == [big[place] + expected[part[place]].voted for place in alerts]
        assert decisions.voters.tolist() == [1 + (expected[part[place]].raw is not None) for place in alerts]
        block = detectors.evidence(decisions.index, {})[1]
        for place, score, limit, raw, version in zip(alerts, block.score, block.threshold, block.raw, block.version, strict=True):
            verdict = expected[part[place]]
            assert (version > 0) == (verdict.raw is not None)
            assert [None if np.isnan(x) else x for x in (score, limit, raw)] == [verdict.score, verdict.threshold, verdict.raw]
    assert detectors.untrained() == []
    assert [*detectors.models()] == ["forest"]


def test_days_that_are_judged_by_what_was_learnt_from_them() -> None:
    made = plan()
    names = sorted({w.key for w in WINDOWS})
    detectors = DetectorSet(made.views[0], made.seed)
    assert detectors.as_of(18_009 * DAY) == 18_005 * DAY
    detectors.judge(batch_of(made, names, range(len(WINDOWS))), np.zeros(0, np.bool_))
    expected = fixed(population(made), VIEW, made.seed, WINDOWS, 18_005 * DAY, 18_009 * DAY)
    found = detectors.verdicts[1]
    assert found.voted.tolist() == [verdict.voted for verdict in expected]
    assert [None if np.isnan(x) else x for x in found.score] == [verdict.score for verdict in expected]
    assert found.voted.sum() > 20


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("    rollup: {key: who, size: 1d, columns: {a: count(x), b: sum(x)}}\n", "", "so a view with a `rollup`"),
        ("over: 4d", "over: 23h", "`over` (23h) is shorter than a window"),
        ("over: 4d", "over: 4 days", "not a duration"),
        ("train_min: 450", "train_min: 701", "`train_min` (701) exceeds `sample_rows` (700)"),
        ("features: [a, b]", "features: [a, c]", "unknown column 'c'"),
        ("features: [a, b]", "features: []", "features"),
        ("sample: 64", "sample: 257", "must be at most 256, not 257"),
    ],
)
def test_settings_that_make_no_forest_are_refused(before: str, after: str, message: str) -> None:
    assert before in TEXT
    found = lint_text(TEXT.replace(before, after))
    assert any(message in problem for problem in found.problems), found.problems


def test_what_kept_state_depends_on() -> None:
    one = plan()
    for before, after in [("trees: 12", "trees: 13"), ("over: 4d", "over: 5d"), ("[a, b]", "[b, a]"), ("seed: 5", "seed: 6")]:
        assert plan(TEXT.replace(before, after)).state_hash != one.state_hash
    for before, after in [("sample: 64", "sample: 64, contamination: 0.04"), ("b > 100", "b > 200")]:
        other = plan(TEXT.replace(before, after))
        assert other.state_hash == one.state_hash
        assert other.plan_hash != one.plan_hash
    given = plan(TEXT.replace("sample: 64", "sample: 64, model: forest.arrow"))
    assert given.state_hash != one.state_hash
    assert given.plan_hash != one.plan_hash
