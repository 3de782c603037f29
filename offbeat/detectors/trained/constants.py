"""Features that never varied in a model's training rows, or next to never: a value beyond all of theirs is infinitely far out [R15].

A model learns nothing from such a feature: trees cannot split it, or few of them do, a covariance drops it. So it is looked at here, beside
the model.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from offbeat.core.batch import F64, I32, I64, Bools
from offbeat.core.compiled import compiled, compiled_inner
from offbeat.core.rings import grown_rows

NOTHING, CHANGED, ALIKE = range(3)
"""What is to say of a row: leave it to the model; a constant feature has another value; all features are constant, and as they were."""

U8 = npt.NDArray[np.uint8]


@compiled_inner
def _majority(rows: F64, start: int, count: int, f: int) -> float:
    """The value of feature f that most of some rows have, if more than half of them have it (Boyer & Moore 1981)."""
    value, lead = rows[start, f], 0
    for i in range(start, start + count):
        if lead == 0:
            value = rows[i, f]
        lead += 1 if rows[i, f] == value else -1
    return float(value)


@compiled
def constants(rows: F64, start: int, count: int, most: int, tolerance: float, out: F64) -> None:
    """out[:, f] = the value that feature f has in rows[start : start + count], the least and the greatest there; NaN where it varies.

    It does where more than `most` rows have another value.
    """
    for f in range(rows.shape[1]):
        value = _majority(rows, start, min(2 * most + 1, count), f)
        width = tolerance * abs(value)
        low = high = value
        others = 0
        i = start
        while others <= most and i < start + count:
            x = rows[i, f]
            if not abs(x - value) <= width:
                others += 1
                low, high = min(low, x), max(high, x)
            i += 1
        varies = others > most or count < 2
        out[0, f] = np.nan if varies else value
        out[1, f] = np.nan if varies else low
        out[2, f] = np.nan if varies else high


@compiled
def compared(row: F64, known: F64, tolerance: float) -> int:
    """What is to say of a row (k,) beside the constants (3, k) of its model."""
    varied = False
    for f in range(len(row)):
        value, low, high = known[0, f], known[1, f], known[2, f]
        if value == value:
            width = tolerance * abs(value)
            if row[f] < low - width or row[f] > high + width:
                return CHANGED
            varied = varied or low < high
        else:
            varied = True
    return NOTHING if varied else ALIKE


@compiled
def _learn(places: I32, starts: I64, counts: I64, most: I64, rows: F64, tolerance: float, values: F64, some: Bools) -> None:
    for i in range(len(places)):
        p = places[i]
        constants(rows, starts[i], counts[i], most[i], tolerance, values[p])
        some[p] = False
        for f in range(rows.shape[1]):
            some[p] = some[p] or values[p, 0, f] == values[p, 0, f]


@compiled
def _compare(slots: I32, rows: F64, places: I32, values: F64, some: Bools, tolerance: float, out: U8) -> bool:
    found = False
    for i in range(len(slots)):
        p = places[slots[i]]
        out[i] = NOTHING
        if p >= 0 and some[p]:
            out[i] = compared(rows[i], values[p], tolerance)
            found = found or out[i] != NOTHING
    return found


def changes(features: Sequence[str], row: F64, known: F64, tolerance: float) -> str:
    """Which constants (3, k) have another value in a row (k,), for a reader of an alert."""
    said = []
    for f, (x, value, low, high) in enumerate(zip(row.tolist(), *known.tolist(), strict=True)):
        width = tolerance * abs(value)
        if x < low - width or x > high + width:
            of = "all" if low == high else f"nearly all (from {low:.6g} to {high:.6g} in the others)"
            said.append(f"{features[f]} never varied before: it was {value:.6g} in {of} training rows")
    return "; ".join(said) or "no feature ever varied in the training rows, nor does one here"


class Constants:
    """The constant features of one detector's models, by key; only keys that were trained take space."""

    def __init__(self, features: int, tolerance: float) -> None:
        """tolerance: relative difference up to which two values are the same, as the model sees them."""
        self._tolerance = tolerance
        self._places: I32 = np.zeros(0, np.int32)
        """Slot → place, -1 for a slot that was not trained."""
        self._values: F64 = np.zeros((0, 3, features))
        """(places, 3, k) as `constants` gives them."""
        self._some: Bools = np.zeros(0, np.bool_)
        """By place: whether any feature was constant."""
        self._used = 0

    def grow(self, slots: int) -> None:
        """Make room for at least so many slots."""
        self._places = grown_rows(self._places, slots, -1)

    def learn(self, slots: I32, starts: I64, counts: I64, most: I64, rows: F64) -> None:
        """Training rows of some slots: rows[starts[i] : starts[i] + counts[i]] are those of slot i; most[i] may differ from a constant."""
        new = slots[self._places[slots] < 0]
        self._places[new] = np.arange(self._used, self._used + len(new), dtype=np.int32)
        self._make_room(self._used + len(new))
        _learn(self._places[slots], starts, counts, most, rows, self._tolerance, self._values, self._some)

    def _make_room(self, used: int) -> None:
        self._used = used
        self._values, self._some = grown_rows(self._values, used), grown_rows(self._some, used)

    def compare(self, slots: I32, rows: F64) -> U8 | None:
        """(n,) what is to say of (n, k) rows; None where all are left to their models."""
        out = np.empty(len(slots), np.uint8)
        return out if _compare(slots, rows, self._places, self._values, self._some, self._tolerance, out) else None

    def changes(self, slot: int, features: Sequence[str], row: F64) -> str:
        """As `changes` has it, of a slot's constants."""
        return changes(features, row, self._values[self._places[slot]], self._tolerance)

    def snapshot(self, slots: I64) -> dict[str, np.ndarray]:
        """State of some slots: those with constants, by their places among them, and these."""
        places = self._places[slots]
        own = np.flatnonzero(places >= 0)
        own = own[self._some[places[own]]]
        return {"slots": own, "values": self._values[places[own]]}

    def restore(self, arrays: dict[str, np.ndarray], slots: int) -> None:
        """Take over a snapshot of so many slots; one of a former version holds nothing: then from a key's next training on."""
        self.grow(slots)
        own = arrays.get("slots", np.zeros(0, np.int64))
        self._places[:] = -1
        self._places[own] = np.arange(len(own), dtype=np.int32)
        self._used = 0
        self._make_room(len(own))
        if len(own):
            self._values[: len(own)], self._some[: len(own)] = arrays["values"], True
