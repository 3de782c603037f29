"""Alerts as JSON lines: the record of the Contract, one compact object a line."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, cast

import polars as pl
import pyarrow as pa

from offbeat.core.chunk import Position
from offbeat.errors import UserError
from offbeat.io.write.append_file import AppendFile
from offbeat.io.write.arrow_arrays import whole as whole_array
from offbeat.io.write.atomic_file import StagedFile, cannot_write, is_stream
from offbeat.io.write.rfc_3339 import spelled

_SLICE = 20_000
"""Rows turned into text at a time: about 20 MB of it."""
_FEW = 500
"""Rows that are not worth a thread."""
_BEHIND = 4
"""Slices that may be on their way to text: what the threads may hold in memory."""
_HELD = 32 << 20
"""Bytes that wait for a commit in memory; more of them wait in a file without a name beside the output."""
_COPIED = 1 << 20
"""Bytes of them that are appended at a time."""


def json_lines(alerts: pa.Table) -> bytes:
    """The table's rows as JSON lines, each ended by a line feed; times as RFC 3339 with nine digits and `Z`."""
    columns = [spelled(whole_array(column)) for column in alerts.columns]
    text = io.BytesIO()
    pl.DataFrame(pa.Table.from_arrays(columns, alerts.column_names)).write_ndjson(text)
    return text.getvalue()


class JsonlSink:
    """A `Sink` of JSON lines.

    `bounded`: written under another name, renamed at `close(complete=True)`, removed otherwise. Else each commit appends its lines to the
    file itself (see `AppendFile`, also for `append` and `whole`), and a restart at a position cuts off what came after it, so that no line
    is lost or doubled. Pipes, devices and standard output (`-`) take lines as they come and cannot be cut. Raises UserError for whatever
    a person can put right.
    """

    def __init__(self, path: Path, position: Position | None, *, bounded: bool, append: bool = False, whole: bool = False) -> None:
        self._path = path
        self.notes: list[str] = []
        """What a person has to know about the file; may grow with each commit."""
        self._staged: StagedFile | None = None
        self._file: AppendFile | None = None
        self._held: IO[bytes] | None = None
        """Lines that wait for the commit that appends them; None where they are written as they come."""
        self._handle: IO[bytes] | None = None
        self._length = 0
        self._closed = False
        try:
            if str(path) == "-":
                self._handle = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
            elif is_stream(path):
                self._handle = path.open("wb", buffering=0)
            elif bounded and not append:
                self._staged = StagedFile(path)
                self._handle = self._staged.handle
            else:
                self._file = AppendFile(path, position, append=append, whole=whole)
                self.notes = self._file.notes
                self._held = _waiting_room(self._file.folder)
        except OSError as error:
            raise cannot_write(path, error) from error
        self._refused: UserError | None = None
        """The first failure: from then on nothing may count as written."""
        self._threads: ThreadPoolExecutor | None = None
        self._jobs: deque[Future[bytes]] = deque()

    def write(self, alerts: pa.Table) -> None:
        """Write the table's rows; they count as delivered from the next `commit`."""
        if alerts.num_rows <= _FEW and not self._jobs:
            if alerts.num_rows:
                self._hold(json_lines(alerts))
            return
        if self._threads is None:  # making text holds no interpreter lock, so it runs on other cores while the run goes on
            self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="jsonl")
        for start in range(0, alerts.num_rows, _SLICE):
            while len(self._jobs) >= _BEHIND:
                self._hold(self._jobs.popleft().result())
            self._jobs.append(self._threads.submit(json_lines, alerts.slice(start, _SLICE)))

    def commit(self) -> Position:
        """Put everything written so far on the disk; {"bytes": its length} and what stands before that."""
        while self._jobs:
            self._hold(self._jobs.popleft().result())
        if self._refused is not None:
            raise self._refused
        if self._file is None or self._held is None:
            return {"bytes": self._length}
        try:
            self._file.follow()
            self._held.seek(0)
            while data := self._held.read(_COPIED):
                self._put(data)
            self._held.seek(0)
            self._held.truncate()
            return self._file.settle()
        except OSError as error:
            raise self._fail(error) from error

    def close(self, complete: bool) -> None:
        """End: a bounded file gets its name if the run is `complete`, else it is removed; lines never committed are taken back."""
        if self._closed:
            return
        try:
            if complete:
                self.commit()
                if self._staged is not None:
                    self._staged.publish(durable=False)
                    self._staged = None
        except OSError as error:
            raise cannot_write(self._path, error) from error
        finally:
            if self._threads is not None:
                self._threads.shutdown(wait=True, cancel_futures=True)
            self._give_up()
            self._closed = True
            for handle in (self._handle, self._held, self._file):
                if handle is not None:
                    with contextlib.suppress(OSError):
                        handle.close()

    def _hold(self, data: bytes) -> None:
        if self._refused is not None:
            raise self._refused
        try:
            if self._held is not None:
                self._held.write(data)
            else:
                self._put(data)
        except OSError as error:
            raise self._fail(error) from error

    def _put(self, data: bytes) -> None:
        if self._file is not None:
            self._file.append(data)
        elif self._handle is not None:
            rest = memoryview(data)
            while rest:
                rest = rest[self._handle.write(rest) :]
        self._length += len(data)

    def _fail(self, error: OSError) -> UserError:
        self._give_up()
        self._refused = cannot_write(self._path, error)
        return self._refused

    def _give_up(self) -> None:
        """Leave nothing behind that was not committed."""
        if self._closed:
            return
        if self._staged is not None:
            self._staged.discard()
            self._staged = None
        elif self._file is not None:
            self._file.take_back()


def _waiting_room(folder: Path) -> IO[bytes]:
    return cast("IO[bytes]", SpooledTemporaryFile(_HELD, "w+b", dir=str(folder) if os.access(folder, os.W_OK) else None))
