"""Half-space trees by plain Python: scores by walking a trained model's trees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from offbeat.core.batch import F64
from offbeat.detectors.half_space_trees.half_space_trees import HalfSpaces

_LARGEST = (2 - 2.0**-23) * 2.0**127


def path_of(model: HalfSpaces, tree: int, row: Sequence[float]) -> list[int]:
    """Nodes on the row's way from the root to where it ends."""
    path = [0]
    while np.isfinite(model.threshold[tree][path[-1]]):
        node = path[-1]
        x = np.float32(min(max(row[model.feature[tree][node]], -_LARGEST), _LARGEST))
        path.append(int(model.left[tree][node]) + (1 if x >= model.threshold[tree][node] else 0))
    return path


def half_space_scores(model: HalfSpaces, rows: F64) -> list[float]:
    """Raw score of each row: the mean over the trees of the score of its last node."""
    trees = len(model.feature)
    scores = []
    for row in rows.tolist():
        total = 0.0
        for tree in range(trees):
            total += float(model.score[tree][path_of(model, tree, row)[-1]])
        scores.append(total / trees)
    return scores
