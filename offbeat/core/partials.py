"""Exact partial aggregates of one shard, by (target key, window) [S10, S13].

In one process a shard hands over its windows as they stand, in place of what it handed over before. Over a wire it hands over what has come
since the last time, and the carrier must deliver each delta exactly once [R31].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from offbeat.core.batch import F64, I32, I64, NULL_INT
from offbeat.core.compiled import compiled
from offbeat.core.distinct_sets import Sets, SetTable
from offbeat.core.int128_sums import add128
from offbeat.core.plan import Aggregate
from offbeat.core.rings import grown_rows
from offbeat.core.state import Arrays

ROWS = 0
"""Column of `ints` that every view has: rows in the window."""
_COUNT, _SUM, _MIN, _MAX, BITS, TRUTH = range(6)
_EMPTY = -1
_BLOCK = 256
_LINE = 8
"""Integers in a cache line."""


@dataclass(frozen=True, slots=True)
class PartialLayout:
    """Where each aggregate of a rollup keeps its parts."""

    kinds: I64
    """(p,) what a part does with its argument."""
    arguments: I64
    """(p,) row of the exact integers (COUNT, SUM, BITS, TRUTH) or of the doubles (MIN, MAX)."""
    at: I64
    """(p,) its first column in `ints` or `floats`."""
    ints: int
    floats: int
    reads: tuple[tuple[str, int, int, int], ...]
    """Per aggregate: function, its value's column (of a set, which one), its count's column, scale."""
    sets: tuple[int, ...] = ()
    """Rows of the doubles whose distinct values are kept."""

    def empty(self, targets: I32, starts: I64) -> Partials:
        """Windows (w,) without a row."""
        n = len(starts)
        ints, floats = np.zeros((n, self.ints), np.int64), np.full((n, self.floats), np.nan)
        return Partials(targets, starts, ints, floats, tuple(Sets.none(n) for _ in self.sets))

    @classmethod
    def of(cls, aggregates: tuple[Aggregate, ...], sure: tuple[bool, ...] = ()) -> PartialLayout:
        """The layout of a rollup's aggregates, sharing parts that several of them read.

        sure: which arguments are never null, so that their values need not be counted beside the rows.
        """
        parts: dict[tuple[int, int], int] = {}
        ints, floats = 1, 0
        reads = []
        sets: list[int] = []

        def part(kind: int, argument: int) -> int:
            nonlocal ints, floats
            if (kind, argument) not in parts:
                if kind in (_MIN, _MAX):
                    parts[kind, argument], floats = floats, floats + 1
                else:
                    parts[kind, argument], ints = ints, ints + (2 if kind == _SUM else 1)
            return parts[kind, argument]

        def counted(argument: int) -> int:
            return ROWS if argument < len(sure) and sure[argument] else part(_COUNT, argument)

        for aggregate in aggregates:
            a, f = aggregate.argument, aggregate.function
            if f == "count_rows":
                reads.append((f, ROWS, ROWS, 0))
            elif f == "count":
                reads.append((f, counted(a), ROWS, 0))
            elif f == "sum_exact" and not aggregate.column:
                reads.append(("sum_truth", part(TRUTH, a), counted(a), 0))
            elif f in ("sum_exact", "mean_exact"):
                reads.append((f, part(_SUM, a), counted(a), aggregate.scale))
            elif f == "distinct":
                reads.append((f, part(BITS, a), ROWS, 0))
            elif f == "distinct_set":
                sets += [a] if a not in sets else []
                reads.append((f, sets.index(a), ROWS, 0))
            elif f in ("min", "max"):
                reads.append((f, part(_MIN if f == "min" else _MAX, a), ROWS, 0))
            else:
                raise ValueError(f"{f} is not an aggregate that partials can carry")
        keys = list(parts)
        return cls(
            np.array([kind for kind, _ in keys], np.int64), np.array([a for _, a in keys], np.int64),
            np.array([parts[key] for key in keys], np.int64), ints, floats, tuple(reads), tuple(sets),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Partials:
    """w windows of one shard, or the sum over shards."""

    targets: I32
    """(w,) index into the target keys of the shard or stage that made them."""
    starts: I64
    """(w,) start of the window, ns."""
    ints: I64
    """(w, i); 128-bit sums as (low, high) pairs."""
    floats: F64
    """(w, f)"""
    sets: tuple[Sets, ...] = ()
    """Distinct values, of each window."""

    def __len__(self) -> int:
        return len(self.starts)

    @staticmethod
    def together(parts: Sequence[Partials]) -> Partials:
        """The windows of several, one after the other; there must be one at least."""
        targets, starts = np.concatenate([part.targets for part in parts]), np.concatenate([part.starts for part in parts])
        ints, floats = np.concatenate([part.ints for part in parts]), np.concatenate([part.floats for part in parts])
        sets = zip(*(part.sets for part in parts), strict=True)
        return Partials(targets, starts, ints, floats, tuple(Sets.together(each) for each in sets))

    def take(self, index: I64) -> Partials:
        """The windows at `index`."""
        sets = tuple(sets.take(index) for sets in self.sets)
        return Partials(self.targets[index], self.starts[index], self.ints.take(index, axis=0), self.floats.take(index, axis=0), sets)

    def of(self, targets: I32) -> Partials:
        """The same windows of other targets (w,), or with these numbered anew."""
        return replace(self, targets=targets)

    def arrays(self) -> Arrays:
        """As part of a state."""
        arrays: Arrays = {"targets": self.targets, "starts": self.starts, "ints": self.ints, "floats": self.floats}
        for k, sets in enumerate(self.sets):
            arrays |= {f"sets/{k}/offsets": sets.offsets, f"sets/{k}/words": sets.words}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Partials:
        """What `arrays` gave."""
        count = sum(name.startswith("sets/") for name in arrays) // 2
        sets = tuple(Sets(arrays[f"sets/{k}/offsets"], arrays[f"sets/{k}/words"]) for k in range(count))
        return cls(arrays["targets"], arrays["starts"], arrays["ints"], arrays["floats"], sets)


@compiled
def _hash(target: int, start: int) -> np.uint64:
    h = np.uint64(start) * np.uint64(0x9E3779B97F4A7C15) ^ np.uint64(target) * np.uint64(0xC2B2AE3D27D4EB4F)
    h ^= h >> np.uint64(32)
    h *= np.uint64(0xD6E8FEB86659FD93)
    h ^= h >> np.uint64(32)
    return h


@compiled
def _place(target: int, start: int, table: I64, targets: I32, starts: I64) -> int:
    """Place of (target, start) in the hash table, or its place if it were added."""
    mask = np.uint64(len(table) - 1)
    p = _hash(target, start) & mask
    while True:
        w = table[p]
        if w == _EMPTY or (starts[w] == start and targets[w] == target):
            return int(p)
        p = (p + np.uint64(1)) & mask


@compiled
def _index(count: int, table: I64, targets: I32, starts: I64) -> None:
    for w in range(count):
        table[_place(targets[w], starts[w], table, targets, starts)] = w


@compiled
def _find(target: I32, start: I64, table: I64, targets: I32, starts: I64) -> I64:
    out = np.empty(len(target), np.int64)
    for i in range(len(target)):
        out[i] = table[_place(target[i], start[i], table, targets, starts)]
    return out


@compiled
def _fold(
    begin: int, count: int, target: I32, start: I64, exact: I64, doubles: F64,
    kinds: I64, arguments: I64, at: I64, table: I64, recent: I64, targets: I32, starts: I64, ints: I64, floats: F64,
    places: I64, progress: I64,
) -> int:
    """Fold rows `begin`…; returns n, or the row before which the table must grow. progress[0]: windows in use.

    recent (targets, 2): start and place of each target's window used last, as its next row mostly falls into the same.
    """
    touched = 0
    full = False
    mask = np.uint64(len(table) - 1)
    rows, windows = np.empty(_BLOCK, np.int64), np.empty(_BLOCK, np.int64)
    block = begin
    while block < len(target) and not full:
        after = min(block + _BLOCK, len(target))
        # Touch the memory of the block's rows first: independent loads overlap, those that follow would not.
        for i in range(block, after):
            if target[i] >= 0:
                touched ^= recent[target[i], 0]
        for i in range(block, after):
            t = target[i]
            if t >= 0:
                if recent[t, 0] != start[i]:
                    touched ^= table[_hash(t, start[i]) & mask]
                else:
                    w = recent[t, 1]
                    for j in range(0, ints.shape[1], _LINE):
                        touched ^= ints[w, j]
                    if floats.shape[1] and floats[w, 0] == 0.0:
                        touched ^= 1
        for i in range(block, after):
            t = target[i]
            if t < 0:
                places[i] = -1
                continue
            if recent[t, 0] == start[i]:
                w = recent[t, 1]
            else:
                p = _place(t, start[i], table, targets, starts)
                w = table[p]
                if w == _EMPTY:
                    if count == len(starts) or 2 * count >= len(table):
                        after = i
                        full = True
                        break
                    w = count
                    table[p] = w
                    count += 1
                    targets[w] = t
                    starts[w] = start[i]
                    for j in range(ints.shape[1]):
                        ints[w, j] = 0
                    for j in range(floats.shape[1]):
                        floats[w, j] = np.nan
                recent[t, 0] = start[i]
                recent[t, 1] = w
            places[i] = w
        # Part by part, and without a branch where a value may be null: several times as fast as a choice for each row.
        m = 0
        for i in range(block, after):
            rows[m], windows[m] = i, places[i]
            m += places[i] >= 0
        for r in range(m):
            ints[windows[r], ROWS] += 1
        for k in range(len(kinds)):
            a, c, kind = arguments[k], at[k], kinds[k]
            if kind == _COUNT:
                for r in range(m):
                    ints[windows[r], c] += exact[a, rows[r]] != NULL_INT
            elif kind == TRUTH:
                for r in range(m):
                    v = exact[a, rows[r]]
                    ints[windows[r], c] += v if v != NULL_INT else 0
            elif kind == BITS:
                for r in range(m):
                    v = exact[a, rows[r]]
                    ints[windows[r], c] |= (1 << (v & 63)) if v != NULL_INT else 0
            elif kind == _SUM:
                for r in range(m):
                    v = exact[a, rows[r]]
                    v = v if v != NULL_INT else 0
                    add128(ints, windows[r], c, v, v >> 63)
            else:
                for r in range(m):
                    x = doubles[a, rows[r]]
                    old = floats[windows[r], c]
                    if (old != old and x == x) or (x < old if kind == _MIN else x > old):
                        floats[windows[r], c] = x
        block = after
    progress[1] = touched
    progress[0] = count
    return block


@compiled
def _add(places: I64, in_ints: I64, in_floats: F64, kinds: I64, at: I64, ints: I64, floats: F64) -> None:
    for i in range(len(places)):
        w = places[i]
        ints[w, ROWS] += in_ints[i, ROWS]
        for k in range(len(kinds)):
            c, kind = at[k], kinds[k]
            if kind in (_COUNT, TRUTH):
                ints[w, c] += in_ints[i, c]
            elif kind == BITS:
                ints[w, c] |= in_ints[i, c]
            elif kind == _SUM:
                add128(ints, w, c, in_ints[i, c], in_ints[i, c + 1])
            else:
                x, old = in_floats[i, c], floats[w, c]
                if (old != old and x == x) or (x < old if kind == _MIN else x > old):
                    floats[w, c] = x


class PartialTable:
    """The partials of one view in one shard."""

    def __init__(self, layout: PartialLayout) -> None:
        self.layout = layout
        self._count = self._rows = 0
        self._table: I64 = np.full(64, _EMPTY, np.int64)
        self._recent: I64 = np.zeros((0, 2), np.int64)
        self._targets, self._starts = np.zeros(0, np.int32), np.zeros(0, np.int64)
        self._ints, self._floats = np.zeros((0, layout.ints), np.int64), np.zeros((0, layout.floats))
        self._sets = [SetTable() for _ in layout.sets]

    def __len__(self) -> int:
        return self._count

    def fold(self, target: I32, start: I64, exact: I64, doubles: F64) -> I64:
        """Fold n rows: `target` (n,) with -1 for rows not selected, `start` (n,), `exact` and `doubles` (arguments, n).

        Returns (n,) the place of each row's window in the table, -1 for rows not selected.
        """
        places = self._fold(target, start, exact, doubles)
        for sets, argument in zip(self._sets, self.layout.sets, strict=True):
            sets.fold(places, doubles[argument])
        return places

    def _fold(self, target: I32, start: I64, exact: I64, doubles: F64) -> I64:
        """All but the sets."""
        places: I64 = np.empty(len(target), np.int64)
        lay, done, progress = self.layout, 0, np.zeros(2, np.int64)
        self._recent = grown_rows(self._recent, int(target.max(initial=-1)) + 1, NULL_INT)
        progress[0] = self._count
        while len(target):
            done = _fold(
                done, int(progress[0]), target, start, exact, doubles, lay.kinds, lay.arguments, lay.at,
                self._table, self._recent, self._targets, self._starts, self._ints, self._floats, places, progress,
            )  # fmt: skip
            self._count = int(progress[0])
            if done == len(target):
                break
            self._grow(self._count + 1)
        self._rows += int((places >= 0).sum())
        return places

    def count(self, target: I32, start: I64, rows: I64 | None = None) -> I64:
        """Count n rows in a table without aggregates, or n times so many `rows` (n,); returns as `fold`."""
        nothing = np.empty((0, len(target)))
        places = self.fold(target, start, nothing.astype(np.int64), nothing)
        if rows is not None:
            np.add.at(self._ints[:, ROWS], places, rows - 1)
            self._rows += int(rows.sum()) - len(rows)
        return places

    def add(self, windows: Partials) -> I64:
        """Add windows, none of them twice, to those that are here; returns (w,) their places."""
        n, inputs = len(windows), int(self.layout.arguments.max(initial=-1)) + 1
        places = self._fold(windows.targets, windows.starts, np.full((inputs, n), NULL_INT), np.full((inputs, n), np.nan))
        self._ints[places, ROWS] -= 1
        _add(places, windows.ints, windows.floats, self.layout.kinds, self.layout.at, self._ints, self._floats)
        self._rows += int(windows.ints[:, ROWS].sum()) - n
        for mine, theirs in zip(self._sets, windows.sets, strict=True):
            mine.add(places, theirs, self._count)
        return places

    def find(self, target: I32, start: I64) -> I64:
        """(n,) places of these windows, -1 for those that are not here."""
        return _find(target, start, self._table, self._targets, self._starts)

    def addresses(self) -> tuple[I32, I64]:
        """Targets and starts of the windows, by place; valid until the next fold."""
        return self._targets[: self._count], self._starts[: self._count]

    def _grow(self, windows: int) -> None:
        self._targets, self._starts = grown_rows(self._targets, windows), grown_rows(self._starts, windows)
        self._ints, self._floats = grown_rows(self._ints, windows), grown_rows(self._floats, windows)
        if 2 * windows >= len(self._table):
            self._table = np.full(4 * len(self._table), _EMPTY, np.int64)
            _index(self._count, self._table, self._targets, self._starts)

    def rows(self) -> int:
        """Rows in all windows together."""
        return self._rows

    def partials(self) -> Partials:
        """All windows as they stand."""
        n = self._count
        sets = tuple(each.sets(n) for each in self._sets)
        return Partials(self._targets[:n].copy(), self._starts[:n].copy(), self._ints[:n].copy(), self._floats[:n].copy(), sets)

    def remove_before(self, until_ns: int) -> Partials:
        """Remove and return the windows that start before `until_ns`. Places change."""
        n = self._count
        gone = self._starts[:n] < until_ns
        if not gone.any():
            return self.at(np.zeros(0, np.int64))
        taken = self.at(np.flatnonzero(gone))
        kept = self.at(np.flatnonzero(~gone))
        # Keep the memory: the next windows need as much, and fresh memory costs more than writing it.
        self._count, self._rows = len(kept), int(kept.ints[:, ROWS].sum())
        self._targets[: len(kept)], self._starts[: len(kept)] = kept.targets, kept.starts
        self._ints[: len(kept)], self._floats[: len(kept)] = kept.ints, kept.floats
        self._recent[:] = NULL_INT
        self._table[:] = _EMPTY
        for mine, sets in zip(self._sets, kept.sets, strict=True):
            mine.restore(sets)
        _index(self._count, self._table, self._targets, self._starts)
        return taken

    def at(self, places: I64) -> Partials:
        """The windows at these places."""
        sets = tuple(each.sets(self._count).take(places) for each in self._sets)
        ints, floats = self._ints.take(places, axis=0), self._floats.take(places, axis=0)
        return Partials(self._targets[places], self._starts[places], ints, floats, sets)

    def restore(self, partials: Partials) -> None:
        """Take over what `partials` gave; from then on the arrays belong to this table."""
        self._count, self._rows = len(partials), int(partials.ints[:, ROWS].sum())
        self._targets, self._starts = partials.targets, partials.starts
        self._ints, self._floats = partials.ints, partials.floats
        for mine, sets in zip(self._sets, partials.sets, strict=True):
            mine.restore(sets)
        self._recent[:] = NULL_INT
        size = 64
        while size <= 2 * self._count:
            size *= 4
        self._table = np.full(size, _EMPTY, np.int64)
        _index(self._count, self._table, self._targets, self._starts)
