"""The isolation forest of all keys: grown as `IsolationForest` grows one, walked row by row in blocks.

Isolation forests do not change when a feature is stretched or moved, so there is nothing to standardise.
"""

from __future__ import annotations

import numpy as np

from offbeat.core.batch import F64, I64
from offbeat.core.state import Arrays
from offbeat.detectors.isolation_forest.isolation_forest import Forests, IsolationForest
from offbeat.detectors.population_forest.population_forest_kernels import packed, path_contributions, path_scores, singles
from offbeat.detectors.trained.float32 import SINGLE, by_row
from offbeat.detectors.trained.model import Training


class ForestScorer:
    """One forest, for rows of all keys. Raw score and contributions are those of `IsolationForest`."""

    def __init__(self, forest: Forests, features: int) -> None:
        self._forest, self._packed = forest, packed(forest, features)

    def score(self, outputs: F64, inputs: I64, rows: I64) -> F64:
        """(m,) c(ψ) / mean path length of rows, by number among outputs (o, n)."""
        return path_scores(singles(outputs, inputs, rows), *self._packed)

    def contributions(self, rows: F64) -> F64:
        """(k, m) parts of 1 - 1/raw of (m, k) rows by feature."""
        return path_contributions(by_row(rows), *self._forest)


class PopulationForest:
    """A `Method` of population models: `trees` trees, each grown on `sample` of the rows."""

    tolerance = SINGLE

    def __init__(self, features: int, trees: int, sample: int) -> None:
        self._features, self._trees, self._sample = features, trees, sample
        self.settings = f"{trees} {sample}"

    def fit(self, rows: F64, seed: np.uint64) -> Arrays | str:
        """The forest's arrays, or why it abstains."""
        one = np.ones(1, np.int64)
        grown = IsolationForest(self._features, self._trees, self._sample)
        grown.grow(1)
        grown.train(Training(np.zeros(1, np.int32), one - 1, one * len(rows), rows, one, np.full(1, seed, np.uint64)))
        return grown.note(0) or grown.forest(0)._asdict()

    def scorer(self, arrays: Arrays) -> ForestScorer:
        """The forest of some arrays."""
        return ForestScorer(Forests(**arrays), self._features)
