"""Windows of a rollup as rows of a view: how they look to windows over them and to detectors."""

from __future__ import annotations

import numpy as np
import polars as pl

from offbeat.core.batch import F64, I32, I64
from offbeat.core.expression_machine import Machine
from offbeat.core.partials import ROWS, Partials
from offbeat.core.plan import RollupPlan
from offbeat.core.text_inputs import TextInputs
from offbeat.core.window_merge import WindowMerge
from offbeat.fold.view import Rows


class WindowColumns:
    """The columns of a rollup, from its aggregates."""

    def __init__(self, rollup: RollupPlan, keyed: TextInputs) -> None:
        """keyed: what expressions read of the key."""
        self._keyed = keyed
        self._of_keys: F64 = np.zeros((len(keyed), 0))
        """By slot of the stage, what is read of it."""
        self._names = rollup.columns
        self._counts = np.array([g.function == "sum_exact" and not g.column for g in rollup.aggregates], np.bool_)
        self._sums = np.array([g.function == "sum_exact" for g in rollup.aggregates], np.bool_)
        self._fill = rollup.fill
        self._machine = Machine(rollup.column_program, tuple(f"agg{i}" for i in range(len(rollup.aggregates))))

    def rows(self, stage: WindowMerge, windows: Partials, revisions: I64) -> Rows:
        """Windows (n of them), their targets slots of the stage, with their revisions (n,)."""
        aggregates = stage.aggregates(windows)
        if self._fill:
            aggregates[np.ix_(self._sums, windows.ints[:, ROWS] == 0)] = 0.0
        return self._rows(stage, windows, aggregates, revisions)

    def empty(self, stage: WindowMerge, slots: I32, starts: I64, revisions: I64) -> Rows:
        """Windows that have no row: counts are 0, also those of conditions, and all else is null."""
        nothing = stage.layout.empty(slots, starts)
        aggregates = stage.aggregates(nothing)
        aggregates[self._counts] = 0.0
        return self._rows(stage, nothing, aggregates, revisions)

    def _rows(self, stage: WindowMerge, windows: Partials, aggregates: F64, revisions: I64) -> Rows:
        n = len(windows)
        columns = self._machine.run(aggregates)
        if len(self._keyed):
            columns = np.concatenate([columns, self._keys(stage.keys.names)[:, windows.targets]])
        return Rows(
            slots=windows.targets,
            time_ns=windows.starts,
            ordinals=np.ones(n, np.int64),
            columns=columns,
            integers=np.empty((0, n), np.int64),
            revision=revisions,
            files=np.full(n, -1, np.int32),
            numbers=np.full(n, -1, np.int64),
            frame=lambda index: self._frame(columns, index),
        )

    def _keys(self, names: list[str]) -> F64:
        """(inputs, slots) what is read of the keys."""
        known = self._of_keys.shape[1]
        if len(names) > known:
            fresh = pl.Series(names[known:], dtype=pl.String)
            more = np.empty((len(self._keyed), len(fresh)))
            self._keyed.read(lambda _: fresh, more)
            self._of_keys = np.concatenate([self._of_keys, more], axis=1)
        return self._of_keys

    def _frame(self, columns: F64, index: I64) -> pl.DataFrame:
        return pl.DataFrame({name: pl.Series(columns[c][index], nan_to_null=True) for c, name in enumerate(self._names)})
