"""Rows as JSON: numbers as a person wrote them."""

from __future__ import annotations

import polars as pl

from offbeat.io.write.row_json import decimal_numbers, json_rows, quotients


def test_prices_have_their_own_digits() -> None:
    """Multiplied by 1e-9 instead, four in ten come out as 181.92000000000002."""
    cents = range(1, 40_000)
    prices = pl.Series("price", [c * 10**7 for c in cents])
    assert quotients(prices, 9).to_list() == [float(f"{c // 100}.{c % 100:02}") for c in cents]
    assert json_rows(decimal_numbers(prices[18191:18192], 9).to_frame()) == ['{"price":181.92}']


def test_null_and_nothing() -> None:
    assert quotients(pl.Series("price", [None, 5], dtype=pl.Int64), 1).to_list() == [None, 0.5]
    assert quotients(pl.Series("price", [], dtype=pl.Int64), 9).to_list() == []
