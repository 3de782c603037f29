"""The compiled half of the population forest: one forest, many rows.

A forest of one model and hundreds of thousands of rows turns the loops of `forest_kernels` round: all rows of a block take a step before
any takes the next, so that the processor looks up many nodes at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from offbeat.core.batch import F64, I32, I64
from offbeat.core.compiled import compiled
from offbeat.detectors.isolation_forest.forest_kernels import AVERAGE_PATH
from offbeat.detectors.isolation_forest.isolation_forest import Forests
from offbeat.detectors.trained.float32 import F32, single
from offbeat.detectors.trained.model_slots import U8

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
    """A forest over that many columns, packed for `path_scores`."""
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
    """(n,) c(ψ) / mean path length of rows x (k, n), bit-equal to `forest_kernels.score_rows`."""
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
def path_contributions(x: F32, feature: U8, threshold: F32, leaf: F32, size: U8) -> F64:
    """(k, n) parts of 1 - 1/score of (n, k) rows by column, as `forest_kernels.attribute_rows` gives them to the bit."""
    n, k = x.shape
    trees, bottom = feature.shape
    out = np.zeros((k, n))
    for r in range(n):
        for t in range(trees):
            node, depth = 1, 0
            expected = AVERAGE_PATH[size[t, 1] + 1]
            while node < bottom and threshold[t, node] < np.inf:
                column = feature[t, node]
                node = 2 * node + (x[r, column] >= threshold[t, node])
                depth += 1
                rest = np.float64(leaf[t, node - bottom]) - depth if node >= bottom else AVERAGE_PATH[size[t, node] + 1]
                out[column, r] += expected - 1.0 - rest
                expected = rest
        whole = AVERAGE_PATH[size[0, 1] + 1]
        for f in range(k):
            out[f, r] = out[f, r] / trees / whole
    return out


@compiled
def singles(outputs: F64, inputs: I64, rows: I64) -> F32:
    """(k, m) inputs of some rows of outputs (o, n), as the trees compare them."""
    x = np.empty((len(inputs), len(rows)), np.float32)
    for f in range(len(inputs)):
        for p in range(len(rows)):
            x[f, p] = single(outputs[inputs[f], rows[p]])
    return x
