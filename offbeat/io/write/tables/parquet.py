"""Tables as Parquet: TABLE/day=YYYY-MM-DD/part-0.parquet."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from offbeat.errors import UserError
from offbeat.io.write.atomic_file import PARTIAL, StagedFile, cannot_write, sync_folder
from offbeat.io.write.tables.sink import Folder, check_shape

PART = "part-0.parquet"
_DAY = "day="
_REPEATED = ("start", "level")
"""Columns of few values; a dictionary of the others would cost time and gain nothing."""


class ParquetTables:
    """A `TableSink` of folders partitioned by day. A day is one file, written beside its place and renamed."""

    def __init__(self, uri: str, schemas: Mapping[str, pa.Schema]) -> None:
        self._folder = Folder(uri, delta=False)
        try:
            self._tables = {name: self._opened(name, schema) for name, schema in schemas.items()}
            self.there = {name: self._days(path) for name, path in self._tables.items()}
        except BaseException:
            self._folder.close()
            raise

    def _opened(self, name: str, schema: pa.Schema) -> Path:
        path = self._folder.table(name)
        try:
            foreign = _foreign(path)
            if foreign is not None:
                raise UserError(
                    f"cannot write table {path}: {foreign} was not written by offbeat, and readers of the folder may read it, too; "
                    "move it away, or name another folder"
                )
            for left in path.glob(f".day=*{PARTIAL}"):  # of a run that was killed
                left.unlink()
            there = next(path.glob(f"day=*/{PART}"), None)
            if there is not None:
                check_shape(path, pq.read_schema(there), schema)
        except (OSError, pa.ArrowException) as error:
            raise cannot_write(path, error if isinstance(error, OSError) else OSError(str(error).splitlines()[0])) from error
        return path

    @staticmethod
    def _days(path: Path) -> frozenset[date]:
        return frozenset(date.fromisoformat(file.parent.name.removeprefix(_DAY)) for file in path.glob(f"{_DAY}*/{PART}"))

    def write(self, table: str, day: date, rows: pa.Table) -> None:
        """Replace that day of the table; raises UserError where the system refuses, and then the old rows stay."""
        path = self._tables[table]
        place = path / f"day={day.isoformat()}"
        fresh = not place.exists()
        staged = StagedFile(place / PART, path / f".{place.name}{PARTIAL}")
        try:
            options: dict[str, Any] = {"use_dictionary": [name for name in _REPEATED if name in rows.schema.names]}
            with pq.ParquetWriter(staged.handle, rows.schema, **options) as out:
                out.write_table(rows)
            staged.publish(durable=True)
            if fresh:
                sync_folder(path)
        except OSError as error:
            staged.discard()
            raise cannot_write(place / PART, error) from error
        except BaseException:
            staged.discard()
            raise

    def close(self) -> None:
        """End of the run."""
        self._folder.close()


def _foreign(path: Path) -> str | None:
    """The first name below a table's folder that is neither hidden nor one that `ParquetTables` gives."""
    for entry in sorted(path.iterdir()):
        if _hidden(entry.name):
            continue
        if not (entry.is_dir() and _is_day(entry.name)):
            return entry.name
        for file in sorted(entry.iterdir()):
            if not _hidden(file.name) and (file.name != PART or not file.is_file()):
                return f"{entry.name}/{file.name}"
    return None


def _hidden(name: str) -> bool:
    return name.startswith((".", "_"))


def _is_day(name: str) -> bool:
    try:
        return name == f"{_DAY}{date.fromisoformat(name.removeprefix(_DAY)).isoformat()}"
    except ValueError:
        return False
