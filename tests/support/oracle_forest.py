"""The isolation forest by plain Python: scores by walking a trained model's trees, and the exact expectation of a path length."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import combinations, pairwise
from statistics import fmean

import numpy as np

from offbeat.core.batch import F64
from offbeat.detectors.isolation_forest.isolation_forest import Forests

Row = tuple[float, ...]
_LARGEST = (2 - 2.0**-23) * 2.0**127


def _sums_of_depths() -> list[Fraction]:
    """By n ≤ 256: expected sum of the depths of n leaves of a random binary tree.

    The root parts them in 1 : n - 1, 2 : n - 2, … with equal chances and adds 1 to each depth, and so on below.
    """
    sums, below = [Fraction(0), Fraction(0)], Fraction(0)
    for leaves in range(2, 257):
        below += sums[leaves - 1]
        sums.append(leaves + Fraction(2, leaves - 1) * below)
    return sums


_SUMS = _sums_of_depths()


def average_path(n: int) -> Fraction:
    """Expected depth of one of n leaves, 1 ≤ n ≤ 256."""
    return _SUMS[n] / n


def _leaf_of(forest: Forests, tree: int, row: Sequence[float]) -> float:
    nodes, node = len(forest.feature[tree]), 1
    while node < nodes:
        x = np.float32(min(max(row[forest.feature[tree][node]], -_LARGEST), _LARGEST))
        node = 2 * node + (1 if x >= forest.threshold[tree][node] else 0)
    return float(forest.leaf[tree][node - nodes])


def forest_scores(forest: Forests, rows: F64) -> list[float]:
    """Raw score of each row: c(ψ) / mean path length over the forest's trees."""
    trees = len(forest.feature)
    whole = float(average_path(int(forest.size[0][1]) + 1))
    scores = []
    for row in rows.tolist():
        path = 0.0
        for tree in range(trees):
            path += _leaf_of(forest, tree, row)
        scores.append(whole / (path / trees))
    return scores


def expected_path(row: Row, rows: Sequence[Row], depth_left: int) -> float:
    """Expected path length of a row in an isolation tree grown on all of `rows`: the integral over every column and split point."""
    columns = [f for f in range(len(row)) if len({r[f] for r in rows}) > 1]
    if len(rows) == 1 or depth_left == 0 or not columns:
        return float(average_path(len(rows)))
    over_columns = []
    for f in columns:
        values = sorted({r[f] for r in rows})
        low, high = values[0], values[-1]
        mean = 0.0
        # Between two neighbours every split point parts the rows alike; the row itself may lie anywhere.
        cuts = sorted({*values, *([row[f]] if low < row[f] < high else [])})
        for a, b in pairwise(cuts):
            beyond = row[f] >= b
            side = [r for r in rows if (r[f] >= b) == beyond]
            mean += (b - a) / (high - low) * (1 + expected_path(row, side, depth_left - 1))
        over_columns.append(mean)
    return fmean(over_columns)


def expected_path_over_samples(row: Row, rows: Sequence[Row], sample: int) -> float:
    """The same where each tree is grown on `sample` of the rows, every choice equally likely."""
    depth = (sample - 1).bit_length()
    return fmean(expected_path(row, chosen, depth) for chosen in combinations(rows, sample))
