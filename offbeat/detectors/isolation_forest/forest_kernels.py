"""The compiled isolation forest: growing, scoring and attribution on whole pools of models.

A tree is an implicit heap: node i has the children 2i and 2i + 1, the root is 1, and with depth d the nodes from 2^d on are leaves. A node
that is not split sends every row left (threshold +inf), so that scoring needs no test for leaves and no pointers.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from offbeat.core.batch import F64, I32, I64, U64
from offbeat.core.compiled import compiled
from offbeat.detectors.trained.float32 import F32, by_column, by_row
from offbeat.detectors.trained.model_slots import ALIKE, I8, SPEAKS, TOO_FEW, U8
from offbeat.detectors.trained.random import advance, below, fraction, stream


def _average_paths(largest: int) -> F64:
    """c(n) = 2 H(n - 1) - 2 (n - 1) / n for n = 0…largest, from exact fractions; 0 below 2."""
    table, harmonic = [Fraction(0), Fraction(0)], Fraction(0)
    for n in range(2, largest + 1):
        harmonic += Fraction(1, n - 1)
        table.append(2 * harmonic - Fraction(2 * (n - 1), n))
    return np.array([float(c) for c in table])


AVERAGE_PATH = _average_paths(256)
"""(257,) c(n): expected depth of a leaf of a random binary search tree with n leaves (Liu, Ting, Zhou 2008, equation 1)."""

IN_FLIGHT = 64
"""Rows that go down a tree together, or trees that a row goes down: while one waits for a load, others go on."""
FEW = 8
"""With fewer rows of a slot than this it is trees."""


@compiled
def grow_forests(
    rows: F64, starts: I64, counts: I64, seeds: U64, places: I64, sample: int, feature: U8, threshold: F32, leaf: F32, size: U8, states: I8
) -> None:
    """Fit forest i on rows[starts[i] : starts[i] + counts[i]] into pool place places[i]; states[i] says what became of it.

    Pools: feature, threshold, size (places, trees, 2^d), by node: column, split (right iff x >= threshold), sample rows minus 1;
    leaf (places, trees, 2^d): path length of a row that ends there.
    """
    most = np.int64(2)
    for i in range(len(counts)):
        most = max(most, counts[i])
    trees, bottom = feature.shape[1], feature.shape[2]
    columns = np.empty((rows.shape[1], most), np.float32)
    flat = columns.reshape(-1)
    ends = np.empty((2, rows.shape[1]), np.float32)
    varying = np.empty(rows.shape[1], np.int32)
    order = np.empty(most, np.uint32)
    # Rows of a node stand in one half of `inside`, those of its children in the other.
    inside = np.empty(2 * sample, np.uint32)
    other = np.uint64(sample)
    value = np.empty(sample, np.float32)
    stack = np.empty((64, 4), np.int64)
    for g in range(len(places)):
        count, p = counts[g], places[g]
        if count < 2:
            states[g] = TOO_FEW
            continue
        candidates = by_column(rows, starts[g], count, columns, ends, varying)
        states[g] = ALIKE
        if candidates == 0:
            continue
        drawn = min(np.int64(sample), count)
        depth_limit = 0
        while (1 << depth_limit) < drawn:
            depth_limit += 1
        for i in range(count):
            order[i] = i
        height = 0
        while (1 << height) < bottom:
            height += 1
        for t in range(trees):
            # What is not split below sends every row left.
            feature[p, t, :] = 0
            threshold[p, t, :] = np.inf
            state = stream(seeds[g], t)
            for i in range(drawn):
                state = advance(state)
                j = i + below(state, count - i)
                order[i], order[j] = order[j], order[i]
                inside[i] = order[i]
            top = 1
            stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3] = 1, 0, drawn, 0
            while top > 0:
                top -= 1
                node, low, high, depth = stack[top, 0], stack[top, 1], stack[top, 2], stack[top, 3]
                n = high - low
                # Unsigned indices in the inner loops: a signed one costs a test for a negative at each load.
                first, many = np.uint64(low), np.uint64(n)
                least = greatest = np.float32(0.0)
                column = 0
                if n > 1 and depth < depth_limit:
                    # Draw columns without replacement until one varies among the node's rows: each that varies is equally likely.
                    left_to_try = candidates
                    while left_to_try > 0 and not least < greatest:
                        state = advance(state)
                        j = below(state, left_to_try)
                        left_to_try -= 1
                        column = varying[j]
                        varying[j] = varying[left_to_try]
                        varying[left_to_try] = column
                        base = np.uint64(column * most)
                        place = first + (other if depth % 2 else np.uint64(0))
                        least = greatest = flat[base + inside[place]]
                        for u in range(many):
                            x = flat[base + inside[place + u]]
                            value[u] = x
                            least = min(least, x)
                            greatest = max(greatest, x)
                if node < bottom:
                    size[p, t, node] = n - 1
                if not least < greatest:
                    leaf[p, t, (node << (height - depth)) - bottom] = depth + AVERAGE_PATH[n]
                    continue
                wide = np.float64(least) + fraction(state) * (np.float64(greatest) - np.float64(least))
                cut = np.float32(wide)
                # Rounding must not leave a side without rows.
                cut = greatest if not least < cut else min(cut, greatest)
                feature[p, t, node] = column
                threshold[p, t, node] = cut
                # Each row is written to both ends of what is free, and one end moves on past it: no branch to guess.
                source, target = (other, np.uint64(0)) if depth % 2 else (np.uint64(0), other)
                left, right = target + first, target + first + many - np.uint64(1)
                for u in range(many):
                    row = inside[source + first + u]
                    inside[left] = row
                    inside[right] = row
                    over = np.uint64(value[u] >= cut)
                    left += np.uint64(1) - over
                    right -= over
                middle = np.int64(left - target)
                stack[top, 0], stack[top, 1], stack[top, 2], stack[top, 3] = 2 * node + 1, middle, high, depth + 1
                stack[top + 1, 0], stack[top + 1, 1], stack[top + 1, 2], stack[top + 1, 3] = 2 * node, low, middle, depth + 1
                top += 2
                states[g] = SPEAKS


@compiled
def score_rows(slots: I32, rows: F64, places: I32, states: I8, feature: U8, threshold: F32, leaf: F32, size: U8) -> F64:
    """(n,) c(ψ) / mean path length of each row in its slot's forest; NaN where that does not speak."""
    n = len(slots)
    trees, bottom = feature.shape[1], feature.shape[2]
    levels = 0
    while (1 << levels) < bottom:
        levels += 1
    # Flat arrays and unsigned indices: a signed one costs a test for a negative at each of the three loads of a step.
    x, features, thresholds, leaves = by_row(rows).reshape(-1), feature.reshape(-1), threshold.reshape(-1), leaf.reshape(-1)
    k, nodes = np.uint64(rows.shape[1]), np.uint64(bottom)
    at = np.empty(IN_FLIGHT, np.uint32)
    paths = np.zeros(n)
    start = 0
    while start < n:
        slot = slots[start]
        stop = start + 1
        while stop < n and stop < start + IN_FLIGHT and slots[stop] == slot:
            stop += 1
        if states[slot] != SPEAKS:
            for r in range(start, stop):
                paths[r] = np.nan
            start = stop
            continue
        p = places[slot]
        if stop - start < FEW:
            # One row down many trees, so that the loads of a model that is not in the cache overlap.
            for r in range(start, stop):
                row = np.uint64(r) * k
                for first in range(0, trees, IN_FLIGHT):
                    base = np.uint64(p * trees + first) * nodes
                    lanes = min(IN_FLIGHT, trees - first)
                    for j in range(lanes):
                        at[j] = 1
                    for _ in range(levels):
                        for j in range(lanes):
                            node = base + np.uint64(j) * nodes + np.uint64(at[j])
                            over = x[row + np.uint64(features[node])] >= thresholds[node]
                            at[j] = np.uint32(2) * at[j] + np.uint32(over)
                    for j in range(lanes):
                        paths[r] += leaves[base + np.uint64(j) * nodes + np.uint64(at[j]) - nodes]
        else:
            for t in range(trees):
                base = np.uint64(p * trees + t) * nodes
                for j in range(stop - start):
                    at[j] = 1
                for _ in range(levels):
                    for j in range(stop - start):
                        node = base + np.uint64(at[j])
                        over = x[np.uint64(start + j) * k + np.uint64(features[node])] >= thresholds[node]
                        at[j] = np.uint32(2) * at[j] + np.uint32(over)
                for j in range(stop - start):
                    paths[start + j] += leaves[base + np.uint64(at[j]) - nodes]
        whole = AVERAGE_PATH[size[p, 0, 1] + 1]
        for r in range(start, stop):
            paths[r] = whole / (paths[r] / trees)
        start = stop
    return paths


@compiled
def attribute_rows(slots: I32, rows: F64, places: I32, states: I8, feature: U8, threshold: F32, leaf: F32, size: U8) -> F64:
    """(k, n) parts of 1 - 1/score by column: what each split took off the path length that was expected above it."""
    n, k = rows.shape
    trees, bottom = feature.shape[1], feature.shape[2]
    x = by_row(rows)
    out = np.zeros((k, n))
    for r in range(n):
        if states[slots[r]] != SPEAKS:
            for f in range(k):
                out[f, r] = np.nan
            continue
        p = places[slots[r]]
        for t in range(trees):
            node, depth = 1, 0
            expected = AVERAGE_PATH[size[p, t, 1] + 1]
            while node < bottom:
                column = feature[p, t, node]
                split = threshold[p, t, node] < np.inf
                node = 2 * node + (x[r, column] >= threshold[p, t, node])
                if not split:
                    continue
                depth += 1
                rest = np.float64(leaf[p, t, node - bottom]) - depth if node >= bottom else AVERAGE_PATH[size[p, t, node] + 1]
                out[column, r] += expected - 1.0 - rest
                expected = rest
        whole = AVERAGE_PATH[size[p, 0, 1] + 1]
        for f in range(k):
            out[f, r] = out[f, r] / trees / whole
    return out
