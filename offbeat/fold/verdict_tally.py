"""How often each detector of a view had a verdict, and why it had none [R9].

A row without a verdict before the first verdict of its detector on its key is warming up; after that something is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import numpy.typing as npt

from offbeat.core.batch import F64, I32, I64, NULL_INT, U64, Bools
from offbeat.core.compiled import compiled
from offbeat.core.expression_program import inputs_of
from offbeat.core.ledger import DetectorCounts, ViewCounts
from offbeat.core.plan import AbsencePlan, DetectorPlan, RangePlan, RecordPlan, RulePlan, ViewPlan
from offbeat.core.rings import grown_rows
from offbeat.core.state import Arrays

_WORD = 64
_WARMING_UP, _SILENT = 1, 2
I8 = npt.NDArray[np.int8]


@compiled
def _count(
    slots: I32, time_ns: I64, score: F64, voted: Bools, judges: I64, spoke: U64, last: I64, figures: I64, silent: I8, gaps: I64
) -> int:
    """figures[d] = (verdicts, votes) of the detectors that judge; returns how many verdicts are lacking.

    silent[d, i] says whether one is, and whether row i's key had one before; gaps[i] = time since the row before of its key, where `last`
    is kept.
    """
    lacking = 0
    for i in range(len(slots)):
        s = slots[i]
        if len(last) > 0:
            gaps[i] = time_ns[i] - last[s] if last[s] != NULL_INT else NULL_INT
            last[s] = time_ns[i]
        for j in range(len(judges)):
            d = judges[j]
            word, bit = d // _WORD, np.uint64(1) << np.uint64(d % _WORD)
            if score[d, i] == score[d, i]:
                figures[d, 0] += 1
                figures[d, 1] += voted[d, i]
                spoke[s, word] |= bit
            else:
                silent[d, i] = _SILENT if spoke[s, word] & bit else _WARMING_UP
                lacking += 1
    return lacking


class VerdictTally:
    """Counts verdicts of one view's detectors; keeps for each key which of them have spoken."""

    def __init__(self, view: ViewPlan, columns: Sequence[str], judges: Sequence[int]) -> None:
        """columns: what the view's program reads, in the order of `values` in `count`; judges: numbers of the detectors that judge rows."""
        self._names = tuple(plan.name for plan in view.detectors)
        self._judges = np.array(judges, np.int64)
        place = {name: number for number, name in enumerate(columns)}
        inputs = inputs_of(view.program)
        timed = {name for w in (*view.windows, *view.backgrounds) if w.duration_ns for name in w.features}
        own = {name for w in view.backgrounds for name in w.features}
        self._read: list[list[tuple[int, str, bool]]] = []
        """By detector, what it reads: place among the values, what is said where that is null, whether it comes from a window of time."""
        for plan in view.detectors:
            names = sorted(frozenset[str]().union(*(inputs[output] for output in _outputs(plan))), key=lambda name: place[name])
            words = ("too few values in its window" if name in own else f"{name.removesuffix('@code')} is null" for name in names)
            self._read.append([(place[name], word, name in timed) for name, word in zip(names, words, strict=True)])
        self._otherwise = tuple(_otherwise(plan) for plan in view.detectors)
        self._timed = view.rollup is None and any(timed for read in self._read for _, _, timed in read)
        self._spoke: U64 = np.zeros((0, -(-len(self._names) // _WORD)), np.uint64)
        self._last: I64 = np.zeros(0, np.int64)

    def grow(self, slots: int) -> None:
        """Make room for at least so many keys."""
        self._spoke = grown_rows(self._spoke, slots)
        if self._timed:
            self._last = grown_rows(self._last, slots, NULL_INT)

    def count(
        self, counts: ViewCounts, keys: int, slots: I32, time_ns: I64, score: F64, voted: Bools, values: tuple[F64, F64]
    ) -> None:
        """Add n rows. score, voted: (d, n); values: the columns and the features of the rows, of `keys` keys in all."""
        n = len(slots)
        self.grow(keys)
        figures = np.zeros((len(self._names), 2), np.int64)
        silent, gaps = np.zeros((len(self._names), n), np.int8), np.empty(n if self._timed else 0, np.int64)
        lacking = _count(slots, time_ns, score, voted, self._judges, self._spoke, self._last, figures, silent, gaps)
        for d, (verdicts, votes) in zip(self._judges.tolist(), figures[self._judges].tolist(), strict=True):
            found = counts.detectors.setdefault(self._names[d], DetectorCounts())
            found.verdicts += verdicts
            found.votes += votes
            if lacking and silent[d].any():
                self._reasons(found, d, silent[d], gaps, values)

    def _reasons(self, counts: DetectorCounts, d: int, silent: I8, gaps: I64, values: tuple[F64, F64]) -> None:
        """Count by the first of what a detector reads that is null."""
        columns = len(values[0])
        rows = np.flatnonzero(silent)
        for word, group in groupby(self._read[d], key=lambda read: read[1]):
            null = np.zeros(len(rows), np.bool_)
            timed = False
            for place, _, of_time in group:
                null |= np.isnan(values[0][place, rows] if place < columns else values[1][place - columns, rows])
                timed = timed or of_time
            self._add(counts, word, rows[null], silent, gaps if timed else gaps[:0])
            rows = rows[~null]
        self._add(counts, self._otherwise[d], rows, silent, gaps[:0])

    def _add(self, counts: DetectorCounts, word: str, rows: I64, silent: I8, gaps: I64) -> None:
        if not len(rows):
            return
        late = rows[silent[rows] == _SILENT]
        if len(late) < len(rows):
            counts.warming_up[word] += len(rows) - len(late)
        if len(late):
            counts.none[word] += len(late)
            known = gaps[late][gaps[late] != NULL_INT] if len(gaps) else gaps
            if len(known):
                counts.nearest_ns[word] = min(int(known.min()), counts.nearest_ns.get(word, int(known.min())))

    def snapshot(self, slots: I64) -> Arrays:
        """State of the keys of some slots."""
        self.grow(int(slots.max(initial=-1)) + 1)
        return {"spoke": self._spoke[slots], "last": self._last[slots] if self._timed else self._last.copy()}

    def restore(self, arrays: Arrays, slots: int) -> None:
        """Take over a snapshot; one of a former version holds nothing, and all keys warm up anew."""
        self.grow(slots)
        if "spoke" in arrays and arrays["spoke"].shape == self._spoke[:slots].shape:
            self._spoke[:slots] = arrays["spoke"]
        if self._timed and len(arrays.get("last", ())) == slots:
            self._last[:slots] = arrays["last"]


def _otherwise(plan: DetectorPlan) -> str:
    """Why there is no verdict where nothing that the detector reads is null."""
    if isinstance(plan, RulePlan | RangePlan):
        return "an operation is null, such as a division by 0"
    return "too few values yet" if isinstance(plan, RecordPlan) else "no model, or it abstains"


def _outputs(plan: DetectorPlan) -> list[int]:
    """Outputs of the view's program without which there is no verdict."""
    if isinstance(plan, RulePlan):
        return [plan.when]
    if isinstance(plan, RangePlan):
        return [output for term in plan.terms for output in (term.value, term.center, term.below, term.above)]
    return [] if isinstance(plan, AbsencePlan) else list(plan.inputs)
