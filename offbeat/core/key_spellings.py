"""One key in two spellings: 12345 and 12345.0, as a table writes integers once a value is missing [R20]."""

from __future__ import annotations

import polars as pl

_INTEGRAL = r"^(-?[0-9]+)\.0+$"


def plain_keys(keys: pl.Series) -> pl.Series:
    """(n,) keys as text: whole floats as integers, texts as they are (007 is not 7)."""
    if keys.dtype.is_float():
        whole = keys.cast(pl.Int64, strict=False)
        same = (whole.cast(pl.Float64) == keys).fill_null(value=False)
        return whole.cast(pl.String).zip_with(same, keys.cast(pl.String))
    return keys.cast(pl.String)


def without_fraction(keys: pl.Series) -> pl.Series:
    """(n,) texts without a `.0` at the end of a number."""
    return keys.str.replace(_INTEGRAL, "$1")


def spelled_like(keys: pl.Series, known: pl.Series) -> pl.Series:
    """(n,) keys, each in the spelling of the known key that is the same but for `.0` at its end, where it is not known itself."""
    known = known.cast(pl.String).drop_nulls().unique(maintain_order=True)
    spellings = pl.DataFrame({"plain": without_fraction(known), "known": known}).unique("plain", keep="first", maintain_order=True)
    frame = pl.DataFrame({"key": keys}).with_columns(plain=without_fraction(keys))
    found = frame.join(spellings, on="plain", how="left", maintain_order="left")["known"]
    return keys.zip_with(keys.is_in(known.implode()).fill_null(value=False), found.fill_null(keys)).alias(keys.name)
