"""Differences between neighbours: changes since the key's previous row."""

from __future__ import annotations

import numpy as np

from offbeat.core.batch import F64, I32, I64, NULL_INT
from offbeat.core.compiled import compiled

_MAX = float(np.finfo(np.float64).max)


@compiled
def changes(slots: I32, time_ns: I64, values: F64, previous: F64, last: I64, out: F64) -> None:
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
