"""Windows of a rollup as rows of a view: how they look to windows over them and to detectors."""

from __future__ import annotations

import numpy as np
import polars as pl

from offbeat.core.batch import F64, I32, I64
from offbeat.core.expression_machine import Machine
from offbeat.core.partials import ROWS, Partials
from offbeat.core.plan import RollupPlan
from offbeat.core.window_merge import WindowMerge
from offbeat.fold.view import Rows


class WindowColumns:
    """The columns of a rollup, from its aggregates."""

    def __init__(self, rollup: RollupPlan) -> None:
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
        return self._rows(windows, aggregates, revisions)

    def empty(self, stage: WindowMerge, slots: I32, starts: I64, revisions: I64) -> Rows:
        """Windows that have no row: counts are 0, also those of conditions, and all else is null."""
        nothing = stage.layout.empty(slots, starts)
        aggregates = stage.aggregates(nothing)
        aggregates[self._counts] = 0.0
        return self._rows(nothing, aggregates, revisions)

    def _rows(self, windows: Partials, aggregates: F64, revisions: I64) -> Rows:
        n = len(windows)
        columns = self._machine.run(aggregates)
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

    def _frame(self, columns: F64, index: I64) -> pl.DataFrame:
        return pl.DataFrame({name: pl.Series(columns[c][index], nan_to_null=True) for c, name in enumerate(self._names)})
