"""The matrices of the fold and the frames around it: from a chunk's columns to numbers, and back to rows for evidence."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from offbeat.core.batch import F64, I64, NULL_INT, U64, Bools
from offbeat.core.compiled import compiled
from offbeat.core.hashing import add_integers, add_numbers, add_texts
from offbeat.core.plan import Column, Plan

_EXACT = 2**53
_FEW = 256
"""Up to so many rows plain Python is faster than a call into a library for columns."""


class Columns:
    """The order of a plan's columns in the number matrix, the exact integers and the texts."""

    def __init__(self, plan: Plan) -> None:
        columns = plan.source.columns
        self._columns = columns
        self._numeric = tuple(c for c in columns if c.kind != "text")
        self._fixed = tuple(c for c in columns if c.kind == "fixed")
        self._texts = tuple(c for c in columns if c.kind == "text")
        self._codes = plan.codes
        self.numbers = (*(c.name for c in self._numeric), *(f"{name}@code" for name, _ in plan.codes))
        self.fixed = tuple(c.name for c in self._fixed)
        self.texts = tuple(c.name for c in self._texts)
        self.allow_nan = frozenset(c.name for c in columns if c.allow_nan) | {f"{name}@code" for name, _ in plan.codes}
        self.unique = plan.quality.unique

    def integers(self, frame: pl.DataFrame) -> I64:
        """(i, n) exact values of the fixed-point columns."""
        out = np.empty((len(self._fixed), frame.height), np.int64)
        columns = dict(zip(frame.columns, frame.get_columns(), strict=True))
        for row, column in enumerate(self._fixed):
            series = columns[column.name]
            out[row] = (series.fill_null(NULL_INT) if series.null_count() else series).to_numpy()
        return out

    def matrix(self, frame: pl.DataFrame, integers: I64) -> tuple[F64, Bools]:
        """(c, n) numbers, and (c,) which of the columns have nulls; there a NaN of the input is given as an infinity."""
        out = np.empty((len(self.numbers), frame.height))
        nullable = np.zeros(len(self.numbers), np.bool_)
        fixed = iter(range(len(self._fixed)))
        columns = dict(zip(frame.columns, frame.get_columns(), strict=True))
        for row, column in enumerate(self._numeric):
            series = columns[column.name]
            nullable[row] = series.null_count() > 0
            if column.kind == "fixed":
                _unscale(integers, next(fixed), column.scale, out, row)
            elif column.kind == "bool":
                out[row] = series.cast(pl.Float64).to_numpy()
            else:
                out[row] = _doubles(series, column)
        for row, (name, literals) in enumerate(self._codes, start=len(self._numeric)):
            out[row] = _codes(columns[name], literals)
        return out, nullable

    def recoded(self, numbers: F64, texts: np.ndarray) -> F64:
        """Kept rows (n, c) with the codes of their texts (n, t) as this plan has them: its rules may name other literals than before."""
        plain = numbers[:, : len(self._numeric)]
        place = {name: t for t, name in enumerate(self.texts)}
        codes = [_codes(pl.Series(texts[:, place[name]].tolist(), dtype=pl.String), literals) for name, literals in self._codes]
        return np.concatenate([plain, *(code[:, None] for code in codes)], axis=1)

    def hashes(self, numbers: F64, integers: I64, texts: tuple[pl.Series, ...], time_ns: I64) -> tuple[U64, U64]:
        """(n,) hashes of the `unique` columns and of all columns; both empty where the plan names none."""
        if not self.unique:
            return np.empty(0, np.uint64), np.empty(0, np.uint64)
        everything = ("time", *(c.name for c in self._columns))
        return self._hash(self.unique, numbers, integers, texts, time_ns), self._hash(everything, numbers, integers, texts, time_ns)

    def _hash(self, names: tuple[str, ...], numbers: F64, integers: I64, texts: tuple[pl.Series, ...], time_ns: I64) -> U64:
        out = np.zeros(len(time_ns), np.uint64)
        for name in names:
            if name == "time" and "time" not in self.numbers:
                add_integers(time_ns, out)
            elif name in self.fixed:
                add_integers(integers[self.fixed.index(name)], out)
            elif name in self.texts:
                _add_texts(texts[self.texts.index(name)], out)
            else:
                add_numbers(numbers[self.numbers.index(name)], out)
        return out

    def frame(self, numbers: F64, integers: I64, texts: tuple[pl.Series, ...], index: I64) -> pl.DataFrame:
        """Rows as a person would see them: whole numbers where the scale is 0, null for null."""
        series = []
        row = iter(range(len(self.numbers)))
        fixed = iter(range(len(self._fixed)))
        text = iter(range(len(self._texts)))
        for column in self._columns:
            if column.kind == "text":
                series.append(texts[next(text)].gather(index).alias(column.name))
                continue
            values = numbers[next(row)][index]
            if column.kind == "fixed":
                exact = integers[next(fixed)][index]
                if column.scale == 0:
                    whole = pl.Series(column.name, exact)
                    series.append(whole.replace(NULL_INT, None) if (exact == NULL_INT).any() else whole)
                    continue
            plain = pl.Series(column.name, values, nan_to_null=True)
            series.append(plain.cast(pl.Boolean) if column.kind == "bool" else plain)
        return pl.DataFrame(series)


def _add_texts(texts: pl.Series, hashes: U64) -> None:
    if len(texts) <= _FEW:
        words = [None if text is None else text.encode() for text in texts.to_list()]
        ends = np.fromiter((0, *accumulate(len(word or b"") for word in words)), np.int64, len(words) + 1)
        body = np.frombuffer(b"".join(word or b"" for word in words), np.uint8)
        add_texts(ends, body, np.array([word is None for word in words]), hashes)
        return
    array: Any = texts.to_arrow().cast(pa.large_string())
    _, offsets, data = array.buffers()
    body = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(0, np.uint8)
    add_texts(np.frombuffer(offsets, np.int64)[array.offset :], body, texts.is_null().to_numpy(), hashes)


@compiled
def _divide(integers: I64, row: int, divisor: float, out: F64, to: int) -> bool:
    big = False
    for i in range(integers.shape[1]):
        n = integers[row, i]
        out[to, i] = np.nan if n == NULL_INT else n / divisor
        big = big or (n != NULL_INT and (n > _EXACT or n < -_EXACT))
    return big


def _unscale(integers: I64, row: int, scale: int, out: F64, to: int) -> None:
    """Each n / 10^scale with one rounding; null becomes NaN [S9]."""
    if _divide(integers, row, float(10**scale), out, to):
        # Beyond 2^53 the conversion rounds as well; Python divides exact integers with one rounding.
        big = (integers[row] != NULL_INT) & (np.abs(integers[row]) > _EXACT)
        out[to, big] = [n / 10**scale for n in integers[row, big].tolist()]


def _doubles(series: pl.Series, column: Column) -> F64:
    # Adding zero makes the two zeros one.
    values: F64 = series.to_numpy() + 0.0
    if column.allow_nan:
        return np.where(np.isfinite(values), values, np.nan)
    if series.null_count():
        values[series.is_nan().fill_null(False).to_numpy()] = np.inf
    return values


def _codes(series: pl.Series, literals: tuple[str, ...]) -> F64:
    if len(series) <= _FEW:
        known = {literal: float(code) for code, literal in enumerate(literals)}
        return np.array([np.nan if text is None else known.get(text, -1.0) for text in series.to_list()])
    codes = np.full(len(series), -1.0)
    for code, literal in enumerate(literals):
        codes[(series == literal).fill_null(False).to_numpy()] = code
    if series.null_count():
        codes[series.is_null().to_numpy()] = np.nan
    return codes
