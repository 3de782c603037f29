"""The minimum covariance determinant: those h = ⌊(n + p + 1) / 2⌋ rows whose covariance has the least determinant.

Rousseeuw & Van Driessen (1999): C-steps from many starts, the best of them to convergence. Boudt, Rousseeuw, Vanduffel & Verdonck
(2020): where those rows are singular, their covariance S gives way to K = (1 - rho) c S + rho I, in standardised columns, with the
consistency factor c.
"""

from __future__ import annotations

import math

import numpy as np

from offbeat.core.batch import F64, I64
from offbeat.core.compiled import compiled
from offbeat.detectors.robust_covariance.cholesky import factorise, smaller
from offbeat.detectors.robust_covariance.distances import LANES, blocks_of, distances, gather, moments, nearest
from offbeat.detectors.trained.random import advance, below, stream

REGULARISATION = (0.0, 1e-3, 1e-2, 0.1)
"""The rho that are tried, in this order."""
HOPELESS = len(REGULARISATION)
_UNEVEN = 50.0
"""The largest condition number, after Boudt et al.; here the mean variance over rho, which is the least variance of singular rows."""
STEPS = 100
"""C-steps to convergence never come near it."""
_SAMPLE = 600
"""Number of rows on which the starts are compared."""
_STARTS = 13
_KEPT = 4


@compiled
def regularised(covariance: F64, rank: int, correction: float, level: int, matrix: F64, factor: F64, determinant: F64) -> int:
    """Factor of K for the first rho, from number `level` on, for which K is not singular; returns its number, HOPELESS if none."""
    for number in range(level, len(REGULARISATION)):
        rho = REGULARISATION[number]
        total = 0.0
        for i in range(rank):
            for j in range(i + 1):
                matrix[i, j] = (1.0 - rho) * correction * covariance[i, j]
            matrix[i, i] += rho
            total += matrix[i, i]
        even = number in (0, len(REGULARISATION) - 1) or total <= _UNEVEN * rho * rank
        if even and factorise(matrix, rank, factor, determinant):
            return number
    return HOPELESS


@compiled
def concentrate(
    columns: F64, rows: int, wanted: int, order: I64, rank: int, correction: float, level: int, steps: int, progress: float, chosen: I64,
    gathered: F64, location: F64, covariance: F64, matrix: F64, factor: F64, determinant: F64, solved: F64, squares: F64, scratch: F64,
) -> int:
    """At most `steps` C-steps from the rows chosen[:wanted] on, ending where one leaves more than `progress` of the determinant.

    Returns the number of the rho that was needed. On return location, factor, determinant and squares (≥ blocks, 64) belong together.
    """
    goal = np.empty(2)
    for step in range(steps):
        gather(columns, order, rank, chosen, wanted, gathered)
        moments(gathered, wanted, rank, solved, location, covariance)
        number = regularised(covariance, rank, correction, level, matrix, factor, determinant)
        if number == HOPELESS:
            return HOPELESS
        done = step > 0 and number == level and not smaller(determinant, goal)
        level = number
        goal[0], goal[1] = determinant[0] * progress, determinant[1]
        distances(columns, rows, order, rank, location, factor, solved, squares)
        if done or step == steps - 1 or not nearest(squares, rows, wanted, scratch, chosen):
            break
    return level


@compiled
def draw(places: I64, count: int, wanted: int, state: np.uint64) -> np.uint64:
    """Shuffle `wanted` random entries of places[:count] to its front."""
    for i in range(wanted):
        state = advance(state)
        j = i + below(state, count - i)
        places[i], places[j] = places[j], places[i]
    return state


@compiled
def bent(columns: F64, rows: int, rank: int, signs: bool, out: F64) -> None:
    """Rows with their outliers pulled in: each value by x / √(1 + x²), or, with `signs`, each row to length 1 (spatial signs)."""
    for b in range(blocks_of(rows)):
        for lane in range(LANES):
            total = 0.0
            for j in range(rank):
                total += columns[j, b, lane] * columns[j, b, lane]
            length = 1.0 / math.sqrt(total) if total > 0.0 else 0.0
            for j in range(rank):
                x = columns[j, b, lane]
                out[j, b, lane] = x * length if signs else x / math.sqrt(1.0 + x * x)


@compiled
def _better(level: int, i: int, other: int, j: int, determinants: F64) -> bool:
    """Whether rows of rho number `level` and the i-th determinant beat those of rho number `other` and the j-th."""
    return level > other or (level == other and smaller(determinants[i], determinants[j]))


@compiled
def cold_start(
    columns: F64, rows: int, wanted: int, order: I64, rank: int, correction: float, seed: np.uint64, chosen: I64,
    gathered: F64, location: F64, covariance: F64, matrix: F64, factor: F64, determinant: F64, solved: F64, squares: F64, scratch: F64,
) -> int:
    """Leave in chosen[:wanted] the rows to go on from; returns the number of their rho.

    Starts are compared after two C-steps on a random sample of rows: for each column that repeats one value in h rows these rows, the rows
    nearest to the centre, two with outliers pulled in (as in Hubert, Rousseeuw & Verdonck 2012), and random sets of rank + 1 rows. The
    best go on with all rows. A singular set beats any other, as its determinant is 0.
    """
    state = stream(seed, 0)
    m = min(rows, _SAMPLE)
    share = (wanted * m + rows - 1) // rows
    places = np.arange(rows)
    state = draw(places, rows, m, state)
    few, other = np.empty((rank, blocks_of(m), LANES)), np.empty((rank, blocks_of(m), LANES))
    gather(columns, order, rank, places, m, few)
    inner, drawn, natural = np.zeros(m, np.int64), np.arange(m), np.arange(rank)
    levels, determinants = np.full(_KEPT, -1), np.zeros((_KEPT + 2, 2))
    locations, factors = np.zeros((_KEPT, rank)), np.zeros((_KEPT, rank, rank))
    tied, tied_columns = 0, np.empty(rank, np.int64)
    for j in range(rank):
        same = 0
        for t in range(m):
            same += 1 if few[j, t // LANES, t % LANES] == 0.0 else 0
        if same >= share:
            tied_columns[tied] = j
            tied += 1
    for start in range(-tied, _STARTS):
        if start <= 0:
            for i in range(rank):
                location[i] = 0.0
                for j in range(i + 1):
                    factor[i, j] = 1.0 if i == j and (start == 0 or i == tied_columns[start + tied]) else 0.0
        elif start < 3:
            bent(few, m, rank, start == 2, other)
            moments(other, m, rank, solved, location, covariance)
            # Its scale does not matter here, only its shape.
            for i in range(rank):
                location[i] = 0.0
        else:
            state = draw(drawn, m, rank + 1, state)
            gather(few, natural, rank, drawn, rank + 1, other)
            moments(other, rank + 1, rank, solved, location, covariance)
        if start > 0 and regularised(covariance, rank, 1.0, 0, matrix, factor, determinant) == HOPELESS:
            continue
        distances(few, m, natural, rank, location, factor, solved, squares)
        nearest(squares, m, share, scratch, inner)
        level = concentrate(
            few, m, share, natural, rank, correction, 0, 2, 1.0, inner,
            gathered, location, covariance, matrix, factor, determinant, solved, squares, scratch,
        )
        if level == HOPELESS:
            continue
        worst = 0
        for p in range(1, _KEPT):
            if _better(levels[worst], worst, levels[p], p, determinants):
                worst = p
        determinants[_KEPT, 0], determinants[_KEPT, 1] = determinant[0], determinant[1]
        if _better(level, _KEPT, levels[worst], worst, determinants):
            levels[worst] = level
            for i in range(2):
                determinants[worst, i] = determinant[i]
            for i in range(rank):
                locations[worst, i] = location[i]
                for j in range(i + 1):
                    factors[worst, i, j] = factor[i, j]
    best = -1
    trial = np.zeros(wanted, np.int64)
    for p in range(_KEPT):
        if levels[p] < 0:
            continue
        distances(columns, rows, order, rank, locations[p], factors[p], solved, squares)
        nearest(squares, rows, wanted, scratch, trial)
        level = concentrate(
            columns, rows, wanted, order, rank, correction, 0, 2, 1.0, trial,
            gathered, location, covariance, matrix, factor, determinant, solved, squares, scratch,
        )
        determinants[_KEPT, 0], determinants[_KEPT, 1] = determinant[0], determinant[1]
        if level != HOPELESS and _better(level, _KEPT, best, _KEPT + 1, determinants):
            best = level
            for i in range(2):
                determinants[_KEPT + 1, i] = determinant[i]
            for t in range(wanted):
                chosen[t] = trial[t]
    return best
