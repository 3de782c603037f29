"""Thresholds [S17], calibration [S18], and when and from which seed a key is trained [S14], worked out by hand."""

from __future__ import annotations

from fractions import Fraction
from hashlib import blake2b

import numpy as np
import pytest
from contract import case_of, stream, usual
from driver import Driver
from oracle_detectors import calibrated, first_training, seed_of, threshold_of

from offbeat.core.batch import F64
from offbeat.detectors.robust_covariance.distances import smallest
from offbeat.detectors.trained.shared_training import key_hash
from offbeat.detectors.trained.thresholds import ENOUGH, KEPT, Thresholds, rank

SLOT = np.zeros(1, np.int32)


@pytest.mark.parametrize(
    ("m", "c", "place"),
    [
        (100, "0.29", 71),  # in doubles (1 - 0.29) · 100 = 71 but 0.29 · 100 = 28.999…: a floor would take the 72nd
        (2000, "0.01", 1980),
        (500, "0.01", 495),
        (499, "0.01", 495),  # ⌈494.01⌉
        (3, "0.5", 2),  # ⌈1.5⌉
        (10, "0.3", 7),  # 0.7 · 10 = 7.000…1 in doubles
        (1, "0.5", 1),
        (7, "0.001", 7),
        (2000, "0.0033333333333333335", 1994),  # ⌈1993.33…⌉; 2000 times its numerator needs more than 64 bits
        (2000, "1e-300", 2000),
    ],
)
def test_the_place_of_the_threshold(m: int, c: str, place: int) -> None:
    share = Fraction(c)
    assert rank(m, share.numerator, share.denominator) + 1 == place
    assert threshold_of([float(i) for i in range(m, 0, -1)], share) == place


def test_selecting_equals_sorting() -> None:
    random = np.random.default_rng(1)
    for n in (1, 2, 3, 10, 501, 2000):
        tables: list[F64] = [random.standard_normal(n), np.floor(random.random(n) * 4), np.arange(float(n)), np.zeros(n)]
        for values in tables:
            for k in {0, n // 3, n - 1}:
                assert smallest(values, n, k, np.empty(n)) == sorted(values.tolist())[k]


def after(scores: list[float], contamination: float = 0.01, training: list[float] | None = None) -> float:
    """The threshold after a training at which these live scores stood, with `training` in place of too few."""
    thresholds = Thresholds(contamination, None)
    thresholds.grow(1)
    thresholds.begin(SLOT)
    for score in scores:
        thresholds.keep(SLOT, np.array([score]))
    waiting = thresholds.begin(SLOT)
    assert len(waiting) == (len([s for s in scores if s == s]) < ENOUGH)
    for slot in waiting.tolist():
        thresholds.own(slot, np.array(training or [np.nan]), live=False)
    return float(thresholds.values[thresholds.places[0]])


def test_live_scores_once_there_are_enough() -> None:
    assert after([float(i) for i in range(1, 500)], training=[7.0, 5.0]) == 7.0
    assert after([float(i) for i in range(1, 501)], training=[7.0]) == 495.0
    assert after([float("nan")] * 300 + [float(i) for i in range(1, 501)]) == 495.0


def test_a_share_of_many_digits() -> None:
    """⌈(1 - 1/300) · 600⌉ = 598, as the double is above 1/300: 597.99…"""
    assert after([float(i) for i in range(1, 601)], contamination=1 / 300) == 598.0
    assert after([float(i) for i in range(1, 601)], contamination=1e-300) == 600.0


def test_only_the_last_two_thousand_count() -> None:
    scores = [1e9] * 1000 + [float(i) for i in range(1, KEPT + 1)]
    assert after(scores) == 1980.0


def test_no_scores_at_all_give_no_threshold() -> None:
    assert np.isnan(after([], training=[float("nan")]))


def test_calibration_is_a_half_at_the_threshold_and_never_tied_below_one() -> None:
    assert [calibrated(r) for r in (0.0, 1.0, 3.0)] == [0.0, 0.5, 0.75]
    assert calibrated(1e307) == 1.0


def trainings(key: str, settings: str, n: int) -> list[int]:
    """Rows of the key after which another model speaks."""
    driver = Driver(case_of("times", {"it": settings}))
    rows = usual(n, keys=1)
    driver.feed([type(row)(key, row.time_ns, row.columns, row=row.row) for row in rows])
    driver.drain()
    versions = [a["detectors"][1]["version"] for a in sorted(driver.alerts(), key=lambda alert: alert["time_ns"])]
    assert versions[0] == 0
    return [i for i in range(1, n) if versions[i] == versions[i - 1] + 1]


@pytest.mark.parametrize("key", ["AIG", "IBM", "é"])
def test_training_times(key: str) -> None:
    """From 50 rows on, where (n + hash) mod 40 = 0: the model of row n speaks from row n + 1 on."""
    hashed = int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "little")
    assert key_hash(key) == hashed
    expected = [n for n in range(50, 200) if (n + hashed) % 40 == 0]
    settings = "type: isolation_forest, features: [x, y], trees: 2, train_on: 60, retrain_every: 40, train_min: 50"
    assert trainings(key, settings, 200) == expected
    assert first_training(key, 40, 50) == expected[0]


def test_keys_are_not_trained_together() -> None:
    firsts = {first_training(f"k{i}", 500, 500) for i in range(100)}
    assert len(firsts) > 80
    assert all(500 <= n < 1000 for n in firsts)


def test_only_complete_rows_count() -> None:
    """Every other row lacks y: the first training comes twice as late."""
    driver = Driver(case_of("gaps", {"it": "type: isolation_forest, features: [x, y], train_on: 40, retrain_every: 10, train_min: 20"}))
    driver.feed(stream(100, lambda i: [float(i * i % 17), None if i % 2 else float(i % 5), 0.0], keys=1))
    versions = [a["detectors"][1]["version"] for a in sorted(driver.alerts(), key=lambda alert: alert["time_ns"])]
    complete = versions[::2]
    assert complete.index(1) == first_training("k0", 10, 20)
    assert set(versions[1::2]) == {0}


def test_seeds_differ_in_every_part() -> None:
    parts = [(0, "forest", "AIG", 1), (1, "forest", "AIG", 1), (0, "woods", "AIG", 1), (0, "forest", "IBM", 1), (0, "forest", "AIG", 2)]
    assert len({seed_of(*part) for part in parts}) == len(parts)
