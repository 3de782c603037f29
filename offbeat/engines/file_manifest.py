"""What a run with a state has read: which rows a file had and what became of them, so that a corrected file can be told from a new one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from offbeat.core.batch import EVER, I64, NULL_INT
from offbeat.core.chunk import Chunk
from offbeat.core.ledger import Ledger


@dataclass(slots=True)
class FileRecord:
    """What was read as one: a file, or files merged because their times overlap."""

    files: dict[str, str]
    """Fingerprint → path."""
    ledger: Ledger
    """Rows in, and those of them that were late, duplicate, filtered or quarantined."""
    first_ns: int = EVER
    last_ns: int = NULL_INT
    """Times of the first and the last row that could be judged."""

    def overlaps(self, first_ns: int, last_ns: int) -> bool:
        """Whether it has rows in a range of times, its ends included."""
        return self.first_ns <= last_ns and self.last_ns >= first_ns


class FileManifest:
    """All that was read, in the order in which it was."""

    def __init__(self) -> None:
        self.all: list[FileRecord] = []

    def note(self, files: Mapping[str, str], time_ns: I64, before: Ledger, after: Ledger) -> None:
        """Rows were read from these files, fingerprint → path: their times (n,), and the shard's ledger before and after.

        Without a file they came from where nothing can be read twice.
        """
        if not files:
            return
        reading = next((r for r in reversed(self.all) if not r.files.keys().isdisjoint(files)), None)
        if reading is None:
            reading = FileRecord({}, Ledger())
            self.all.append(reading)
        reading.files |= files
        if len(time_ns):
            reading.first_ns = min(reading.first_ns, int(time_ns.min()))
            reading.last_ns = max(reading.last_ns, int(time_ns.max()))
        reading.ledger.rows_in += after.rows_in - before.rows_in
        reading.ledger.late += after.late - before.late
        reading.ledger.duplicate += after.duplicate - before.duplicate
        reading.ledger.filtered += after.filtered - before.filtered
        for reason, rows in after.quarantined.items():
            reading.ledger.quarantined[reason] += rows - before.quarantined[reason]

    def regroup(self, olds: list[FileRecord], before: Collection[str], after: Mapping[str, str]) -> None:
        """The rows of the files `before`, all of them read as `olds`, lie in the files `after` now, fingerprint → path."""
        if not olds:
            return
        first = olds[0]
        for other in olds[1:]:
            first.ledger.add(other.ledger)
            first.first_ns, first.last_ns = min(first.first_ns, other.first_ns), max(first.last_ns, other.last_ns)
            first.files |= other.files
        first.files = {name: path for name, path in first.files.items() if name not in before} | dict(after)
        self.all = [reading for reading in self.all if reading is first or reading not in olds]

    def of(self, prints: Collection[str]) -> list[FileRecord]:
        """Those of files with these fingerprints."""
        return [reading for reading in self.all if not reading.files.keys().isdisjoint(prints)]

    def document(self) -> list[dict[str, Any]]:
        """State, as JSON."""
        return [{"files": r.files, "ledger": r.ledger.as_dict(), "first_ns": r.first_ns, "last_ns": r.last_ns} for r in self.all]

    def restore(self, document: list[dict[str, Any]]) -> None:
        """Take over what `document` gave."""
        self.all = [FileRecord(r["files"], Ledger.from_dict(r["ledger"]), r["first_ns"], r["last_ns"]) for r in document]


def rows_by_file(chunk: Chunk) -> dict[int, int]:
    """How many of a chunk's rows each file has, by their numbers; the first file of what is read as one is always there."""
    if chunk.files is None:
        return {chunk.file: chunk.frame.height}
    rows = np.bincount(chunk.files)
    return {chunk.file: 0} | {place: int(rows[place]) for place in np.flatnonzero(rows).tolist()}


def counted(ledger: Ledger) -> Ledger:
    """A copy, for `note`."""
    copy = Ledger()
    copy.add(ledger)
    return copy
