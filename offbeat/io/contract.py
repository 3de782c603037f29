"""What a source hands over and what a sink accepts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from offbeat.core.chunk import Chunk, Position


@dataclass(frozen=True, slots=True)
class Arrival:
    """A file that no earlier run has read, or not with this content."""

    path: str
    fingerprint: str
    """'' where nothing is to be read: the file is empty, or has the content of another one."""
    replaces: tuple[str, ...]
    """Fingerprints of what was read at this path before and is here no longer, under no name."""
    first_ns: int
    last_ns: int
    """Times of its first and last row; NULL_INT both where it has none."""


class Source(Protocol):
    """Rows in the order of S2."""

    files: list[str]
    """Names of what is read, in a stable order."""
    headers: list[str | None]
    """Per file: its line of column names as it stands there, None where rows need none; known before `chunks` gives its rows."""
    notes: list[str]
    """What the report must say: files left out as delivered before, empty files …"""

    def size_bytes(self) -> int | None:
        """Bytes to read in all, for progress; None when not known (stdin)."""

    def done_bytes(self) -> int:
        """Bytes read so far."""

    def chunks(self, start: Position | None) -> Iterator[Chunk]:
        """Rows after `start` (None: from the beginning)."""

    def close(self) -> None: ...


class Sink(Protocol):
    """Takes alerts; nothing is visible as delivered before `commit`."""

    def write(self, alerts: pa.Table) -> None: ...

    def commit(self) -> Position:
        """Make everything written so far durable; returns what a restart needs."""

    def close(self, complete: bool) -> None:
        """End of the run; `complete` says whether the input was read to its end."""
