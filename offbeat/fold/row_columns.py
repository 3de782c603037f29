"""The matrices of the fold and the frames around it: from a chunk's columns to numbers, and back to rows for evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from offbeat.core.batch import F64, I64, NULL_INT, U64, Bools
from offbeat.core.hashing import INTEGER, NUMBER, TEXT, TIME, row_hashes, words_of
from offbeat.core.plan import KEY, NO_KEY, Column, Plan
from offbeat.core.text_inputs import TextInputs
from offbeat.fold.fixed_point import FixedPoint

_FEW = 256
"""Up to so many rows plain Python is faster than a call into a library for columns."""
_REMEMBERED = 4096
"""Hashes of so many texts are remembered."""


class Columns:
    """The order of a plan's columns in the number matrix, the exact integers and the texts."""

    def __init__(self, plan: Plan) -> None:
        columns = plan.source.columns
        self._columns = columns
        self._numeric = tuple(c for c in columns if c.kind != "text")
        self._fixed = tuple(c for c in columns if c.kind == "decimal")
        self._texts = tuple(c for c in columns if c.kind == "text")
        self._inputs = TextInputs(plan.codes, plan.parts)
        self.numbers = (*(c.name for c in self._numeric), *self._inputs.names)
        self.fixed = tuple(c.name for c in self._fixed)
        self.texts = tuple(c.name for c in self._texts)
        self.allow_nan = frozenset(c.name for c in columns if c.allow_nan) | set(self._inputs.names)
        self._scaled = [(row, c) for row, c in enumerate(self._numeric) if c.kind == "decimal"]
        self._fixed_point = FixedPoint([c.scale for c in self._fixed], [row for row, _ in self._scaled])
        self._plain = [(row, c) for row, c in enumerate(self._numeric) if c.kind != "decimal"]
        self._words: dict[str | None, int] = {}
        self._unique = self._hashed(plan.quality.unique)
        self._everything = self._hashed(("time", *(c.name for c in columns)) if plan.quality.unique else ())

    def _hashed(self, names: tuple[str, ...]) -> tuple[I64, I64]:
        """Kind and place of each column that a row hash is made of."""
        found = []
        for name in names:
            if name == "time" and "time" not in self.numbers:
                found.append((TIME, 0))
            elif name in self.fixed:
                found.append((INTEGER, self.fixed.index(name)))
            elif name in self.texts:
                found.append((TEXT, self.texts.index(name)))
            else:
                found.append((NUMBER, self.numbers.index(name)))
        return np.array([kind for kind, _ in found], np.int64), np.array([place for _, place in found], np.int64)

    def read(self, frame: pl.DataFrame, keys: Callable[[], pl.Series]) -> tuple[F64, I64, Bools, tuple[pl.Series, ...]]:
        """The rows of a frame: (c, n) numbers, (i, n) exact values of the fixed-point columns, (c,) which numbers have nulls; the texts.

        keys: gives their keys.
        Where a number column has nulls, a NaN of the input is given as an infinity.
        """
        out, integers = np.empty((len(self.numbers), frame.height)), np.empty((len(self._fixed), frame.height), np.int64)
        nullable = np.zeros(len(self.numbers), np.bool_)
        for i, (row, column) in enumerate(self._scaled):
            series = frame.get_column(column.name)
            if series.null_count():
                nullable[row] = True
                series = series.fill_null(NULL_INT)
            integers[i] = series.to_numpy()
        self._fixed_point.numbers(integers, out)
        for row, column in self._plain:
            series = frame.get_column(column.name)
            nullable[row] = series.null_count() > 0
            out[row] = series.cast(pl.Float64).to_numpy() if column.kind == "bool" else _doubles(series, column)
        texts = tuple(frame.get_column(name) for name in self.texts)
        if len(self._inputs):
            self._inputs.read(lambda name: keys() if name == KEY else texts[self.texts.index(name)], out[len(self._numeric) :])
        return out, integers, nullable, texts

    def recoded(self, numbers: F64, texts: np.ndarray, keys: Sequence[str]) -> F64:
        """Kept rows (n, c) with what is read of their texts (n, t) and keys (n,) in this plan; its rules may be others than before."""
        place = {name: t for t, name in enumerate(self.texts)}

        def text(name: str) -> pl.Series:
            named = [key if key != NO_KEY else None for key in keys]
            return pl.Series(named if name == KEY else texts[:, place[name]].tolist(), dtype=pl.String)

        read = np.empty((len(self._inputs), len(numbers)))
        self._inputs.read(text, read)
        return np.concatenate([numbers[:, : len(self._numeric)], read.T], axis=1)

    def hashes(self, numbers: F64, integers: I64, texts: tuple[pl.Series, ...], time_ns: I64) -> tuple[U64, U64]:
        """(n,) hashes of the `unique` columns and of all columns; both empty where the plan names none."""
        if not len(self._unique[0]):
            return np.empty(0, np.uint64), np.empty(0, np.uint64)
        n = len(time_ns)
        words = np.empty((len(texts), n), np.uint64)
        for row, text in enumerate(texts):
            words[row] = self._few_words(text) if n <= _FEW else words_of(text)
        bits = numbers.view(np.uint64)
        identity, content = np.empty(n, np.uint64), np.empty(n, np.uint64)
        row_hashes(*self._unique, bits, integers, words, time_ns, identity)
        row_hashes(*self._everything, bits, integers, words, time_ns, content)
        return identity, content

    def _few_words(self, texts: pl.Series) -> list[int]:
        known = self._words
        values = texts.to_list()
        new = {text for text in values if text not in known}
        if new:
            if len(known) > _REMEMBERED:
                known.clear()
                new = set(values)
            some = list(new)
            known.update(zip(some, words_of(pl.Series(some, dtype=pl.String)).tolist(), strict=True))
        return [known[text] for text in values]

    def frame(self, numbers: F64, integers: I64, texts: tuple[pl.Series, ...], index: I64) -> pl.DataFrame:
        """Rows as a person would see them: whole numbers where the scale is 0, null for null; without what is only compared."""
        series = []
        row = iter(range(len(self.numbers)))
        fixed = iter(range(len(self._fixed)))
        text = iter(range(len(self._texts)))
        for column in self._columns:
            if column.kind == "text":
                series.append(_gathered(column.name, texts[next(text)], index))
                continue
            values = numbers[next(row)][index]
            if column.kind == "decimal":
                exact = integers[next(fixed)][index]
                if column.compared:
                    continue
                if column.scale == 0:
                    whole = pl.Series(column.name, exact)
                    series.append(whole.replace(NULL_INT, None) if (exact == NULL_INT).any() else whole)
                    continue
            plain = pl.Series(column.name, values, nan_to_null=True)
            series.append(plain.cast(pl.Boolean) if column.kind == "bool" else plain)
        return pl.DataFrame(series)


def _gathered(name: str, texts: pl.Series, index: I64) -> pl.Series:
    if len(index) <= _FEW:
        return pl.Series(name, [texts[i] for i in index.tolist()], dtype=pl.String)
    return texts.gather(index).alias(name)


def _doubles(series: pl.Series, column: Column) -> F64:
    # Adding zero makes the two zeros one.
    values: F64 = series.to_numpy() + 0.0
    if column.allow_nan:
        return np.where(np.isfinite(values), values, np.nan)
    if series.null_count():
        values[series.is_nan().fill_null(False).to_numpy()] = np.inf
    return values
