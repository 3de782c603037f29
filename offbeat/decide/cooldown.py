"""After an alert its key raises another one only for something stronger, for a while."""

from __future__ import annotations

import numpy as np

from offbeat.core.batch import F64, I32, I64, Bools
from offbeat.core.compiled import compiled
from offbeat.core.rings import grown_rows
from offbeat.core.state import Arrays


@compiled
def _cool(
    slots: I32, time_ns: I64, index: I64, alert: Bools, strength: F64, rows: int, ns: int, folds: bool,
    numbers: I64, last: I64, peak: F64,
) -> int:  # fmt: skip
    """Take back `alert` (m,) where a row at `index` comes within the cooldown of its key's last alert and is no stronger; how many were."""
    suppressed = 0
    p = 0
    for i in range(len(slots)):
        s = slots[i]
        number = numbers[s] + 1
        if folds:
            numbers[s] = number
        if p == len(index) or index[p] != i:
            continue
        if alert[p]:
            since = number - last[s, 0]
            recent = last[s, 0] > 0 and (since <= rows if rows > 0 else time_ns[i] - last[s, 1] <= ns)
            if recent and not strength[p] > peak[s]:
                alert[p] = False
                suppressed += 1
            elif folds:
                last[s, 0], last[s, 1], peak[s] = number, time_ns[i], strength[p]
        p += 1
    return suppressed


class Cooldown:
    """Which alerts of a view are raised. Alerts raised within a cooldown rise in strength, so the last one is the one to exceed."""

    def __init__(self, rows: int, ns: int) -> None:
        """For `rows` rows of the key, or if that is 0 for `ns` nanoseconds."""
        self._rows, self._ns = rows, ns
        self._numbers: I64 = np.zeros(0, np.int64)
        """By slot: rows so far."""
        self._last: I64 = np.zeros((0, 2), np.int64)
        """By slot: number and time of the row that raised the last alert; number 0: none."""
        self._peak: F64 = np.zeros(0)
        """By slot: the strength of that."""

    def cool(self, keys: int, slots: I32, time_ns: I64, index: I64, alert: Bools, strength: F64, *, folds: bool = True) -> int:
        """Take back `alert` (m,) of rows at `index`, rising, in place; returns of how many. Not `folds`: the rows may still change."""
        self._grow(keys)
        return int(
            _cool(slots, time_ns, index, alert, strength, self._rows, self._ns, folds, self._numbers, self._last, self._peak)
        )

    def _grow(self, keys: int) -> None:
        self._numbers, self._last, self._peak = (grown_rows(array, keys) for array in (self._numbers, self._last, self._peak))

    def snapshot(self, slots: I64) -> Arrays:
        """State of the keys of some slots."""
        self._grow(int(slots.max(initial=-1)) + 1)
        return {"numbers": self._numbers[slots], "last": self._last[slots], "peak": self._peak[slots]}

    def restore(self, arrays: Arrays) -> None:
        """Take over a snapshot; one of a plan without a cooldown holds nothing."""
        if arrays:
            self._numbers, self._last, self._peak = (arrays[name].copy() for name in ("numbers", "last", "peak"))
