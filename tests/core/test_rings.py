"""Stretches of a pool: how they grow."""

from __future__ import annotations

import numpy as np
import pytest

from offbeat.core.expression_program import Program
from offbeat.core.plan import Aggregate, WindowPlan
from offbeat.core.rings import next_capacity, stretch_capacity
from offbeat.features.windows import WindowFold


@pytest.mark.parametrize("most", [0, 1, 5, 16, 17, 40, 64, 102, 129, 2500])
def test_a_stretch_after_a_restart_is_as_large_as_one_that_grew(most: int) -> None:
    grown = [0]
    while grown[-1] < (most or 5000):
        grown.append(next_capacity(grown[-1], most))
        assert grown[-1] > grown[-2]
    sizes = np.arange(1, (most or 5000) + 1)
    assert stretch_capacity(sizes, most).tolist() == [min(c for c in grown if c >= size) for size in sizes.tolist()]
    assert grown[-1] == most or not most


@pytest.mark.parametrize("rows", [15, 30, 62, 100, 127, 500])
def test_windows_of_any_size_grow_where_few_keys_fill_the_pool(rows: int) -> None:
    x = Program(("x",), (), (), 1, (0,))
    both, aggregates = Program(("agg0", "agg1"), (), (), 2, (0, 1)), (Aggregate("last", 0), Aggregate("count_rows"))
    plan = WindowPlan("w", 0, rows, True, 1, x, aggregates, ("last", "n"), both)
    for keys in (1, 2, 3, 7):
        n = keys * 3 * rows
        found = WindowFold(plan, ("x",), ()).fold(
            (np.arange(n) % keys).astype(np.int32), np.arange(n), np.arange(float(n))[None], np.zeros((0, n), np.int64), keys
        )
        assert found.features[0].tolist() == np.arange(float(n)).tolist()
        assert found.features[1].tolist() == np.minimum(np.arange(n) // keys + 1, rows).tolist()
