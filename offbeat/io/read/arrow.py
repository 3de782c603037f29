"""Arrow IPC files (also called Feather) and streams, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from offbeat.core.plan import SourcePlan
from offbeat.errors import UserError
from offbeat.io.read.files import InputFile
from offbeat.io.read.parse_columns import Parsed
from offbeat.io.read.table_file import TableColumns

_FILE_MAGIC = b"ARROW1"
_ipc: Any = import_module("pyarrow.ipc")


def schema_of(path: str) -> Any:
    """The schema of a file or stream. Raises what Arrow raises."""
    with Path(path).open("rb") as raw:
        whole = raw.read(len(_FILE_MAGIC)) == _FILE_MAGIC
    with pa.memory_map(path) as source:
        return (_ipc.open_file(source) if whole else _ipc.open_stream(source)).schema


class ArrowReader:
    """Reads one Arrow file; `Parsed.mark` counts rows."""

    header = None

    def __init__(self, file: InputFile, plan: SourcePlan, rows: int) -> None:
        """Reads the schema only. rows: most rows of a block.

        Raises UserError if the file is no (whole) Arrow file, lacks a column, or has one of a wrong type.
        """
        self._file, self._rows = file, rows
        with self._mapped() as source:
            self._columns = TableColumns(file.path, self._opened(source).schema, plan)
        self.layout = self._columns.layout

    def _mapped(self) -> Any:
        try:
            return pa.memory_map(self._file.path) if self._file.size else pa.BufferReader(b"")
        except OSError as error:
            raise UserError(f"{self._file.path}: cannot be read: {error.strerror or error}") from error

    def _opened(self, source: Any) -> Any:
        try:
            with Path(self._file.path).open("rb") as raw:
                whole = raw.read(len(_FILE_MAGIC)) == _FILE_MAGIC
            return _ipc.open_file(source) if whole else _ipc.open_stream(source)
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> UserError:
        return UserError(f"{self._file.path}: not a complete Arrow file ({str(error).splitlines()[0][:120]}); fetch or write it again")

    def statistics(self) -> None:
        """Arrow files have none."""

    def _batches(self, opened: Any) -> Iterator[Any]:
        count = getattr(opened, "num_record_batches", None)
        try:
            if count is None:
                yield from opened
            else:
                for number in range(count):
                    yield opened.get_batch(number)
        except (pa.ArrowException, OSError) as error:
            raise self._damaged(error) from error

    def blocks(self, mark: int = 0) -> Iterator[Callable[[], Parsed]]:
        """Work to be done for each batch of rows after the first `mark`."""
        at = 0
        with self._mapped() as source:
            for batch in self._batches(self._opened(source)):
                for first in range(0, batch.num_rows, self._rows):
                    part = batch.slice(first, self._rows)
                    end = at + part.num_rows
                    if end > mark:
                        yield partial(self._parse, part.slice(max(mark - at, 0)), end, min(source.tell(), self._file.size))
                    at = end

    def _parse(self, batch: pa.RecordBatch, mark: int, done: int) -> Parsed:
        return self._columns.parse(self._columns.chosen(pl.DataFrame(batch)), mark, done)
