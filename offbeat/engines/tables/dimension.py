"""A file with more about each key, joined to the rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from offbeat.core.batch import I32, I64
from offbeat.core.key_spellings import plain_keys, without_fraction
from offbeat.core.plan import DimensionPlan
from offbeat.engines.tables.values import Names
from offbeat.errors import UserError
from offbeat.io.write.arrow_arrays import Array, gathered, whole

_PARQUET = {".parquet", ".pq"}


class Dimension:
    """The columns of the file, by slot of a view's key. `taken` are the columns that the table has already.

    Raises UserError where the file is not there, or is not what the plan says.
    """

    def __init__(self, table: str, plan: DimensionPlan, taken: Sequence[str], names: Names) -> None:
        self._names = names
        frame = _read(table, plan)
        what = f"{plan.source} (dimension of table {table})"
        chosen = list(plan.columns) or [name for name in frame.columns if name != plan.key]
        for name in [plan.key, *chosen]:
            if name not in frame.columns:
                raise UserError(f"{what} has no column {name!r}; it has {', '.join(frame.columns)}")
        both = [name for name in chosen if name in taken]
        if both:
            raise UserError(f"table {table} and its dimension {plan.source} both have a column {both[0]!r}; list the `columns` to join")
        keys = plain_keys(frame[plan.key])
        known = keys.drop_nulls()
        if known.n_unique() < len(known):
            raise UserError(f"{what} has {known.filter(known.is_duplicated())[0]!r} twice as {plan.key}")
        self._known = known
        self._said = f"{plan.source} (dimension of table {table})", plan.key
        self._places = pl.DataFrame({"key": keys}).with_row_index("place").drop_nulls()
        self._plain = self._places.with_columns(without_fraction(self._places["key"])).unique("key", keep="first", maintain_order=True)
        """The same without the .0 of whole numbers."""
        arrow = frame.select(chosen).to_arrow(compat_level=pl.CompatLevel.oldest())
        self.fields = [pa.field(field.name, pa.string() if pa.types.is_large_string(field.type) else field.type) for field in arrow.schema]
        self._columns: list[Array] = [whole(arrow.column(i).cast(field.type)) for i, field in enumerate(self.fields)]
        self._rows: I64 = np.zeros(0, np.int64)
        """By slot: row of the file, -1 where it has none."""

    def unmatched(self) -> list[str]:
        """A word where there were keys and the file has none of them."""
        if not len(self._rows) or (self._rows >= 0).any():
            return []
        file, column = self._said
        ours, theirs = (", ".join(map(repr, some.head(2).to_list())) for some in (pl.Series(self._names.texts()), self._known))
        return [f"{file} has none of the keys: they are like {ours}, its {column} like {theirs or 'nothing'}"]

    def of(self, slots: I32) -> list[Array]:
        """(m,) of each column, null for keys that the file does not have."""
        texts = self._names.texts()
        if len(texts) > len(self._rows):
            new: Any = pl.from_arrow(texts.slice(len(self._rows)))
            found = pl.DataFrame({"key": new}).join(self._places, on="key", how="left", maintain_order="left")["place"]
            if found.null_count():
                plain = pl.DataFrame({"key": without_fraction(new)})
                found = found.fill_null(plain.join(self._plain, on="key", how="left", maintain_order="left")["place"])
            self._rows = np.append(self._rows, found.cast(pl.Int64).fill_null(-1).to_numpy())
        rows = self._rows[slots]
        return [gathered(values, rows) for values in self._columns]


def _read(table: str, plan: DimensionPlan) -> pl.DataFrame:
    path = Path(plan.source)
    if not path.is_file():
        missing = "is a folder, not a file" if path.is_dir() else "does not exist"
        hint = f"--set tables.{table}.dimension.source=FILE"
        raise UserError(f"{plan.source} (dimension of table {table}) {missing}; name another with {hint}, or null for none")
    try:
        if path.suffix.lower() in _PARQUET:
            return pl.read_parquet(path, glob=False)
        return _typed(pl.read_csv(path, glob=False, infer_schema=False), pl.read_csv(path, glob=False, infer_schema_length=None), plan.key)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise UserError(f"{plan.source} (dimension of table {table}) cannot be read: {str(error).splitlines()[0]}") from error


def _typed(written: pl.DataFrame, guessed: pl.DataFrame, key: str) -> pl.DataFrame:
    """The columns with the types that their texts suggest, but the key, and integers written with leading zeros or a sign, as written."""
    keep = [
        name
        for name, kind in guessed.schema.items()
        if name == key or (kind.is_integer() and not (guessed[name].cast(pl.String) == written[name]).all())
    ]
    return guessed.with_columns(written[name] for name in keep)
