"""What models made of trees share: one pool of arrays for all keys, and nothing to keep, as trees are fitted again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from offbeat.detectors.trained.model_slots import ModelSlots

Pool = TypeVar("Pool", bound=NamedTuple)


class PooledTrees(Generic[Pool]):
    """Trees of all slots in one pool, a named tuple of arrays with a row per place; `room` makes one for so many places."""

    refits = True

    def __init__(self, room: Callable[[int], Pool], notes: Mapping[int, str]) -> None:
        self._room, self._notes = room, notes
        self._places = ModelSlots()
        self._pool = room(0)

    def grow(self, slots: int) -> None:
        """Make room for at least so many slots, which cost five bytes each until they are trained."""
        self._places.grow(slots)

    def _make_room(self, used: int) -> None:
        """Pools for all places, with the trees of the first `used` of them."""
        have = len(self._pool[0])
        if self._places.used > have:
            pool = self._room(max(self._places.used, 2 * have))
            for array, before in zip(pool, self._pool, strict=True):
                array[:used] = before[:used]
            self._pool = pool

    def note(self, slot: int) -> str:
        """Why the slot's trees abstain, '' where they do not."""
        return self._notes.get(int(self._places.states[slot]), "")

    def snapshot(self, slots: int) -> dict[str, np.ndarray]:
        """Nothing: trees are fitted again."""
        del slots
        return {}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Nothing: trees are fitted again."""
        del arrays
