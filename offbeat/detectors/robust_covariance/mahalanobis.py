"""Mahalanobis distances of new rows from a model, and their parts by column."""

from __future__ import annotations

import math

import numpy as np

from offbeat.core.batch import F64, I32, I64
from offbeat.core.compiled import compiled
from offbeat.detectors.robust_covariance.distances import LANES
from offbeat.detectors.robust_covariance.standardise import FARTHEST

_SIBLINGS = 0.81
"""Square of the correlation, given all other columns, beyond which two columns are taken together."""


@compiled
def mahalanobis(
    slots: I32, rows: F64, model_of: I32, order: I64, ranks: I64, locations: F64, inverses: F64, factors: F64, out: F64
) -> None:
    """out[r] = distance of row r from its slot's model, NaN without one."""
    n = len(rows)
    solved = np.empty((rows.shape[1], LANES))
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
                solved[j, lane] = min(max((rows[at + lane, c] - middle) * inverse, -FARTHEST), FARTHEST)
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
        at += size


@compiled
def _siblings(factor: F64, rank: int, root: F64, variances: F64, group: I64) -> None:
    """group[j] = the first of the columns that nearly depend on each other, j among them; variances[j] of the columns.

    `factor` holds the triangular root of their covariance, with the inverses of its diagonal; `root` (≥ rank, ≥ rank) is scratch.
    """
    for j in range(rank):
        group[j] = j
        diagonal = 1.0 / factor[j, j]
        variances[j] = diagonal * diagonal
        for m in range(j):
            variances[j] += factor[j, m] * factor[j, m]
        # The inverse of the root, by columns: the inverse covariance is root' · root.
        for i in range(rank):
            root[i, j] = 0.0
        root[j, j] = factor[j, j]
        for i in range(j + 1, rank):
            total = 0.0
            for m in range(j, i):
                total += factor[i, m] * root[m, j]
            root[i, j] = -total * factor[i, i]
    for i in range(rank):
        for j in range(i):
            both, own, other = 0.0, 0.0, 0.0
            for m in range(i, rank):
                both += root[m, i] * root[m, j]
            for m in range(i, rank):
                own += root[m, i] * root[m, i]
            for m in range(j, rank):
                other += root[m, j] * root[m, j]
            if both * both > _SIBLINGS * own * other:
                first, last = min(group[i], group[j]), max(group[i], group[j])
                for m in range(rank):
                    if group[m] == last:
                        group[m] = first


@compiled
def shares(
    slots: I32, rows: F64, model_of: I32, order: I64, ranks: I64, locations: F64, inverses: F64, factors: F64, distances: F64, parts: F64
) -> None:
    """parts[c, r] = what column c adds to the distance d of row r; they sum to it. `distances` (n,); `parts` (k, n): zeros.

    The part z_c · (Σ⁻¹z)_c / d is the Shapley value of d² where columns that do not play stay at their location, divided by d (Mayrhofer &
    Filzmoser 2023, Multivariate outlier explanations using Shapley values and Mahalanobis distances). Of two columns that nearly depend on
    each other, one gets a huge part and the other nearly its negative, whatever is odd in the row. Such siblings (their correlation given
    all other columns is beyond ± 0.9) play as one: their parts are added up, which is the value of the group, and shared out by the
    squares of their own distances z_c² / Σ_cc.
    """
    k = rows.shape[1]
    root, variances, group = np.empty((k, k)), np.empty(k), np.empty(k, np.int64)
    z, solved, part = np.empty(k), np.empty(k), np.empty(k)
    known = -1
    for r in range(len(rows)):
        model = model_of[slots[r]] if slots[r] < len(model_of) else -1
        rank = ranks[model] if model >= 0 else 0
        d = distances[r]
        if rank == 0 or not d > 0.0:
            continue
        factor = factors[model]
        if model != known:
            known = model
            _siblings(factor, rank, root, variances, group)
        for j in range(rank):
            c = order[model, j]
            z[j] = solved[j] = min(max((rows[r, c] - locations[model, c]) * inverses[model, c], -FARTHEST), FARTHEST)
            for i in range(j):
                solved[j] -= factor[j, i] * solved[i]
            solved[j] *= factor[j, j]
        for j in range(rank - 1, -1, -1):
            for i in range(j + 1, rank):
                solved[j] -= factor[i, j] * solved[i]
            solved[j] *= factor[j, j]
            part[j] = z[j] * solved[j] / d
        for j in range(rank):
            if group[j] != j:
                continue
            whole, weight = 0.0, 0.0
            for i in range(j, rank):
                if group[i] == j:
                    whole += part[i]
                    weight += z[i] * z[i] / variances[i]
            for i in range(j, rank):
                if group[i] == j:
                    parts[order[model, i], r] = whole * (z[i] * z[i] / variances[i] / weight) if weight > 0.0 else 0.0
