"""What a trained detector is: a model for each key, fitted on that key's last rows, that scores the rows after them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from offbeat.core.batch import F64, I32, I64, U64


@dataclass(frozen=True, slots=True)
class Training:
    """Rows to fit g models on."""

    slots: I32
    """(g,) distinct key slots."""
    starts: I64
    """(g,) where each key's rows begin in `rows`."""
    counts: I64
    """(g,) how many they are."""
    rows: F64
    """(…, k) C-contiguous; rows[starts[i] : starts[i] + counts[i]] are key i's rows, the oldest first, all values finite."""
    numbers: I64
    """(g,) training number of each key, from 1."""
    seeds: U64
    """(g,) random seed, a function of (pipeline seed, key, detector, training number) [S14]."""


class Model(Protocol):
    """One model a key slot, over k features. Arrays with a row per slot, never objects per key.

    A model is a function of its training rows, seed and, where it starts from it, the model before: nothing else. Scoring changes nothing.
    Only + - * / and square root [S11].
    """

    refits: bool
    """Whether a model follows from its training rows and seed alone: it is then not kept in a snapshot but fitted again when needed."""

    @property
    def tolerance(self) -> float | None:
        """Relative difference up to which it takes values of a feature for the same.

        A feature that was constant in training says nothing to it; `Constants` judge rows in which it has changed. None: it judges them.
        """

    def grow(self, slots: int) -> None:
        """Make room for at least so many slots."""

    def train(self, training: Training) -> None:
        """Replace the models of some slots. A degenerate fit leaves a model that abstains."""

    def score(self, slots: I32, rows: F64) -> F64:
        """(n,) raw scores of (n, k) finite rows, higher = odder; NaN where no model speaks. Rows of a slot stand together."""

    def contributions(self, slots: I32, rows: F64) -> F64:
        """(k, n) parts of the raw score by feature; the class says what they sum to."""

    def note(self, slot: int) -> str:
        """What a reader of an alert should know of the slot's model, such as why it abstains; '' for nothing."""

    def snapshot(self, slots: I64) -> dict[str, np.ndarray]:
        """State of some slots, in their order; empty for models that are fitted again."""

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over a snapshot: equal scores from here on."""
