"""Votes, severities and levels worked out on paper."""

from __future__ import annotations

import numpy as np
import pytest

from offbeat.core.plan import Part
from offbeat.decide.vote import Decisions, Vote

NAN = float("nan")
NOBODY = np.zeros(0, np.bool_)
LIMITS = (0.8, 0.6, 0.4)
SYSTEM_C = (Part("score", 0.40), Part("confidence", 0.20), Part("z.size", 0.25, 2, 1), Part("z.price", 0.15, 2, 0))


def decide(
    score: list[float], voted: list[bool], r: list[float], ratios: list[float] | None = None, at_least: int = 2,
    weights: tuple[Part, ...] = SYSTEM_C, limits: tuple[float, ...] = LIMITS,
) -> Decisions:  # fmt: skip
    """One row; `ratios` in the order of the weights that name one."""
    vote = Vote(at_least, limits, weights)
    given = np.array(ratios or [0.0] * len(vote.ratios)).reshape(-1, 1)
    return vote.decide(np.array([score]).T, np.array([voted]).T, np.array([r]).T, NOBODY, given)


def severity(decisions: Decisions) -> float:
    (value,) = decisions.severity.tolist()
    return float(value)


def test_severity_of_system_c() -> None:
    """Two of three vote with 0.6 and 0.8: 0.4 · 0.7 + 0.2 · 2/3 + 0.25 · 3/(1 + 3) + 0.15 · 1/(1 + 1), weights add up to 1."""
    found = decide([0.6, 0.4, 0.8], [True, False, True], [1.5, 2 / 3, 4.0], [-3.0, 1.0])
    assert severity(found) == pytest.approx(0.4 * 0.7 + 0.2 * 2 / 3 + 0.25 * 0.75 + 0.15 * 0.5, rel=1e-15)
    assert (found.votes[0], found.voters[0], found.level[0]) == (2, 3, 2)  # 0.676: above 0.6


def test_a_part_without_a_value_is_left_out_of_the_mean() -> None:
    """The z-score is silent: 0.4 · 0.7 + 0.2 · 2/2 over the weights 0.6."""
    found = decide([0.6, 0.8, NAN], [True, True, False], [1.5, 4.0, NAN], [NAN, NAN])
    assert severity(found) == pytest.approx((0.28 + 0.2) / 0.6, rel=1e-15)
    assert (found.votes[0], found.voters[0]) == (2, 2)
    one = decide([0.6, 0.8, 0.5], [True, True, False], [1.5, 4.0, 1.0], [NAN, 1.0])
    assert severity(one) == pytest.approx((0.28 + 0.2 * 2 / 3 + 0.15 * 0.5) / 0.75, rel=1e-15)


def test_ratios_keep_the_order_of_the_weights() -> None:
    assert Vote(1, (), SYSTEM_C).ratios == [(2, 1), (2, 0)]
    assert severity(decide([0.5], [True], [1.0], [9.0], at_least=1, weights=(Part("z.a", 5.0, 0, 0),))) == 0.9


def test_an_endless_ratio_counts_as_one() -> None:
    assert severity(decide([0.5], [True], [1.0], [-np.inf], at_least=1, weights=(Part("z.a", 1.0, 0, 0),))) == 1.0
    assert severity(decide([0.5], [True], [1.0], [NAN], at_least=1, weights=(Part("z.a", 1.0, 0, 0),))) == 0.0


def test_the_mean_score_is_summed_in_order_and_then_divided() -> None:
    """0.1 + 0.2 + 0.3 = 0.6000000000000001 in doubles; thirds added up would give another last bit."""
    found = decide([0.1, 0.2, 0.3], [True] * 3, [1.0] * 3, weights=(Part("score", 1.0),))
    assert severity(found) == (0.1 + 0.2 + 0.3) / 3


def test_without_weights_the_worst_detector_decides() -> None:
    """1 - 1/r of the greatest r among those that voted; the others' do not count."""
    assert severity(decide([0.6, 0.99, 0.8], [True, False, True], [1.5, 99.0, 4.0], weights=())) == 0.75
    assert severity(decide([0.5, 0.5], [True, True], [1.0, 0.5], weights=())) == 0.0
    assert severity(decide([1.0, 0.5], [True, True], [np.inf, 1.0], weights=())) == 1.0


@pytest.mark.parametrize(
    ("score", "voted", "counts", "alerts"),
    [
        ([NAN, NAN, NAN], [False] * 3, (0, 1, 0), 0),
        ([0.9, NAN, NAN], [True, False, False], (0, 0, 1), 0),  # one voter, two are needed: abstained
        ([0.9, 0.1, NAN], [True, False, False], (1, 0, 0), 0),
        ([0.9, 0.8, NAN], [True, True, False], (1, 0, 0), 1),
        ([0.9, NAN, NAN], [True, True, True], (0, 0, 1), 0),  # a vote without a score is none
    ],
)
def test_who_is_counted(score: list[float], voted: list[bool], counts: tuple[int, int, int], alerts: int) -> None:
    found = decide(score, voted, [2.0] * 3)
    assert (found.scored, found.warming_up, found.abstained) == counts
    assert len(found.index) == alerts
    assert found.judged.tolist() == [any(value == value for value in score)]


def test_levels_begin_above_their_limits() -> None:
    """Exactly 0.75 is not above 0.75; index 0 is `low`, 3 the greatest."""
    for r, level in ((1.0, 0), (4 / 3, 0), (1.4, 1), (2.0, 1), (2.5, 2), (4.0, 2), (4.1, 3)):
        found = decide([0.5, 0.5], [True, True], [r, r], weights=(), limits=(0.75, 0.5, 0.26))
        assert found.level[0] == level, r
