"""The shard's half of a view on another key: rows become partials by (target key, window) [S13]."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import polars as pl

from offbeat.core.batch import F64, I32, I64, NULL_INT, Batch
from offbeat.core.clock import CLOCK, clock
from offbeat.core.expression_machine import Machine
from offbeat.core.int128_sums import ExactArguments
from offbeat.core.keys import KeyTable
from offbeat.core.partials import PartialLayout, Partials, PartialTable
from offbeat.core.plan import NO_KEY, RollupPlan
from offbeat.core.rings import grown_rows
from offbeat.core.state import Arrays
from offbeat.core.window_merge import WindowMerge
from offbeat.features.tumbling import Tumbling


@dataclass(frozen=True, slots=True)
class RollupRows:
    """n rows as a view on another key folds them."""

    targets: I32
    """(n,) slot of the target key, -1 for rows not selected."""
    starts: I64
    """(n,) start of the window."""
    exact: I64
    arguments: F64
    """(a, n) values under the aggregates, as exact integers and as doubles."""

    def part(self, begin: int, end: int) -> RollupRows:
        """The rows from `begin` to `end`."""
        exact, arguments = np.ascontiguousarray(self.exact[:, begin:end]), np.ascontiguousarray(self.arguments[:, begin:end])
        return RollupRows(self.targets[begin:end], self.starts[begin:end], exact, arguments)


@dataclass(frozen=True, slots=True)
class Touched:
    """n rows that were folded into a shard's windows, and what those windows were before."""

    rows: RollupRows | None
    """None if they came as ready windows, in which rows cannot be told apart."""
    places: I64
    """(n,) of each row's window in the shard's table, -1 for rows not selected."""
    before_places: I64
    """(w,) in rising order, places of the windows that were there before."""
    before: Partials
    """These windows as they were."""


class RollupFold:
    """The shard's half: folds rows into partials by (target key, window)."""

    def __init__(
        self,
        rollup: RollupPlan,
        columns: tuple[str, ...],
        fixed: tuple[str, ...],
        texts: tuple[str, ...],
        keys: KeyTable,
        as_of_ns: int | None = None,
        *,
        optional: bool = False,
    ) -> None:
        """keys: the source's; `columns`, `fixed` and `texts` name the rows of what `fold` is given.

        as_of_ns: rows from there on are not selected. optional: rows may have no key of the source.
        """
        self._plan, self._as_of_ns, self._optional = rollup, as_of_ns, optional
        self._mapping = dict(rollup.mapping)
        self._text = texts.index(rollup.key_column) if rollup.key_column else -1
        self._machine = Machine(rollup.arguments, columns, CLOCK)
        self._clock = any(name in rollup.arguments.inputs for name in CLOCK)
        self._exact = ExactArguments(fixed, tuple(range(len(rollup.arguments.outputs))), rollup.aggregates)
        self.tumbling = Tumbling(rollup.size_ns, rollup.zone)
        self.size_ns = rollup.size_ns
        self._keys = keys
        self.targets = keys if rollup.key_source else KeyTable()
        self.table = PartialTable(PartialLayout.of(rollup.aggregates, rollup.sure))
        self.floor_ns = NULL_INT
        """Rows of windows that start before this are not selected: they were folded already."""
        self._by_slot: I32 = np.zeros(0, np.int32)
        self._mapped = 0
        self._naming = threading.Lock()
        """Rows are prepared on one thread, and prepared again on that of the fold where they were held back: one at a time learns names."""

    def rows(self, batch: Batch) -> RollupRows:
        """Rows in the form that is folded. Several threads may ask; it learns the names of targets."""
        zone = self._plan.zone
        arguments = self._machine.run(batch.numbers, clock(batch.time_ns, zone) if self._clock else None)
        target = self._target(batch.slots, batch.texts)
        if self._plan.where >= 0:
            target = np.where(arguments[self._plan.where] == 1.0, target, np.int32(-1))
        if self._as_of_ns is not None:
            target = np.where(batch.time_ns < self._as_of_ns, target, np.int32(-1))
        starts = self.tumbling.starts(batch.time_ns)
        if self.floor_ns != NULL_INT:
            target = np.where(starts < self.floor_ns, np.int32(-1), target)
        return RollupRows(target, starts, self._exact.pick(arguments, batch.integers), arguments)

    def fold(self, rows: RollupRows) -> I64:
        """Fold n rows; returns (n,) the place of each row's window in `table`, -1 for rows not selected."""
        return self.table.fold(rows.targets, rows.starts, rows.exact, rows.arguments)

    def before(self, rows: RollupRows) -> tuple[I64, Partials]:
        """The existing windows that n rows will fall into: their places, in rising order, and contents."""
        places = self.table.find(rows.targets, rows.starts)
        places = np.unique(places[(places >= 0) & (rows.targets >= 0)])
        return places, self.table.at(places)

    def _target(self, slots: I32, texts: tuple[pl.Series, ...]) -> I32:
        if self._plan.key_source:
            if not self._optional:
                return slots
            without = self._keys.find(NO_KEY)
            return np.where(slots == without, np.int32(-1), slots) if without >= 0 else slots
        with self._naming:
            return self._named(slots, texts)

    def _named(self, slots: I32, texts: tuple[pl.Series, ...]) -> I32:
        if self._text >= 0:
            series = texts[self._text]
            if not series.null_count():
                return self.targets.slots(series)
            target: I32 = np.full(len(series), -1, np.int32)
            there = series.is_not_null().to_numpy()
            target[there] = self.targets.slots(series.drop_nulls())
            return target
        names, known = self._keys.names, len(self._keys)  # others may come meanwhile, but none of these rows
        self._by_slot = grown_rows(self._by_slot, known)
        for slot in range(self._mapped, known):
            name = self._mapping.get(names[slot]) if self._mapping else self._plan.key_constant
            self._by_slot[slot] = -1 if name is None else self.targets.slot(name)
        self._mapped = known
        chosen: I32 = self._by_slot[slots]
        return chosen

    def adopt(self, other: RollupFold) -> tuple[I32, I64]:
        """Add the windows of another fold of the same view; returns by slot its targets' slots here, and by place its windows' places."""
        theirs = other.table.partials()
        slots = np.array([self.targets.slot(name) for name in other.targets.names], np.int32)
        moved = theirs.of(slots[theirs.targets])
        both = WindowMerge(self.table.layout).combined([self.table.partials(), moved])
        at = self.table.find(both.targets, both.starts)
        at[at < 0] = len(self.table) + np.arange(int((at < 0).sum()))
        self.table.restore(both.take(np.argsort(at)))
        return slots, self.table.find(moved.targets, moved.starts)

    def keep_before(self, start_ns: int) -> I64:
        """Forget windows from `start_ns` on; returns by place the new places of the others, -1 for those that are gone."""
        kept = self.table.addresses()[1] < start_ns
        self.table.restore(self.table.at(np.flatnonzero(kept)))
        return np.where(kept, np.cumsum(kept) - 1, -1)

    def snapshot(self, places: I32) -> tuple[Arrays, list[str]]:
        """Arrays and target names, unless those are the source's keys, which come to have the slots `places`."""
        windows = self.table.partials()
        if self._plan.key_source:
            return windows.of(places[windows.targets]).arrays(), []
        return windows.arrays(), list(self.targets.names)

    def restore(self, arrays: Arrays, names: list[str], keys: KeyTable) -> None:
        """Restore a snapshot."""
        self._keys = keys
        self.targets = keys if self._plan.key_source else KeyTable(names)
        self._mapped = 0
        self.table.restore(Partials.from_arrays(arrays))
