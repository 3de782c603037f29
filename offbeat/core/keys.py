"""Keys and their slots: every key of a shard has a small number, and all state is arrays with a row per slot."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import polars as pl

from offbeat.core.batch import I32

_FEW = 256
"""Up to so many rows plain Python is faster than a call into a library for columns."""


class KeyTable:
    """Slots in order of first appearance. A key is text; integer keys count by their decimal form."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.names: list[str] = list(names)
        self._slots: dict[str | int, int] = {name: slot for slot, name in enumerate(self.names)}

    def __len__(self) -> int:
        return len(self.names)

    def slot(self, key: str) -> int:
        """The key's slot, a new one if need be."""
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slots[key] = len(self.names)
            self.names.append(key)
        return slot

    def slots(self, keys: pl.Series) -> I32:
        """Slots of n keys (String or integer Series without nulls)."""
        if len(keys) <= _FEW:
            names = keys.to_list()
            known = [self._slots.get(key) for key in names]
            return np.array([self._slot_of(key) for key in names] if None in known else known, np.int32)
        encoded = keys.to_arrow().dictionary_encode()
        distinct: list[Any] = encoded.dictionary.to_pylist()
        table = np.empty(len(distinct), np.int32)
        for i, key in enumerate(distinct):
            table[i] = self._slot_of(key)
        # Not `to_numpy`, which imports pandas: a second of the start.
        data: Any = encoded.indices.buffers()[1]
        indices = np.frombuffer(data, np.int32)[encoded.indices.offset :][: len(encoded)]
        slots: I32 = table[indices]
        return slots

    def _slot_of(self, key: str | int) -> int:
        """Integers are looked up as they come and turned into text once a key, not once a row."""
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slots[key] = self.slot(str(key))
        return slot
