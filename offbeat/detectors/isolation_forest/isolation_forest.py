"""The isolation forest: odd rows are parted from the others by few random splits (Liu, Ting, Zhou 2008)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from offbeat.core.batch import F64, I32, I64, U64
from offbeat.core.rings import grown_by, grown_rows
from offbeat.detectors.isolation_forest.forest_kernels import NOWHERE, PAGE, U32, as_heaps, attribute_rows, grow_forests, score_rows
from offbeat.detectors.trained.float32 import F32
from offbeat.detectors.trained.model import Training
from offbeat.detectors.trained.model_slots import ALIKE, TOO_FEW, U8
from offbeat.detectors.trained.refitted_trees import RefittedTrees

_NOTES = {
    TOO_FEW: "the isolation forest abstains: it had fewer than two rows to learn from",
    ALIKE: "the isolation forest abstains: it found no difference between the rows it had to learn from",
}


class Forests(NamedTuple):
    """The trees of one forest, to be looked at: (trees, 2^depth) arrays by node of an implicit heap.

    The root is node 1, and node i has the children 2i and 2i + 1. A node that is not split sends every row left. What no row comes to is 0.
    """

    feature: U8
    """Column that the node splits."""
    threshold: F32
    """A row goes to the right child iff its value is at least this; +inf: not split."""
    leaf: F32
    """By leaf: path length of a row that ends in it, with c(n) for its n rows."""
    size: U8
    """Rows of the tree's sample in the node, minus 1."""


class IsolationForest(RefittedTrees):
    """A forest a slot; a `Model`.

    Each tree is grown on ψ = min(sample, rows) rows drawn without replacement, to depth ⌈log₂ ψ⌉: a node draws a column among those that
    vary in it and splits at a uniformly random point between its least and greatest value there. Values are compared as float32, cut to
    its range.

    A path's length is the depth of its leaf plus c(n) for the n rows that the leaf holds, c(n) being the expected depth of a leaf of a
    random binary search tree with n leaves. Raw score: c(ψ) / mean path length over the trees; 1 for a row as deep as is usual among
    evenly spread ones, greater for odder rows [S18]. It orders rows as Liu's 2^(-path / c(ψ)) does.

    Contributions sum to 1 - 1/raw. Every split of a row's path, from a node with n of the tree's rows to a child with m, credits its column
    with c(n) - 1 - c(m): by how much the split shortened the path that was to be expected. These are averaged over the trees and divided by
    c(ψ); a column's part is negative where it made the row look common.
    """

    def __init__(self, features: int, trees: int = 100, sample: int = 256) -> None:
        """For rows of `features` (1…255) columns; `trees` a forest, each grown on at most `sample` (2…256) rows."""
        if not (1 <= features <= 255 and trees >= 1 and 2 <= sample <= 256):
            raise ValueError(f"an isolation forest has 1…255 features, trees and a sample of 2…256, not {features}, {trees}, {sample}")
        super().__init__(_NOTES)
        self._sample, self._trees, self._levels = sample, trees, (sample - 1).bit_length()
        self._roots: U32 = np.zeros((0, trees), np.uint32)
        """(places, trees) first node of each tree."""
        self._nodes: U64 = np.zeros(0, np.uint64)
        """Pages of nodes [forest_kernels]."""
        self._pages: I64 = np.zeros(0, np.int64)
        self._free: I64 = np.zeros(1, np.int64)
        """The first so many of `_pages` belong to no model."""

    def _more_pages(self) -> None:
        """Room for one more forest at least, and half as many nodes again. The system gives a page's memory when it is first used."""
        have = len(self._nodes) // PAGE
        pages = have + have // 2 + (self._trees + 1) // 2
        self._nodes, self._pages = grown_by(self._nodes, pages * PAGE), grown_by(self._pages, pages)
        kept = int(self._free[0])
        new = np.arange(pages - 1, have - 1, -1)
        self._pages[len(new) : len(new) + kept] = self._pages[:kept].copy()
        self._pages[: len(new)] = new
        self._free[0] = kept + len(new)

    def forest(self, slot: int) -> Forests:
        """The slot's forest. Raises LookupError where it has none."""
        of = (self._trees, 1 << self._levels)
        heaps = Forests(np.zeros(of, np.uint8), np.full(of, np.inf, np.float32), np.zeros(of, np.float32), np.zeros(of, np.uint8))
        as_heaps(self._roots[self._places.place(slot)], self._nodes, *heaps)
        return heaps

    def train(self, training: Training) -> None:
        """Fit a forest on each key's rows."""
        places = self._places.allocate(training.slots)
        self._roots = grown_rows(self._roots, self._places.used, int(NOWHERE))
        states = np.zeros(len(places), np.int8)
        done = 0
        while (
            done := grow_forests(
                done, training.rows, training.starts, training.counts, training.seeds, places, self._sample, states,
                self._roots, self._nodes, self._pages, self._free,
            )
        ) < len(places):  # fmt: skip
            self._more_pages()
        self._places.states[training.slots] = states

    def score(self, slots: I32, rows: F64) -> F64:
        """(n,) c(ψ) / mean path length of (n, k) rows, NaN where the slot has no forest."""
        return score_rows(slots, rows, self._levels, self._places.of, self._places.states, self._roots, self._nodes)

    def contributions(self, slots: I32, rows: F64) -> F64:
        """(k, n) parts of 1 - 1/raw by column, NaN where the slot has no forest."""
        return attribute_rows(slots, rows, self._levels, self._places.of, self._places.states, self._roots, self._nodes)
