"""The place of a key slot's model in a pool, and whether it can score."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from offbeat.core.batch import I32, I64
from offbeat.core.rings import grown_rows

I8 = npt.NDArray[np.int8]
U8 = npt.NDArray[np.uint8]

UNTRAINED, SPEAKS, TOO_FEW, ALIKE = range(4)
"""What became of a slot's training: none yet; a model; fewer than two rows; no difference found between the rows."""


class ModelSlots:
    """Gives a slot a place in the pool when it is first trained; a slot that never is takes five bytes."""

    def __init__(self) -> None:
        self.states: I8 = np.zeros(0, np.int8)
        """By slot: what became of its training."""
        self.of: I32 = np.zeros(0, np.int32)
        """By slot: place of its model, -1 for none."""
        self.used = 0
        """How many places are taken."""

    def grow(self, slots: int) -> None:
        """Make room for at least that many slots."""
        self.states, self.of = grown_rows(self.states, slots), grown_rows(self.of, slots, -1)

    def allocate(self, slots: I32) -> I64:
        """ModelSlots of distinct slots, new ones for those that have none."""
        new = slots[self.of[slots] < 0]
        self.of[new] = np.arange(self.used, self.used + len(new))
        self.used += len(new)
        return self.of[slots].astype(np.int64)

    def place(self, slot: int) -> int:
        """Place of a slot's model. Raises LookupError if it has none that can score."""
        if self.states[slot] != SPEAKS:
            raise LookupError(f"slot {slot} has no trained model")
        return int(self.of[slot])
