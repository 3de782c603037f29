"""Random expressions: SQL text compiled by the package and the Python of the oracle give the same bits on the same rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from expressions import NUMBERS, Sql, numbers, truths
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import MORE

from offbeat.core.expression_machine import Machine
from offbeat.spec.expression import Codes, Named, compile_expressions

SCOPE = {**{name: Named("number") for name in NUMBERS}, "side": Named("text")}
POOL = (0.0, -0.0, 1.0, -1.0, 2.0, 2.5, -2.5, 0.1, 3.0, 1e300, -1e300, 5e-324, 2.0**53, None)
ROWS = st.lists(
    st.fixed_dictionaries({**{name: st.sampled_from(POOL) for name in NUMBERS}, "side": st.sampled_from(("A", "B", "\u00e9", "", None))}),
    min_size=1,
    max_size=6,
)


def _ours(texts: list[str], rows: list[dict[str, Any]]) -> list[list[float]]:
    codes = Codes()
    program = compile_expressions(texts, SCOPE, codes)
    literals = dict(codes.table()).get("side", ())
    nothing = float("nan")
    matrix = [[nothing if row[name] is None else row[name] for row in rows] for name in NUMBERS]
    matrix.append(
        [nothing if row["side"] is None else float(literals.index(row["side"])) if row["side"] in literals else -1.0 for row in rows]
    )
    out: list[list[float]] = Machine(program, (*NUMBERS, "side@code")).run(np.array(matrix, np.float64)).tolist()
    return out


def _plain(value: object) -> float | None:
    """Truth values are 1 and 0; both zeros are one."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    assert isinstance(value, float | bool)
    return float(value) + 0.0


@settings(max_examples=400 * MORE)
@given(st.lists(numbers(3) | truths(3), min_size=1, max_size=3), ROWS)
def test_random_expressions(expressions: list[Sql], rows: list[dict[str, Any]]) -> None:
    ours = _ours([each.text for each in expressions], rows)
    for each, values in zip(expressions, ours, strict=True):
        assert [_plain(value) for value in values] == [_plain(each.value(row)) for row in rows], each.text
