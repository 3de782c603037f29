"""Tables in memory (Polars, pandas, Arrow, NumPy-backed dicts of columns) as a source, for notebooks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from offbeat.core.batch import I64, NULL_INT
from offbeat.core.chunk import Chunk, Position
from offbeat.core.plan import SourcePlan
from offbeat.errors import UserError
from offbeat.io.read.ambiguous_times import RowBefore
from offbeat.io.read.layout import has_column, lay_out
from offbeat.io.read.local_times import settle, zone_of
from offbeat.io.read.parse_table import check_types, parse_table, table_times
from offbeat.io.read.readers import zone_note
from offbeat.io.read.row_tables import readable_times
from offbeat.io.read.table_file import inner, paths
from offbeat.quality.row_filter import RowFilter

ROWS = 1 << 17
"""Rows of a chunk."""

_KEY = ("key", "symbol")


def to_polars(table: Any) -> pl.DataFrame:
    """A Polars frame (or lazy one), Arrow table, pandas frame or dict of columns as a Polars frame. Raises UserError for anything else."""
    if isinstance(table, pl.DataFrame):
        return table
    if isinstance(table, pl.LazyFrame):
        return table.collect()
    try:
        if isinstance(table, pa.Table | pa.RecordBatch):
            return pl.DataFrame(table)
        if isinstance(table, dict):
            return pl.DataFrame(table)
        if hasattr(table, "iloc") and hasattr(table, "columns"):
            # An index with a name is a column that pandas keeps apart.
            named = table.reset_index() if any(name is not None for name in table.index.names) else table
            converted: pl.DataFrame = pl.from_pandas(named, nan_to_null=False)
            return converted
        if hasattr(table, "__arrow_c_stream__"):
            return pl.DataFrame(table)
    except (pa.ArrowException, pl.exceptions.PolarsError, TypeError, ValueError) as error:
        raise UserError(f"the table cannot be read: {str(error).splitlines()[0]}") from error
    raise UserError(f"a source must be a path or a table (Polars, pandas, Arrow, dict of columns), not {type(table).__name__}")


class FrameSource:
    """Rows of one table in its order as a `Source`."""

    def __init__(self, plan: SourcePlan, table: Any, name: str = "table", rows: int = ROWS) -> None:
        """rows: rows of a chunk. Raises UserError if a column is missing or of a wrong type.

        Where the plan draws the key from the file's name, the table has it in a column `key` or `symbol`; without one it is `name`.
        """
        zone_of(plan.time.zone)
        frame = to_polars(table)
        names = paths(frame)
        self.files = [name]
        self.headers: list[str | None] = [None]
        self.notes: list[str] = []
        self.live = False
        self._key: str | None = None
        if plan.key_pattern and not has_column(names, plan.key_column):
            plan = replace(plan, key_column=())
        if not plan.key_column:
            here = next((k for k in _KEY if k in names), None)
            self._key = None if here else name
        self._plan = plan
        self._rows = rows
        keyed = plan if plan.key_column or self._key else with_key(plan)
        self._layout = lay_out(name, names, keyed)
        self._frame = pl.DataFrame([inner(frame, names[i]) for i in self._layout.wanted])
        check_types(name, dict(self._frame.schema), self._layout, plan)
        self._numbers: I64 | None = None
        """Row numbers, where rows are not in the table's own order."""
        if plan.sort:
            times = table_times(self._frame, self._layout, plan)
            if times.later is not None:
                settle(times.utc, times.later, NULL_INT)
            order = np.argsort(times.utc, kind="stable")
            self._frame, self._numbers = self._frame[order], order + 1
        self._done = 0

    def size_bytes(self) -> int | None:
        return int(self._frame.estimated_size())

    def done_bytes(self) -> int:
        return self._done

    def close(self) -> None:
        """Nothing is held open."""

    def times(self) -> Iterator[I64]:
        """See `FileSource.times`."""
        where = None if self._plan.where is None else RowFilter(self._plan.where, self._plan.columns)
        for at in range(0, len(self._frame), self._rows):
            yield readable_times(parse_table(self._frame.slice(at, self._rows), self._layout, self._plan, 0, 0), where)

    def chunks(self, start: Position | None) -> Iterator[Chunk]:
        """Rows after `start`, whose place is a row number of the same table."""
        if start is not None and "rows" not in start:
            raise UserError("the place is one in another source than a table")
        first = int(start["rows"]) if start else 0
        before = RowBefore(int(start.get("row_before", NULL_INT)) if start else NULL_INT)
        total = len(self._frame)
        for at in range(first, total, self._rows):
            part = self._frame.slice(at, self._rows)
            end = at + len(part)
            parsed = parse_table(part, self._layout, self._plan, end, end)
            if parsed.local and not at:
                self.notes.append(zone_note(self.files[0], self._plan))
            p = before.decided(parsed)
            self._done = int(self._frame.estimated_size() * end / total)
            rows = None if self._numbers is None else self._numbers[at:end]
            position = {"rows": end, "row_before": before.time_ns}
            yield Chunk(p.frame, self._key, p.keys, p.time_ns, p.faults, 0, at + 1, rows, None, p.raw, position, details=p.details)


def with_key(plan: SourcePlan) -> SourcePlan:
    """The plan for rows that have no file name to draw their key from."""
    return replace(plan, key_column=_KEY, key_pattern="")
