"""Rows in hand become chunks as rows of files do: same values, same faults."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest
from io_plans import keyed, plan, rows_of

from offbeat.core.plan import Column, TimePlan
from offbeat.extend import NULL_INT, UserError, chunk_of_records, chunk_of_table

PLAN = keyed()
"""Key `k`, time `t`, float `x` (required), decimal `n` of two digits, text `s`, truth value `b`."""
NOON = 1_714_564_800_000_000_000
"""2024-05-01 12:00:00 UTC in ns: 19,844 days of 86,400 s and half a day."""


def test_values_of_all_kinds() -> None:
    noon = datetime(2024, 5, 1, 12, tzinfo=UTC)
    records = [
        {"k": "a", "t": "2024-05-01T12:00:00Z", "x": 0.1, "n": Decimal("1234567890123.45"), "s": "Grüße\n", "b": True},
        {"k": 7, "t": noon, "x": np.float64(2.5), "n": np.int64(3), "s": None, "b": False, "more": [1, {}]},
    ]
    chunk = chunk_of_records(PLAN, records, {"at": 2}, first_row=11)
    assert chunk.position == {"at": 2}
    assert [row[:-1] for row in rows_of([chunk], ["f"])] == [
        ("a", NOON, "", "f", 11, 0.1, 123_456_789_012_345, "Grüße\n", True),
        ("7", NOON, "", "f", 12, 2.5, 300, None, False),
    ]


def test_a_record_that_cannot_be_read_is_its_own_fault() -> None:
    good = b'{"k": "a", "t": "2024-05-01T12:00:00Z", "x": 1}'
    records: list[Mapping[str, Any] | bytes] = [
        good, b"", b"{", b"[1]", b'{"k": "a",\n "t": "2024-05-01T12:00:00Z",\n "x": 2}', b'{"k": "\xff", "t": "2024-05-01", "x": 1}',
        {"k": "a", "t": "2024-05-01T12:00:00Z"}, {"k": "a", "t": "then", "x": 1}, {"k": "a", "t": "2024-05-01T12:00:00Z", "x": "one"}, good,
        b'{"k": "a\nb", "t": "2024-05-01T12:00:00Z", "x": 1}',
    ]  # fmt: skip
    rows = rows_of([chunk_of_records(PLAN, records, {})], ["f"])
    assert [row[2] for row in rows][:5] == ["", rows[1][2], "type", "type", ""]
    assert rows[1][2] in {"type", "missing"}, "nothing is no record"
    assert [row[2] for row in rows][5:] == ["encoding", "missing", "time", "type", "", "type"], "no text of JSON holds a bare line end"
    assert [row[4] for row in rows] == list(range(1, 12)), "none is left out"
    assert rows[7][1] is None
    assert all("\n" not in row[-1] for row in rows), "a row set aside is one line"


def test_no_rows_are_a_chunk_too() -> None:
    chunk = chunk_of_records(PLAN, [], {"at": 0})
    assert (chunk.frame.shape, len(chunk.time_ns), len(chunk.faults), chunk.raw(np.empty(0, np.intp))) == ((0, 4), 0, 0, [])
    assert chunk.frame.schema == {"x": pl.Float64, "n": pl.Int64, "s": pl.String, "b": pl.Boolean}


def test_tables() -> None:
    table = {"k": ["a", None], "t": [datetime(2024, 5, 1, 12, tzinfo=UTC)] * 2, "x": [1, 2], "n": [0.25, None]}
    rows = rows_of([chunk_of_table(PLAN, table, {}, first_row=5)], ["f"])
    assert [row[:7] for row in rows] == [("a", NOON, "", "f", 5, 1.0, 25), (None, NOON, "missing", "f", 6, 2.0, None)]
    with pytest.raises(UserError, match="table: the column 'x' is missing"):
        chunk_of_table(PLAN, {"k": ["a"], "t": ["2024-05-01"]}, {})
    # A number may stand in a text; what is none is the fault of its row.
    texts = {"k": ["a", "b"], "t": ["2024-05-01"] * 2, "x": ["1.5", "one"], "n": [0.25, 0.25]}
    assert [row[2] for row in rows_of([chunk_of_table(PLAN, texts, {})], ["f"])] == ["", "type"]


def test_a_key_that_files_have_in_their_names() -> None:
    named = plan(columns=(Column("x", "float"),), time=TimePlan(("t",), "s", "UTC"))
    (row,) = rows_of([chunk_of_records(named, [{"symbol": "INFY", "t": 1_714_564_800, "x": 1}], {})], ["f"])
    assert row[:3] == ("INFY", NOON, "")
    assert chunk_of_table(named, {"key": ["INFY"], "t": [1_714_564_800], "x": [1.0]}, {}).keys is not None


def test_what_json_has_no_word_for() -> None:
    with pytest.raises(TypeError, match="which JSON has no word for"):
        chunk_of_records(PLAN, [{"k": object()}], {})
    chunk = chunk_of_records(PLAN, [{"k": "a", "t": None, "x": 1}], {})
    assert chunk.time_ns.tolist() == [NULL_INT]
