"""Checks on a row alone: finite numbers, plausible time, the row rules [S4, S7]."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from offbeat.core.batch import F64, I64, Bools
from offbeat.core.compiled import compiled
from offbeat.core.expression_machine import Machine
from offbeat.core.plan import QualityPlan

BUILT_IN = ("non_finite", "not_before", "not_after")


@compiled
def _check(
    numbers: F64, free: Bools, nullable: Bools, time_ns: I64, not_before: int, not_after: int, bounded: bool, verdicts: F64,
    out: npt.NDArray[np.int16],
) -> int:
    """Codes: 0 fine, 1-3 BUILT_IN, 4… the rules. Returns how many rows are not fine."""
    bad = 0
    for i in range(len(time_ns)):
        code = 0
        if time_ns[i] < not_before:
            code = 2
        elif bounded and time_ns[i] > not_after:
            code = 3
        else:
            for r in range(verdicts.shape[0]):
                if verdicts[r, i] == 0.0:
                    code = 4 + r
                    break
        out[i] = code
    for c in range(numbers.shape[0]):
        if not free[c]:
            for i in range(len(time_ns)):
                x = numbers[c, i]
                if np.isinf(x) or (x != x and not nullable[c]):
                    out[i] = 1
    for i in range(len(time_ns)):
        if out[i] != 0:
            bad += 1
    return bad


class RowChecks:
    """Checks single rows. `columns` names the rows of the number matrix; those in `allow_nan` may hold any double."""

    def __init__(self, plan: QualityPlan, columns: tuple[str, ...], allow_nan: frozenset[str]) -> None:
        self.reasons = ("", *BUILT_IN, *plan.rules)
        self._plan = plan
        self._free = np.array([name in allow_nan for name in columns], np.bool_)
        self._rules = Machine(plan.program, columns) if plan.program is not None else None

    def check(self, numbers: F64, nullable: Bools, time_ns: I64) -> tuple[npt.NDArray[np.int16], int]:
        """Reason codes (n,), indices into `reasons`, and how many rows are not fine.

        In the `nullable` columns (c,) NaN is null, and a NaN of the input must have been turned into an infinity before.
        """
        out = np.empty(len(time_ns), np.int16)
        verdicts = self._rules.run(numbers) if self._rules is not None else np.empty((0, len(time_ns)))
        after = self._plan.not_after_ns
        bad = _check(
            numbers, self._free, nullable, time_ns, self._plan.not_before_ns, after or 0, after is not None, verdicts, out
        )
        return out, bad
