"""The merge: the latest partials of every shard, added up into closed windows on the target key [S13].

One mechanism for customer-days, region-hours, population samples and incident groups, whatever carries the partials here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offbeat.core.batch import F64, I64
from offbeat.core.compiled import compiled
from offbeat.core.exact import add128, double128
from offbeat.core.keys import KeyTable
from offbeat.core.partials import BITS, ROWS, PartialLayout, Partials
from offbeat.core.state import Arrays, prefixed, under


@dataclass(frozen=True, slots=True)
class Windows:
    """w closed windows, ordered by (target slot, start)."""

    targets: I64
    starts: I64
    rows: I64
    """Rows in each."""
    aggregates: F64
    """(aggregates, w) values as expressions see them."""


@compiled
def _combine(
    order: I64, targets: I64, starts: I64, ints: I64, floats: F64, kinds: I64, at: I64, is_min: I64, is_sum: I64,
    out_first: I64, out_ints: I64, out_floats: F64,
) -> int:
    """Add up rows of equal (target, start), which stand together in `order`; returns the number of windows."""
    w = -1
    for o in range(len(order)):
        i = order[o]
        if w < 0 or targets[i] != targets[out_first[w]] or starts[i] != starts[out_first[w]]:
            w += 1
            out_first[w] = i
            for j in range(ints.shape[1]):
                out_ints[w, j] = ints[i, j]
            for j in range(floats.shape[1]):
                out_floats[w, j] = floats[i, j]
            continue
        out_ints[w, 0] += ints[i, 0]
        for k in range(len(kinds)):
            c = at[k]
            if is_sum[k]:
                add128(out_ints, w, c, ints[i, c], ints[i, c + 1])
            elif kinds[k] == 0:
                out_ints[w, c] += ints[i, c]
            elif kinds[k] == BITS:
                out_ints[w, c] |= ints[i, c]
            else:
                x = floats[i, c]
                old = out_floats[w, c]
                if x == x and (old != old or (x < old if is_min[k] else x > old)):
                    out_floats[w, c] = x
    return w + 1


@compiled
def _sums(ints: I64, at: int, count: int, scale: float, mean: bool, out: F64) -> None:
    for w in range(len(out)):
        n = ints[w, count]
        if n == 0:
            out[w] = np.nan
            continue
        total = double128(ints[w, at + 1], ints[w, at])
        out[w] = (total / n) / scale if mean else total / scale


class MergeStage:
    """Keeps the latest partials of each shard for one view, and adds them up on demand."""

    def __init__(self, layout: PartialLayout) -> None:
        self.layout = layout
        self.keys = KeyTable()
        self._shards: dict[int, Partials] = {}

    def update(self, shard: int, names: list[str], partials: Partials) -> None:
        """Take a shard's partials; for each window the one with the greater revision (rows) replaces the other.

        `names` are the target keys that `partials.targets` counts through.
        """
        table = np.array([self.keys.slot(name) for name in names] or [0], np.int32)
        new = Partials(table[partials.targets], partials.starts, partials.ints, partials.floats)
        old = self._shards.get(shard)
        if old is not None and len(old):
            both = Partials(
                np.concatenate([old.targets, new.targets]), np.concatenate([old.starts, new.starts]),
                np.concatenate([old.ints, new.ints]), np.concatenate([old.floats, new.floats]),
            )  # fmt: skip
            order = np.lexsort((both.ints[:, ROWS], both.starts, both.targets))
            targets, starts = both.targets[order], both.starts[order]
            last = np.append((targets[1:] != targets[:-1]) | (starts[1:] != starts[:-1]), True)
            keep = order[last]
            new = Partials(both.targets[keep], both.starts[keep], both.ints[keep], both.floats[keep])
        self._shards[shard] = new

    def windows(self) -> Windows:
        """All windows, added up over the shards."""
        lay = self.layout
        parts = list(self._shards.values())
        if not sum(len(p) for p in parts):
            none: I64 = np.zeros(0, np.int64)
            return Windows(none, none, none, np.empty((len(lay.reads), 0)))
        targets = np.concatenate([p.targets for p in parts]).astype(np.int64)
        starts = np.concatenate([p.starts for p in parts])
        ints, floats = np.concatenate([p.ints for p in parts]), np.concatenate([p.floats for p in parts])
        order = np.lexsort((starts, targets))
        first: I64 = np.empty(len(order), np.int64)
        out_ints, out_floats = np.empty_like(ints), np.empty_like(floats)
        is_sum, is_min = (lay.kinds == 1).astype(np.int64), (lay.kinds == 2).astype(np.int64)
        n = _combine(order, targets, starts, ints, floats, lay.kinds, lay.at, is_min, is_sum, first, out_ints, out_floats)
        first, out_ints, out_floats = first[:n], out_ints[:n], out_floats[:n]
        aggregates = np.empty((len(lay.reads), n))
        for row, (function, at, count, scale) in enumerate(lay.reads):
            if function in ("sum_exact", "mean_exact"):
                _sums(out_ints, at, count, float(10**scale), function == "mean_exact", aggregates[row])
            elif function == "distinct":
                aggregates[row] = np.bitwise_count(out_ints[:, at])
            else:
                aggregates[row] = out_floats[:, at] if function in ("min", "max") else out_ints[:, at]
        return Windows(targets[first], starts[first], out_ints[:, ROWS].copy(), aggregates)

    def arrays(self) -> Arrays:
        """State of the stage; the target keys are `self.keys.names`."""
        out: Arrays = {}
        for shard, p in self._shards.items():
            out |= prefixed(str(shard), {"targets": p.targets, "starts": p.starts, "ints": p.ints, "floats": p.floats})
        return out

    def restore(self, names: list[str], arrays: Arrays) -> None:
        """Take over a snapshot."""
        self.keys = KeyTable(names)
        for shard in sorted({int(name.split("/")[0]) for name in arrays}):
            part = under(str(shard), arrays)
            self._shards[shard] = Partials(part["targets"], part["starts"], part["ints"], part["floats"])
