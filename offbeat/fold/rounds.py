"""A batch in rounds: in a round no key's model changes, between two rounds some do [S14].

So every row is judged by the model that its own key's rows before it made, however the input was cut into batches, and explained by the
same.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from offbeat.core.batch import I32, I64
from offbeat.core.compiled import compiled
from offbeat.core.evidence import Evidence
from offbeat.detectors.detector import Detector, DetectorInput


class Rounds:
    """The rows of a batch by round, then by key; and what detectors explained of them, round by round."""

    def __init__(self, batch: DetectorInput, numbers: I32, *, ordered: bool) -> None:
        """numbers: of the rounds (n,); ordered: rows are sorted by round, then by key."""
        order = np.arange(len(batch))
        if not ordered:
            order = _sorted(numbers, batch.slots)
            batch, numbers = batch.take(order), numbers[order]
        ends = [0, *(np.flatnonzero(numbers[1:] != numbers[:-1]) + 1).tolist(), len(batch)]
        self.parts = [(batch.part(begin, end), order[begin:end]) for begin, end in pairwise(ends)]
        """Each round's rows, and their numbers in the batch."""
        self._rows: list[I64] = []
        self._evidence: list[list[Evidence]] = []

    def explain(self, detectors: Sequence[Detector], rows: I64, index: I64) -> None:
        """Ask the detectors for their reasons for the rows at `index` (rising) of the round judged last; `rows` are the round's."""
        if len(index):
            self._rows.append(rows[index])
            self._evidence.append([detector.explain(index) for detector in detectors])

    def evidence(self, detectors: Sequence[Detector], index: I64) -> list[Evidence]:
        """Each detector's reasons for the batch's rows at `index`, rising; those of several rounds were asked for at their time."""
        if len(self.parts) == 1:
            rows = self.parts[0][1]
            self._rows, self._evidence = [], []
            wanted = np.zeros(len(rows), np.bool_)
            wanted[index] = True
            self.explain(detectors, rows, np.flatnonzero(wanted[rows]))
        rows = np.concatenate(self._rows)
        at = np.argsort(rows)[np.searchsorted(np.sort(rows), index)]
        found = [Evidence.joined(parts) for parts in zip(*self._evidence, strict=True)]
        return found if len(rows) == len(index) and not (at[1:] < at[:-1]).any() else [each.take(at) for each in found]


def rounds_of(batch: DetectorInput, cuts: Sequence[I32]) -> Rounds | None:
    """The rounds of a batch; None if it is a single round. `cuts` are the results of `Detector.cuts` that are not None."""
    # Those that are trained at the same time give the same array.
    different = list({id(cut): cut for cut in cuts}.values())
    numbers = sum(different[1:], start=different[0])
    ordered, changes = _in_order(numbers, batch.slots)
    return None if ordered and not changes else Rounds(batch, numbers, ordered=ordered)


@compiled
def _in_order(rounds: I32, slots: I32) -> tuple[bool, bool]:
    """Whether rows are sorted by round, then by key, as those of a single key always are; and whether there is more than one round."""
    ordered, changes = True, False
    for i in range(1, len(rounds)):
        ordered = ordered and (rounds[i] > rounds[i - 1] or (rounds[i] == rounds[i - 1] and slots[i] >= slots[i - 1]))
        changes = changes or rounds[i] != rounds[i - 1]
    return ordered, changes


def _sorted(rounds: I32, slots: I32) -> I64:
    """Rows by round, then by key, then as they stand."""
    place = rounds.astype(np.int64) * (int(slots.max(initial=0)) + 1) + slots
    return np.argsort(place, kind="stable")
