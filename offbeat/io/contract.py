"""What a source hands over and what a sink accepts: the contract between an engine and what it reads from and writes to.

An engine commits in this order: it calls `commit` on every sink, then stores one document that holds the position in the source, the state
of the fold, and the positions that the sinks returned. The document is replaced in one step. A live run may commit its sinks several times
before it stores the next document. So a crash leaves the sinks either where the stored document says, or some commits ahead of it; at
the next start the rows after the stored position are read and judged again, and give the very same alerts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    """Rows, in an order that is the same every time.

    `chunks` runs on a thread of its own. `done_bytes` and `close` may be called from another one meanwhile. All else happens before
    `chunks` begins or after it ends.
    """

    @property
    def files(self) -> Sequence[str]:
        """Names of what is read: files, or whatever a person would look a row up in. Neither empty nor changed while rows are read.

        An alert keeps the name and the number of its row; a restart recognises what it knows by these names.
        """

    @property
    def headers(self) -> Sequence[str | None]:
        """For each of `files`: its line of column names as it stands there; None where rows need none to be read again."""

    @property
    def notes(self) -> Sequence[str]:
        """What the report must say, one line each: what was left out and why. May grow until `chunks` ends."""

    @property
    def live(self) -> bool:
        """Whether the source goes on as long as it is asked to: then every chunk is judged and committed as soon as it comes.

        While it waits, it hands over a chunk without rows about once a second; between chunks the engine sees that it should stop.
        """

    def size_bytes(self) -> int | None:
        """Bytes to read in all, for the display of progress; None where that is not known."""

    def done_bytes(self) -> int:
        """Bytes read so far."""

    def chunks(self, start: Position | None) -> Iterator[Chunk]:
        """All rows after the place `start`, or from the beginning (None). `start` is the `Chunk.position` of an earlier chunk, perhaps
        of another process, after a way through JSON.

        The same rows come in the same order with the same values, file names and row numbers, from whatever place; only how they are cut
        into chunks is free. Each row comes once. One that cannot be read is handed over with a fault and its original text: it goes to
        quarantine and is counted. Raises UserError, one line, for what a person can put right, such as a place that is no longer there.
        """

    def close(self) -> None:
        """Stop and let go of everything; may come at any time, and more than once."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What a sink is told when it is opened."""

    name: str
    """The output as a person wrote it, without a password: for messages."""
    position: Position | None
    """What the stored document holds of this output: the value of an earlier `commit`, after a way through JSON. None where nothing is
    stored: then a first run begins, or one that died before its first document was stored."""
    bounded: bool
    """Whether this run keeps no document: it begins at the beginning of its input, and nobody will restart it. Its alerts should appear
    together at `close(complete=True)`, or never."""
    schema: pa.Schema
    """The alert's columns, with those of all views in `row` and `window.statistics`."""
    append: bool = False
    """Whether a person asked that what is at this output already stays there, whoever wrote it."""


class Sink(Protocol):
    """Takes alerts. All calls come from one thread.

    What holds together with the order of commits above: **each alert is there once**, wherever a run dies. A sink can keep that promise in
    one of two ways. It undoes: opened at a position, it removes everything that was written after the `commit` that returned it; with
    no position, everything that a run before left of this output. Or it replaces: what it stores is keyed by (`alert_id`, `revision`,
    `status`), or by `alert_id` with the greatest (`revision`, `status`) kept, so that alerts that come again change nothing.
    """

    def write(self, alerts: pa.Table) -> None:
        """Take a table of alerts, perhaps of no rows. Nobody else sees them before `commit`.

        The table has the columns of the alert's schema; only the fields of `row` and of `window.statistics` differ between views. An alert
        on a window may come several times: the greatest `revision` counts, and of one revision the last `status` in the order early,
        provisional, final, retracted.
        """

    def commit(self) -> Position:
        """Make everything written so far visible, and durable: it survives a power cut once this returns.

        Returns what `Opening.position` will hold after a restart: a small dict that JSON can carry, {} where none is needed. Comes also
        without alerts since the last one.
        """

    def close(self, complete: bool) -> None:
        """The end; may come more than once. `complete`: commit what is left. Else: take back what was not committed, and leave what was.

        Where `write` or `commit` raised, nothing may count as written any more: later calls raise again, and `close(False)` follows.
        """
