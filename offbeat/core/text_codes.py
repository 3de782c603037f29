"""Text columns with few distinct values: work on a text is done once per value, not once per row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from offbeat.core.batch import F64, I32, I64, U64, Bools
from offbeat.core.compiled import compiled

_INLINE = 12
"""Bytes of the longest text that an Arrow view holds in itself (Arrow columnar format, variable-size binary view)."""
_MOST = 1024
"""More distinct values than this are not few."""
_ROOM = 4 * _MOST
_FEW = 256
"""Up to so many rows plain Python is faster than a call into a library for columns."""
_LENGTH = np.uint64(0xFFFFFFFF)
_NO_NULLS: Bools = np.zeros(0, np.bool_)


@dataclass(frozen=True, slots=True)
class Coded:
    """A column of n texts by its distinct values, in the order of their first row."""

    codes: I32
    """(n,) place in `distinct`, -1 for null."""
    distinct: pl.Series


@compiled
def _code(views: U64, nulls: Bools, codes: I32, table: I32, lows: U64, highs: U64, firsts: I64) -> int:
    """Codes of texts that are (n, 2) views without anything outside; returns how many values there are, -1 where too many or too long."""
    count = 0
    mask = np.uint64(len(table) - 1)
    for i in range(len(views)):
        if len(nulls) and nulls[i]:
            codes[i] = -1
            continue
        low, high = views[i, 0], views[i, 1]
        if low & _LENGTH > np.uint64(_INLINE):
            return -1
        h = (low ^ high * np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xC2B2AE3D27D4EB4F)
        p = (h ^ h >> np.uint64(32)) & mask
        while table[p] >= 0 and (lows[p] != low or highs[p] != high):
            p = (p + np.uint64(1)) & mask
        if table[p] < 0:
            if count == len(firsts):
                return -1
            table[p], lows[p], highs[p], firsts[count] = count, low, high, i
            count += 1
        codes[i] = table[p]
    return count


def coded(texts: pl.Series) -> Coded | None:
    """The codes of n texts; None where one is longer than 12 bytes or more than 1,024 values occur."""
    array: Any = texts.rechunk().to_arrow(compat_level=pl.CompatLevel.newest())
    views = np.frombuffer(array.buffers()[1], np.uint64).reshape(-1, 2)[array.offset :][: len(texts)]
    nulls = texts.is_null().to_numpy() if texts.null_count() else _NO_NULLS
    codes: I32 = np.empty(len(texts), np.int32)
    firsts: I64 = np.empty(_MOST, np.int64)
    table: I32 = np.full(_ROOM, -1, np.int32)
    count = _code(views, nulls, codes, table, np.empty(_ROOM, np.uint64), np.empty(_ROOM, np.uint64), firsts)
    return Coded(codes, texts.gather(firsts[:count])) if count >= 0 else None


def literal_codes(series: pl.Series, literals: Mapping[str, float]) -> F64:
    """(n,) the number that stands for each text: -1 for one that is not in `literals`, NaN for null."""
    if len(series) <= _FEW:
        return np.array([np.nan if text is None else literals.get(text, -1.0) for text in series.to_list()])
    few = coded(series)
    if few is not None:
        found: F64 = np.array([*(literals.get(text, -1.0) for text in few.distinct.to_list()), np.nan])[few.codes]
        return found
    codes = np.full(len(series), -1.0)
    for literal, code in literals.items():
        codes[(series == literal).fill_null(False).to_numpy()] = code
    if series.null_count():
        codes[series.is_null().to_numpy()] = np.nan
    return codes
