"""Whether too many of a new model's own training rows would lie above the threshold: then that is raised [R15].

A threshold from live scores comes from earlier models. Where many rows are alike, all of them score the same by one model, a little more or
less by the next: by chance a whole plateau of ordinary rows would lie above the threshold. To score all training rows costs more than the
training; so first those are looked at that would show it: rows that stand in the training rows more than once, and a few drawn by lot.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from offbeat.core.batch import F64, I64, U64, Bools
from offbeat.core.compiled import compiled, compiled_inner
from offbeat.detectors.trained.random import below, stream

DRAWN = 64
"""Training rows drawn by lot, with replacement. With no more training rows than that, all are scored."""
_LOT = 1 << 20
"""First of the random streams of a seed that are drawn from here: models use those before it."""
_MIX = np.uint64(0x9E3779B97F4A7C15)


@compiled_inner
def _same(rows: F64, a: int, b: int) -> bool:
    same, f = True, 0
    while same and f < rows.shape[1]:
        same = rows[a, f] == rows[b, f]
        f += 1
    return same


@compiled
def _twins(rows: F64, index: I64, weight: I64) -> int:
    """Distinct rows of (n, k) that stand there more than once: index[:found], the first of each, and weight[:found], how often."""
    n = len(rows)
    size = 4
    while size < 2 * n:
        size *= 2
    table = np.full(size, -1, np.int64)
    counts = np.zeros(n, np.int64)
    mask = np.uint64(size - 1)
    bits = rows.view(np.uint64)
    for i in range(n):
        h = np.uint64(0)
        for f in range(rows.shape[1]):
            # -0.0 is 0.0.
            word = bits[i, f] if rows[i, f] != 0.0 else np.uint64(0)
            h = (h ^ word) * _MIX
            h ^= h >> np.uint64(29)
        at = (h >> np.uint64(17)) & mask
        while table[at] >= 0 and not _same(rows, table[at], i):
            at = (at + np.uint64(1)) & mask
        if table[at] < 0:
            table[at] = i
        counts[table[at]] += 1
    found = 0
    for i in range(n):
        if counts[i] > 1:
            index[found] = i
            weight[found] = counts[i]
            found += 1
    return found


@compiled
def _all_twins(rows: F64, starts: I64, counts: I64, index: I64, weight: I64, ends: I64) -> None:
    """`_twins` of g keys, of which rows[starts[i] : starts[i] + counts[i]] are key i's: index[ends[i] : ends[i + 1]], as rows of `rows`."""
    for i in range(len(starts)):
        used = ends[i]
        found = _twins(rows[starts[i] : starts[i] + counts[i]], index[used:], weight[used:])
        for p in range(used, used + found):
            index[p] += starts[i]
        ends[i + 1] = used + found


class Twins(NamedTuple):
    """Distinct training rows of g keys that stand there more than once."""

    rows: I64
    """(t,) the first of each, as row of the pool of all keys."""
    weight: I64
    """(t,) how often it stands there."""
    ends: I64
    """(g + 1,) those of key i are rows[ends[i] : ends[i + 1]]."""


def twins_of(rows: F64, starts: I64, counts: I64) -> Twins:
    """The twins of g keys, of which rows[starts[i] : starts[i] + counts[i]] are key i's."""
    most = int((counts // 2).sum())
    index, weight, ends = np.empty(most, np.int64), np.empty(most, np.int64), np.zeros(len(starts) + 1, np.int64)
    _all_twins(rows, starts, counts, index, weight, ends)
    return Twins(index[: ends[-1]], weight[: ends[-1]], ends)


@compiled
def drawn(seeds: U64, starts: I64, counts: I64) -> I64:
    """(g, DRAWN) rows of g keys, drawn by lot."""
    out = np.empty((len(seeds), DRAWN), np.int64)
    for i in range(len(seeds)):
        for p in range(DRAWN):
            out[i, p] = starts[i] + below(stream(seeds[i], _LOT + p), counts[i])
    return out


@compiled
def exceeded(twin_scores: F64, weight: I64, ends: I64, drawn_scores: F64, limits: F64, most: I64, most_drawn: int) -> Bools:
    """(g,) whether too many of a model's training rows lie above its limit: more than most[i] of those that stand there more than once, or
    more than `most_drawn` of those drawn; `drawn_scores` (g, DRAWN).
    """
    out = np.zeros(len(limits), np.bool_)
    for i in range(len(limits)):
        mass, lots = 0, 0
        for p in range(ends[i], ends[i + 1]):
            if twin_scores[p] > limits[i]:
                mass += weight[p]
        for p in range(DRAWN):
            lots += drawn_scores[i, p] > limits[i]
        out[i] = mass > most[i] or lots > most_drawn
    return out
