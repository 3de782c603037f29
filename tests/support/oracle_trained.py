"""Models for the oracle: fitted by the package on rows and a seed that the oracle gives them, scored here by plain loops."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Protocol

import numpy as np
from oracle_forest import average_path, forest_scores
from oracle_half_space import half_space_scores, path_of
from oracle_logic import Num
from oracle_spec import Fit

from offbeat.core.batch import F64
from offbeat.detectors.half_space_trees.half_space_trees import HalfSpaceTrees
from offbeat.detectors.isolation_forest.isolation_forest import IsolationForest
from offbeat.detectors.robust_covariance.robust_covariance import RobustCovariance
from offbeat.detectors.trained.model import Training

_LARGEST = (2 - 2.0**-23) * 2.0**127


class _Trains(Protocol):
    def grow(self, slots: int) -> None: ...
    def train(self, training: Training) -> None: ...
    def note(self, slot: int) -> str: ...


def _train(model: _Trains, rows: list[list[float]], seed: int, number: int) -> None:
    """One key in slot 0."""
    one = np.zeros(1, np.int64)
    model.grow(1)
    model.train(Training(np.zeros(1, np.int32), one, one + len(rows), np.array(rows), one + number, np.array([seed], np.uint64)))


def in_order(values: Iterable[float]) -> float:
    """Their sum from left to right."""
    total = 0.0
    for value in values:
        total += value
    return total


def _one(row: list[float]) -> F64:
    return np.array([row])


class ForestFit:
    same = 2.0**-23

    def __init__(self, features: int, trees: int, sample: int) -> None:
        self.model = IsolationForest(features, trees, sample)

    def train(self, rows: list[list[float]], seed: int, number: int) -> None:
        _train(self.model, rows, seed, number)

    def note(self) -> str:
        return self.model.note(0)

    def score(self, row: list[float]) -> Num:
        return None if self.note() else forest_scores(self.model.forest(0), _one(row))[0]

    def contributions(self, row: list[float]) -> list[Num]:
        """Every split takes c(n) - 1 - c(m) off the path; over trees, over c of the sample."""
        forest = self.model.forest(0)
        parts = [0.0] * len(row)
        trees, nodes = forest.feature.shape
        for tree in range(trees):
            node, depth = 1, 0
            expected = float(average_path(int(forest.size[tree][1]) + 1))
            while node < nodes:
                column, split = int(forest.feature[tree][node]), float(forest.threshold[tree][node])
                node = 2 * node + (float(np.float32(min(max(row[column], -_LARGEST), _LARGEST))) >= split)
                if split == math.inf:
                    continue
                depth += 1
                if node < nodes:
                    rest = float(average_path(int(forest.size[tree][node]) + 1))
                else:
                    rest = float(forest.leaf[tree][node - nodes]) - depth
                parts[column] += expected - 1.0 - rest
                expected = rest
        whole = float(average_path(int(forest.size[0][1]) + 1))
        return [part / trees / whole for part in parts]


class HalfSpaceFit:
    same = 2.0**-23

    def __init__(self, features: int, trees: int, depth: int) -> None:
        self.model = HalfSpaceTrees(features, trees, depth)

    def train(self, rows: list[list[float]], seed: int, number: int) -> None:
        _train(self.model, rows, seed, number)

    def note(self) -> str:
        return self.model.note(0)

    def score(self, row: list[float]) -> Num:
        return None if self.note() else half_space_scores(self.model.trees(0), _one(row))[0]

    def contributions(self, row: list[float]) -> list[Num]:
        """Every split credits its column with the child's score less the node's, averaged over the trees."""
        model = self.model.trees(0)
        parts = [0.0] * len(row)
        for tree in range(len(model.feature)):
            path = path_of(model, tree, row)
            for node, child in pairwise(path):
                parts[model.feature[tree][node]] += float(model.score[tree][child]) - float(model.score[tree][node])
        return [part / len(model.feature) for part in parts]


class CovarianceFit:
    """Works on the model's own arrays: order of columns, location, scale and the inverse of a triangular root of the scatter."""

    same = 1e-9

    def __init__(self, features: int) -> None:
        self.model = RobustCovariance(features)

    def train(self, rows: list[list[float]], seed: int, number: int) -> None:
        _train(self.model, rows, seed, number)

    def note(self) -> str:
        return self.model.note(0)

    def _solved(self, row: list[float]) -> tuple[list[int], list[float], list[float]]:
        """Columns that take part, their distances in scales, and L⁻¹ of those."""
        m = self.model
        order = [int(c) for c in m._order[0][: int(m._ranks[0])]]
        centred: list[float] = []
        solved: list[float] = []
        for j, c in enumerate(order):
            z = min(max((row[c] - float(m._locations[0][c])) * (1.0 / float(m._scales[0][c])), -1e100), 1e100)
            centred.append(z)
            for i in range(j):
                z -= float(m._factors[0][j][i]) * solved[i]
            solved.append(z * float(m._factors[0][j][j]))
        return order, centred, solved

    def score(self, row: list[float]) -> Num:
        if not self.model._ranks[0]:
            return None
        total = 0.0
        for z in self._solved(row)[2]:
            total += z * z
        return math.sqrt(total)

    def contributions(self, row: list[float]) -> list[Num]:
        """z_c · (Σ⁻¹z)_c / d, those of siblings shared out by z_c² / Σ_cc; 0 for a column that takes no part."""
        order, centred, solved = self._solved(row)
        d = self.score(row)
        parts: list[Num] = [0.0] * len(row)
        if not d:
            return parts
        back, own = list(solved), [0.0] * len(order)
        for j in reversed(range(len(order))):
            for i in range(j + 1, len(order)):
                back[j] -= float(self.model._factors[0][i][j]) * back[i]
            back[j] *= float(self.model._factors[0][j][j])
            own[j] = centred[j] * back[j] / d
        group, variances = self._siblings(len(order))
        for first in sorted(set(group)):
            members = [j for j in range(len(order)) if group[j] == first]
            whole = weight = 0.0
            for j in members:
                whole += own[j]
                weight += centred[j] * centred[j] / variances[j]
            for j in members:
                parts[order[j]] = whole * (centred[j] * centred[j] / variances[j] / weight) if weight > 0 else 0.0
        return parts

    def _siblings(self, rank: int) -> tuple[list[int], list[float]]:
        """Of each column the first one that it nearly depends on, and its variance, from the triangular root L of Σ."""
        factor = [[float(x) for x in line] for line in self.model._factors[0]]
        variances = []
        for j in range(rank):
            variance = (1.0 / factor[j][j]) * (1.0 / factor[j][j])
            for m in range(j):
                variance += factor[j][m] * factor[j][m]
            variances.append(variance)
        root = [[0.0] * rank for _ in range(rank)]  # the inverse of L
        for j in range(rank):
            root[j][j] = factor[j][j]
            for i in range(j + 1, rank):
                root[i][j] = -in_order(factor[i][m] * root[m][j] for m in range(j, i)) * factor[i][i]

        def inverse(i: int, j: int) -> float:
            return in_order(root[m][i] * root[m][j] for m in range(max(i, j), rank))

        group = list(range(rank))
        for i in range(rank):
            for j in range(i):
                if inverse(i, j) * inverse(i, j) > 0.81 * inverse(i, i) * inverse(j, j):
                    first, last = sorted((group[i], group[j]))
                    group = [first if g == last else g for g in group]
        return group, variances


def forest(trees: int = 100, sample: int = 256) -> Callable[[int], Fit]:
    """Makes forests, given the number of features."""
    return lambda features: ForestFit(features, trees, sample)


def half_spaces(trees: int = 25, depth: int = 15) -> Callable[[int], Fit]:
    """Makes half-space trees."""
    return lambda features: HalfSpaceFit(features, trees, depth)


def covariance(features: int) -> Fit:
    """Makes a robust covariance."""
    return CovarianceFit(features)
