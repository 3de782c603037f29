"""The compiled isolation forest: growing, scoring and attribution on whole pools of models.

A tree is the list of its nodes, in which the two children of a node stand side by side somewhere behind it. A node is one word, so that a
step costs one load from memory: how far on its left child is, its split, the depth, the rows of the tree's sample in it minus 1, and the
column. A row goes right iff its value is at least the split; both are compared as integers of the same order. A leaf has the split +inf and
no way on: who is there stays, and scoring needs no test for leaves. Trees lie in pages, which belong to one model each and go from model to
model.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt

from offbeat.core.batch import F64, I32, I64, U64
from offbeat.core.compiled import compiled
from offbeat.detectors.trained.float32 import F32, by_column, by_row
from offbeat.detectors.trained.model_slots import ALIKE, I8, SPEAKS, TOO_FEW, U8
from offbeat.detectors.trained.random import advance, below, fraction, stream

U32 = npt.NDArray[np.uint32]


def _average_paths(largest: int) -> F64:
    """c(n) = 2 H(n - 1) - 2 (n - 1) / n for n = 0…largest, from exact fractions; 0 below 2."""
    table, harmonic = [Fraction(0), Fraction(0)], Fraction(0)
    for n in range(2, largest + 1):
        harmonic += Fraction(1, n - 1)
        table.append(2 * harmonic - Fraction(2 * (n - 1), n))
    return np.array([float(c) for c in table])


AVERAGE_PATH = _average_paths(256)
"""(257,) c(n): expected depth of a leaf of a random binary search tree with n leaves (Liu, Ting, Zhou 2008, equation 1)."""
DEEPEST = 8
"""Levels of splits of a tree of 256 rows."""
PATH_LENGTH: F32 = (np.arange(DEEPEST + 1)[:, None] + AVERAGE_PATH[None, 1:]).astype(np.float32)
"""(9, 256) by depth and rows minus 1: path length of a row that ends in such a leaf."""

PAGE = 1024
"""Nodes of a page; the largest tree has 511."""
NOWHERE = np.uint32(0xFFFFFFFF)
"""In place of a tree's first node: there is no tree."""
_LEFT, _SPLIT, _DEPTH, _SIZE = np.uint64(52), np.uint64(20), np.uint64(16), np.uint64(8)
"""Where in a node these begin, by bits; the column begins at 0."""
_BYTE, _SIZE_AND_DEPTH = np.uint64(0xFF), np.uint64(0xFFF)
_LEAF = np.uint64(0xFF800000) << _SPLIT
"""The split +inf."""
IN_FLIGHT = 256
"""Rows that go down a tree together, or at most so many trees that a row goes down: while one waits for a load, others go on."""
FEW = 8
"""With fewer rows of a slot than this it is trees."""


@compiled
def _release(trees: U32, pages: I64, free: I64) -> None:
    """Give back the pages in which a model's trees begin; `free` (1,) counts those in `pages`."""
    before = free[0]
    for t in range(len(trees)):
        if trees[t] == NOWHERE:
            continue
        page = np.int64(trees[t]) // PAGE
        found = False
        for i in range(before, free[0]):
            found = found or pages[i] == page
        if not found:
            pages[free[0]] = page
            free[0] += 1
        trees[t] = NOWHERE


@compiled
def _in_order(bits: np.uint32) -> np.uint32:
    """Of the bits of a float32 an integer that compares as the value does; 0.0 has to be one of its two forms."""
    return bits ^ (np.uint32(0xFFFFFFFF) if bits >> np.uint32(31) else np.uint32(0x80000000))


@compiled
def _comparable(rows: F64) -> U32:
    """(n · k,) values of (n, k) rows as integers that compare as they do in single precision."""
    out = (by_row(rows).reshape(-1) + np.float32(0.0)).view(np.uint32)
    for i in range(len(out)):
        out[i] = _in_order(out[i])
    return out


@compiled
def _size(node: np.uint64) -> np.int64:
    """Rows of the tree's sample in a node, minus 1."""
    return np.int64((node >> _SIZE) & _BYTE)


@compiled
def _depth(node: np.uint64) -> np.int64:
    return np.int64((node >> _DEPTH) & np.uint64(0xF))


@compiled
def _step(node: np.uint64, x: U32, row: np.uint64) -> np.uint64:
    """How far on from a node the row goes whose values begin at `row` in x."""
    over = x[row + (node & _BYTE)] >= np.uint32(node >> _SPLIT)
    return (node >> _LEFT) + np.uint64(over)


@compiled
def grow_forests(
    begin: int, rows: F64, starts: I64, counts: I64, seeds: U64, places: I64, sample: int, states: I8,
    roots: U32, nodes: U64, pages: I64, free: I64,
) -> int:
    """Fit forests begin… on rows[starts[i] : starts[i] + counts[i]] as model places[i]; states[i] says what became of it.

    roots (places, trees): where in `nodes` each tree begins; pages[: free[0]]: pages of it to take.
    Returns how many are done: all, or those before there must be more pages.
    """
    most = np.int64(2)
    for i in range(begin, len(counts)):
        most = max(most, counts[i])
    trees, bottom = roots.shape[1], 1
    while bottom < sample:
        bottom *= 2
    tree = np.empty(2 * bottom, np.uint64)
    split = np.empty(1, np.float32)
    split_bits = split.view(np.uint32)
    own, filled = np.empty(trees, np.int64), np.empty(trees, np.int64)
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
    for g in range(begin, len(places)):
        count, p = counts[g], places[g]
        # A page has room for any two trees.
        if free[0] < (trees + 1) // 2:
            return g
        _release(roots[p], pages, free)
        mine = 0
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
        for t in range(trees):
            state = stream(seeds[g], t)
            for i in range(drawn):
                state = advance(state)
                j = i + below(state, count - i)
                order[i], order[j] = order[j], order[i]
                inside[i] = order[i]
            used, top = 1, 1
            stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3] = 0, 0, drawn, 0
            while top > 0:
                top -= 1
                at, low, high, depth = stack[top, 0], stack[top, 1], stack[top, 2], stack[top, 3]
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
                word = np.uint64(depth) << _DEPTH | np.uint64(n - 1) << _SIZE
                if not least < greatest:
                    tree[at] = _LEAF | word
                    continue
                wide = np.float64(least) + fraction(state) * (np.float64(greatest) - np.float64(least))
                cut = np.float32(wide)
                # Rounding must not leave a side without rows.
                cut = greatest if not least < cut else min(cut, greatest)
                split[0] = cut + np.float32(0.0)
                tree[at] = np.uint64(used - at) << _LEFT | np.uint64(_in_order(split_bits[0])) << _SPLIT | word | np.uint64(column)
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
                stack[top, 0], stack[top, 1], stack[top, 2], stack[top, 3] = used + 1, middle, high, depth + 1
                stack[top + 1, 0], stack[top + 1, 1], stack[top + 1, 2], stack[top + 1, 3] = used, low, middle, depth + 1
                top += 2
                used += 2
                states[g] = SPEAKS
            # The first page of the model that has room for the tree.
            i = 0
            while i < mine and filled[i] + used > PAGE:
                i += 1
            if i == mine:
                free[0] -= 1
                own[i], filled[i] = pages[free[0]], 0
                mine += 1
            begin_of_tree = own[i] * PAGE + filled[i]
            filled[i] += used
            for node in range(used):
                nodes[begin_of_tree + node] = tree[node]
            roots[p, t] = begin_of_tree
    return len(places)


@compiled
def score_rows(slots: I32, rows: F64, levels: int, places: I32, states: I8, roots: U32, nodes: U64) -> F64:
    """(n,) c(ψ) / mean path length of each row in its slot's forest; NaN where that does not speak."""
    n, trees = len(slots), roots.shape[1]
    # Flat arrays and unsigned indices: a signed one costs a test for a negative at each of the loads of a step.
    x, lengths = _comparable(rows), PATH_LENGTH.reshape(-1)
    k = np.uint64(rows.shape[1])
    at = np.empty(IN_FLIGHT, np.uint64)
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
        own = roots[places[slot]]
        if stop - start < FEW:
            # One row down many trees, so that the loads of a model that is not in the cache overlap.
            for r in range(start, stop):
                row = np.uint64(r) * k
                for first in range(0, trees, IN_FLIGHT):
                    lanes = min(IN_FLIGHT, trees - first)
                    for j in range(lanes):
                        at[j] = own[first + j]
                    for _ in range(levels):
                        for j in range(lanes):
                            at[j] += _step(nodes[at[j]], x, row)
                    for j in range(lanes):
                        paths[r] += lengths[(nodes[at[j]] >> _SIZE) & _SIZE_AND_DEPTH]
        else:
            begin, lanes = np.uint64(start), np.uint64(stop - start)
            for t in range(trees):
                # All take the first step from one node, and the last one with what they find there: that saves loads and stores.
                root = np.uint64(own[t])
                node = nodes[root]
                row = begin * k
                for j in range(lanes):
                    at[j] = root + _step(node, x, row)
                    row += k
                for _ in range(levels - 2):
                    row = begin * k
                    for j in range(lanes):
                        at[j] += _step(nodes[at[j]], x, row)
                        row += k
                row = begin * k
                for j in range(lanes):
                    node = nodes[at[j] + _step(nodes[at[j]], x, row)]
                    paths[begin + j] += lengths[(node >> _SIZE) & _SIZE_AND_DEPTH]
                    row += k
        whole = AVERAGE_PATH[_size(nodes[own[0]]) + 1]
        for r in range(start, stop):
            paths[r] = whole / (paths[r] / trees)
        start = stop
    return paths


@compiled
def attribute_rows(slots: I32, rows: F64, levels: int, places: I32, states: I8, roots: U32, nodes: U64) -> F64:
    """(k, n) parts of 1 - 1/score by column: what each split took off the path length that was expected above it."""
    n, k = rows.shape
    trees = roots.shape[1]
    x = _comparable(rows)
    out = np.zeros((k, n))
    for r in range(n):
        if states[slots[r]] != SPEAKS:
            for f in range(k):
                out[f, r] = np.nan
            continue
        own = roots[places[slots[r]]]
        for t in range(trees):
            at = np.uint64(own[t])
            node = nodes[at]
            expected = AVERAGE_PATH[_size(node) + 1]
            while node >> _LEFT:
                column = np.int64(node & _BYTE)
                at += _step(node, x, np.uint64(r * k))
                node = nodes[at]
                depth, size = _depth(node), _size(node)
                # Where the tree may not grow on, a path is as long as scoring takes it, in single precision.
                rest = np.float64(PATH_LENGTH[depth, size]) - depth if depth == levels else AVERAGE_PATH[size + 1]
                out[column, r] += expected - 1.0 - rest
                expected = rest
        whole = AVERAGE_PATH[_size(nodes[own[0]]) + 1]
        for f in range(k):
            out[f, r] = out[f, r] / trees / whole
    return out


@compiled
def as_heaps(roots: U32, nodes: U64, feature: U8, threshold: F32, leaf: F32, size: U8) -> None:
    """Trees that begin at `roots` (t,) as implicit heaps, (t, 2^d) arrays [isolation_forest.Forests]."""
    bottom = feature.shape[1]
    levels = 0
    while (1 << levels) < bottom:
        levels += 1
    bits = threshold.view(np.uint32)
    stack = np.empty((64, 2), np.int64)
    for t in range(len(roots)):
        stack[0, 0], stack[0, 1] = 1, roots[t]
        top = 1
        while top > 0:
            top -= 1
            heap, at = stack[top, 0], stack[top, 1]
            node = nodes[at]
            left = np.int64(node >> _LEFT)
            if heap < bottom:
                size[t, heap] = _size(node)
            if left == 0:
                leaf[t, (heap << (levels - _depth(node))) - bottom] = PATH_LENGTH[_depth(node), _size(node)]
                continue
            split = np.uint32(node >> _SPLIT)
            feature[t, heap] = node & _BYTE
            bits[t, heap] = split ^ (np.uint32(0x80000000) if split >> np.uint32(31) else np.uint32(0xFFFFFFFF))
            stack[top, 0], stack[top, 1] = 2 * heap + 1, at + left + 1
            stack[top + 1, 0], stack[top + 1, 1] = 2 * heap, at + left
            top += 2
