"""The merge: the latest partials of every shard, added up into closed windows on the target key [S13].

One mechanism for customer-days, region-hours, population samples and incident groups, whichever engine carries the partials.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from offbeat.core.batch import F64, I32, I64
from offbeat.core.compiled import compiled
from offbeat.core.distinct_sets import Sets
from offbeat.core.int128_sums import add128, double128
from offbeat.core.keys import KeyTable
from offbeat.core.partials import BITS, TRUTH, PartialLayout, Partials


@compiled
def _combine(
    order: I64, targets: I32, starts: I64, ints: I64, floats: F64, kinds: I64, at: I64, is_min: I64, is_sum: I64,
    out_first: I64, out_ints: I64, out_floats: F64,
) -> int:
    """Add up rows of equal (target, start), which are adjacent in `order`; returns the number of windows."""
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
            elif kinds[k] == 0 or kinds[k] == TRUTH:
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


def _order_of_distinct(targets: I32, starts: I64) -> I64:
    """(w,) places of distinct windows, ordered by (start, target)."""
    if starts.min() < starts.max():
        return np.lexsort((targets, starts))
    places: I64 = np.full(int(targets.max()) + 1, -1, np.int64)
    places[targets] = np.arange(len(targets))
    return places[places >= 0]


class WindowMerge:
    """The open windows of one view, as its shards last handed them over, added up on demand."""

    def __init__(self, layout: PartialLayout, names: Iterable[str] = ()) -> None:
        """names: of target keys already known, in the order of their slots."""
        self.layout = layout
        self.keys = KeyTable(names)
        self._shards: dict[int, Partials] = {}
        self._slots: dict[int, I32] = {}
        """Per shard: its target keys as slots of `keys`."""
        self._is_sum, self._is_min = (layout.kinds == 1).astype(np.int64), (layout.kinds == 2).astype(np.int64)

    def update(self, shard: int, names: list[str], partials: Partials) -> None:
        """Take a shard's windows, in place of what it handed over before; `names` are the target keys that `partials.targets` counts."""
        slots = self.known(shard, names)
        self._shards[shard] = partials.of(slots[partials.targets])

    def known(self, shard: int, names: list[str]) -> I32:
        """A shard's target keys, `names` so far, as slots of `keys`."""
        known = self._slots.get(shard, np.zeros(0, np.int32))
        if len(names) > len(known):
            fresh = np.array([self.keys.slot(name) for name in names[len(known) :]], np.int32)
            known = self._slots[shard] = np.concatenate([known, fresh])
        return known

    def forget(self, shard: int) -> None:
        """A shard is gone; another one may come under its number."""
        self._shards.pop(shard, None)
        self._slots.pop(shard, None)

    def first_ns(self) -> int | None:
        """Earliest start of a window."""
        return min((int(p.starts.min()) for p in self._shards.values() if len(p)), default=None)

    def slots(self, shard: int) -> I32:
        """A shard's target keys as slots of `keys`."""
        return self._slots.get(shard, np.zeros(0, np.int32))

    def windows(self) -> Partials:
        """All windows, ordered by (start, target slot)."""
        return self.combined(list(self._shards.values()))

    def combined(self, parts: Sequence[Partials]) -> Partials:
        """Windows of several carriers, added up, ordered by (start, target slot)."""
        lay = self.layout
        there = [part for part in parts if len(part)]
        if len(there) == 1:  # one carrier has each window once
            return there[0].take(_order_of_distinct(there[0].targets, there[0].starts))
        targets = np.concatenate([np.zeros(0, np.int32), *(p.targets for p in parts)])
        starts = np.concatenate([np.zeros(0, np.int64), *(p.starts for p in parts)])
        ints = np.concatenate([np.zeros((0, lay.ints), np.int64), *(p.ints for p in parts)])
        floats = np.concatenate([np.zeros((0, lay.floats)), *(p.floats for p in parts)])
        order = np.lexsort((targets, starts))
        first: I64 = np.empty(len(order), np.int64)
        out_ints, out_floats = np.empty_like(ints), np.empty_like(floats)
        n = _combine(order, targets, starts, ints, floats, lay.kinds, lay.at, self._is_min, self._is_sum, first, out_ints, out_floats)
        sets: tuple[Sets, ...] = ()
        if lay.sets:
            sets = self._united(parts, order, targets, starts, n)
        return Partials(targets[first[:n]], starts[first[:n]], out_ints[:n], out_floats[:n], sets)

    def _united(self, parts: Sequence[Partials], order: I64, targets: I32, starts: I64, count: int) -> tuple[Sets, ...]:
        """The sets of (w,) windows, of which those that are equal are adjacent in `order`."""
        fresh = np.zeros(len(order), np.bool_)
        fresh[1:] = (targets[order[1:]] != targets[order[:-1]]) | (starts[order[1:]] != starts[order[:-1]])
        owners: I64 = np.empty(len(order), np.int64)
        owners[order] = np.cumsum(fresh)
        together = [Sets.together([part.sets[k] for part in parts]) for k in range(len(self.layout.sets))]
        return tuple(sets.united(owners, count) for sets in together)

    def aggregates(self, windows: Partials) -> F64:
        """(aggregates, w) values as expressions see them."""
        out = np.empty((len(self.layout.reads), len(windows)))
        for row, (function, at, count, scale) in enumerate(self.layout.reads):
            if function in ("sum_exact", "mean_exact"):
                _sums(windows.ints, at, count, float(10**scale), function == "mean_exact", out[row])
            elif function == "sum_truth":
                out[row] = np.where(windows.ints[:, count] > 0, windows.ints[:, at], np.nan)
            elif function == "distinct_set":
                out[row] = windows.sets[at].counts()
            elif function == "distinct":
                out[row] = np.bitwise_count(windows.ints[:, at])
            else:
                out[row] = windows.floats[:, at] if function in ("min", "max") else windows.ints[:, at]
        return out
