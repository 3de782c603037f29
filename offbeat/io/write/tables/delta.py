"""Tables as Delta tables, partitioned by `day`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from importlib import import_module
from typing import Any

import pyarrow as pa

from offbeat.errors import UserError
from offbeat.io.write.tables.sink import Folder, check_shape

_DAY = pa.field("day", pa.date32())


class DeltaTables:
    """A `TableSink` of Delta tables: a day is replaced by one commit to the table's log."""

    def __init__(self, uri: str, schemas: Mapping[str, pa.Schema]) -> None:
        # Takes a third of a second, which only those pay who write Delta tables.
        self._delta: Any = import_module("deltalake")
        self._refusals: tuple[type[Exception], ...] = (self._delta.exceptions.DeltaError, OSError)
        self._folder = Folder(uri, delta=True)
        self._tables: dict[str, Any] = {}
        self.there: dict[str, frozenset[date]] = {}
        try:
            for name, schema in schemas.items():
                self._tables[name] = self._opened(name, schema.append(_DAY))
                # The log has been read by now, so this reads nothing more.
                days = (values[_DAY.name] for values in self._tables[name].partitions())
                self.there[name] = frozenset(date.fromisoformat(day) for day in days if day)
        except BaseException:
            self._folder.close()
            raise

    def _opened(self, name: str, schema: pa.Schema) -> Any:
        path, delta = self._folder.table(name), self._delta.DeltaTable
        try:
            if not delta.is_deltatable(str(path)):
                return delta.create(str(path), schema, partition_by=[_DAY.name])
            table = delta(str(path))
            check_shape(path, pa.schema(table.schema().to_arrow()), schema)
            if table.metadata().partition_columns != [_DAY.name]:
                raise UserError(f"cannot write table {path}: it is not partitioned by {_DAY.name}; name another folder")
        except self._refusals as error:
            raise _refused(str(path), error) from error
        return table

    def write(self, table: str, day: date, rows: pa.Table) -> None:
        """Replace that day of the table; raises UserError where the system refuses, and then the old rows stay."""
        days = pa.repeat(pa.scalar(day, _DAY.type), rows.num_rows)
        try:
            self._delta.write_deltalake(
                self._tables[table],
                rows.append_column(_DAY, days),
                mode="overwrite",
                predicate=f"{_DAY.name} = '{day.isoformat()}'",
            )
        except self._refusals as error:
            raise _refused(f"{self._folder.path / table}", error) from error

    def close(self) -> None:
        """End of the run."""
        self._folder.close()


def _refused(path: str, error: Exception) -> UserError:
    return UserError(f"cannot write table {path}: {' '.join(str(error).split())}")
