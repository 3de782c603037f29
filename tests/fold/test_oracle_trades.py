"""The shipped ensemble on real trades against the oracle: every field of every alert, to the bit."""

from __future__ import annotations

from functools import cache

import pytest
from driver import Driver
from harness import assert_same, ledger_of
from oracle import Oracle, run
from oracle_spec import Row
from real_trades import AIG, real_trades
from under_test_models import TRADES

pytestmark = [pytest.mark.heavy, pytest.mark.skipif(not AIG.exists(), reason="the real trades are not here (../shared/data/trades)")]

ROWS = 5_000


@cache
def rows() -> list[Row]:
    return real_trades(ROWS)


@cache
def expected() -> Oracle:
    return run(TRADES.pipeline, rows())


def assert_equals_the_oracle(ours: Driver) -> None:
    ours.drain()
    assert_same(ours.alerts(), expected().alerts)
    assert ours.ledger() == ledger_of(expected())


def test_there_is_something_to_compare() -> None:
    """All three detectors vote, models of several trainings speak, thresholds come from live scores, and some rows are odd in severity."""
    alerts = expected().alerts
    assert len(alerts) >= 10
    assert {d["name"] for a in alerts for d in a["detectors"] if d["voted"]} == {"forest", "covariance", "zscore"}
    assert len({d["version"] for a in alerts for d in a["detectors"]}) >= 4
    assert len({a["level"] for a in alerts}) >= 2


@pytest.mark.parametrize("sizes", [[ROWS], [1], [20], [1, 499, 7, 1234, 3, 64]], ids=["whole", "single", "twenty", "uneven"])
def test_however_it_is_cut(sizes: list[int]) -> None:
    ours, at, turn = Driver(TRADES), 0, 0
    while at < ROWS:
        size = sizes[turn % len(sizes)]
        ours.feed(rows()[at : at + size])
        at, turn = at + size, turn + 1
    assert_equals_the_oracle(ours)


@pytest.mark.parametrize("cuts", [[50], [600, 601], [1500, 2750, 4321], [3000, 3000]], ids=str)
def test_restored_from_a_snapshot(cuts: list[int]) -> None:
    """Before the first training, right after it, later, and twice in the same place."""
    ours, at = Driver(TRADES), 0
    for cut in cuts:
        ours.feed(rows()[at:cut])
        ours.restart(ours.snapshot())
        at = cut
    ours.feed(rows()[at:])
    assert_equals_the_oracle(ours)
