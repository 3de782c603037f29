"""Columns of text by their distinct values."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbeat.core.keys import KeyTable
from offbeat.core.text_codes import coded

SHORT = st.text(max_size=12).filter(lambda text: len(text.encode()) <= 12)


@given(st.lists(st.one_of(st.none(), SHORT, st.sampled_from(["", "a", "ab", "éàü", "\0", "a\0"])), max_size=300), st.integers(0, 5))
def test_each_row_has_the_code_of_its_text(texts: list[str | None], skipped: int) -> None:
    series = pl.Series(texts, dtype=pl.String)[skipped:]
    found = coded(series)
    assert found is not None
    values = found.distinct.to_list()
    assert values == list(dict.fromkeys(text for text in texts[skipped:] if text is not None)), "in the order of their first row"
    assert [None if code < 0 else values[code] for code in found.codes.tolist()] == texts[skipped:]


def test_columns_in_pieces() -> None:
    series = pl.concat([pl.Series(["x", "y"]), pl.Series(["y", None, "z"])], rechunk=False)
    assert series.n_chunks() == 2
    found = coded(series)
    assert found is not None
    assert found.codes.tolist() == [0, 1, 1, -1, 2]


@pytest.mark.parametrize("texts", [["a", "thirteen long"], [str(i) for i in range(1025)]])
def test_long_or_many_texts_have_no_codes(texts: list[str]) -> None:
    assert coded(pl.Series(texts)) is None
    assert coded(pl.Series(texts[:-1])) is not None


@pytest.mark.parametrize("kind", ["short", "long", "many", "numbers"])
def test_keys_get_slots_in_the_order_of_their_first_row(kind: str) -> None:
    names = {
        "short": ["b", "a", "016", "16", "-3", "é"], "long": [f"a name of many bytes {i}" for i in range(7)],
        "many": [f"k{i}" for i in range(1100)], "numbers": [str(i) for i in range(3, 2000)],
    }[kind]  # fmt: skip
    rows = np.random.default_rng(1).integers(0, len(names), 5000)
    series = pl.Series([names[row] for row in rows])
    first = list(dict.fromkeys(rows.tolist()))
    for _ in range(2):
        table = KeyTable(["there before"])
        slots = table.slots(series)
        assert table.names == ["there before", *(names[row] for row in first)]
        assert slots.tolist() == [1 + first.index(row) for row in rows]
