"""Differences between neighbours: changes since the key's previous row."""

from __future__ import annotations

import copy
from typing import Self

import numpy as np

from offbeat.core.batch import F64, I32, I64, NULL_INT
from offbeat.core.compiled import compiled
from offbeat.core.expression_machine import Machine
from offbeat.core.plan import WindowPlan
from offbeat.core.rings import grown_rows

_MAX = float(np.finfo(np.float64).max)


@compiled
def _changes(slots: I32, time_ns: I64, values: F64, previous: F64, last: I64, out: F64) -> None:
    """Fills out (j + 1, n): values (j, n) minus those of the key's previous row, and the seconds since; null for a key's first row.

    previous (slots, j) and last (slots,) hold each key's last row; last is NULL_INT without one.
    """
    m = values.shape[0]
    for i in range(len(slots)):
        s = slots[i]
        known = last[s] != NULL_INT
        for j in range(m):
            change = values[j, i] - previous[s, j] if known else np.nan
            out[j, i] = change if abs(change) <= _MAX else np.nan
            previous[s, j] = values[j, i]
        out[m, i] = (time_ns[i] - last[s]) / 1e9 if known else np.nan
        last[s] = time_ns[i]


class Changes:
    """What a window's arguments read of each key's row before; nothing is kept where they read nothing of it."""

    def __init__(self, plan: WindowPlan, columns: tuple[str, ...], features: tuple[str, ...] = ()) -> None:
        """columns, features: names of what `beside` is given."""
        self._some, self._values = plan.neighbours, len(plan.changes.outputs)
        self._machine = Machine(plan.changes, columns, features)
        names = (*(f"diff@{j}" for j in range(self._values)), "gap@") if self._some else ()
        self.names = (*features, *names)
        """Of what `beside` gives."""
        self._previous: F64 = np.zeros((0, self._values))
        self._last: I64 = np.zeros(0, np.int64)

    def beside(self, slots: I32, keys: int, time_ns: I64, columns: F64, features: F64 | None) -> F64 | None:
        """Features (f, n) of n rows, and beside them the changes since each one's predecessor; `keys` is the number of slots in use."""
        if not self._some:
            return features
        self._grow(keys)
        values = self._machine.run(columns, features) if self._values else np.empty((0, len(slots)))
        out = np.empty((self._values + 1, len(slots)))
        _changes(slots, time_ns, values, self._previous, self._last, out)
        return out if features is None else np.concatenate([features, out])

    def _grow(self, keys: int) -> None:
        self._previous, self._last = grown_rows(self._previous, keys), grown_rows(self._last, keys, NULL_INT)

    def excerpt(self, slots: I32) -> Self:
        """A copy in which n slots are 0 to n - 1: rows that it is given do not change this one."""
        other = copy.copy(self)
        other.restore(self.snapshot(slots))
        return other

    def snapshot(self, slots: I32 | I64) -> dict[str, np.ndarray]:
        """The state of some slots."""
        if not self._some:
            return {}
        self._grow(int(slots.max(initial=-1)) + 1)
        return {"previous": self._previous[slots], "last": self._last[slots]}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over a snapshot."""
        if self._some:
            self._previous, self._last = arrays["previous"].copy(), arrays["last"].copy()
