"""Tables to Parquet: one file for a run that goes from end to end, a folder of committed parts for one that may be continued (S24)."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from offbeat.core.chunk import Position
from offbeat.errors import UserError
from offbeat.io.write.arrow_arrays import fields_of
from offbeat.io.write.atomic_file import StagedFile, cannot_write
from offbeat.io.write.part_folder import Part, PartFolder, part_name
from offbeat.io.write.schema_union import fitted, widened

GROUP_ROWS = 1 << 17
"""Greatest number of rows in a row group."""
_ENOUGH_ROWS = 1 << 15
"""Smaller tables are gathered (and so copied) until they have this many rows: tiny row groups make the file large and slow to read."""
_BEHIND = 2
"""Tables that may wait for the writing thread."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the columns of a table lie in the file. Paths are Parquet's, e.g. `detectors.list.element.name`."""

    repeated: tuple[str, ...] = ()
    """Columns stored as a dictionary and codes; for others it would cost time and gain nothing."""
    sought: tuple[str, ...] = ()
    """Columns with least and greatest value per row group, so that readers may skip groups."""
    stepwise: tuple[str, ...] = ()
    """Columns of integers or times stored as differences, which is smaller and cheaper than packing them."""
    random: tuple[str, ...] = ()
    """Columns that no packer makes smaller."""


ALERTS = Layout(
    repeated=(
        "status", "pipeline", "view", "key", "level", "plan_hash", "offbeat_version", "model_version",
        *(f"detectors.list.element.{name}" for name in ("name", "type", "note", "window.n")),
        *(f"detectors.list.element.{name}.list.element.feature" for name in ("contributions", "out_of_range")),
    ),
    sought=("time", "severity", "key"),
    stepwise=(
        "time", "revision", "votes", "voters", "detectors.list.element.model_version",
        *(f"{window}.{name}" for window in ("window", "detectors.list.element.window") for name in ("from", "to")), "window.n",
    ),
    random=("alert_id",),
)  # fmt: skip


def _leaves(path: str, kind: pa.DataType) -> list[str]:
    """Parquet's names of the columns that a field becomes."""
    if pa.types.is_struct(kind):
        return [leaf for child in fields_of(kind) for leaf in _leaves(f"{path}.{child.name}", child.type)]
    if pa.types.is_list(kind):
        return _leaves(f"{path}.list.element", kind.value_type)
    return [path]


class _File:
    """One Parquet file under construction; its schema may still grow."""

    def __init__(self, path: Path, schema: pa.Schema, layout: Layout, *, partial: Path | None = None, settled: bool = False) -> None:
        self.staged = StagedFile(path, partial)
        self.schema = schema
        self.settled = settled
        """Whether the types of `schema` are seen ones; expected ones give way to those of the first table."""
        self.layout = layout
        self.rows = 0
        self.writer: pq.ParquetWriter | None = None

    def _writer(self) -> pq.ParquetWriter:
        leaves = [path for field in self.schema for path in _leaves(field.name, field.type)]
        stepwise = [path for path in self.layout.stepwise if path in leaves]
        loose = {*stepwise, *self.layout.random}
        options: dict[str, Any] = {
            # Measured on 1.7 M alerts: zstd makes files 18 % smaller and takes 30 % longer.
            "compression": {path: "none" if path in loose else "snappy" for path in leaves},
            "column_encoding": dict.fromkeys(stepwise, "DELTA_BINARY_PACKED") or None,
            "use_dictionary": list(self.layout.repeated) or False,
            "write_statistics": list(self.layout.sought) or False,
            "store_schema": False,  # dictionaries are ours alone: everybody reads plain text
        }
        return pq.ParquetWriter(self.staged.handle, self.schema, **options)

    def write(self, table: pa.Table) -> None:
        wide = widened(self.schema, table.schema, other_wins=not self.settled)
        self.settled = True
        if self.writer is None:
            self.schema = wide
            self.writer = self._writer()
        elif not wide.equals(self.schema):
            self.writer = self._copy(self.writer, wide)
        self.writer.write_table(fitted(table, self.schema), row_group_size=GROUP_ROWS)
        self.rows += table.num_rows

    def _copy(self, writer: pq.ParquetWriter, schema: pa.Schema) -> pq.ParquetWriter:
        """A view with other columns joined: what is written is copied under the wider schema."""
        writer.close()
        with self.staged.restart() as old, pq.ParquetFile(old) as source:
            self.schema = schema
            writer = self._writer()
            for group in range(source.num_row_groups):
                writer.write_table(fitted(source.read_row_group(group), schema), row_group_size=GROUP_ROWS)
        return writer

    def take_over(self, path: Path) -> None:
        """Begin with the rows of a file that is there."""
        with pq.ParquetFile(path) as old:
            for group in range(old.num_row_groups):
                self.write(old.read_row_group(group))

    def rename(self, path: Path) -> None:
        """Let it become another file than was thought when it was begun."""
        self.staged.path = path

    def publish(self, *, durable: bool) -> None:
        writer = self.writer or self._writer()
        writer.close()
        self.staged.publish(durable=durable)

    def discard(self) -> None:
        self.staged.discard()
        if self.writer is not None:
            with contextlib.suppress(Exception):  # it would write its footer into the closed file
                self.writer.close()


class ParquetSink:
    """A `Sink` of tables of one schema or of schemas that `shape.widened` can merge.

    `bounded`: one file, which gets its name at `close(complete=True)`; with `append` the rows of the file that is there come first.
    Otherwise a folder of parts, one for each commit that had rows (see `PartFolder`, also for `append` and `whole`); many small parts are
    merged once no stored state asks for less. Raises UserError for whatever a person can put right.
    """

    def __init__(
        self,
        path: Path,
        position: Position | None,
        *,
        bounded: bool,
        schema: pa.Schema,
        layout: Layout = ALERTS,
        append: bool = False,
        whole: bool = False,
    ) -> None:
        self._path = path
        self._schema = schema
        self._layout = layout
        self._folder: PartFolder | None = None
        self._file: _File | None = None
        self._stored = [0, 0]
        """Commits that the last stored state has, and those of the one before it, which a run may have to go back to."""
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self._settled = False
        self._closed = False
        self._refused: UserError | None = None
        """The first failure: from then on nothing may count as written."""
        try:
            if bounded and not (append and path.is_dir()):
                self._file = _File(path, schema, layout)
                if append and path.is_file():
                    self._file.take_over(path)
            else:
                self._folder = PartFolder(path, position, append=append, whole=whole)
        except OSError as error:
            raise cannot_write(path, error) from error
        # Encoding holds no interpreter lock, so it runs beside the fold of the next batch.
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="parquet")
        self._jobs: deque[Future[None]] = deque()

    @property
    def notes(self) -> list[str]:
        """What a person has to know about the folder; may grow with each commit."""
        return self._folder.notes if self._folder is not None else []

    def write(self, alerts: pa.Table) -> None:
        """Take a table; it reaches the disk later."""
        if not alerts.num_rows:
            return
        self._waiting.append(alerts)
        self._waiting_rows += alerts.num_rows
        if self._waiting_rows >= _ENOUGH_ROWS:
            self._send()

    def commit(self) -> Position:
        """Folder: everything written so far becomes a part, on disk and under its name. Bounded file: only its rows are counted."""
        self._drain()
        if self._folder is None:
            return {"rows": self._file.rows if self._file else 0}
        try:
            if self._file is not None:
                self._folder.follow()
                self._file.rename(self._folder.path / part_name(self._folder.parts + 1))
                self._file.publish(durable=True)
                self._file = None
                self._folder.parts += 1
        except OSError as error:
            raise self._fail(error) from error
        return self._folder.position()

    def stored(self) -> None:
        """The position that the last `commit` returned is stored: small parts may be merged, as far as two states know of them."""
        if self._folder is None:
            return
        self._stored = [self._folder.parts, self._stored[0]]
        try:
            while parts := self._folder.to_merge(self._stored[1]):
                self._merge(self._folder, parts)
        except OSError as error:
            raise self._fail(error) from error

    def _merge(self, folder: PartFolder, parts: Sequence[Part]) -> None:
        name = part_name(parts[0].first, parts[-1].last)
        merged = _File(folder.path / name, self._schema, self._layout, partial=folder.partial(name), settled=self._settled)
        try:
            schema = reduce(widened, [pq.read_schema(part.path) for part in parts])
            rows: list[pa.Table] = []
            for part in parts:
                with pq.ParquetFile(part.path) as opened:
                    rows.append(fitted(opened.read(), schema))
                if part is parts[-1] or sum(table.num_rows for table in rows) >= _ENOUGH_ROWS:
                    merged.write(pa.concat_tables(rows).combine_chunks())
                    rows = []
            merged.publish(durable=True)
        except BaseException:
            merged.discard()
            raise
        folder.replace(parts)

    def close(self, complete: bool) -> None:
        """End: a bounded file gets its name if the run is `complete` and is removed if not; a folder keeps what was committed."""
        if self._closed:
            return
        try:
            if complete:
                self.commit()
                if self._folder is None and self._file is not None:
                    try:
                        self._file.publish(durable=False)
                    except OSError as error:
                        raise cannot_write(self._path, error) from error
                    self._file = None
        finally:
            self._closed = True
            self._worker.shutdown(wait=True, cancel_futures=True)
            self._discard()
            if self._folder is not None:
                self._folder.close()

    def _send(self) -> None:
        tables, self._waiting, self._waiting_rows = self._waiting, [], 0
        while len(self._jobs) >= _BEHIND:
            self._settle(self._jobs.popleft())
        self._jobs.append(self._worker.submit(self._encode, tables))

    def _drain(self) -> None:
        if self._waiting:
            self._send()
        while self._jobs:
            self._settle(self._jobs.popleft())
        if self._refused is not None:
            raise self._refused

    def _settle(self, job: Future[None]) -> None:
        try:
            job.result()
        except OSError as error:
            raise self._fail(error) from error

    def _encode(self, tables: list[pa.Table]) -> None:
        """In the worker: tables of like schema are joined, then written."""
        while tables and self._refused is None:
            schema = tables[0].schema
            count = next((i for i, t in enumerate(tables) if not t.schema.equals(schema)), len(tables))
            table = pa.concat_tables(tables[:count]).combine_chunks() if count > 1 else tables[0]
            del tables[:count]
            try:
                if self._file is None:
                    self._file = self._part()
                self._file.write(table)
            except OSError as error:
                self._fail(error)  # before the next table is taken up
                self._discard()
                raise
            self._schema, self._settled = self._file.schema, True

    def _part(self) -> _File:
        """The file of the next commit."""
        if self._folder is None:
            raise TypeError("a bounded file is opened once")
        name = part_name(self._folder.parts + 1)
        partial = self._folder.partial(name)
        return _File(self._folder.path / name, self._schema, self._layout, partial=partial, settled=self._settled)

    def _fail(self, error: OSError) -> UserError:
        self._refused = self._refused or cannot_write(self._path, error)
        return self._refused

    def _discard(self) -> None:
        if self._file is not None:
            self._file.discard()
            self._file = None
