"""Which files late rows come from, how late they are, and whether a file runs backwards: for the report of a run [R7]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offbeat.core.batch import I64, Batch

_MANY = 0.01
"""Share of late rows in a batch from which on the direction of its files is looked at."""


@dataclass(slots=True)
class Lateness:
    """Late rows of one file."""

    rows: int = 0
    behind_ns: int = 0
    """Most that one lay behind the greatest time of its key."""
    back: int = 0
    forth: int = 0
    """Steps from row to row of a key to an earlier and to a later time, in batches with many late rows."""

    def add(self, other: Lateness) -> None:
        """Add what another shard saw of the file."""
        self.rows += other.rows
        self.behind_ns = max(self.behind_ns, other.behind_ns)
        self.back += other.back
        self.forth += other.forth

    @property
    def backwards(self) -> bool:
        """Whether the file has its newest rows first."""
        return self.back > 9 * self.forth


class LateFiles:
    """What one process saw of late rows, by number of their file."""

    def __init__(self) -> None:
        self.by_file: dict[int, Lateness] = {}

    def note(self, batch: Batch, late: I64, behind_ns: I64) -> None:
        """Rows `late` (m,) of a batch were late; behind_ns (m,): how far they lay behind their key's greatest time."""
        files = batch.files[late]
        for file in np.unique(files).tolist():
            here = files == file
            of = self.by_file.setdefault(file, Lateness())
            of.rows += int(here.sum())
            of.behind_ns = max(of.behind_ns, int(behind_ns[here].max()))
        if len(late) > _MANY * len(batch):
            self._directions(batch)

    def _directions(self, batch: Batch) -> None:
        order = np.lexsort((batch.slots, batch.files))  # stable: rows of a file and key stay in their order
        files, slots, times = batch.files[order], batch.slots[order], batch.time_ns[order]
        same = (files[1:] == files[:-1]) & (slots[1:] == slots[:-1])
        steps = np.sign(times[1:] - times[:-1])
        for file in np.unique(files).tolist():
            here = same & (files[1:] == file)
            of = self.by_file.setdefault(file, Lateness())
            of.back += int((steps[here] < 0).sum())
            of.forth += int((steps[here] > 0).sum())

    def add_to(self, all_files: dict[int, Lateness]) -> None:
        """Add these files to those of other shards."""
        for file, of in self.by_file.items():
            all_files.setdefault(file, Lateness()).add(of)

