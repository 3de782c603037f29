"""Half-space trees: odd rows lie where a halving of space at random leaves few others (Tan, Ting, Liu 2011)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from offbeat.core.batch import F64, I32
from offbeat.core.rings import grown_rows
from offbeat.detectors.half_space_trees.half_space_kernels import DEEPEST, NODES, attribute_half_spaces, grow_half_spaces, score_half_spaces
from offbeat.detectors.trained.float32 import F32
from offbeat.detectors.trained.model import Training
from offbeat.detectors.trained.model_slots import ALIKE, TOO_FEW, U8
from offbeat.detectors.trained.refitted_trees import RefittedTrees

_NOTES = {
    TOO_FEW: "the half-space trees abstain: they had fewer than two rows to learn from",
    ALIKE: "the half-space trees abstain: the rows they had to learn from are all the same",
}


class HalfSpaces(NamedTuple):
    """Trees of a pool of models: (places, trees, NODES) arrays by node; node 0 is the root, a right child follows the left one."""

    feature: U8
    """Column that the node splits."""
    threshold: F32
    """A row goes to the right child iff its value is at least this; +inf: not split."""
    left: U8
    """Left child; the node itself where it is not split."""
    score: F32
    """Score of a row that ends in the node, 1 / (1 + density)."""


class HalfSpaceTrees(RefittedTrees):
    """Some half-space trees a slot; a `Model`.

    Each tree draws a work range of every column around the training rows' range, as the paper does (a point s uniform in it, and twice its
    greater distance from the ends to either side), and halves the range of a column drawn at random in every node, down to `depth` or
    until no more than a tenth of the training rows are left, the paper's size limit. Columns that are constant in training are not looked
    at. The mass of a node is its number of training rows; its density the mass against that of rows spread evenly over the work range,
    mass · 2^depth / rows, by which the paper orders.

    Raw score: the mean over the trees of 1 / (1 + density) of the node where the row ends: 1 where no training row was, 1/2 where they are
    as dense as evenly spread rows, near 0 where they are dense. The paper adds the densities up instead, so that the one tree with the
    smallest cell decides; a bounded score a tree lets each have its say.

    Contributions sum to raw - 1/2: every split of a row's path credits its column with the child's score minus the node's, averaged over
    the trees; a column's part is negative where it made the row look common.
    """

    def __init__(self, features: int, trees: int = 25, depth: int = DEEPEST) -> None:
        """For rows of `features` (1…255) columns; `trees` a model, each of at most `depth` (1…15) levels of splits."""
        if not (1 <= features <= 255 and trees >= 1 and 1 <= depth <= DEEPEST):
            raise ValueError(f"half-space trees have 1…255 features, trees and a depth of 1…15, not {features}, {trees}, {depth}")
        super().__init__(_NOTES)
        self._depth = depth
        of = (0, trees, NODES)
        self._pool = HalfSpaces(np.zeros(of, np.uint8), np.zeros(of, np.float32), np.zeros(of, np.uint8), np.zeros(of, np.float32))

    def trees(self, slot: int) -> HalfSpaces:
        """Trees of the slot: its own row of the pool, (trees, NODES) arrays. Raises LookupError where it has none."""
        place = self._places.place(slot)
        return HalfSpaces(*(array[place] for array in self._pool))

    def train(self, training: Training) -> None:
        """Fit trees on each key's rows."""
        places = self._places.allocate(training.slots)
        self._pool = HalfSpaces(*(grown_rows(array, self._places.used) for array in self._pool))
        states = np.zeros(len(places), np.int8)
        grow_half_spaces(training.rows, training.starts, training.counts, training.seeds, places, self._depth, *self._pool, states)
        self._places.states[training.slots] = states

    def score(self, slots: I32, rows: F64) -> F64:
        """(n,) mean of 1 / (1 + density) over the trees for (n, k) rows, NaN where the slot has no model."""
        return score_half_spaces(slots, rows, self._depth, self._places.of, self._places.states, *self._pool)

    def contributions(self, slots: I32, rows: F64) -> F64:
        """(k, n) parts of raw - 1/2 by column, NaN where the slot has no model."""
        return attribute_half_spaces(slots, rows, self._places.of, self._places.states, *self._pool)
