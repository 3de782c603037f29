"""The isolation forest: odd rows are parted from the others by few random splits (Liu, Ting, Zhou 2008)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from offbeat.core.batch import F64, I32
from offbeat.detectors.isolation_forest.forest_kernels import attribute_rows, grow_forests, score_rows
from offbeat.detectors.trained.float32 import F32
from offbeat.detectors.trained.model import Training
from offbeat.detectors.trained.model_slots import ALIKE, TOO_FEW, U8
from offbeat.detectors.trained.tree_pool import PooledTrees

_NOTES = {
    TOO_FEW: "the isolation forest abstains: it had fewer than two rows to learn from",
    ALIKE: "the isolation forest abstains: it found no difference between the rows it had to learn from",
}


class Forests(NamedTuple):
    """Trees of a pool of forests: (places, trees, 2^depth) arrays, by node of an implicit heap whose root is node 1 [forest_kernels]."""

    feature: U8
    """Column that the node splits."""
    threshold: F32
    """A row goes to the right child iff its value is at least this; +inf: not split."""
    leaf: F32
    """By leaf: path length of a row that ends in it, with c(n) for its n rows."""
    size: U8
    """Rows of the tree's sample in the node, minus 1."""


def _room(places: int, trees: int, nodes: int) -> Forests:
    """Pools of so many forests. The system gives the memory of a place when it is first used."""
    shape = (places, trees, nodes)
    return Forests(np.empty(shape, np.uint8), np.empty(shape, np.float32), np.empty(shape, np.float32), np.empty(shape, np.uint8))


class IsolationForest(PooledTrees[Forests]):
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
        self._sample = sample
        super().__init__(lambda places: _room(places, trees, 1 << (sample - 1).bit_length()), _NOTES)

    def forest(self, slot: int) -> Forests:
        """Trees of the slot's forest: its own row of the pool, (trees, 2^depth) arrays. Raises LookupError where it has none."""
        place = self._places.place(slot)
        return Forests(*(array[place] for array in self._pool))

    def train(self, training: Training) -> None:
        """Fit a forest on each key's rows."""
        before = self._places.used
        places = self._places.allocate(training.slots)
        self._make_room(before)
        states = np.zeros(len(places), np.int8)
        grow_forests(training.rows, training.starts, training.counts, training.seeds, places, self._sample, *self._pool, states)
        self._places.states[training.slots] = states

    def score(self, slots: I32, rows: F64) -> F64:
        """(n,) c(ψ) / mean path length of (n, k) rows, NaN where the slot has no forest."""
        return score_rows(slots, rows, self._places.of, self._places.states, *self._pool)

    def contributions(self, slots: I32, rows: F64) -> F64:
        """(k, n) parts of 1 - 1/raw by column, NaN where the slot has no forest."""
        return attribute_rows(slots, rows, self._places.of, self._places.states, *self._pool)
