"""Windows over all of the past, against Python's own statistics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import permutations
from statistics import mean, stdev

import polars as pl
import pytest

import offbeat

VALUES = [Fraction(n, 1000) for n in (1234, 2345, -3456, 4567, 5678)]
MADE_OF: dict[str, Callable[[Sequence[Fraction]], Fraction | float]] = {"n": len, "m": mean, "s": stdev, "t": sum, "low": min, "high": max}
FEATURES = {"n": "count(v)", "m": "mean(v)", "s": "std(v)", "t": "sum(v)", "low": "min(v)", "high": "max(v)"}


@pytest.mark.parametrize("rolled", [True, False])
def test_features_of_one_column_in_any_order(rolled: bool) -> None:
    """Its exact integers are in the column's scale, whichever of them comes last."""
    frame = pl.DataFrame({"k": "a", "t": [f"2024-01-0{day}T12:00:00Z" for day in range(1, 6)], "v": [float(value) for value in VALUES]})
    for order in [*permutations(("n", "m", "s")), ("t", "n", "low"), ("high", "n", "m")]:
        view = {
            "windows": {"w": {"over": "all", "min_rows": 2, "features": {name: FEATURES[name] for name in order}}},
            "detectors": {"r": {"type": "rule", "when": f"{order[0]} > -100"}},
        }
        if rolled:
            view["rollup"] = {"key": "k", "size": "1d", "columns": {"v": "sum(v)"}}
        spec = {"name": "x", "source": {"key": "k", "time": "t", "columns": {"v": {"type": "decimal", "scale": 3}}}, "views": {"d": view}}
        told = [window["statistics"] for window in offbeat.run(spec, frame).alerts.sort("time")["window"]]
        expected = [pytest.approx({name: float(MADE_OF[name](VALUES[:row])) for name in order}, rel=1e-12) for row in range(2, 5)]
        assert told == expected, order
