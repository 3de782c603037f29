"""Which rows are rows of the pipeline: the source's condition `where` [R1]."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from offbeat.core.batch import F64, Bools
from offbeat.core.chunk import FAULTS
from offbeat.core.expression_machine import Machine
from offbeat.core.plan import Column, FilterPlan
from offbeat.core.text_inputs import TextInputs

_APART = np.array([FAULTS.index("encoding"), FAULTS.index("ragged")], np.int8)
"""Faults of rows whose fields cannot be told apart: what stands in a column is not known."""


class RowFilter:
    """Asks the condition of rows as a source gives them, before anything else is asked of them.

    A row is filtered where the condition is false. Null passes, as with row rules: a value that is missing or cannot be read is then found
    by the checks that follow, and where a source has no such column every row passes.
    """

    def __init__(self, plan: FilterPlan, columns: tuple[Column, ...]) -> None:
        """columns: those of the source."""
        self.text = plan.text
        self._kinds = {column.name: column for column in columns}
        self._inputs = plan.program.inputs
        self._texts = TextInputs(plan.codes, plan.parts)
        self._machine = Machine(plan.program, self._inputs)
        self.asked = self.answered = False
        """Whether there were rows, and whether the condition was true or false for any."""

    def rejected(self, frame: pl.DataFrame, faults: npt.NDArray[np.int8]) -> Bools | None:
        """(n,) the rows that are filtered; None where none is."""
        if not frame.height:
            return None
        verdict = self._verdict(frame)
        self.asked = True
        self.answered = self.answered or not bool(np.isnan(verdict).all())
        out: Bools = verdict == 0.0
        if faults.any():
            out &= ~np.isin(faults, _APART)
        return out if out.any() else None

    def _verdict(self, frame: pl.DataFrame) -> F64:
        """(n,) 1 true, 0 false, NaN null."""
        values = np.empty((len(self._inputs), frame.height))
        texts = np.empty((len(self._texts), frame.height))
        self._texts.read(frame.get_column, texts)
        of_texts = dict(zip(self._texts.names, texts, strict=True))
        for row, name in enumerate(self._inputs):
            values[row] = of_texts[name] if name in of_texts else self._numbers(frame[name])
        verdict: F64 = self._machine.run(values)[0]
        return verdict

    def _numbers(self, series: pl.Series) -> F64:
        """As expressions see them; what is not finite cannot be judged and is null."""
        column = self._kinds[series.name]
        values: F64 = series.cast(pl.Float64).fill_null(np.nan).to_numpy()
        if column.kind == "decimal":
            values = values / 10**column.scale
        return np.where(np.isfinite(values), values, np.nan)
