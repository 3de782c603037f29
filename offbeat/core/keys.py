"""Keys and their slots: every key of a shard has a small number, and all state is arrays with a row per slot."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import polars as pl

from offbeat.core.batch import I32, I64
from offbeat.core.compiled import compiled
from offbeat.core.rings import grown_rows
from offbeat.core.text_codes import coded

_FEW = 256
"""Up to this many rows, plain Python is faster than a call into a column library."""
_EMPTY = -1


@compiled
def _place(value: int, values: I64, slots: I32) -> int:
    """Place of `value` in the hash table, or its place if it were added."""
    mask = np.uint64(len(slots) - 1)
    h = np.uint64(value) * np.uint64(0x9E3779B97F4A7C15)
    h ^= h >> np.uint64(32)
    p = h & mask
    while slots[p] != _EMPTY and values[p] != value:
        p = (p + np.uint64(1)) & mask
    return int(p)


@compiled
def _look_up(wanted: I64, values: I64, slots: I32, out: I32, unknown: I64) -> int:
    """Slots of `wanted`, -1 - (place in `unknown`) for those that have none yet, each once; returns how many those are."""
    news = 0
    for i in range(len(wanted)):
        p = _place(wanted[i], values, slots)
        if slots[p] == _EMPTY:
            values[p] = wanted[i]
            slots[p] = -2 - news
            unknown[news] = wanted[i]
            news += 1
        out[i] = slots[p]
    return news


@compiled
def _enter(values_in: I64, slots_in: I32, values: I64, slots: I32) -> None:
    for i in range(len(values_in)):
        p = _place(values_in[i], values, slots)
        values[p] = values_in[i]
        slots[p] = slots_in[i]


@compiled
def _named(out: I32, fresh: I32) -> None:
    for i in range(len(out)):
        if out[i] < _EMPTY:
            out[i] = fresh[-2 - out[i]]


class KeyTable:
    """Slots in order of first appearance. A key is text; integer keys count by their decimal form.

    One thread at a time may ask for slots; `names` only ever grows, so others may read it meanwhile.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.names: list[str] = list(names)
        self._slots: dict[str, int] = {name: slot for slot, name in enumerate(self.names)}
        self._values: I64 = np.zeros(64, np.int64)
        self._by_value: I32 = np.full(64, _EMPTY, np.int32)
        self._known: I64 = np.zeros(0, np.int64)
        self._known_slots: I32 = np.zeros(0, np.int32)
        self._entered = 0
        """Integers looked up so far, in order; the hash table over them is rebuilt when it grows."""

    def __len__(self) -> int:
        return len(self.names)

    def slot(self, key: str) -> int:
        """The key's slot; a new key gets a new one."""
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slots[key] = len(self.names)
            self.names.append(key)
        return slot

    def add(self, key: str) -> None:
        """A further slot for a key that may have some."""
        self._slots[key] = len(self.names)
        self.names.append(key)

    def find(self, key: str) -> int:
        """The key's slot, -1 for one that has none."""
        return self._slots.get(key, -1)

    def slots(self, keys: pl.Series) -> I32:
        """Slots of n keys (String or integer Series without nulls)."""
        if len(keys) <= _FEW:
            return np.array([self.slot(str(key)) for key in keys.to_list()], np.int32)
        if keys.dtype.is_integer():
            return self._integer_slots(keys.to_numpy().astype(np.int64, copy=False))
        few = coded(keys)
        if few is not None:
            own: I32 = np.array([self.slot(key) for key in few.distinct.to_list()], np.int32)[few.codes]
            return own
        numbers = _as_integers(keys)
        if numbers is not None:
            return self._integer_slots(numbers.to_numpy())
        encoded = keys.to_arrow().dictionary_encode()
        distinct: list[Any] = encoded.dictionary.to_pylist()
        table = np.array([self.slot(key) for key in distinct], np.int32)
        # Not `to_numpy`, which imports pandas: a second of the start.
        data: Any = encoded.indices.buffers()[1]
        indices = np.frombuffer(data, np.int32)[encoded.indices.offset :][: len(encoded)]
        slots: I32 = table[indices]
        return slots

    def _integer_slots(self, keys: I64) -> I32:
        """Integers are looked up as they come, and turned into text once per key, not once per row."""
        self._make_room(len(keys))
        out: I32 = np.empty(len(keys), np.int32)
        unknown: I64 = np.empty(len(keys), np.int64)
        news = _look_up(keys, self._values, self._by_value, out, unknown)
        if news:
            unknown = unknown[:news]
            fresh = np.array([self.slot(str(value)) for value in unknown.tolist()], np.int32)
            _named(out, fresh)
            _enter(unknown, fresh, self._values, self._by_value)
            end = self._entered + news
            self._known, self._known_slots = grown_rows(self._known, end), grown_rows(self._known_slots, end)
            self._known[self._entered : end], self._known_slots[self._entered : end] = unknown, fresh
            self._entered = end
        return out

    def _make_room(self, more: int) -> None:
        size = len(self._by_value)
        while size < 2 * (self._entered + more):
            size *= 2
        if size > len(self._by_value):
            self._values, self._by_value = np.zeros(size, np.int64), np.full(size, _EMPTY, np.int32)
            _enter(self._known[: self._entered], self._known_slots[: self._entered], self._values, self._by_value)


def _as_integers(keys: pl.Series) -> pl.Series | None:
    """Texts as the integers whose decimal form they are; None where some are not."""
    if not str(keys[0]).lstrip("-").isdecimal():
        return None
    numbers = keys.cast(pl.Int64, strict=False)
    return numbers if numbers.null_count() == 0 and (numbers.cast(pl.String) == keys).all() else None
