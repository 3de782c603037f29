"""Rows on their way into the fold: plain arrays with one entry per row, in arrival order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
I16 = npt.NDArray[np.int16]
I8 = npt.NDArray[np.int8]
U64 = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]

NULL_INT = np.iinfo(np.int64).min
"""Null of exact integers and of times; doubles use NaN."""
EVER = 2**63 - 1
"""The end of all time."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Checked rows of one shard.

    Shapes: n rows, c columns that are numbers, t text columns.
    """

    slots: I32
    """(n,) slot of each row's key in the shard's key table."""
    time_ns: I64
    """(n,) event time, nanoseconds UTC."""
    order: I64
    """(n,) order among equal times; zeros where the spec names no order column."""
    numbers: F64
    """(c, n) number columns in the order of the plan; fixed-point columns as n / 10^scale; NaN = null."""
    integers: I64
    """(i, n) exact values of the fixed-point columns, in the order of the plan; NULL_INT = null."""
    texts: tuple[pl.Series, ...]
    """t text columns (n,): carried as evidence for alerts, never computed on."""
    identity: U64
    """(n,) hash of the `unique` columns; empty (0,) where the spec names none."""
    content: U64
    """(n,) hash of all columns; empty (0,) where the spec names no `unique` columns."""
    files: I32
    """(n,) index of the row's file in the run's list of files."""
    rows: I64
    """(n,) row number in that file, 1 for the first row of data."""

    def __len__(self) -> int:
        return len(self.slots)

    def take(self, index: I64) -> Batch:
        """The rows at `index`."""
        return Batch(
            slots=self.slots[index],
            time_ns=self.time_ns[index],
            order=self.order[index] if len(self.order) else self.order,
            numbers=self.numbers.take(index, axis=1),
            integers=self.integers.take(index, axis=1),
            texts=tuple(text.gather(index) for text in self.texts),
            identity=self.identity[index] if len(self.identity) else self.identity,
            content=self.content[index] if len(self.content) else self.content,
            files=self.files[index],
            rows=self.rows[index],
        )
