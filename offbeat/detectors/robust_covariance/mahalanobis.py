"""Mahalanobis distances of new rows from a model, and their parts by column."""

from __future__ import annotations

import math

import numpy as np

from offbeat.core.batch import F64, I32, I64
from offbeat.core.compiled import compiled
from offbeat.detectors.robust_covariance.distances import LANES
from offbeat.detectors.robust_covariance.standardise import FARTHEST


@compiled
def mahalanobis(
    slots: I32, rows: F64, model_of: I32, order: I64, ranks: I64, locations: F64, inverses: F64, factors: F64, parts: F64, out: F64
) -> None:
    """out[r] = distance of row r from its slot's model, NaN without one; parts[c, r] = what column c adds, unless `parts` is empty."""
    n = len(rows)
    solved, centred = np.empty((rows.shape[1], LANES)), np.empty((rows.shape[1], LANES))
    at = 0
    while at < n:
        slot = slots[at]
        size = 1
        while size < LANES and at + size < n and slots[at + size] == slot:
            size += 1
        model = model_of[slot] if slot < len(model_of) else -1
        rank = ranks[model] if model >= 0 else 0
        if rank == 0:
            for lane in range(size):
                out[at + lane] = np.nan
            at += size
            continue
        for j in range(rank):
            c = order[model, j]
            middle, inverse = locations[model, c], inverses[model, c]
            for lane in range(size):
                centred[j, lane] = min(max((rows[at + lane, c] - middle) * inverse, -FARTHEST), FARTHEST)
                solved[j, lane] = centred[j, lane]
            for i in range(j):
                share = factors[model, j, i]
                for lane in range(size):
                    solved[j, lane] -= share * solved[i, lane]
            share = factors[model, j, j]
            for lane in range(size):
                solved[j, lane] *= share
        for lane in range(size):
            total = 0.0
            for j in range(rank):
                total += solved[j, lane] * solved[j, lane]
            out[at + lane] = math.sqrt(total)
        if parts.shape[1] > 0:
            for j in range(rank - 1, -1, -1):
                c = order[model, j]
                for i in range(j + 1, rank):
                    share = factors[model, i, j]
                    for lane in range(size):
                        solved[j, lane] -= share * solved[i, lane]
                share = factors[model, j, j]
                for lane in range(size):
                    solved[j, lane] *= share
                    d = out[at + lane]
                    parts[c, at + lane] = centred[j, lane] * solved[j, lane] / d if d > 0.0 else 0.0
        at += size
