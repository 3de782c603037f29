"""The isolation forest against exact expectations, plain Python and scikit-learn."""

from __future__ import annotations

import itertools
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from adbench import NAMES, needs_adbench
from oracle_forest import Row, average_path, expected_path_over_samples, forest_scores

from benchmarks.parity_adbench import parity
from offbeat.core.batch import F64
from offbeat.detectors.isolation_forest.forest_kernels import AVERAGE_PATH
from offbeat.detectors.isolation_forest.isolation_forest import IsolationForest
from offbeat.detectors.trained.model import Training


def training(*tables: F64, seeds: list[int] | None = None, slots: list[int] | None = None) -> Training:
    counts = np.array([len(t) for t in tables])
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    rows = np.ascontiguousarray(np.concatenate(tables))
    where = np.array(slots if slots is not None else range(len(tables)), np.int32)
    words = np.array(seeds if seeds is not None else range(1, len(tables) + 1), np.uint64)
    return Training(where, starts, counts, rows, np.ones(len(tables), np.int64), words)


def fitted(table: F64, seed: int = 1, trees: int = 100, sample: int = 256) -> IsolationForest:
    forest = IsolationForest(table.shape[1], trees, sample)
    forest.grow(1)
    forest.train(training(table, seeds=[seed]))
    return forest


def scored(forest: IsolationForest, rows: F64, slot: int = 0) -> F64:
    return forest.score(np.full(len(rows), slot, np.int32), rows)


def mixed(rows: int, seed: int = 5) -> F64:
    """Columns of several kinds: normal, heavy-tailed, of few values, constant, a copy."""
    random = np.random.default_rng(seed)
    normal = random.standard_normal(rows)
    return np.column_stack([normal, random.standard_cauchy(rows), random.integers(0, 3, rows), np.full(rows, 100.0), normal])


def test_average_path_by_hand_and_by_recurrence() -> None:
    # two leaves are both at depth 1; three: one at 1, two at 2; four: 2/3 of the trees are chains (1, 2, 3, 3), 1/3 is even (2, 2, 2, 2)
    assert [average_path(n) for n in (1, 2, 3, 4)] == [0, 1, Fraction(5, 3), Fraction(2, 3) * Fraction(9, 4) + Fraction(1, 3) * 2]
    assert AVERAGE_PATH[1:].tolist() == [float(average_path(n)) for n in range(1, 257)]


def test_average_path_of_uniform_points_is_the_formula() -> None:
    # Among uniform points every split by rank is equally likely, so the mean depth of the sample's own rows is c(256) exactly, in
    # expectation; the cut at depth 8 replaces depths by their expectation.
    random = np.random.default_rng(1)
    means = []
    for seed in range(100):
        rows = random.random((256, 2))
        paths = float(average_path(256)) / scored(fitted(rows, seed, trees=20), rows)
        means.append(paths.mean())
    error = np.std(means, ddof=1) / 10
    assert error < 0.03
    assert abs(np.mean(means) - float(average_path(256))) < 4 * error


POINTS: list[Row] = [(0.0, 5.0, 1.0), (1.0, 5.0, 1.0), (1.5, 5.0, 0.0), (1.5, 5.0, 0.0), (4.0, 5.0, 2.0), (9.0, 5.0, 0.5)]
ELSEWHERE: list[Row] = [(-3.0, 5.0, 0.75), (1.25, 7.0, 1.5), (20.0, 5.0, -1.0)]


@pytest.mark.parametrize("sample", [2, 3, 5, 6])
def test_path_lengths_are_those_expected_over_all_samples_columns_and_splits(sample: int) -> None:
    rows = np.array(POINTS + ELSEWHERE)
    whole = float(average_path(sample))
    paths = np.array([whole / scored(fitted(np.array(POINTS), seed, trees=1000, sample=sample), rows) for seed in range(1, 31)])
    error = paths.std(axis=0, ddof=1) / np.sqrt(len(paths))
    expected = [expected_path_over_samples(row, POINTS, sample) for row in POINTS + ELSEWHERE]
    assert (np.abs(paths.mean(axis=0) - expected) < 4 * error + 1e-6).all()
    assert (error < 0.01).all()


@pytest.mark.parametrize(("rows", "sample"), [(2, 256), (40, 256), (600, 256), (600, 100), (600, 2)])
def test_scores_are_those_of_a_plain_walk_to_the_bit(rows: int, sample: int) -> None:
    table = mixed(rows)
    forest = fitted(table, trees=30, sample=sample)
    asked = np.concatenate([mixed(37, seed=6), table[:20], 1e300 * mixed(4), -1e30 * mixed(4)])
    assert scored(forest, asked).tolist() == forest_scores(forest.forest(0), asked)


def test_contributions_sum_to_what_they_should() -> None:
    table = mixed(900)
    forest = fitted(table)
    rows = np.concatenate([table[:50], 5.0 * mixed(50, seed=9)])
    parts = forest.contributions(np.zeros(len(rows), np.int32), rows)
    assert parts.shape == (5, 100)
    np.testing.assert_allclose(parts.sum(axis=0), 1 - 1 / scored(forest, rows), rtol=0, atol=1e-12)
    assert (parts[3] == 0.0).all()


def test_contribution_of_a_single_split_by_hand() -> None:
    # Two rows, one column: a split puts each in a leaf at depth 1. c(2) - 1 - c(1) = 0; a third row at one end has the same path.
    forest = fitted(np.array([[0.0], [1.0]]), trees=3)
    assert scored(forest, np.array([[0.0], [1.0], [7.0]])).tolist() == [1.0, 1.0, 1.0]
    assert forest.contributions(np.zeros(1, np.int32), np.array([[7.0]])).tolist() == [[0.0]]


def test_the_odd_column_gets_the_blame() -> None:
    random = np.random.default_rng(3)
    forest = fitted(random.standard_normal((2000, 6)))
    for column in range(6):
        row = np.zeros((1, 6))
        usual = scored(forest, row)[0]
        row[0, column] = 12.0
        parts = forest.contributions(np.zeros(1, np.int32), row)[:, 0]
        assert scored(forest, row)[0] > 1.2 * usual
        assert parts[column] > 0 > np.delete(parts, column).max()


def test_grouping_of_rows_does_not_matter() -> None:
    tables = [mixed(n, seed=n) for n in (300, 500, 2, 700)]
    together = IsolationForest(5)
    together.grow(6)
    together.train(training(*tables, slots=[4, 0, 3, 1], seeds=[11, 12, 13, 14]))
    alone = IsolationForest(5)
    for slot, seed, table in [(1, 14, tables[3]), (3, 13, tables[2]), (0, 12, tables[1]), (4, 11, tables[0])]:
        alone.grow(slot + 1)
        alone.train(training(table, slots=[slot], seeds=[seed]))
    rows = mixed(200, seed=77)
    slots = np.repeat([4, 2, 0, 1, 3, 4], [31, 4, 90, 1, 8, 66]).astype(np.int32)
    scores = together.score(slots, rows)
    parts = together.contributions(slots, rows)
    assert np.isnan(scores).tolist() == (slots == 2).tolist()
    for cut in (1, 3, 8, 20):
        pieces = [alone.score(slots[i : i + cut], rows[i : i + cut]) for i in range(0, 200, cut)]
        np.testing.assert_array_equal(np.concatenate(pieces), scores)
    np.testing.assert_array_equal(np.hstack([alone.contributions(slots[i : i + 7], rows[i : i + 7]) for i in range(0, 200, 7)]), parts)


def test_a_model_follows_from_rows_and_seed_alone() -> None:
    first, second, rows = mixed(800, seed=1), mixed(800, seed=2), mixed(60, seed=3)
    forest = fitted(first, seed=9)
    scores = scored(forest, rows)
    forest.train(training(second, seeds=[4]))
    assert (scored(forest, rows) != scores).any()
    forest.train(training(first, seeds=[9]))
    np.testing.assert_array_equal(scored(forest, rows), scores)
    assert (scored(fitted(first, seed=10), rows) != scores).any()
    before = [array.copy() for array in forest.forest(0)]
    scored(forest, rows)
    for old, new in zip(before, forest.forest(0), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.heavy
def test_order_of_columns_does_not_matter_but_for_chance() -> None:
    table = mixed(1000)
    rows = np.concatenate([table[:30], [[0.0, 500.0, 1.0, 100.0, 0.0], [4.0, 0.0, 2.0, 100.0, 4.0]]])

    def runs(order: list[int]) -> F64:
        return np.array([scored(fitted(table[:, order], seed), rows[:, order]) for seed in range(1, 41)])

    a, b = runs([0, 1, 2, 3, 4]), runs([4, 3, 1, 0, 2])
    error = np.sqrt((a.var(axis=0, ddof=1) + b.var(axis=0, ddof=1)) / 40)
    assert (np.abs(a.mean(axis=0) - b.mean(axis=0)) < 4.5 * error).all()


def test_what_no_forest_can_learn_from() -> None:
    forest = IsolationForest(2)
    forest.grow(4)
    assert [forest.note(slot) for slot in range(4)] == [""] * 4
    same = np.tile([1.5, -2.0], (500, 1))
    forest.train(training(same, np.array([[1.0, 2.0]]), np.empty((0, 2)), mixed(300)[:, :2]))
    rows = np.array([[1.5, -2.0], [0.0, 9.0]])
    for slot, word in [(0, "no difference"), (1, "fewer than two"), (2, "fewer than two")]:
        assert np.isnan(scored(forest, rows, slot)).all()
        assert np.isnan(forest.contributions(np.full(2, slot, np.int32), rows)).all()
        assert word in forest.note(slot)
        with pytest.raises(LookupError):
            forest.forest(slot)
    assert forest.note(3) == ""
    assert np.isfinite(scored(forest, rows, 3)).all()
    forest.train(training(mixed(300)[:, :2], slots=[0]))
    assert forest.note(0) == ""
    forest.train(training(same, slots=[0]))
    assert np.isnan(scored(forest, rows, 0)).all()


def test_a_difference_that_no_sample_holds_is_no_forest() -> None:
    # One odd row among 100,000 and two rows a tree: no tree sees it, and every path would be as long as any other.
    table = np.zeros((100_000, 1))
    table[77] = 1.0
    assert "no difference" in fitted(table, trees=5, sample=2).note(0)


def test_values_beyond_single_precision() -> None:
    table = mixed(500)
    huge = table.copy()
    huge[7, 0], huge[8, 0], huge[9, 1], huge[10, 2] = 1.7e308, -1.7e308, 1e39, 1e-320
    forest = fitted(huge)
    scores = scored(forest, np.concatenate([huge, -huge]))
    assert np.isfinite(scores).all()
    assert scores[7] > np.median(scores)
    spread = fitted(1.7e308 * np.linspace(-1, 1, 64).reshape(-1, 1))
    assert np.isfinite(scored(spread, np.array([[0.0], [1.7e308], [-1.7e308]]))).all()


def test_neighbouring_values_are_always_parted() -> None:
    # Between two neighbouring float32 there is no third; a split must still leave a row on either side.
    low = np.float32(16_777_214.0)
    rows = np.array([[float(low)], [float(np.nextafter(low, np.float32(np.inf)))]])
    forest = fitted(rows, trees=50)
    assert np.isfinite(forest.forest(0).threshold[:, 1]).all()
    assert scored(forest, rows).tolist() == [1.0, 1.0]


def test_many_slots_cost_little() -> None:
    tracemalloc.start()
    forest = IsolationForest(18)
    for slots in itertools.accumulate([1] * 20 + [1_000_000]):
        forest.grow(slots)
    rows = mixed(300)[:, [0, 1, 2, 4] * 4 + [0, 1]].copy()
    forest.train(training(rows, slots=[1_000_000]))
    assert np.isfinite(scored(forest, rows, 1_000_000)).all()
    assert np.isnan(scored(forest, rows, 999_999)).all()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 5 * 1_000_021 + 500_000


def test_sizes_that_make_no_forest_are_refused() -> None:
    for features, trees, sample in [(0, 100, 256), (256, 100, 256), (3, 0, 256), (3, 100, 1), (3, 100, 257)]:
        with pytest.raises(ValueError, match="isolation forest"):
            IsolationForest(features, trees, sample)


@needs_adbench
@pytest.mark.heavy
@pytest.mark.parametrize("name", NAMES)
def test_as_good_as_scikit_learn(name: str) -> None:
    result = parity(name)
    assert len(result.ours) == len(result.reference) == 25
    assert abs(result.difference) <= result.allowed, result
