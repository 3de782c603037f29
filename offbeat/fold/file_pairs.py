"""Pairs of files that give a key rows of the same times with different content: often two instruments under one name [R5]."""

from __future__ import annotations

from collections import Counter

import numpy as np

from offbeat.core.batch import Batch, Bools


class FilePairs:
    """What one process saw of such pairs, by numbers of their files and the key's slot."""

    def __init__(self) -> None:
        self.rows = Counter[tuple[int, int, int]]()

    def note(self, batch: Batch, conflicts: Bools) -> None:
        """Conflicts (n,): rows of the batch that are another version of a row that was accepted."""
        order = np.lexsort((batch.time_ns, batch.slots))
        slots, times, files, wrong = batch.slots[order], batch.time_ns[order], batch.files[order], conflicts[order]
        same = (slots[1:] == slots[:-1]) & (times[1:] == times[:-1]) & (files[1:] != files[:-1]) & (wrong[1:] | wrong[:-1])
        here = np.flatnonzero(same)
        low, high = np.minimum(files[here], files[here + 1]), np.maximum(files[here], files[here + 1])
        self.rows.update(zip(low.tolist(), high.tolist(), slots[here].tolist(), strict=True))
