"""What models made of trees share: a place a slot, and nothing to keep, as trees are fitted again."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from offbeat.core.batch import I64
from offbeat.detectors.trained.float32 import SINGLE
from offbeat.detectors.trained.model_slots import ModelSlots


class RefittedTrees:
    """The part of a `Model` that does not depend on how its trees are kept."""

    refits = True
    tolerance = SINGLE

    def __init__(self, notes: Mapping[int, str]) -> None:
        """notes: by what became of a training, why there are no trees that speak."""
        self._notes = notes
        self._places = ModelSlots()

    def grow(self, slots: int) -> None:
        """Make room for at least so many slots, which cost five bytes each until they are trained."""
        self._places.grow(slots)

    def note(self, slot: int) -> str:
        """Why the slot's trees abstain, '' where they do not."""
        return self._notes.get(int(self._places.states[slot]), "")

    def snapshot(self, slots: I64) -> dict[str, np.ndarray]:
        """Nothing: trees are fitted again."""
        del slots
        return {}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Nothing: trees are fitted again."""
        del arrays
