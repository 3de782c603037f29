"""The compiled half of the population forest: one forest, many rows.

A forest of one model and hundreds of thousands of rows turns the loops of `forest_kernels` round: all rows of a block take a step before
any takes the next, so that the processor looks up many nodes at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from offbeat.core.batch import F64, I32, I64, U64, Bools
from offbeat.core.compiled import compiled
from offbeat.core.hashing import extended
from offbeat.detectors.isolation_forest.forest_kernels import AVERAGE_PATH
from offbeat.detectors.isolation_forest.isolation_forest import Forests
from offbeat.detectors.trained.float32 import F32, single

BLOCK = 512
"""Rows that take a step together; their ranks and places fit into the first cache beside a tree."""
_NEVER = 1 << 22
"""Rank that no row has: a forest of 1,000 trees has at most 255,000 splits."""


class Packed(NamedTuple):
    """A forest as the kernel walks it: values are compared by rank, which is exact and takes one look-up a node."""

    node: I32
    """(trees, nodes) heap with the root at 1: a row goes right iff the rank of its value in column node & 255 is at least node >> 8."""
    leaf: F32
    """(trees, nodes) path length by leaf."""
    cuts: F32
    """(k, 2^p) the forest's thresholds of a column in rising order, then +inf; a value's rank is how many of them do not exceed it."""
    whole: float
    """c(ψ)"""


def packed(forest: Forests, columns: int) -> Packed:
    """A forest over so many columns, made ready for `path_scores`."""
    trees, nodes = forest.feature.shape
    split = forest.threshold < np.inf
    found = [np.unique(forest.threshold[split & (forest.feature == f)]) for f in range(columns)]
    width = 1 << max(len(cuts) for cuts in found).bit_length()
    cuts = np.full((columns, width), np.inf, np.float32)
    rank = np.full((trees, nodes), _NEVER, np.int32)
    for f, known in enumerate(found):
        cuts[f, : len(known)] = known
        own = split & (forest.feature == f)
        rank[own] = np.searchsorted(known, forest.threshold[own]) + 1
    node = rank << 8 | forest.feature
    leaf = forest.leaf
    if nodes < 4:
        # The kernel takes two steps before its first loop; below a leaf all rows go left.
        node = np.concatenate([node, np.full((trees, 4 - nodes), _NEVER << 8, np.int32)], axis=1)
        leaf = np.repeat(leaf, 4 // nodes, axis=1)
    return Packed(node, np.ascontiguousarray(leaf), cuts, float(AVERAGE_PATH[int(forest.size[0, 1]) + 1]))


@compiled
def path_scores(x: F32, node: I32, leaf: F32, cuts: F32, whole: float) -> F64:
    """(n,) c(ψ) / mean path length of rows x (k, n), as `forest_kernels.score_rows` gives it to the bit."""
    k, n = x.shape
    trees, nodes = node.shape
    levels = 0
    while (1 << levels) < nodes:
        levels += 1
    size, width = np.uint32(nodes), cuts.shape[1]
    all_nodes, leaves, all_cuts = node.reshape(-1), leaf.reshape(-1), cuts.reshape(-1)
    rank = np.empty(k * BLOCK, np.int32)
    at = np.empty(BLOCK, np.uint32)
    path = np.empty(BLOCK)
    out = np.empty(n)
    for start in range(0, n, BLOCK):
        lanes = min(BLOCK, n - start)
        for f in range(k):
            at[:] = 0
            step, base = np.uint32(width >> 1), np.uint32(f * width)
            while step > 0:
                for j in range(lanes):
                    further = at[j] + step
                    at[j] = further if all_cuts[base + further - np.uint32(1)] <= x[f, start + j] else at[j]
                step >>= np.uint32(1)
            for j in range(lanes):
                rank[f * BLOCK + j] = at[j]
        path[:] = 0.0
        for t in range(trees):
            base = np.uint32(t) * size
            # The first two steps have three nodes between them: no look-up by row.
            top, left, right = all_nodes[base + np.uint32(1)], all_nodes[base + np.uint32(2)], all_nodes[base + np.uint32(3)]
            of_top, of_left, of_right = np.uint32(top & 255), np.uint32(left & 255), np.uint32(right & 255)
            of_top, of_left, of_right = of_top * np.uint32(BLOCK), of_left * np.uint32(BLOCK), of_right * np.uint32(BLOCK)
            from_top, from_left, from_right = top >> 8, left >> 8, right >> 8
            for j in range(lanes):
                row = np.uint32(j)
                first = rank[of_top + row] >= from_top
                on_left, on_right = rank[of_left + row] >= from_left, rank[of_right + row] >= from_right
                at[j] = np.uint32(4) + np.uint32(2) * np.uint32(first) + np.uint32(on_right if first else on_left)
            for _ in range(levels - 2):
                for j in range(lanes):
                    here = all_nodes[base + at[j]]
                    value = rank[np.uint32((here & 255) * BLOCK) + np.uint32(j)]
                    at[j] = np.uint32(2) * at[j] + np.uint32(value >= (here >> 8))
            for j in range(lanes):
                path[j] += leaves[base + at[j] - size]
        for j in range(lanes):
            out[start + j] = whole / (path[j] / trees)
    return out


@compiled
def complete_rows(outputs: F64, inputs: I64, first: int, last: int) -> I64:
    """Which of the rows from `first` to `last` of outputs (o, n) have no null among the inputs."""
    rows = np.empty(last - first, np.int64)
    found = 0
    for i in range(first, last):
        whole = True
        for f in range(len(inputs)):
            whole = whole and outputs[inputs[f], i] == outputs[inputs[f], i]
        rows[found] = i
        found += whole
    return rows[:found]


@compiled
def singles(outputs: F64, inputs: I64, rows: I64) -> F32:
    """(k, m) inputs of some rows of outputs (o, n), as the trees compare them."""
    x = np.empty((len(inputs), len(rows)), np.float32)
    for f in range(len(inputs)):
        for p in range(len(rows)):
            x[f, p] = single(outputs[inputs[f], rows[p]])
    return x


@compiled
def calibrate(rows: I64, found: F64, limit: float, raw: F64, score: F64, voted: Bools, exceedance: F64) -> None:
    """Write the verdicts on rows whose raw scores are `found`, by a threshold above 0 [S17, S18]."""
    for p in range(len(rows)):
        i = rows[p]
        r = found[p] / limit
        raw[i] = found[p]
        exceedance[i] = r
        score[i] = r / (1.0 + r)
        voted[i] = found[p] > limit


@compiled
def offer(
    outputs: F64, inputs: I64, rows: I64, live: F64, slots: I32, keys: U64, word: np.uint64, cut: np.uint64, start: int,
    used: int, hashes: U64, values: F64, scores: F64,
) -> tuple[int, int]:
    """Take rows from number `start` on whose hash lies below `cut`, until there is no room.

    Returns the number of the row to go on with, and how many rows are held. `word` is the tick's.
    """
    room = len(hashes)
    for p in range(start, len(rows)):
        i = rows[p]
        h = extended(keys[slots[i]], word)
        if h < cut:
            if used == room:
                return p, used
            hashes[used] = h
            scores[used] = live[p]
            for f in range(len(inputs)):
                values[used, f] = outputs[inputs[f], i]
            used += 1
    return len(rows), used


@compiled
def merge_newest(
    hashes: U64, starts: I64, values: F64, live: F64, new_hashes: U64, new_values: F64, new_live: F64,
    tick: int, ticks: I64, kept: int, out_hashes: U64, out_starts: I64, out_values: F64, out_live: F64,
) -> int:
    """Join two sets of rows in rising order of hash, the second being of the newest tick; `ticks` are the starts that count, in order.

    Keeps the rows that may ever be among the `kept` lowest of the last ticks, and returns how many they are: a row is out for good when so
    many rows of its own tick and later ones, which leave after it, have lower hashes.
    """
    # Fenwick's tree of how many rows of each tick stand so far.
    counts = np.zeros(len(ticks) + 1, np.int64)
    first = ticks[0]
    a = b = found = 0
    while a < len(hashes) or b < len(new_hashes):
        old = b == len(new_hashes) or (a < len(hashes) and hashes[a] <= new_hashes[b])
        start = starts[a] if old else tick
        if start >= first:
            t = np.searchsorted(ticks, start)
            older, place = 0, t
            while place > 0:
                older += counts[place]
                place -= place & -place
            if found - older < kept:
                out_hashes[found] = hashes[a] if old else new_hashes[b]
                out_starts[found] = start
                out_live[found] = live[a] if old else new_live[b]
                for f in range(values.shape[1]):
                    out_values[found, f] = values[a, f] if old else new_values[b, f]
                found += 1
                place = t + 1
                while place <= len(ticks):
                    counts[place] += 1
                    place += place & -place
        if old:
            a += 1
        else:
            b += 1
    return found


@compiled
def usual_values(rows: F64, width: float) -> F64:
    """(3, k) mean of each column of (n, k) rows, and the mean less and plus `width` sample standard deviations.

    The lower end is 0 where that would lie below, and no row does.
    """
    n, k = rows.shape
    out = np.zeros((3, k))
    least = rows[0].copy()
    for i in range(n):
        for f in range(k):
            out[0, f] += rows[i, f]
            least[f] = min(least[f], rows[i, f])
    for f in range(k):
        out[0, f] /= n
    for i in range(n):
        for f in range(k):
            d = rows[i, f] - out[0, f]
            out[1, f] += d * d
    for f in range(k):
        spread = width * np.sqrt(out[1, f] / (n - 1.0))
        low = out[0, f] - spread
        out[1, f] = 0.0 if low < 0.0 and least[f] >= 0.0 else low
        out[2, f] = out[0, f] + spread
    return out
