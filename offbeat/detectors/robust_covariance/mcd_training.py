"""Training of robust covariances: standardise, drop dependent columns, concentrate, reweight."""

from __future__ import annotations

import numpy as np

from offbeat.core.batch import F64, I64, U64
from offbeat.core.compiled import compiled
from offbeat.detectors.robust_covariance.cholesky import independent
from offbeat.detectors.robust_covariance.distances import LANES, blocks_of, distances, gather, moments, nearest
from offbeat.detectors.robust_covariance.mcd import HOPELESS, STEPS, cold_start, concentrate, regularised
from offbeat.detectors.robust_covariance.standardise import robust_scales, standardise, varying

COLD_EVERY = 20
_STEADY = 4
"""Of dependent columns, those of the previous model stay unless another one has this many times their pivot."""
_MOST = 1.7e308
_PROGRESS = 0.99
"""C-steps of a warm start end where one lowers the determinant by less: one hundredth in its logarithm."""
_FAR, _WIDE = 100.0, 1e6
"""A column whose mean or variance has left these bounds in the last model's scales needs new scales."""


@compiled
def _fits(covariance: F64, mean: F64, scale: F64, moves: np.ndarray) -> bool:
    """Whether the scales of the last model still suit the columns that vary."""
    for c in range(len(scale)):
        if moves[c]:
            if scale[c] == 0.0 or not abs(mean[c]) < _FAR:
                return False
            spread = covariance[c, c]
            if not (spread < _WIDE and spread * _WIDE > 1.0):
                return False
    return True


@compiled
def train(
    models: I64, starts: I64, counts: I64, rows: F64, numbers: I64, seeds: U64,
    tables: I64, corrections: F64, limits: F64, reweighting: F64,
    order: I64, ranks: I64, levels: I64, locations: F64, scales: F64, factors: F64, determinants: F64,
) -> None:
    """Fit the models models[g] on rows[starts[g] : starts[g] + counts[g]].

    corrections[tables[g], p]: consistency factor of h of counts[g] rows in p columns; limits[p], reweighting[p]: quantile and consistency
    factor of χ²_p at 0.975. The arrays after that have a row a model: order (k,) columns, the kept ones first; ranks, how many are kept,
    0 = the model abstains; levels, number of rho; locations (k,); scales (k,), 0 = constant; factors (k, k) in the order and scales of
    the kept columns; determinants (2,) of the scaled columns' covariance before reweighting.
    """
    k = rows.shape[1]
    most = 0
    for g in range(len(models)):
        most = max(most, counts[g])
    blocks = blocks_of(most)
    columns, gathered = np.empty((k, blocks, LANES)), np.empty((k, blocks, LANES))
    squares, scratch, column = np.empty((blocks, LANES)), np.empty(most), np.empty(most)
    chosen = np.zeros(most, np.int64)
    location, centre, inverse, mean, low, high = np.empty(k), np.empty(k), np.empty(k), np.empty(k), np.empty(k), np.empty(k)
    covariance, matrix, factor = np.empty((k, k)), np.empty((k, k)), np.empty((k, k))
    solved, determinant = np.empty((k, LANES)), np.empty(2)
    moves, preferred, ordered = np.empty(k, np.bool_), np.empty(k, np.int64), np.empty(k, np.int64)
    for g in range(len(models)):
        model, start, n = models[g], starts[g], counts[g]
        warm = ranks[model] > 0 and numbers[g] % COLD_EVERY != 1
        if warm:
            for c in range(k):
                centre[c] = locations[model, c]
                inverse[c] = 1.0 / scales[model, c] if scales[model, c] > 0.0 else 0.0
                preferred[c] = 0
            for j in range(ranks[model]):
                preferred[order[model, j]] = _STEADY
            varying(rows, start, n, centre, low, high, moves)
            standardise(rows, start, n, centre, inverse, columns)
            moments(columns, n, k, solved, mean, covariance)
            warm = _fits(covariance, mean, scales[model], moves)
        if not warm:
            robust_scales(rows, start, n, centre, scales[model], column, scratch)
            for c in range(k):
                moves[c] = scales[model, c] > 0.0
                inverse[c] = 1.0 / scales[model, c] if moves[c] else 0.0
                preferred[c] = 0
            standardise(rows, start, n, centre, inverse, columns)
            moments(columns, n, k, solved, mean, covariance)
        for c in range(k):
            ordered[c] = c
            if not moves[c]:
                covariance[c, c] = 0.0
        # Beyond that, pivots are rounding, and h would be more than n.
        rank = min(independent(covariance, k, preferred, ordered), n - 1)
        if rank == 0:
            ranks[model] = levels[model] = 0
            continue
        wanted = (n + rank + 1) // 2
        correction = corrections[tables[g], rank]
        if warm:
            for c in range(k):
                mean[c] = 0.0
            distances(columns, n, order[model], ranks[model], mean, factors[model], solved, squares)
            nearest(squares, n, wanted, scratch, chosen)
        level = levels[model]
        if not warm:
            level = cold_start(
                columns, n, wanted, ordered, rank, correction, seeds[g], chosen,
                gathered, location, covariance, matrix, factor, determinant, solved, squares, scratch,
            )
        if level >= 0:
            level = concentrate(
                columns, n, wanted, ordered, rank, correction, level, STEPS, _PROGRESS if warm else 1.0, chosen,
                gathered, location, covariance, matrix, factor, determinant, solved, squares, scratch,
            )
        if 0 <= level < HOPELESS:
            determinants[model, 0], determinants[model, 1] = determinant[0], determinant[1]
            inside = 0
            for r in range(n):
                if squares[r // LANES, r % LANES] <= limits[rank]:
                    chosen[inside] = r
                    inside += 1
            gather(columns, ordered, rank, chosen, inside, gathered)
            moments(gathered, inside, rank, solved, location, covariance)
            level = regularised(covariance, rank, reweighting[rank], level, matrix, factor, determinant)
        ranks[model] = rank if 0 <= level < HOPELESS else 0
        levels[model] = level if level >= 0 else HOPELESS
        for j in range(k):
            c = ordered[j]
            order[model, j] = c
            middle = centre[c] + location[j] * scales[model, c] if j < rank else centre[c]
            locations[model, c] = min(max(middle, -_MOST), _MOST)
        for i in range(rank):
            for j in range(i + 1):
                factors[model, i, j] = factor[i, j]
