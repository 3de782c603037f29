"""A trained key of `trades` with full history holds at most 0.3 MB, and is restored without a model being fitted [R35]."""

from __future__ import annotations

import pytest

from benchmarks.key_memory import array_bytes, batches, filled
from benchmarks.trades_speed import cut
from offbeat.detectors.isolation_forest.isolation_forest import IsolationForest
from offbeat.detectors.robust_covariance.robust_covariance import RobustCovariance
from offbeat.detectors.trained import shared_training
from offbeat.detectors.trained.model import Model, Training
from offbeat.fold.fold import Fold
from offbeat.spec.load import load_plan

KEYS = 50
AT_HAND = shared_training.AT_HAND // 400_000 + shared_training.PORTION
"""Keys whose training rows may be in memory: 2,500 rows of 18 features, a number and a time take 400,000 bytes."""


@pytest.fixture(scope="module")
def full() -> Fold:
    fold = filled(KEYS)
    # Arrays of the last batch are not the keys'.
    one_more(fold)
    return fold


def one_more(fold: Fold) -> None:
    """The last row once more, of the last key."""
    *_, last = batches(KEYS)
    fold.feed(0, fold.prepare(0, cut(last, last.frame.height - 1, last.frame.height)))


@pytest.mark.heavy
def test_a_trained_key_with_full_history_holds_little(full: Fold) -> None:
    found = array_bytes(full)
    assert KEYS > AT_HAND
    rows = {name: size for name, size in found.items() if ".kept." in name}
    # Of a thousand keys and more, each has less than a thousandth of these.
    assert sum(rows.values()) < AT_HAND * 400_000 + 1_000_000
    others = sum(found.values()) - sum(rows.values())
    assert others / KEYS + sum(rows.values()) / 1_000 < 300_000


def test_restoring_fits_no_model(full: Fold, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[tuple[type, list[int]]] = []

    def counted(model: type[Model]) -> None:
        train = model.train

        def noted(self: Model, training: Training) -> None:
            fitted.append((model, training.slots.tolist()))
            train(self, training)

        monkeypatch.setattr(model, "train", noted)

    snapshot = full.snapshot(0)
    counted(IsolationForest)
    counted(RobustCovariance)
    again = Fold(load_plan("trades"))
    again.assign(0, snapshot)
    assert fitted == []
    # No training rows were made again either.
    assert sum(size for name, size in array_bytes(again).items() if name.endswith(".kept.rows")) == 0
    # One more row of one key: its forest alone is fitted again; covariances are in the snapshot.
    one_more(again)
    assert fitted == [(IsolationForest, [KEYS - 1])]
