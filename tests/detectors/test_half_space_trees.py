"""Half-space trees against expectations worked out by hand, and plain Python."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from oracle_half_space import half_space_scores, path_of

from offbeat.core.batch import F64
from offbeat.detectors.half_space_trees.half_space_trees import HalfSpaceTrees
from offbeat.detectors.trained.model import Training


def fitted(table: F64, seed: int = 1, trees: int = 25, depth: int = 15) -> HalfSpaceTrees:
    model = HalfSpaceTrees(table.shape[1], trees, depth)
    train(model, 0, table, seed)
    return model


def train(model: HalfSpaceTrees, slot: int, table: F64, seed: int) -> None:
    model.grow(slot + 1)
    one = np.ones(1, np.int64)
    model.train(
        Training(np.array([slot], np.int32), 0 * one, len(table) * one, np.ascontiguousarray(table), one, np.array([seed], np.uint64))
    )


def scored(model: HalfSpaceTrees, rows: F64, slot: int = 0) -> F64:
    return model.score(np.full(len(rows), slot, np.int32), rows)


def mixed(rows: int, seed: int = 5) -> F64:
    """Columns of several kinds: normal, heavy-tailed, of few values, constant."""
    random = np.random.default_rng(seed)
    return np.column_stack(
        [random.standard_normal(rows), random.standard_cauchy(rows), random.integers(0, 3, rows), np.full(rows, 100.0)]
    )  # fmt: skip


# Fifteen rows at 0 and five at 10: the first cut s is uniform in (0, 10], the work range s ± 2 max(s, 10 - s).
FIFTEEN_AND_FIVE = np.array([[0.0]] * 15 + [[10.0]] * 5)


def test_one_halving_by_hand() -> None:
    # Left of s are 15 of 20 in half the space, density 1.5, score 1 / 2.5; right of it 5, density 0.5, score 1 / 1.5.
    scores = scored(fitted(FIFTEEN_AND_FIVE, trees=20_000, depth=1), np.array([[0.0], [-3.0], [10.0], [20.0], [4.0]]))
    np.testing.assert_allclose(scores[:4], [0.4, 0.4, 1 / 1.5, 1 / 1.5], rtol=1e-6)
    # 4 is right of s in four cases of ten; the standard error is 0.267 * sqrt(0.24 / 20,000) = 0.0009
    assert abs(scores[4] - (0.4 / 1.5 + 0.6 * 0.4)) < 0.004


def test_two_halvings_by_hand() -> None:
    # The second cut on the left, s - max(s, 10 - s), is 0 for s ≥ 5 and 2 s - 10 below: the fifteen are right of it, density 3. On the
    # right, s + max(s, 10 - s) is 10 for s ≤ 5 and 2 s above: the five fill a quarter, density 1, on either side of it.
    rows = np.array([[0.0], [10.0], [-1.0], [12.0]])
    scores = scored(fitted(FIFTEEN_AND_FIVE, trees=20_000, depth=2), rows)
    np.testing.assert_allclose(scores[:2], [0.25, 0.5], rtol=1e-6)
    # -1 is alone iff s > 4.5 and with the fifteen otherwise; 12 is alone iff 5 < s ≤ 6. Four standard errors: 0.0106 and 0.0043.
    assert abs(scores[2] - (0.55 * 1.0 + 0.45 * 0.25)) < 0.011
    assert abs(scores[3] - (0.1 * 1.0 + 0.9 * 0.5)) < 0.0045


@pytest.mark.parametrize(("rows", "depth"), [(2, 15), (9, 15), (250, 15), (2000, 15), (2000, 6)])
def test_masses_sizes_and_depths_are_the_papers(rows: int, depth: int) -> None:
    table = mixed(rows)
    trees = fitted(table, trees=5, depth=depth).trees(0)
    for tree in range(5):
        mass: Counter[int] = Counter()
        level = {}
        for row in table.tolist():
            path = path_of(trees, tree, row)
            mass.update(path)
            level.update({node: steps for steps, node in enumerate(path)})
        for node, held in mass.items():
            assert trees.score[tree][node] == np.float32(1 / (1 + held * 2 ** level[node] / rows))
            assert np.isfinite(trees.threshold[tree][node]) == (10 * held > rows and level[node] < depth)
            assert trees.feature[tree][node] != 3


@pytest.mark.parametrize("rows", [2, 40, 1000])
def test_scores_are_those_of_a_plain_walk_to_the_bit(rows: int) -> None:
    table = mixed(rows)
    model = fitted(table)
    asked = np.concatenate([table[:30], mixed(31, seed=8), 1e300 * mixed(4), -1e30 * mixed(4)])
    scores = scored(model, asked)
    assert scores.tolist() == half_space_scores(model.trees(0), asked)
    for cut in (1, 3, 4, 20):
        pieces = [scored(model, asked[i : i + cut]) for i in range(0, len(asked), cut)]
        np.testing.assert_array_equal(np.concatenate(pieces), scores)


def test_contributions_sum_to_what_they_should_and_name_the_odd_column() -> None:
    random = np.random.default_rng(3)
    table = random.standard_normal((2000, 4))
    model = fitted(table)
    rows = np.concatenate([table[:40], 4.0 * np.eye(4)])
    parts = model.contributions(np.zeros(len(rows), np.int32), rows)
    np.testing.assert_allclose(parts.sum(axis=0), scored(model, rows) - 0.5, rtol=0, atol=1e-12)
    assert parts[:, 40:].argmax(axis=0).tolist() == [0, 1, 2, 3]


def test_far_rows_are_odder() -> None:
    table = np.random.default_rng(4).standard_normal((2000, 3))
    scores = scored(fitted(table), np.array([[0.0, 0.0, 0.0], [2.0, 2.0, 2.0], [50.0, 50.0, 50.0], [1e300, 1e300, 1e300]]))
    assert scores[0] < 0.25 < scores[1] < scores[2] <= scores[3] <= 1.0


def test_slots_do_not_touch_each_other() -> None:
    model = HalfSpaceTrees(4)
    tables = {slot: mixed(n, seed=n) for slot, n in [(5, 300), (0, 40), (2, 900), (7, 2)]}
    for slot, table in tables.items():
        train(model, slot, table, slot + 50)
    rows = mixed(60, seed=77)
    slots = np.repeat([5, 1, 0, 2, 7], 12).astype(np.int32)
    scores, parts = model.score(slots, rows), model.contributions(slots, rows)
    assert np.isnan(scores).tolist() == (slots == 1).tolist()
    assert np.isnan(parts).all(axis=0).tolist() == (slots == 1).tolist()
    for slot, table in tables.items():
        at = slots == slot
        alone = fitted(table, slot + 50)
        np.testing.assert_array_equal(scored(alone, rows[at]), scores[at])
        assert (scored(fitted(table, slot + 51), rows[at]) != scores[at]).any()
    train(model, 2, tables[5], 55)
    np.testing.assert_array_equal(scored(model, rows, 2), scored(model, rows, 5))


def test_what_no_trees_can_learn_from() -> None:
    model = HalfSpaceTrees(2)
    for slot, table, word in [(0, np.tile([1.5, -2.0], (500, 1)), "all the same"), (1, np.array([[1.0, 2.0]]), "fewer than two")]:
        train(model, slot, table, 1)
        assert np.isnan(scored(model, np.array([[1.5, -2.0], [0.0, 9.0]]), slot)).all()
        assert word in model.note(slot)
        with pytest.raises(LookupError):
            model.trees(slot)
    train(model, 0, mixed(100)[:, :2], 1)
    assert model.note(0) == ""
    assert np.isfinite(scored(model, np.array([[1.5, -2.0]]))).all()


def test_values_beyond_single_precision() -> None:
    table = mixed(500)
    table[7, 0], table[8, 0], table[9, 1], table[10, 2] = 1.7e308, -1.7e308, 1e39, 1e-320
    scores = scored(fitted(table), np.concatenate([table, -table]))
    assert ((scores > 0) & (scores <= 1)).all()


def test_sizes_that_make_no_trees_are_refused() -> None:
    for features, trees, depth in [(0, 25, 15), (256, 25, 15), (3, 0, 15), (3, 25, 0), (3, 25, 16)]:
        with pytest.raises(ValueError, match="half-space"):
            HalfSpaceTrees(features, trees, depth)
