"""The robust covariance on made-up rows: known locations and scatters, scikit-learn's figures, degenerate rows."""

from __future__ import annotations

import math
import warnings
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from oracle_covariance import distance

from offbeat.core.batch import F64
from offbeat.detectors.robust_covariance.robust_covariance import RobustCovariance
from offbeat.detectors.trained.model import Training


def training(rows: F64, number: int = 1, slot: int = 0, seed: int = 12345) -> Training:
    one = np.ones(1, np.int64)
    rows = np.ascontiguousarray(rows)
    return Training(np.array([slot], np.int32), 0 * one, len(rows) * one, rows, number * one, np.array([seed], np.uint64))


def fitted(rows: F64, seed: int = 12345) -> RobustCovariance:
    model = RobustCovariance(rows.shape[1])
    model.train(training(rows, seed=seed))
    return model


def scores(model: RobustCovariance, rows: F64, slot: int = 0) -> F64:
    return model.score(np.full(len(rows), slot, np.int32), np.ascontiguousarray(rows))


def gaussian(n: int, p: int, seed: int = 0) -> F64:
    """Rows with correlated columns of different scales and places."""
    random = np.random.default_rng(seed)
    return random.normal(size=(n, p)) @ random.normal(size=(p, p)) * 10.0 ** random.integers(-3, 4, p) + random.normal(size=p) * 5


def location_and_scatter(model: RobustCovariance) -> tuple[F64, F64]:
    """By scores alone: d² is a quadratic function of the row, and its coefficients are those of the inverse scatter."""
    arrays = model.snapshot(np.arange(1))
    p = int(arrays["ranks"][0])
    order = arrays["order"][0]
    root = np.tril(arrays["factors"][0])
    root[np.diag_indices(p)] = 1 / root[np.diag_indices(p)]
    scatter = np.empty((p, p))
    scales = arrays["scales"][0][order]
    scatter[np.ix_(order, order)] = root @ root.T * np.outer(scales, scales)
    return arrays["locations"][0], scatter


@pytest.mark.heavy
@pytest.mark.parametrize(("n", "p"), [(8000, 2), (5000, 6), (8000, 10)])
def test_location_and_scatter_are_scikit_learns(n: int, p: int) -> None:
    """In units of the columns' sd. With fewer rows scikit-learn's own fits, from other random states, differ by more than 1 %."""
    reference: Any = import_module("sklearn.covariance").MinCovDet(random_state=0)
    rows = gaussian(n, p, seed=n + p)
    with warnings.catch_warnings():
        # Its C-steps stop at a rise of the determinant by rounding, and say so.
        warnings.filterwarnings("ignore", message="Determinant has increased")
        reference.fit(rows)
    location, scatter = location_and_scatter(fitted(rows))
    sds = np.sqrt(np.diag(reference.covariance_))
    assert (np.abs(location - reference.location_) / sds).max() < 0.01
    assert (np.abs(scatter - reference.covariance_) / np.outer(sds, sds)).max() < 0.01


def test_distances_of_gaussian_rows_are_chi() -> None:
    # For p = 4 the median of χ²_4 is 3.3567 and its 0.975 quantile 11.143.
    squares = scores(fitted(gaussian(20_000, 4)), gaussian(20_000, 4)) ** 2
    assert np.median(squares) == pytest.approx(3.3567, rel=0.03)
    assert np.quantile(squares, 0.975) == pytest.approx(11.143, rel=0.04)


def test_forty_percent_of_far_rows_do_not_move_it() -> None:
    random = np.random.default_rng(5)
    rows = random.normal(size=(1000, 3))
    odd = random.permutation(1000)[:400]
    rows[odd] = random.normal(size=(400, 3)) * 0.1 + 50
    good = np.setdiff1d(np.arange(1000), odd)
    found = scores(fitted(rows), rows)
    assert found[odd].min() > 50
    assert found[good].max() < 6
    location, scatter = location_and_scatter(fitted(rows))
    assert np.abs(location).max() < 0.15
    assert np.abs(scatter - np.eye(3)).max() < 0.25


def test_scores_are_those_of_plain_python_to_the_bit() -> None:
    rows = gaussian(700, 7)
    model = fitted(rows)
    arrays = model.snapshot(np.arange(1))
    wild = np.vstack([rows[:150], rows[:20] * 1e9, np.full((1, 7), 1e300), np.full((1, 7), -1.7e308)])
    assert scores(model, wild).tolist() == [distance(arrays, 0, row) for row in wild.tolist()]
    assert np.isfinite(scores(model, wild)).all()


def test_bits_do_not_depend_on_calls() -> None:
    rows = gaussian(400, 6)
    model = RobustCovariance(6)
    model.train(training(rows[:300], slot=1))
    model.train(training(rows[100:], slot=3))
    slots = np.repeat(np.array([1, 2, 3], np.int32), [130, 7, 263])
    whole = model.score(slots, rows)
    for size in (1, 20, 64, 101):
        pieces = [model.score(slots[i : i + size], rows[i : i + size]) for i in range(0, 400, size)]
        assert np.concatenate(pieces).tobytes() == whole.tobytes()
    assert np.isnan(whole[130:137]).all()
    assert np.isfinite(np.delete(whole, np.s_[130:137])).all()


def test_many_keys_in_one_training_are_as_one_by_one() -> None:
    sets = [gaussian(n, 5, seed=n) for n in (40, 500, 333)]
    together = RobustCovariance(5)
    counts = np.array([len(rows) for rows in sets])
    slots = np.array([4, 0, 9], np.int32)
    together.train(
        Training(slots, np.cumsum(counts) - counts, counts, np.vstack(sets), np.ones(3, np.int64), np.full(3, 12345, np.uint64))
    )
    for slot, rows in zip(slots.tolist(), sets, strict=True):
        assert scores(together, rows, slot).tobytes() == scores(fitted(rows), rows).tobytes()


def test_contributions_sum_to_the_distance() -> None:
    # A scatter known by hand: independent columns, so the part of each is z²/d.
    random = np.random.default_rng(1)
    rows = random.normal(size=(5000, 2))
    model = fitted(np.column_stack([rows, np.full(5000, 3.0)]))
    odd = np.array([[6.0, 0.0, 3.0], [3.0, 4.0, 99.0]])
    parts = model.contributions(np.zeros(2, np.int32), odd)
    np.testing.assert_allclose(parts.sum(axis=0), scores(model, odd), rtol=1e-12)
    np.testing.assert_allclose(parts[:, 0], [6.0, 0.0, 0.0], atol=0.5)
    np.testing.assert_allclose(parts[:, 1], [9 / 5, 16 / 5, 0.0], atol=0.5)


def test_columns_that_hardly_differ_do_not_hide_what_is_odd() -> None:
    """price_std and price_volatility = price_std / price, nearly, and sizes: a trade of a million shares, 16,662 sd from the mean.

    Taken one by one, the two get huge parts of opposite sign, as a little of what parts them goes along with the sizes.
    """
    random = np.random.default_rng(0)
    size, std, noise = (random.normal(size=2000) for _ in range(3))
    rows = np.column_stack([0.02 + 0.004 * std, (0.02 + 0.004 * std) / 49, 200 + 60 * size])
    rows[:, 1] += 0.004 / 49 * 3e-5 * (0.5 * size + 0.87 * noise)
    model = fitted(rows)
    million = np.array([[0.028, 0.028 / 49, 1e6]])
    d = scores(model, million)[0]
    location, scatter = location_and_scatter(model)
    one_by_one = (million[0] - location) * np.linalg.solve(scatter, million[0] - location) / d
    assert (one_by_one / np.abs(one_by_one).sum()).round(1).tolist() == [0.4, -0.4, 0.2]
    parts = model.contributions(np.zeros(1, np.int32), million)[:, 0]
    assert parts.sum() == pytest.approx(d, rel=1e-9)
    assert parts[2] > 0.999 * np.abs(parts).sum()
    assert parts[2] == pytest.approx(one_by_one[2], rel=1e-6)


def test_columns_that_part_are_named() -> None:
    """A volatility that no longer fits the deviation, which itself is usual: 8 % off, where 0.003 % is usual."""
    random = np.random.default_rng(0)
    std = 0.02 + 0.004 * random.normal(size=2000)
    rows = np.column_stack([std, std / 49 * (1 + 3e-5 * random.normal(size=2000)), random.normal(size=2000)])
    model = fitted(rows)
    parts = model.contributions(np.zeros(1, np.int32), np.array([[0.02, 0.02 / 45, 2.0]]))[:, 0]
    assert parts[1] > 0.9 * np.abs(parts).sum()


def test_dependent_columns_are_dropped_and_named() -> None:
    base = gaussian(600, 3)
    rows = np.column_stack([base, base[:, 0] - 2 * base[:, 1] + 7, np.full(600, 100.0), base[:, 2] * 1e-9])
    model = fitted(rows)
    constant, linear = model.dropped(0)
    assert constant == (4,)
    # One of {0, 1, 3} depends on the two others, one of {2, 5} on the other.
    assert len(linear) == 2
    assert len({0, 1, 3} & set(linear)) == 1
    assert len({2, 5} & set(linear)) == 1
    # The distance in a plane does not depend on the columns that describe it.
    np.testing.assert_allclose(scores(model, rows), scores(fitted(base), base), rtol=1e-6)


def test_the_order_of_columns_does_not_matter() -> None:
    rows = gaussian(900, 8, seed=4)
    order = np.random.default_rng(2).permutation(8)
    np.testing.assert_allclose(scores(fitted(rows[:, order]), rows[:, order]), scores(fitted(rows), rows), rtol=1e-9)


def test_units_do_not_matter() -> None:
    rows = gaussian(500, 4)
    for factor in (1e-12, 1e-100, 1e100):
        np.testing.assert_allclose(scores(fitted(rows * factor), rows * factor), scores(fitted(rows), rows), rtol=1e-9)


def test_a_value_that_repeats_in_most_rows_is_regularised() -> None:
    random = np.random.default_rng(8)
    size = np.where(random.random(2000) < 0.7, 100.0, random.integers(1, 900, 2000))
    rows = np.column_stack([random.normal(size=(2000, 3)), size])
    model = fitted(rows)
    assert model.note(0).startswith("covariance regularised with rho = 0.")
    found = scores(model, rows)
    assert np.isfinite(found).all()
    usual = size == 100
    # By hand: the usual rows have three Gaussian columns, median √2.366; half of the others are a scale off, which alone is √(1/0.1).
    assert np.median(found[usual]) < 2.5
    assert np.median(found[~usual]) > 1.5 * np.median(found[usual])


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("one row", np.array([[1.0, 2.0]])),
        ("constant", np.tile([1.0, 2.0], (50, 1))),
        ("constant and huge", np.full((50, 2), 1e300)),
        ("rounding of a constant", 100.0 + np.array([[0.0, 1.5e-14]] * 10 + [[1.5e-14, 0.0]] * 10)),
    ],
)
def test_what_does_not_vary_abstains(name: str, rows: F64) -> None:
    model = fitted(rows)
    assert np.isnan(scores(model, rows)).all(), name
    assert model.note(0) == "all features were constant in the training rows"


@pytest.mark.parametrize(
    "rows",
    [
        np.repeat([[0.0, 1.0], [1.0, 0.0]], 30, axis=0),
        np.repeat([[0.0, 1.0, 5.0], [1.0, 0.0, 2.0], [3.0, 3.0, 1.0]], [50, 2, 2], axis=0),
        gaussian(4, 6),
        gaussian(2, 3),
        np.vstack([gaussian(200, 3), np.full((1, 3), 1e300), np.full((1, 3), -1e300)]),
        np.array([[1e308, -1e308], [-1e308, 1e308], [1e308, 1e308], [0.0, 1.0]] * 20),
        gaussian(300, 3) * 1e-290,
    ],
)
def test_degenerate_rows_still_give_scores(rows: F64) -> None:
    model = fitted(rows)
    found = scores(model, np.vstack([rows, rows[:1] + 1.0]))
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert np.isfinite(model.contributions(np.zeros(len(rows), np.int32), rows)).all()


def test_two_wild_rows_change_nothing() -> None:
    rows = gaussian(200, 3)
    wild = np.vstack([rows, np.full((1, 3), 1e300), np.full((1, 3), -1e300)])
    found = scores(fitted(wild), wild)
    assert found[200:].min() > 1e6
    assert np.corrcoef(found[:200], scores(fitted(rows), rows))[0, 1] > 0.98


def test_restored_models_go_on_as_they_were() -> None:
    model = RobustCovariance(5)
    for slot in (7, 2):
        model.train(training(gaussian(300, 5, seed=slot), slot=slot))
    model.train(training(np.ones((20, 5)), slot=4))
    arrays = model.snapshot(np.arange(8))
    assert arrays["slots"].tolist() == [2, 4, 7]
    other = RobustCovariance(5)
    other.restore({name: array.copy() for name, array in arrays.items()})
    rows = gaussian(300, 5, seed=9)
    for again in range(2):
        for slot in (2, 4, 7, 8):
            assert scores(other, rows, slot).tobytes() == scores(model, rows, slot).tobytes()
            assert other.note(slot) == model.note(slot)
        for one in (model, other):
            one.train(training(rows, number=2 + again, slot=2))
            one.train(training(rows, number=2 + again, slot=8))


def test_a_snapshot_of_few_slots_leaves_out_the_others() -> None:
    model = RobustCovariance(2)
    model.train(training(gaussian(50, 2), slot=5))
    assert len(model.snapshot(np.arange(5))["slots"]) == 0
    other = RobustCovariance(2)
    other.restore(model.snapshot(np.arange(5)))
    assert math.isnan(scores(other, np.zeros((1, 2)), 5)[0])


def test_slots_without_a_model_cost_next_to_nothing() -> None:
    model = RobustCovariance(18)
    model.grow(1_000_000)
    assert sum(array.nbytes for array in vars(model).values() if isinstance(array, np.ndarray)) < 8_000_000


@pytest.mark.parametrize("n", [2, 3, 5])
def test_fewer_rows_than_columns(n: int) -> None:
    """Centred, n rows span n - 1 directions; far from the scales of the model before, rounding looks like more of them."""
    random = np.random.default_rng(n)
    model = RobustCovariance(8)
    for number in range(2, 12):
        model.train(training(random.normal(size=(n, 8)) * 2e-3 + 50 * (number % 2), number=number))
        assert model.snapshot(np.arange(1))["ranks"][0] <= n - 1
        model.train(training(random.normal(size=(n, 8)), number=number))
        assert 1 <= model.snapshot(np.arange(1))["ranks"][0] <= n - 1
