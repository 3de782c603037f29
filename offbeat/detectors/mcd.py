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
from offbeat.detectors.cholesky import factorise, smaller
from offbeat.detectors.distances import LANES, blocks_of, distances, gather, moments, nearest

REGULARISATION = (0.0, 1e-3, 1e-2, 0.1)
"""The rho that are tried, in this order."""
HOPELESS = len(REGULARISATION)
_UNEVEN = 50.0
"""The largest condition number, after Boudt et al.; here the mean variance over rho, which is the least variance of singular rows."""
STEPS = 100
"""C-steps to convergence never come near it."""
_PROGRESS = 0.99
"""C-steps that lower the determinant by less end: one hundredth in the logarithm."""
_SAMPLE = 600
"""The starts are compared on so many rows."""
_STARTS = 40
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
    columns: F64, rows: int, wanted: int, order: I64, rank: int, correction: float, level: int, steps: int, chosen: I64,
    gathered: F64, location: F64, covariance: F64, matrix: F64, factor: F64, determinant: F64, solved: F64, squares: F64, scratch: F64,
) -> int:
    """At most `steps` C-steps from the rows chosen[:wanted] on, to convergence if that comes first.

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
        goal[0], goal[1] = determinant[0] * _PROGRESS, determinant[1]
        distances(columns, rows, order, rank, location, factor, solved, squares)
        if done or step == steps - 1 or not nearest(squares, rows, wanted, scratch, chosen):
            break
    return level


@compiled
def random(state: np.uint64) -> np.uint64:
    """The next state of xorshift64 (Marsaglia 2003)."""
    state ^= state << np.uint64(13)
    state ^= state >> np.uint64(7)
    state ^= state << np.uint64(17)
    return state


@compiled
def draw(places: I64, count: int, wanted: int, state: np.uint64) -> np.uint64:
    """Shuffle `wanted` random entries of places[:count] to its front."""
    for i in range(wanted):
        state = random(state)
        j = i + np.int64((state >> np.uint64(11)) % np.uint64(count - i))
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
def cold_start(
    columns: F64, rows: int, wanted: int, order: I64, rank: int, correction: float, seed: np.uint64, chosen: I64,
    gathered: F64, location: F64, covariance: F64, matrix: F64, factor: F64, determinant: F64, solved: F64, squares: F64, scratch: F64,
) -> int:
    """Leave in chosen[:wanted] the rows to go on from; returns the number of their rho.

    Starts are compared after two C-steps on a random sample of rows: for each column that repeats one value in h rows these rows, the rows
    nearest to the centre, two with outliers pulled in (as in Hubert, Rousseeuw & Verdonck 2012), and random sets of rank + 1 rows. The
    best go on with all rows. A singular set beats any other, as its determinant is 0.
    """
    state = seed | np.uint64(1)
    m = min(rows, _SAMPLE)
    share = (wanted * m + rows - 1) // rows
    places = np.arange(rows)
    state = draw(places, rows, m, state)
    few, other = np.empty((rank, blocks_of(m), LANES)), np.empty((rank, blocks_of(m), LANES))
    gather(columns, order, rank, places, m, few)
    inner, drawn, natural = np.zeros(m, np.int64), np.arange(m), np.arange(rank)
    levels, dets = np.full(_KEPT, -1), np.zeros((_KEPT, 2))
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
            few, m, share, natural, rank, correction, 0, 2, inner,
            gathered, location, covariance, matrix, factor, determinant, solved, squares, scratch,
        )
        if level == HOPELESS:
            continue
        place = _KEPT
        while place > 0 and (level > levels[place - 1] or (level == levels[place - 1] and smaller(determinant, dets[place - 1]))):
            place -= 1
        if place < _KEPT:
            for p in range(_KEPT - 1, place, -1):
                levels[p], dets[p], locations[p], factors[p] = levels[p - 1], dets[p - 1], locations[p - 1], factors[p - 1]
            levels[place], dets[place], locations[place], factors[place] = level, determinant, location[:rank], factor[:rank, :rank]
    best, least = -1, np.zeros(2)
    trial = np.zeros(wanted, np.int64)
    for p in range(_KEPT):
        if levels[p] < 0:
            continue
        distances(columns, rows, order, rank, locations[p], factors[p], solved, squares)
        nearest(squares, rows, wanted, scratch, trial)
        level = concentrate(
            columns, rows, wanted, order, rank, correction, 0, 2, trial,
            gathered, location, covariance, matrix, factor, determinant, solved, squares, scratch,
        )
        if level != HOPELESS and (level > best or (level == best and smaller(determinant, least))):
            best = level
            least[:] = determinant
            chosen[:wanted] = trial
    return best
