"""Tables of a run: where they are written, a day at a time."""

from __future__ import annotations

import fcntl
import os
from datetime import date
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from offbeat.errors import UserError
from offbeat.io.write.arrow_arrays import fields_of
from offbeat.io.write.atomic_file import cannot_write

DELTA = "delta:"
_LOG = "_delta_log"


class TableSink(Protocol):
    """Takes the rows of whole days."""

    there: dict[str, frozenset[date]]
    """By table: the days that were there when it was opened."""

    def write(self, table: str, day: date, rows: pa.Table) -> None:
        """Replace that day of the table in one step: a reader, and whoever comes after a crash, finds either the old rows or these."""

    def close(self) -> None: ...


class Folder:
    """A folder of tables, taken for this process until `close`. Raises UserError where tables cannot be written there."""

    def __init__(self, uri: str, *, delta: bool) -> None:
        self.path = Path(uri.removeprefix(DELTA))
        self._delta = delta
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except (FileExistsError, NotADirectoryError):
            raise UserError(f"cannot write tables to {self.path}: it is, or lies in, a file; name a folder") from None
        except OSError as error:
            raise cannot_write(self.path, error) from error
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise UserError(f"cannot write tables to {self.path}: another run is writing there") from None

    def table(self, name: str) -> Path:
        """The folder of one table. Raises UserError where something else stands in its place."""
        path = self.path / name
        if path.exists() and not path.is_dir():
            raise UserError(f"cannot write table {path}: there is a file of that name; move it or name another folder")
        if not self._delta and (path / _LOG).exists():
            raise UserError(f"cannot write table {path}: it is a Delta table; write to {DELTA}{self.path}, or name another folder")
        if self._delta and path.exists() and not (path / _LOG).exists() and any(path.iterdir()):
            raise UserError(f"cannot write table {path}: the folder is neither empty nor a Delta table; name another folder")
        try:
            path.mkdir(exist_ok=True)
        except OSError as error:
            raise cannot_write(path, error) from error
        if not os.access(path, os.W_OK | os.X_OK):
            raise UserError(f"cannot write {path}: Permission denied")
        return path

    def close(self) -> None:
        """Let others write here."""
        os.close(self._handle)


def check_shape(path: Path, found: pa.Schema, wanted: pa.Schema) -> None:
    """Raise UserError where a table that is there has other columns than what would be written."""
    if _shape(found) != _shape(wanted):
        lacks = [name for name in wanted.names if name not in found.names] + [name for name in found.names if name not in wanted.names]
        what = f"other columns ({', '.join(lacks)})" if lacks else "the same columns in another order or of other types"
        raise UserError(f"cannot write table {path}: the table there has {what}; remove it, or name another folder")


def _shape(schema: pa.Schema) -> list[object]:
    return [(field.name, _kind(field.type)) for field in schema]


def _kind(kind: pa.DataType) -> object:
    """A type without the names that formats give to the elements of lists."""
    if pa.types.is_list(kind):
        return [_kind(kind.value_type)]
    if pa.types.is_struct(kind):
        return [(child.name, _kind(child.type)) for child in fields_of(kind)]
    return str(kind)
