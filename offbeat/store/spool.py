"""Alerts that wait for their transaction: in memory, and from some size on in a file without a name."""

from __future__ import annotations

from collections.abc import Iterator
from tempfile import SpooledTemporaryFile

import pyarrow as pa

_MEMORY = 64 << 20


class Spool:
    """Tables in the order in which they came; may be read several times."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(_MEMORY, "w+b")  # noqa: SIM115 - closed by `close`
        self._ends = [0]

    def __bool__(self) -> bool:
        return len(self._ends) > 1

    def add(self, table: pa.Table) -> None:
        """Keep a table. Raises OSError where there is no room for it."""
        self._file.seek(self._ends[-1])
        with pa.ipc.new_stream(pa.PythonFile(self._file, "w"), table.schema) as stream:
            stream.write_table(table)
        self._ends.append(self._file.tell())

    def tables(self) -> Iterator[pa.Table]:
        """All of them."""
        for start, end in zip(self._ends, self._ends[1:], strict=False):
            self._file.seek(start)
            yield pa.ipc.open_stream(self._file.read(end - start)).read_all()

    def clear(self) -> None:
        """Forget all."""
        self._file.seek(0)
        self._file.truncate()
        self._ends = [0]

    def close(self) -> None:
        """Let go of the file; may come more than once."""
        self._file.close()
