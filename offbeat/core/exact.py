"""Exact integers under an aggregate: a fixed-point column as it is kept, a truth value as 0 or 1 [S10]."""

from __future__ import annotations

import numpy as np

from offbeat.core.batch import F64, I64, NULL_INT
from offbeat.core.program import Program


class ExactArguments:
    """Picks the exact form of chosen outputs of an argument program.

    `fixed` names the rows of the exact integers; `wanted` are output numbers of the program.
    """

    def __init__(self, program: Program, fixed: tuple[str, ...], wanted: tuple[int, ...]) -> None:
        self._sources: list[tuple[int, int]] = []
        for argument in wanted:
            register = program.outputs[argument]
            name = program.inputs[register] if register < len(program.inputs) else ""
            self._sources.append((fixed.index(name) if name in fixed else -1, argument))

    def pick(self, arguments: F64, integers: I64) -> I64:
        """(len(wanted), n) from `arguments` (a, n) and `integers` (i, n). What is no fixed-point column is cut to an integer; null stays null."""
        out = np.empty((len(self._sources), integers.shape[1]), np.int64)
        for row, (source, argument) in enumerate(self._sources):
            if source >= 0:
                out[row] = integers[source]
            else:
                values = arguments[argument]
                known = ~np.isnan(values)
                out[row] = NULL_INT
                # Only counted, unless it is a truth value: clipping keeps any number clear of the null.
                out[row][known] = np.clip(values[known], -1.0, 1.0).astype(np.int64)
        return out
