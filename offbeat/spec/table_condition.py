"""A condition in the language of pipelines, asked of a table: which rows a list keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import polars as pl

from offbeat.core.expression_machine import Machine
from offbeat.core.text_inputs import TextInputs
from offbeat.spec.expression import Codes, Compiler, Named, names
from offbeat.spec.sql import ExpressionError, parse


class TableCondition:
    """`severity > 0.9 AND key IN ('AIG', 'IBM')`. Null is not true: such rows are left out."""

    def __init__(self, text: str) -> None:
        """Raises ExpressionError for what is no condition."""
        self._text = text
        self.names = frozenset(names(parse(text)))
        """The columns that it reads."""

    def mask(self, table: Mapping[str, pl.Series], rows: int) -> pl.Series:
        """(rows,) where it is true. A column that the table does not have is null.

        Raises ExpressionError where the types do not fit.
        """
        typed = {name: Named(_type(series.dtype)) for name, series in table.items()}
        missing = sorted(self.names - table.keys())
        try:
            return self._asked(typed | dict.fromkeys(missing, Named("number")), table, rows)
        except ExpressionError:
            if not missing:
                raise
        # What is compared with it may be a text.
        return self._asked(typed | dict.fromkeys(missing, Named("text")), table, rows)

    def _asked(self, scope: dict[str, Named], table: Mapping[str, pl.Series], rows: int) -> pl.Series:
        codes = Codes()
        compiler = Compiler(scope, codes)
        value, _ = compiler.expression(self._text, "truth")
        program = compiler.builder.finish([value.handle])
        inputs = TextInputs(codes.table(), codes.parts())
        texts = np.empty((len(inputs), rows))
        inputs.read(lambda name: table[name] if name in table else pl.Series(name, [None] * rows, pl.String), texts)
        of_texts = dict(zip(inputs.names, texts, strict=True))
        values = np.full((len(program.inputs), rows), np.nan)
        for row, name in enumerate(program.inputs):
            if name in of_texts:
                values[row] = of_texts[name]
            elif name in table:
                numbers = table[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
                values[row] = np.where(np.isfinite(numbers), numbers, np.nan)
        return pl.Series(Machine(program, program.inputs).run(values)[0] == 1.0)


def _type(kind: pl.DataType) -> Literal["number", "truth", "text"]:
    if kind == pl.Boolean:
        return "truth"
    return "number" if kind.is_numeric() or kind == pl.Null else "text"
