"""Compiled half-space trees: growing, scoring and attribution on whole pools of models.

Only nodes that a row can reach are kept: a node is split while it holds more than a tenth of the rows, so no level has more than nine that
are, and a tree of depth 15 has at most 229 nodes. Node 0 is the root; a node's right child follows its left one; a node that is not split
is its own left child and sends every row there (threshold +inf), so that scoring takes the same number of steps for every row.
"""

from __future__ import annotations

import numpy as np

from offbeat.core.batch import F64, I32, I64, U64
from offbeat.core.compiled import compiled
from offbeat.detectors.isolation_forest.forest_kernels import IN_FLIGHT
from offbeat.detectors.trained.float32 import F32, by_column, by_row, single
from offbeat.detectors.trained.model_slots import ALIKE, I8, SPEAKS, TOO_FEW, U8
from offbeat.detectors.trained.random import advance, below, fraction, stream

NODES = 229
DEEPEST = 15
_SIZE_LIMIT = 10


@compiled
def grow_half_spaces(
    rows: F64,
    starts: I64,
    counts: I64,
    seeds: U64,
    places: I64,
    depth_limit: int,
    feature: U8,
    threshold: F32,
    left: U8,
    score: F32,
    states: I8,
) -> None:  # fmt: skip
    """Fit model i on rows[starts[i] : starts[i] + counts[i]] into pool place places[i]; states[i] holds the outcome.

    Pools (places, trees, NODES): column, split (right iff x >= threshold), left child, score of a row that ends in the node.
    """
    most = np.int64(2)
    for i in range(len(counts)):
        most = max(most, counts[i])
    trees, k = feature.shape[1], rows.shape[1]
    columns = np.empty((k, most), np.float32)
    flat = columns.reshape(-1)
    ends = np.empty((2, k), np.float32)
    varying = np.empty(k, np.int32)
    inside = np.empty(most, np.uint32)
    right = np.empty(most, np.uint32)
    stack = np.empty((2 * DEEPEST, 4), np.int64)
    lowest, highest = np.empty((2 * DEEPEST, k)), np.empty((2 * DEEPEST, k))
    for g in range(len(places)):
        count, p = counts[g], places[g]
        if count < 2:
            states[g] = TOO_FEW
            continue
        candidates = by_column(rows, starts[g], count, columns, ends, varying)
        if candidates == 0:
            states[g] = ALIKE
            continue
        states[g] = SPEAKS
        for t in range(trees):
            state = stream(seeds[g], t)
            for c in range(candidates):
                least, greatest = np.float64(ends[0, varying[c]]), np.float64(ends[1, varying[c]])
                state = advance(state)
                centre = least + fraction(state) * (greatest - least)
                reach = 2.0 * max(centre - least, greatest - centre)
                lowest[0, c], highest[0, c] = centre - reach, centre + reach
            for i in range(count):
                inside[i] = i
            nodes, top = 1, 1
            stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3] = 0, 0, count, 0
            while top > 0:
                top -= 1
                node, low, high, depth = stack[top, 0], stack[top, 1], stack[top, 2], stack[top, 3]
                density = np.float64((high - low) << depth) / count
                score[p, t, node] = 1.0 / (1.0 + density)
                if depth == depth_limit or (high - low) * _SIZE_LIMIT <= count:
                    feature[p, t, node], threshold[p, t, node], left[p, t, node] = 0, np.inf, node
                    continue
                state = advance(state)
                j = below(state, candidates)
                middle = (lowest[top, j] + highest[top, j]) / 2.0
                column, cut = varying[j], single(middle)
                feature[p, t, node], threshold[p, t, node], left[p, t, node] = column, cut, nodes
                # Unsigned indices in the inner loop: a signed one costs a test for a negative at each load.
                first, many, base = np.uint64(low), np.uint64(high - low), np.uint64(column * most)
                rights = np.uint64(0)
                for u in range(many):
                    row = inside[first + u]
                    inside[first + u - rights] = row
                    right[rights] = row
                    rights += np.uint64(flat[base + row] >= cut)
                for u in range(rights):
                    inside[first + many - rights + u] = right[u]
                between = high - np.int64(rights)
                stack[top, 0], stack[top, 1], stack[top, 2], stack[top, 3] = nodes + 1, between, high, depth + 1
                stack[top + 1, 0], stack[top + 1, 1], stack[top + 1, 2], stack[top + 1, 3] = nodes, low, between, depth + 1
                for c in range(candidates):
                    lowest[top + 1, c], highest[top + 1, c] = lowest[top, c], highest[top, c]
                lowest[top, j] = highest[top + 1, j] = middle
                top += 2
                nodes += 2


@compiled
def score_half_spaces(
    slots: I32, rows: F64, depth_limit: int, places: I32, states: I8, feature: U8, threshold: F32, left: U8, score: F32
) -> F64:
    """(n,) mean over the trees of the score of the node where each row ends; NaN where the slot's model does not speak."""
    n, trees = len(slots), feature.shape[1]
    x, features, thresholds = by_row(rows).reshape(-1), feature.reshape(-1), threshold.reshape(-1)
    lefts, scores = left.reshape(-1), score.reshape(-1)
    k = np.uint64(rows.shape[1])
    at = np.empty(IN_FLIGHT, np.uint32)
    sums = np.zeros(n)
    start = 0
    while start < n:
        slot = slots[start]
        stop = start + 1
        while stop < n and stop < start + IN_FLIGHT and slots[stop] == slot:
            stop += 1
        if states[slot] != SPEAKS:
            for r in range(start, stop):
                sums[r] = np.nan
            start = stop
            continue
        p = places[slot]
        for t in range(trees):
            base = np.uint64((p * trees + t) * NODES)
            for j in range(stop - start):
                at[j] = 0
            for _ in range(depth_limit):
                for j in range(stop - start):
                    node = base + np.uint64(at[j])
                    over = x[np.uint64(start + j) * k + np.uint64(features[node])] >= thresholds[node]
                    at[j] = np.uint32(lefts[node]) + np.uint32(over)
            for j in range(stop - start):
                sums[start + j] += scores[base + np.uint64(at[j])]
        for r in range(start, stop):
            sums[r] /= trees
        start = stop
    return sums


@compiled
def attribute_half_spaces(slots: I32, rows: F64, places: I32, states: I8, feature: U8, threshold: F32, left: U8, score: F32) -> F64:
    """(k, n) parts of score - 1/2 by column: how much each split changed the score of the node."""
    n, k = rows.shape
    trees = feature.shape[1]
    x = by_row(rows)
    out = np.zeros((k, n))
    for r in range(n):
        if states[slots[r]] != SPEAKS:
            for f in range(k):
                out[f, r] = np.nan
            continue
        p = places[slots[r]]
        for t in range(trees):
            node = 0
            while threshold[p, t, node] < np.inf:
                column = feature[p, t, node]
                child = left[p, t, node] + (x[r, column] >= threshold[p, t, node])
                out[column, r] += np.float64(score[p, t, child]) - np.float64(score[p, t, node])
                node = child
        for f in range(k):
            out[f, r] /= trees
    return out
