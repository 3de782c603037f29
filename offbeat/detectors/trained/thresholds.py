"""Thresholds from the scores that were given live: a key's last 2,000, by earlier models [S17, R15]."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from offbeat.core.batch import F64, I32, I64
from offbeat.core.compiled import compiled
from offbeat.core.rings import grown_rows
from offbeat.detectors.robust_covariance.distances import smallest

KEPT = 2000
ENOUGH = 500
"""With fewer live scores than that, those of the training rows stand in."""


def rank(m: int, odd: int, of: int) -> int:
    """⌈(1 - c)·m⌉ - 1 for c = odd / of: the place of the threshold among m sorted scores, from 0. In integers, as 0.29 · 100 < 29.

    Not compiled: with the 19 digits of 1/300, odd · m needs more than 64 bits.
    """
    return min(max(m - (odd * m) // of, 1), m) - 1


@compiled
def _keep(slots: I32, raw: F64, places: I32, counts: I64, scores: F64) -> None:
    for i in range(len(slots)):
        if raw[i] == raw[i]:
            p = places[slots[i]]
            scores[p, counts[p] % scores.shape[1]] = raw[i]
            counts[p] += 1


@compiled
def _from_live(slots: I32, places: I32, counts: I64, scores: F64, ranks: I64, thresholds: F64) -> None:
    work = np.empty(scores.shape[1])
    for i in range(len(slots)):
        p = places[slots[i]]
        m = min(counts[p], scores.shape[1])
        if m >= ENOUGH:
            thresholds[p] = smallest(scores[p], m, ranks[m], work)


class Thresholds:
    """One detector's thresholds for all keys, and the scores they come from; only keys that were ever trained take space."""

    def __init__(self, contamination: float, limit: float | None) -> None:
        self._odd, self._of = Fraction(repr(contamination)).as_integer_ratio()
        self._ranks: I64 = np.array([rank(m, self._odd, self._of) for m in range(KEPT + 1)], np.int64)
        self._limit = limit
        self.places: I32 = np.zeros(0, np.int32)
        """Slot → place, -1 for a slot without a model."""
        self.values: F64 = np.zeros(0)
        self._counts: I64 = np.zeros(0, np.int64)
        self._scores: F64 = np.zeros((0, KEPT))
        self._used = 0

    @property
    def live(self) -> bool:
        """Whether thresholds follow from scores; False: one limit is given."""
        return self._limit is None

    def grow(self, slots: int) -> None:
        """Make room for at least so many slots."""
        self.places = grown_rows(self.places, slots, -1)

    def keep(self, slots: I32, raw: F64) -> None:
        """Live scores of n rows; NaN is none."""
        if self._limit is None:
            _keep(slots, raw, self.places, self._counts, self._scores)

    def begin(self, slots: I32) -> I32:
        """New models of some slots: gives those whose training rows must stand in for live scores."""
        new = slots[self.places[slots] < 0]
        if len(new):
            self._grow_places(self._used + len(new))
            self.places[new] = np.arange(self._used, self._used + len(new), dtype=np.int32)
            self._used += len(new)
        if self._limit is not None:
            self.values[self.places[new]] = self._limit
            return slots[:0]
        _from_live(slots, self.places, self._counts, self._scores, self._ranks, self.values)
        return slots[self._counts[self.places[slots]] < ENOUGH]

    def own(self, slot: int, raw: F64, *, live: bool) -> None:
        """The scores of all rows that the model was trained on: no threshold is below theirs, and it is theirs where none is `live`."""
        known = raw[~np.isnan(raw)]
        place = rank(len(known), self._odd, self._of)
        least = smallest(known, len(known), place, np.empty(len(known))) if len(known) else np.nan
        before = self.values[self.places[slot]] if live else np.nan
        self.values[self.places[slot]] = least if np.isnan(before) else max(before, least)

    def above(self, m: int) -> int:
        """How many of m scores may lie above a threshold."""
        return m - 1 - rank(m, self._odd, self._of)

    def of(self, slots: I32) -> F64:
        """Thresholds of some slots that have one."""
        return self.values[self.places[slots]]

    def _grow_places(self, places: int) -> None:
        self.values = grown_rows(self.values, places)
        self._counts = grown_rows(self._counts, places)
        self._scores = grown_rows(self._scores, places)

    def snapshot(self, slots: I64) -> dict[str, np.ndarray]:
        """State of some slots."""
        places = self.places[slots]
        own = places[places >= 0]
        at = np.where(places >= 0, np.cumsum(places >= 0) - 1, -1).astype(places.dtype)
        return {"places": at, "values": self.values[own], "counts": self._counts[own], "scores": self._scores[own]}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over a snapshot; another contamination holds from a key's next training on."""
        self.grow(len(arrays["places"]))
        self.places[: len(arrays["places"])] = arrays["places"]
        used = self._used = len(arrays["values"])
        self._grow_places(used)
        self.values[:used], self._counts[:used], self._scores[:used] = arrays["values"], arrays["counts"], arrays["scores"]
        if self._limit is not None:
            self.values[:used] = self._limit
