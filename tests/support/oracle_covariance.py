"""The robust covariance's score, a row at a time in plain Python: own loops over the arrays of the trained model."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

FARTHEST = 1e100


def distance(arrays: dict[str, np.ndarray], slot: int, row: Sequence[float]) -> float:
    """Mahalanobis distance of a row from the slot's model in a snapshot; NaN where there is none."""
    slots = arrays["slots"].tolist()
    if slot not in slots:
        return math.nan
    model = slots.index(slot)
    rank = int(arrays["ranks"][model])
    if rank == 0:
        return math.nan
    factor = arrays["factors"][model].tolist()
    solved: list[float] = []
    for j, column in enumerate(arrays["order"][model].tolist()[:rank]):
        inverse = 1.0 / float(arrays["scales"][model, column])
        z = (float(row[column]) - float(arrays["locations"][model, column])) * inverse
        z = min(max(z, -FARTHEST), FARTHEST)
        for i in range(j):
            z -= factor[j][i] * solved[i]
        solved.append(z * factor[j][j])
    total = 0.0
    for y in solved:
        total += y * y
    return math.sqrt(total)
