"""What every kind of detector and every function of windows must pass: an example of each, and streams to try them on.

A new kind or function needs an entry here, and nothing else: `test_contract` finds it by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from case import Case
from oracle_spec import SECOND, Column, Pipeline, Row, Value

_TRAINING = "train_on: 64, retrain_every: 32, train_min: 32, contamination: 0.05"
Invariance = Literal["equal", "rounding", "chance"]


@dataclass(frozen=True)
class Example:
    """Settings of a detector, the same with its columns the other way round, and how far the scores of the two may differ."""

    settings: str
    permuted: str
    invariance: Invariance = "equal"


DETECTORS: Mapping[str, Example] = {
    "band": Example("type: band, value: x, over: 20 rows", "type: band, value: x, over: 20 rows"),
    "half_space_trees": Example(
        f"type: half_space_trees, features: [x, y, z], {_TRAINING}", f"type: half_space_trees, features: [z, y, x], {_TRAINING}", "chance"
    ),
    "isolation_forest": Example(
        f"type: isolation_forest, features: [x, y, z], {_TRAINING}", f"type: isolation_forest, features: [z, y, x], {_TRAINING}", "chance"
    ),
    "quantile": Example("type: quantile, value: x, over: 20 rows", "type: quantile, value: x, over: 20 rows"),
    "record": Example("type: record, features: [x, y, z], warm_up: 20", "type: record, features: [z, y, x], warm_up: 20"),
    "robust_covariance": Example(
        f"type: robust_covariance, features: [x, y, z], {_TRAINING}",
        f"type: robust_covariance, features: [z, y, x], {_TRAINING}",
        "rounding",
    ),
    "rule": Example("type: rule, when: x + y > 1", "type: rule, when: y + x > 1"),
    "zscore": Example("type: zscore, over: 20 rows, limits: {x: 3, y: 2}", "type: zscore, over: 20 rows, limits: {y: 2, x: 3}"),
}

OF_WINDOWS = {"absence", "population_forest"}
"""Kinds that views of rows do not take; their own tests hold them to the same: test_absence, test_population_forest."""

FUNCTIONS: Mapping[str, tuple[str, float | None, float | None]] = {
    "count": ("count(x)", 1, 5),
    "sum": ("sum(x)", 3, 15),
    "mean": ("mean(x)", 3, 3),
    "std": ("std(x)", None, 0),
    "var": ("var(x)", None, 0),
    "min": ("min(x)", 3, 3),
    "max": ("max(x)", 3, 3),
    "first": ("first(x)", 3, 3),
    "last": ("last(x)", 3, 3),
    "median": ("median(x)", 3, 3),
    "quantile": ("quantile(x, 0.25)", 3, 3),
    "mad": ("mad(x)", 0, 0),
    "share": ("share(x > 2)", 1, 1),
    "span": ("span()", 0, 4),
    "rate": ("rate()", None, 1),
    "diff": ("max(diff(x))", None, 0),
    "gap": ("max(gap())", None, 1),
}
"""Function → an expression of it, its value for a window of one row x = 3, and of five such rows, a second apart."""

OVER_ALL: Mapping[str, tuple[str, float | None, float | None]] = {
    "ewma": ("ewma(x, 4)", 3, 3),
    "ewstd": ("ewstd(x, 4)", None, 0),
    "ar": ("ar(x, 2)", None, 3),
    "still": ("still(x)", 0, 4),
}
"""The same for functions that only windows over all of a key's rows have."""

_COLUMNS = (Column("x", allow_nan=True), Column("y", allow_nan=True), Column("z", allow_nan=True), Column("i", "decimal"))


def case_of(
    name: str, detectors: Mapping[str, str], features: Mapping[str, str] | None = None, over_all: Mapping[str, str] | None = None
) -> Case:
    """One view; its first detector fires on every row, so that every row shows what all say of it.

    features: of two windows, of rows and of time. over_all: of one over all of a key's rows.
    """
    overs = {"rows": ("5 rows, current: true, min_rows: 1", features), "time": ("7s, current: true", features)}
    overs["all"] = ("all, current: true", over_all)
    windows = "    windows:\n" if features or over_all else ""
    for window, (over, texts) in overs.items():
        if texts:
            named = ", ".join(f'{window}_{feature}: "{text}"' for feature, text in texts.items())
            windows += f"      {window}: {{over: {over}, features: {{{named}}}}}\n"
    return Case(
        name,
        f"""
name: {name}
source:
  key: {{column: key}}
  time: {{column: time}}
  columns:
    x: {{type: float, required: false, allow_nan: true}}
    y: {{type: float, required: false, allow_nan: true}}
    z: {{type: float, required: false, allow_nan: true}}
    i: {{type: decimal, scale: 0}}
quality: {{max_jump: 100d}}
views:
  v:
{windows}    detectors:
      every: {{type: rule, when: i >= 0}}
"""
        + "".join(f"      {name}: {{{settings}}}\n" for name, settings in detectors.items()),
        Pipeline(name, _COLUMNS, ()),
    )


def stream(n: int, values: Callable[[int], Sequence[float | None]], keys: int = 3) -> list[Row]:
    """So many rows a second apart, of several keys by turns."""
    rows = []
    for i in range(n):
        columns: dict[str, Value] = {"i": i, **dict(zip("xyz", values(i), strict=True))}
        rows.append(Row(f"k{i * i % 7 % keys}", (1_600_000_000 + i) * SECOND, columns, row=i + 1))
    return rows


def usual(n: int, keys: int = 3, seed: int = 1) -> list[Row]:
    """Correlated normal values, one row in 20 far out."""
    random = np.random.default_rng(seed)
    table = random.standard_normal((n, 3)) @ np.array([[1.0, 0.6, 0.0], [0.0, 0.8, 0.3], [0.0, 0.0, 1.0]])
    table[random.random(n) < 0.05] *= 6
    return stream(n, lambda i: table[i].tolist(), keys)


def odd(n: int) -> list[Row]:
    """Usual values among which stand nulls, NaN, infinities, and numbers at the ends of the doubles."""
    random = np.random.default_rng(2)
    strange = (None, math.nan, math.inf, -math.inf, 1e308, -1e308, 1.7e308, 5e-324, -0.0)
    table: list[list[float | None]] = [list(row) for row in random.standard_normal((n, 3)).tolist()]
    for row in table:
        for c in range(3):
            if random.random() < 0.15:
                row[c] = strange[int(random.integers(len(strange)))]
    return stream(n, lambda i: table[i])


def arrays_of(thing: object, seen: set[int] | None = None) -> list[np.ndarray[Any, Any]]:
    """All NumPy arrays that an object holds."""
    seen = set() if seen is None else seen
    if id(thing) in seen:
        return []
    seen.add(id(thing))
    if isinstance(thing, np.ndarray):
        return [thing]
    if isinstance(thing, Mapping):
        parts: list[object] = list(thing.values())
    elif isinstance(thing, list | tuple):
        parts = list(thing)
    else:
        parts = list(vars(thing).values()) if type(thing).__module__.startswith("offbeat") and hasattr(thing, "__dict__") else []
    return [array for part in parts for array in arrays_of(part, seen)]
