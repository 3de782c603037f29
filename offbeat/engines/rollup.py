"""A view on another key: the shard's half makes partials, the merged half judges closed windows [S13]."""

from __future__ import annotations

import numpy as np
import polars as pl

from offbeat.core.batch import F64, I32, I64, Bools
from offbeat.core.clock import CLOCK, clock
from offbeat.core.exact import ExactArguments
from offbeat.core.keys import KeyTable
from offbeat.core.ledger import ViewCounts
from offbeat.core.machine import Machine
from offbeat.core.merge import MergeStage
from offbeat.core.partials import PartialLayout, Partials, PartialTable
from offbeat.core.plan import Plan, RollupPlan, ViewPlan
from offbeat.core.rings import grown_rows
from offbeat.core.state import Arrays, prefixed, under
from offbeat.decide.block import WITHDRAWN, AlertBlock
from offbeat.engines.view import Observer, Rows, View
from offbeat.features.tumbling import Tumbling


class RollupFold:
    """The shard's half: folds rows into partials by (target key, window)."""

    def __init__(self, rollup: RollupPlan, columns: tuple[str, ...], fixed: tuple[str, ...], texts: tuple[str, ...]) -> None:
        self._plan = rollup
        self._mapping = dict(rollup.mapping)
        self._text = texts.index(rollup.key_column) if rollup.key_column else -1
        self._machine = Machine(rollup.arguments, columns, CLOCK)
        self._clock = any(name in rollup.arguments.inputs for name in CLOCK)
        self._exact = ExactArguments(fixed, tuple(range(len(rollup.arguments.outputs))), rollup.aggregates)
        self._tumbling = Tumbling(rollup.every_ns, rollup.zone)
        self.targets = KeyTable()
        self.table = PartialTable(PartialLayout.of(rollup.aggregates))
        self._by_slot: I32 = np.zeros(0, np.int32)
        self._mapped = 0

    def fold(self, keys: KeyTable, slots: I32, time_ns: I64, columns: F64, integers: I64, texts: tuple[pl.Series, ...]) -> I64:
        """Fold n rows; returns (n,) the place of each row's window in `table`, -1 for rows not selected."""
        arguments = self._machine.run(columns, clock(time_ns, self._plan.zone) if self._clock else None)
        target = self._target(keys, slots, texts)
        if self._plan.where >= 0:
            target = np.where(arguments[self._plan.where] == 1.0, target, np.int32(-1))
        return self.table.fold(target, self._tumbling.starts(time_ns), self._exact.pick(arguments, integers), arguments)

    def _target(self, keys: KeyTable, slots: I32, texts: tuple[pl.Series, ...]) -> I32:
        if self._text >= 0:
            series = texts[self._text]
            target: I32 = np.full(len(series), -1, np.int32)
            there = series.is_not_null().to_numpy()
            target[there] = self.targets.slots(series.drop_nulls())
            return target
        self._by_slot = grown_rows(self._by_slot, len(keys))
        for slot in range(self._mapped, len(keys)):
            own = keys.names[slot]
            name = own if self._plan.key_source else self._mapping.get(own) if self._mapping else self._plan.key_constant
            self._by_slot[slot] = -1 if name is None else self.targets.slot(name)
        self._mapped = len(keys)
        chosen: I32 = self._by_slot[slots]
        return chosen

    def snapshot(self) -> tuple[Arrays, list[str]]:
        """Arrays and target names."""
        p = self.table.partials()
        return {"targets": p.targets, "starts": p.starts, "ints": p.ints, "floats": p.floats}, list(self.targets.names)

    def restore(self, arrays: Arrays, names: list[str]) -> None:
        """Take over a snapshot."""
        self.targets = KeyTable(names)
        self._mapped = 0
        self.table.restore(Partials(arrays["targets"], arrays["starts"], arrays["ints"], arrays["floats"]))


class Undecided:
    """Rows that no view of rows judged, by the windows they fell into: they are pending until those are judged [S6].

    A row counts once, however many rollups it feeds, so it is filed under the combination of its windows.
    """

    def __init__(self, views: int) -> None:
        layout = PartialLayout.of(())
        self.tables = [PartialTable(layout) for _ in range(views)]

    def file(self, places: list[I64]) -> None:
        """File n rows under their places in each view's table (-1: not selected)."""
        chain: I64 = np.zeros(len(places[0]), np.int64)
        for table, place in zip(self.tables, places, strict=True):
            chain = table.count(chain.astype(np.int32), place)

    def counts(self) -> tuple[I64, I64]:
        """(combinations, views) places and (combinations,) rows."""
        last = self.tables[-1].partials()
        chain: I64 = np.arange(len(last))
        places = np.empty((len(last), len(self.tables)), np.int64)
        for v in range(len(self.tables) - 1, -1, -1):
            p = self.tables[v].partials()
            places[:, v] = p.starts[chain]
            chain = p.targets[chain].astype(np.int64)
        return places, last.ints[:, 0]

    def restore(self, tables: list[Arrays]) -> None:
        """Take over the arrays of the tables' partials."""
        for table, a in zip(self.tables, tables, strict=True):
            table.restore(Partials(a["targets"], a["starts"], a["ints"], a["floats"]))

    def rows(self) -> int:
        """Rows filed."""
        return self.tables[-1].rows()


class MergedView:
    """The merged half: partials of all shards in, alerts of closed windows out.

    A window's revision counts the rows of its target up to its end, which is all that its verdict depends on: so it is judged anew exactly
    when its revision has grown, and what is said of it later always has the greater revision [S22].
    """

    def __init__(self, plan: Plan, view: ViewPlan, rollup: RollupPlan) -> None:
        self._plan, self.view_plan, self._rollup = plan, view, rollup
        self.stage = MergeStage(PartialLayout.of(rollup.aggregates))
        self.observer: Observer | None = None
        self._judged: Bools = np.zeros(0, np.bool_)
        self._lookup = PartialTable(PartialLayout.of(()))
        self._revisions: I64 = np.zeros(0, np.int64)
        self._standing: Bools = np.zeros(0, np.bool_)
        """By place in `_lookup`: the revision last judged, and whether an alert stands on it."""

    def judge(self) -> tuple[AlertBlock | None, ViewCounts]:
        """Judge all windows in order of (target, start); gives the alerts on those that have changed since the last time."""
        windows = self.stage.windows()
        inputs = tuple(f"agg{i}" for i in range(len(self._rollup.aggregates)))
        columns = Machine(self._rollup.column_program, inputs).run(windows.aggregates)
        view = View(self._plan, self.view_plan, self._rollup.columns, ())
        view.observer = self.observer
        n = len(windows.starts)
        slots = windows.targets.astype(np.int32)
        revisions = _running(slots, windows.rows)
        before = self._lookup.find(slots, windows.starts)
        known = before >= 0
        changed: Bools = np.ones(n, np.bool_)
        changed[known] = self._revisions[before[known]] != revisions[known]
        standing: Bools = np.zeros(n, np.bool_)
        standing[known] = self._standing[before[known]]
        rows = Rows(
            slots=slots,
            time_ns=windows.starts,
            ordinals=np.ones(n, np.int64),
            columns=columns,
            integers=np.empty((0, n), np.int64),
            revision=revisions,
            files=np.full(n, -1, np.int32),
            numbers=np.full(n, -1, np.int64),
            frame=lambda index: _frame(self._rollup.columns, columns, index),
        )
        block, self._judged = view.judge(self.stage.keys, rows, standing)
        view.counts.windows = n
        self._remember(slots, windows.starts, revisions)
        standing[changed] = False
        if block is not None:
            names = np.array([self.stage.keys.slot(name) for name in block.keys], np.int32)
            at = self._lookup.find(names[block.key], block.time_ns)
            news = np.flatnonzero(changed[at])
            standing[at[news]] = block.status[news] != WITHDRAWN
            block = block.take(news) if len(news) else None
        self._standing = standing
        return block, view.counts

    def _remember(self, slots: I32, starts: I64, revisions: I64) -> None:
        self._lookup = PartialTable(PartialLayout.of(()))
        self._lookup.count(slots, starts)
        self._revisions = revisions

    def arrays(self) -> Arrays:
        """State; the target keys are `stage.keys.names`."""
        p = self._lookup.partials()
        judged: Arrays = {"targets": p.targets, "starts": p.starts, "revisions": self._revisions, "standing": self._standing}
        return prefixed("stage", self.stage.arrays()) | prefixed("judged", judged)

    def restore(self, names: list[str], arrays: Arrays) -> None:
        """Take over what `arrays` gave."""
        self.stage.restore(names, under("stage", arrays))
        judged = under("judged", arrays)
        self._remember(judged["targets"], judged["starts"], judged["revisions"])
        self._standing = judged["standing"]

    def judged(self, fold: RollupFold) -> Bools:
        """(windows of the shard's table,) which of them got a verdict in the last `judge`."""
        partials = fold.table.partials()
        table = np.array([self.stage.keys.slot(name) for name in fold.targets.names] or [0], np.int32)
        verdicts: Bools = self._judged[self._lookup.find(table[partials.targets], partials.starts)]
        return verdicts


def _running(slots: I32, rows: I64) -> I64:
    """(w,) sums of `rows` (w,) within each slot; equal slots stand together."""
    total: I64 = np.cumsum(rows)
    first = np.flatnonzero(np.append(True, slots[1:] != slots[:-1])) if len(slots) else np.zeros(0, np.int64)
    lengths = np.diff(np.append(first, len(slots)))
    return total - np.repeat(total[first] - rows[first], lengths)


def _frame(names: tuple[str, ...], columns: F64, index: I64) -> pl.DataFrame:
    return pl.DataFrame({name: pl.Series(columns[c][index], nan_to_null=True) for c, name in enumerate(names)})
