"""What readers of tables share: which columns of a file's schema are wanted, also inside of structs, and rows of them typed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import polars as pl
import pyarrow as pa

from offbeat.core.plan import SourcePlan
from offbeat.errors import UserError
from offbeat.io.read.layout import lay_out
from offbeat.io.read.parse_columns import Parsed
from offbeat.io.read.parse_table import check_types, parse_table

_pa: Any = import_module("pyarrow")


class TableColumns:
    """The columns of one table that a plan reads. A field inside of a struct is called by its path, such as `data.price`."""

    def __init__(self, path: str, schema: Any, plan: SourcePlan) -> None:
        """schema: a `pa.Schema`. Raises UserError if a column is missing, or of a type that cannot hold what is wanted."""
        self._plan = plan
        try:
            fields = dict(_leaves(schema))
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: a column has a name that is not UTF-8; write the file with other names") from error
        # A name that stands twice at the top must be seen twice.
        self.layout = lay_out(path, [*schema.names, *(name for name in fields if name not in schema.names)], plan)
        self.names = [self.layout.fields[place] for place in self.layout.wanted]
        wanted = pa.schema([(name, fields[name]) for name in self.names])
        try:
            empty: Any = pl.from_arrow(_pa.Table.from_batches([], wanted))  # `empty_table` would import pandas
        except (pl.exceptions.PolarsError, ValueError, TypeError) as error:
            raise UserError(f"{path}: a column has a type that cannot be read: {str(error).splitlines()[0]}") from error
        self.kinds: dict[str, pl.DataType] = dict(empty.schema)
        """Types of the columns that are read."""
        check_types(path, self.kinds, self.layout, plan)

    def parse(self, frame: pl.DataFrame, mark: int, done: int) -> Parsed:
        """Rows of a frame of the wanted columns."""
        return parse_table(frame, self.layout, self._plan, mark, done)

    def chosen(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The wanted columns of a frame that may have them inside of structs."""
        return pl.DataFrame([inner(frame, name) for name in self.names])


def inner(frame: pl.DataFrame, name: str) -> pl.Series:
    """A column by its name or its path; null where a struct around it is."""
    if name in frame.columns:
        return frame.get_column(name)
    first = next(top for top in frame.columns if name.startswith(top + ".") and isinstance(frame.schema[top], pl.Struct))
    series = frame.get_column(first)
    rest = name[len(first) + 1 :]
    return inner(pl.DataFrame([_field(series, field) for field in series.struct.fields]), rest).alias(name)


def _field(series: pl.Series, field: str) -> pl.Series:
    values = series.struct.field(field)
    return values.set(series.is_null(), None) if series.null_count() and not isinstance(values.dtype, pl.Struct) else values


def paths(frame: pl.DataFrame) -> list[str]:
    """Names of a frame's columns, and of fields inside of structs by their paths."""
    return list(dict.fromkeys([*frame.columns, *_inside("", dict(frame.schema))]))


def _inside(above: str, kinds: dict[str, Any]) -> list[str]:
    names = []
    for name, kind in kinds.items():
        if isinstance(kind, pl.Struct):
            names += _inside(f"{above}{name}.", {field.name: field.dtype for field in kind.fields})
        elif above:
            names.append(above + name)
    return names


def _leaves(schema: Any, above: str = "") -> list[tuple[str, Any]]:
    """Fields by their paths, outer ones first where two have one."""
    found: dict[str, Any] = {}
    structs = []
    for field in schema:
        found.setdefault(above + field.name, field.type)
        if pa.types.is_struct(field.type):
            structs.append(field)
    for field in structs:
        for path, kind in _leaves(field.type, f"{above}{field.name}."):
            found.setdefault(path, kind)
    return list(found.items())
