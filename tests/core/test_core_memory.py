"""Memory follows the rows that are there, not the settings."""

from __future__ import annotations

import numpy as np

from offbeat.core.expression_program import Program
from offbeat.core.plan import Aggregate, WindowPlan
from offbeat.core.row_order import Order, RowOrder
from offbeat.features.windows import WindowFold

KEYS = 1000


def test_a_long_window_of_few_rows_is_small() -> None:
    same = Program(("x",), (), (), 1, (0,))
    mean = Program(("agg0",), (), (), 1, (0,))
    plan = WindowPlan("w", 0, 2**31 - 1, True, 1, same, (Aggregate("mean", 0),), ("m",), mean)
    fold = WindowFold(plan, ("x",), ())
    slots = np.zeros(KEYS, np.int32)
    rows = fold.fold(slots, np.arange(KEYS), np.ones((1, KEYS)), np.empty((0, KEYS), np.int64), 1)
    assert rows.n[-1] == KEYS
    assert len(fold._times) < 8 * KEYS


def test_keys_of_one_row_cost_little_at_the_end() -> None:
    admission = RowOrder(Order(0, 65_536, 10**15, identity_has_time=True))
    slots, times = np.arange(KEYS, dtype=np.int32), np.arange(KEYS)
    hashes = np.arange(KEYS, dtype=np.uint64)
    admission.admit(slots, times, np.zeros(KEYS, np.int64), hashes, hashes, KEYS, 0)
    admission.settle(slots, np.arange(KEYS))
    before = len(admission._s_pool)
    assert len(admission.finish(KEYS, KEYS, unique=True).emitted) == KEYS
    assert len(admission._s_pool) <= max(2 * before, 16 * KEYS)
