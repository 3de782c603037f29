"""Which windows of two views share rows: a customer-day and the region-hours in which the customer was active."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from offbeat.core.batch import I32, I64, U64
from offbeat.core.compiled import compiled
from offbeat.core.rings import grown_rows
from offbeat.core.state import Arrays

_NONE = -1
"""In `first`: no link yet. t >= 0 is the only target, -2 - t is the first of several."""


@dataclass(frozen=True, slots=True)
class CoOccurring:
    """Links of m windows. Those of window i stand from offsets[i] to offsets[i + 1]."""

    offsets: I64
    """(m + 1,)"""
    targets: I32
    """(l,) targets of the second view."""
    masks: U64
    """(l,) bit b: the two fell together in the b-th window of the second view, counted by `place_in`."""

    def take(self, index: I64) -> CoOccurring:
        """Those of the windows at `index`, none for -1."""
        lengths = np.where(index >= 0, np.append(np.diff(self.offsets), 0)[index], 0)
        offsets = np.append(np.int64(0), np.cumsum(lengths))
        at = np.repeat(self.offsets[index] - offsets[:-1], lengths) + np.arange(int(offsets[-1]))
        return CoOccurring(offsets, self.targets[at], self.masks[at])

    def owners(self) -> I64:
        """(l,) number of the window that each link belongs to."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    @staticmethod
    def together(parts: Sequence[CoOccurring]) -> CoOccurring:
        """Links of the same windows that several carriers have noted."""
        if len(parts) == 1:
            return parts[0]
        owners = np.concatenate([part.owners() for part in parts])
        order = np.argsort(owners, kind="stable")
        targets = np.concatenate([part.targets for part in parts])[order]
        offsets = np.sum([part.offsets for part in parts], axis=0)
        return CoOccurring(offsets, targets, np.concatenate([part.masks for part in parts])[order])


@compiled
def place_in(start: int, other: int, size: int) -> int:
    """Number of the window that begins at `other`, of length `size`, within the one that begins at `start`, ns.

    0 also for one that began before `start` and reaches into it, as hours of UTC do where a local day begins at half past.
    """
    return -((start - other) // size)


@compiled
def _spot(place: int, target: int, table: I64, places: I32, targets: I32) -> int:
    mask = np.uint64(len(table) - 1)
    h = np.uint64(place) * np.uint64(0x9E3779B97F4A7C15) ^ np.uint64(target) * np.uint64(0xC2B2AE3D27D4EB4F)
    h ^= h >> np.uint64(32)
    p = h & mask
    while True:
        w = table[p]
        if w < 0 or (places[w] == place and targets[w] == target):
            return int(p)
        p = (p + np.uint64(1)) & mask


@compiled
def _fold(
    begin: int, size: int, a: I64, a_start: I64, b: I64, target: I32, b_start: I64, first: I32, masks: U64,
    table: I64, places: I32, targets: I32, more: U64, count: I64,
) -> int:
    """Note the links of rows `begin`…; returns n, or the row before which the table of further targets must grow."""
    one = np.uint64(1)
    for i in range(begin, len(a)):
        p = a[i]
        q = b[i]
        if p < 0 or q < 0:
            continue
        t = target[q]
        bit = one << np.uint64(place_in(a_start[p], b_start[q], size))
        held = first[p]
        if held == t or held == -2 - t:
            masks[p] |= bit
        elif held == _NONE:
            first[p] = t
            masks[p] = bit
        else:
            if 2 * (count[0] + 1) >= len(table) or count[0] == len(places):
                return i
            spot = _spot(p, t, table, places, targets)
            w = table[spot]
            if w < 0:
                w = count[0]
                table[spot] = w
                places[w] = p
                targets[w] = t
                more[w] = 0
                count[0] += 1
                if held >= 0:
                    first[p] = -2 - held
            more[w] |= bit
    return len(a)


@compiled
def _index(count: int, table: I64, places: I32, targets: I32) -> None:
    for w in range(count):
        table[_spot(places[w], targets[w], table, places, targets)] = w


@compiled
def _lengths(wanted: I64, first: I32, of: I32, count: int, places: I32, offsets: I64) -> None:
    """offsets[i + 1]: how many links window i has; of[p]: its number among those wanted."""
    for i in range(len(wanted)):
        p = wanted[i]
        if 0 <= p < len(first) and first[p] != _NONE:
            of[p] = i
            offsets[i + 1] = 1
    for w in range(count):
        if of[places[w]] >= 0:
            offsets[of[places[w]] + 1] += 1


@compiled
def _gather(
    wanted: I64, first: I32, masks: U64, of: I32, count: int, places: I32, targets: I32, more: U64,
    offsets: I64, out_targets: I32, out_masks: U64,
) -> None:
    filled = offsets[:-1].copy()
    for i in range(len(wanted)):
        if offsets[i + 1] > offsets[i]:
            held = first[wanted[i]]
            out_targets[filled[i]] = held if held >= 0 else -2 - held
            out_masks[filled[i]] = masks[wanted[i]]
            filled[i] += 1
    for w in range(count):
        i = of[places[w]]
        if i >= 0:
            out_targets[filled[i]] = targets[w]
            out_masks[filled[i]] = more[w]
            filled[i] += 1


class CoOccurrences:
    """Links from the windows of view A, by their places in a shard's table of partials, to those of view B.

    A link is a target of B and a mask of its windows within A's. Nearly every window has one target: it is kept in 12 bytes beside the
    partials, and only further ones go to a table of their own. `size_ns`: length of B's windows, of which at most `LINKED_WINDOWS` may
    lie in one of A.
    """

    def __init__(self, size_ns: int) -> None:
        self._size_ns = size_ns
        self._first: I32 = np.zeros(0, np.int32)
        self._masks: U64 = np.zeros(0, np.uint64)
        self._keep(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.uint64))

    def _keep(self, places: I32, targets: I32, more: U64) -> None:
        """Take these as the further targets."""
        self._count = np.array([len(places)], np.int64)
        self._places, self._targets, self._more = places, targets, more
        size = 64
        while size <= 2 * (len(places) + 1):
            size *= 2
        self._table: I64 = np.full(size, _NONE, np.int64)
        _index(len(places), self._table, self._places, self._targets)

    def fold(self, a_places: I64, a_starts: I64, b_places: I64, b_targets: I32, b_starts: I64) -> None:
        """Note n rows: each fell into the windows at `a_places` of A and `b_places` of B (n,), -1 for none.

        By place: a_starts, b_starts when windows begin, ns; b_targets.
        """
        if not len(a_places):
            return
        known = len(self._first)
        self._first = grown_rows(self._first, int(a_places.max()) + 1)
        self._masks = grown_rows(self._masks, len(self._first))
        self._first[known:] = _NONE
        done = 0
        while True:
            done = _fold(
                done, self._size_ns, a_places, a_starts, b_places, b_targets, b_starts, self._first, self._masks,
                self._table, self._places, self._targets, self._more, self._count,
            )  # fmt: skip
            if done == len(a_places):
                return
            n = int(self._count[0])
            if n == len(self._places):
                self._places, self._targets = grown_rows(self._places, n + 1), grown_rows(self._targets, n + 1)
                self._more = grown_rows(self._more, n + 1)
            if 2 * (n + 1) >= len(self._table):
                self._table = np.full(4 * len(self._table), _NONE, np.int64)
                _index(n, self._table, self._places, self._targets)

    def take(self, a_places: I64) -> CoOccurring:
        """The links of these windows, each named once, the first target of each first; they stay until `renumber` says they are gone."""
        offsets = np.zeros(len(a_places) + 1, np.int64)
        of = np.full(len(self._first), _NONE, np.int32)
        n = int(self._count[0])
        _lengths(a_places, self._first, of, n, self._places, offsets)
        np.cumsum(offsets, out=offsets)
        targets, masks = np.empty(int(offsets[-1]), np.int32), np.empty(int(offsets[-1]), np.uint64)
        _gather(a_places, self._first, self._masks, of, n, self._places, self._targets, self._more, offsets, targets, masks)
        return CoOccurring(offsets, targets, masks)

    def adopt(self, linked: CoOccurring, a_places: I64) -> None:
        """Add links that another carrier noted of the windows at `a_places` of A; its targets are those of this one."""
        size = max(len(self._first), int(a_places.max(initial=-1)) + 1)
        own = self.take(np.arange(size))
        at = np.full(size, _NONE, np.int64)
        at[a_places] = np.arange(len(a_places))
        both = CoOccurring.together([own, linked.take(at)])
        owners = both.owners()
        order = np.lexsort((both.targets, owners))
        owners, targets = owners[order], both.targets[order]
        fresh = np.ones(len(order), np.bool_)
        fresh[1:] = (owners[1:] != owners[:-1]) | (targets[1:] != targets[:-1])
        begins = np.flatnonzero(fresh)
        masks = np.bitwise_or.reduceat(both.masks[order], begins) if len(begins) else np.zeros(0, np.uint64)
        owners, targets = owners[begins], targets[begins]
        leads = np.append(True, owners[1:] != owners[:-1])[: len(owners)]
        several = np.bincount(owners, minlength=size) > 1
        self._first, self._masks = np.full(size, _NONE, np.int32), np.zeros(size, np.uint64)
        self._first[owners[leads]] = np.where(several[owners[leads]], -2 - targets[leads], targets[leads])
        self._masks[owners[leads]] = masks[leads]
        self._keep(owners[~leads].astype(np.int32), targets[~leads], masks[~leads])

    def renumber(self, places: I64) -> None:
        """The table of A was packed: (w,) `places` are the new places of its first w windows, -1 for those that are gone."""
        n = int(self._count[0])
        here = min(len(places), len(self._first))
        moved = places[:here] >= 0
        to = places[:here][moved]
        size = int(to.max(initial=-1)) + 1
        first, masks = np.full(size, _NONE, np.int32), np.zeros(size, np.uint64)
        first[to], masks[to] = self._first[:here][moved], self._masks[:here][moved]
        self._first, self._masks = first, masks
        if n:
            self._places[:n] = places[self._places[:n]]
            self._retain(self._places[:n] >= 0)

    def _retain(self, kept: np.ndarray) -> None:
        n = len(kept)
        self._keep(self._places[:n][kept], self._targets[:n][kept], self._more[:n][kept])

    def arrays(self) -> Arrays:
        """State."""
        n = int(self._count[0])
        return {
            "first": self._first.copy(),
            "masks": self._masks.copy(),
            "places": self._places[:n].copy(),
            "targets": self._targets[:n].copy(),
            "more": self._more[:n].copy(),
        }

    def restore(self, arrays: Arrays) -> None:
        """Take over what `arrays` gave."""
        self._first, self._masks = arrays["first"].copy(), arrays["masks"].copy()
        self._keep(arrays["places"].copy(), arrays["targets"].copy(), arrays["more"].copy())
