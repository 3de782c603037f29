"""The isolation forest of all keys: grown as `IsolationForest` grows one, walked row by row in blocks.

Isolation forests do not change when a feature is stretched or moved, so there is nothing to standardise.
"""

from __future__ import annotations

import numpy as np

from offbeat.core.batch import F64, I64
from offbeat.core.state import Arrays
from offbeat.detectors.isolation_forest.forest_kernels import attribute_rows
from offbeat.detectors.isolation_forest.isolation_forest import Forests, IsolationForest
from offbeat.detectors.population_forest.population_forest_kernels import packed, path_scores, singles
from offbeat.detectors.trained.model import Training
from offbeat.detectors.trained.model_slots import SPEAKS


class ForestScorer:
    """One forest, for rows of all keys. Raw score and contributions are those of `IsolationForest`."""

    def __init__(self, forest: Forests, features: int) -> None:
        self._forest, self._packed = forest, packed(forest, features)

    def score(self, outputs: F64, inputs: I64, rows: I64) -> F64:
        """(m,) c(ψ) / mean path length of rows, by number among outputs (o, n)."""
        return path_scores(singles(outputs, inputs, rows), *self._packed)

    def contributions(self, rows: F64) -> F64:
        """(k, m) parts of 1 - 1/raw of (m, k) rows by feature."""
        feature, threshold, leaf, size = self._forest
        place, speaks = np.zeros(1, np.int32), np.full(1, SPEAKS, np.int8)
        return attribute_rows(np.zeros(len(rows), np.int32), rows, place, speaks, feature[None], threshold[None], leaf[None], size[None])


class PopulationForest:
    """A `Method` of population models: `trees` trees, each grown on `sample` of the rows."""

    def __init__(self, features: int, trees: int, sample: int) -> None:
        self._features, self._trees, self._sample = features, trees, sample
        self.settings = f"{trees} {sample}"

    def fit(self, rows: F64, seed: np.uint64) -> Arrays | str:
        """The forest's arrays, or why it abstains."""
        one = np.ones(1, np.int64)
        grown = IsolationForest(self._features, self._trees, self._sample)
        grown.grow(1)
        grown.train(Training(np.zeros(1, np.int32), one - 1, one * len(rows), rows, one, np.full(1, seed, np.uint64)))
        return grown.note(0) or _without_unreached(grown.forest(0))._asdict()

    def scorer(self, arrays: Arrays) -> ForestScorer:
        """The forest of some arrays."""
        return ForestScorer(Forests(**arrays), self._features)


def _without_unreached(forest: Forests) -> Forests:
    """The forest with zeros where no row comes, so that equal forests are equal files."""
    trees, nodes = forest.feature.shape
    reached, sized = np.zeros((trees, 2 * nodes), np.bool_), np.zeros((trees, 2 * nodes), np.bool_)
    reached[:, 1] = sized[:, 1] = True
    split = forest.threshold < np.inf
    first = 1
    while first < nodes:
        level, below = slice(first, 2 * first), slice(2 * first, 4 * first)
        reached[:, below] = np.stack([reached[:, level], reached[:, level] & split[:, level]], axis=2).reshape(trees, -1)
        sized[:, below] = np.repeat(sized[:, level] & split[:, level], 2, axis=1)
        first *= 2
    leaf, size = np.where(reached[:, nodes:], forest.leaf, np.float32(0)), np.where(sized[:, :nodes], forest.size, np.uint8(0))
    return Forests(forest.feature.copy(), forest.threshold.copy(), leaf, size)
