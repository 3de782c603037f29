"""Random expressions: SQL text compiled by the package and the Python of the oracle give the same bits on the same rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
from expressions import NUMBERS, Sql, numbers, truths
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import MORE

from offbeat.core.expression_machine import Machine
from offbeat.core.text_inputs import TextInputs
from offbeat.spec.expression import Codes, Named, compile_expressions

SCOPE = {**{name: Named("number") for name in NUMBERS}, "side": Named("text"), "key": Named("text")}
TEXTS = st.sampled_from(("A", "B", "\u00e9", "", "AB", "ABA", "\u00e9A", "a%", "A\nB", "nobody", ".*", None))
POOL = (0.0, -0.0, 1.0, -1.0, 2.0, 2.5, -2.5, 0.1, 3.0, 1e300, -1e300, 5e-324, 2.0**53, None)
ROWS = st.lists(
    st.fixed_dictionaries({**{name: st.sampled_from(POOL) for name in NUMBERS}, "side": TEXTS, "key": TEXTS}),
    min_size=1,
    max_size=6,
)


def _ours(texts: list[str], rows: list[dict[str, Any]]) -> list[list[float]]:
    codes = Codes()
    program = compile_expressions(texts, SCOPE, codes)
    texts_read = TextInputs(codes.table(), codes.parts())
    nothing = float("nan")
    matrix = np.empty((len(NUMBERS) + len(texts_read), len(rows)))
    matrix[: len(NUMBERS)] = [[nothing if row[name] is None else row[name] for row in rows] for name in NUMBERS]
    texts_read.read(lambda name: pl.Series([row[name] for row in rows], dtype=pl.String), matrix[len(NUMBERS) :])
    out: list[list[float]] = Machine(program, (*NUMBERS, *texts_read.names)).run(matrix).tolist()
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
