"""The isolation forest: odd rows are parted from the others by few random splits (Liu, Ting, Zhou 2008)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from offbeat.core.batch import F64, I32
from offbeat.detectors.forest_kernels import ALIKE, F32, SPEAKS, TOO_FEW, U8, attribute_rows, grow_forests, score_rows
from offbeat.detectors.model import Training

_NOTES = {
    TOO_FEW: "the isolation forest abstains: it had fewer than two rows to learn from",
    ALIKE: "the isolation forest abstains: the rows it had to learn from are all the same",
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


class IsolationForest:
    """A forest a slot; a `Model`.

    Each tree is grown on ψ = min(sample, rows) rows drawn without replacement, to depth ⌈log₂ ψ⌉: a node draws a column among those that
    vary in it and splits at a uniformly random point between its least and greatest value there. Values are compared as float32, cut to
    its range.

    Raw score: c(ψ) / mean path length, c(n) being the mean path length over random binary search trees of n keys; 1 for a row as deep as a
    random one, greater for odder rows [S18]. It orders rows as Liu's 2^(-path / c(ψ)) does.

    Contributions sum to 1 - 1/raw. Every split of a row's path, from a node with n of the tree's rows to a child with m, credits its column
    with c(n) - 1 - c(m): by how much the split shortened the path that was to be expected. These are averaged over the trees and divided by
    c(ψ); a column's part is negative where it made the row look common.
    """

    refits = True

    def __init__(self, features: int, trees: int = 100, sample: int = 256) -> None:
        """For rows of `features` (1…255) columns; `trees` a forest, each grown on at most `sample` (2…256) rows."""
        if not (1 <= features <= 255 and trees >= 1 and 2 <= sample <= 256):
            raise ValueError(f"an isolation forest has 1…255 features, trees and a sample of 2…256, not {features}, {trees}, {sample}")
        self._sample = sample
        self._states = np.zeros(0, np.int8)
        self._places = np.zeros(0, np.int32)
        self._held = 0
        self._pool = _room(0, trees, 1 << (sample - 1).bit_length())

    def forest(self, slot: int) -> Forests:
        """Trees of the slot's forest: its own row of the pool, (trees, 2^depth) arrays. Raises LookupError where it has none."""
        if self._states[slot] != SPEAKS:
            raise LookupError(f"slot {slot} has no forest")
        return Forests(*(array[self._places[slot]] for array in self._pool))

    def grow(self, slots: int) -> None:
        """Make room for at least so many slots, five bytes each until they are trained."""
        have = len(self._states)
        if slots > have:
            room = max(slots, 2 * have)
            self._states = np.concatenate([self._states, np.zeros(room - have, np.int8)])
            self._places = np.concatenate([self._places, np.full(room - have, -1, np.int32)])

    def train(self, training: Training) -> None:
        """Fit a forest on each key's rows."""
        places = self._places[training.slots].astype(np.int64)
        new = np.flatnonzero(places < 0)
        if len(new):
            places[new] = self._held + np.arange(len(new))
            self._places[training.slots] = places
            self._make_room(self._held + len(new))
            self._held += len(new)
        states = np.zeros(len(places), np.int8)
        grow_forests(
            training.rows, training.starts, training.counts, training.seeds, places, self._sample, *self._pool, states
        )  # fmt: skip
        self._states[training.slots] = states

    def _make_room(self, forests: int) -> None:
        have, trees, nodes = self._pool.feature.shape
        if forests > have:
            pool = _room(max(forests, 2 * have), trees, nodes)
            held = self._held
            pool.feature[:held] = self._pool.feature[:held]
            pool.threshold[:held] = self._pool.threshold[:held]
            pool.leaf[:held] = self._pool.leaf[:held]
            pool.size[:held] = self._pool.size[:held]
            self._pool = pool

    def score(self, slots: I32, rows: F64) -> F64:
        """(n,) c(ψ) / mean path length of (n, k) rows, NaN where the slot has no forest."""
        return score_rows(slots, rows, self._places, self._states, *self._pool)

    def contributions(self, slots: I32, rows: F64) -> F64:
        """(k, n) parts of 1 - 1/raw by column, NaN where the slot has no forest."""
        return attribute_rows(slots, rows, self._places, self._states, *self._pool)

    def note(self, slot: int) -> str:
        """Why the slot's forest abstains, '' where it does not."""
        return _NOTES.get(int(self._states[slot]), "")

    def snapshot(self, slots: int) -> dict[str, np.ndarray]:
        """Nothing: forests are fitted again."""
        del slots
        return {}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Nothing: forests are fitted again."""
        del arrays
