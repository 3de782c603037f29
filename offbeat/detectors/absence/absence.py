"""The absence detector: windows that a key should have and has not.

All windows with the same start make a tick: a tick is there when any key has a window in it, so that a day on which the whole source is
silent is none. A key that had windows in a of the n ticks from its first to its last one is missing in the next with the chance
q = (n - a + 1) / (n + 2), Laplace's rule of succession (Essai philosophique sur les probabilités, 1814): a, n and q stand still during a
silence, so that it does not excuse itself. A silence of s ticks has the chance q^s, and is odd from the tick on where that falls below the
limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from offbeat.core.batch import F64, I32, I64, NULL_INT
from offbeat.core.compiled import compiled
from offbeat.core.evidence import Evidence, WindowSpan
from offbeat.core.out_of_range import OutOfRange
from offbeat.core.plan import AbsencePlan
from offbeat.core.rings import grown_rows
from offbeat.core.state import Arrays
from offbeat.detectors.detector import Detector, DetectorInput, Kind, Verdicts

FEATURE = "silent windows"
_TICKS, _ACTIVE, _SILENT = range(3)
"""Columns of a key's record: ticks from its first window to its last, those with a window, those since."""
_CAP = 100.0


@dataclass(frozen=True, slots=True)
class Silences:
    """m silences that became odd, ordered by (start, slot)."""

    slots: I32
    starts: I64
    """(m,) start of the tick in which they did."""
    counts: I32
    """(m, 3) ticks from the key's first window to its last, those with a window, those since."""
    chances: F64
    first_ns: I64
    """(m,) start of the key's first window."""
    last_ns: I64
    """(m,) start of its last."""


@compiled
def _tick(
    start: int, slots: I32, begin: int, end: int, keys: int, told: bool, limit: float, at_least: int,
    counts: I32, chances: F64, first: I64, last: I64, found: I32,
) -> int:
    """Go on by one tick, in which the keys slots[begin:end] have a window; returns how many silences became odd, their slots in `found`."""
    for i in range(begin, end):
        s = slots[i]
        if counts[s, _TICKS] == 0:
            first[s] = start
        counts[s, _TICKS] += counts[s, _SILENT] + 1
        counts[s, _ACTIVE] += 1
        counts[s, _SILENT] = 0
        chances[s] = 1.0
        last[s] = start
    m = 0
    for s in range(keys):
        n = counts[s, _TICKS]
        if n == 0 or last[s] == start:
            continue
        counts[s, _SILENT] += 1
        before = chances[s]
        if before == 0.0:
            continue
        chances[s] = before * (float(n - counts[s, _ACTIVE] + 1) / float(n + 2))
        if told and n >= at_least and before >= limit and chances[s] < limit:
            found[m] = s
            m += 1
    return m


class Absence(Detector):
    """One absence detector of a view with a rollup. Keys are slots."""

    judges = frozenset({Kind.MISSING})

    def __init__(self, plan: AbsencePlan) -> None:
        super().__init__(plan)
        self._plan = plan
        self._counts: I32 = np.zeros((0, 3), np.int32)
        self._chances: F64 = np.zeros(0)
        """By slot: the chance of the silence so far."""
        self._first: I64 = np.zeros(0, np.int64)
        self._last: I64 = np.zeros(0, np.int64)
        self._found = self._silences([])

    def missing(self, slots: I32, starts: I64, keys: int, until_ns: int) -> tuple[I32, I64]:
        """The windows in which a silence becomes odd, in ticks before `until_ns`: in later ones windows may still come."""
        self._grow(keys)
        edges = [0, *(np.flatnonzero(starts[1:] != starts[:-1]) + 1).tolist(), len(starts)] if len(starts) else []
        out: I32 = np.empty(keys, np.int32)
        parts = []
        for begin, end in pairwise(edges):
            start = int(starts[begin])
            found = _tick(
                start, slots, begin, end, keys, start < until_ns, self._plan.limit, self._plan.min_history,
                self._counts, self._chances, self._first, self._last, out,
            )  # fmt: skip
            if found:
                chosen = out[:found].copy()
                at = np.full(found, start, np.int64)
                parts.append(
                    Silences(chosen, at, self._counts[chosen], self._chances[chosen], self._first[chosen], self._last[chosen])
                )
        self._found = self._silences(parts)
        return self._found.slots, self._found.starts

    def _silences(self, parts: list[Silences]) -> Silences:
        return Silences(
            np.concatenate([np.zeros(0, np.int32), *(part.slots for part in parts)]),
            np.concatenate([np.zeros(0, np.int64), *(part.starts for part in parts)]),
            np.concatenate([np.zeros((0, 3), np.int32), *(part.counts for part in parts)]),
            np.concatenate([np.zeros(0), *(part.chances for part in parts)]),
            np.concatenate([np.zeros(0, np.int64), *(part.first_ns for part in parts)]),
            np.concatenate([np.zeros(0, np.int64), *(part.last_ns for part in parts)]),
        )

    def judge(self, batch: DetectorInput) -> Verdicts:
        """Votes for the windows that `missing` named last; no verdict on others."""
        found = zip(self._found.starts.tolist(), self._found.slots.tolist(), strict=True)
        places = {place: i for i, place in enumerate(found)}
        asked = zip(batch.time_ns.tolist(), batch.slots.tolist(), strict=True)
        self._at = np.array([places.get(place, -1) for place in asked], np.int64)
        voted = self._at >= 0
        # How many times less likely than the limit; a chance may be too small for a double.
        chances = np.append(self._found.chances, np.nan)[self._at]
        with np.errstate(divide="ignore", over="ignore"):
            r = np.where(voted, np.minimum(self._plan.limit / chances, _CAP), np.nan)
        self._verdicts = Verdicts(r / (1.0 + r), voted, r, np.empty((0, len(batch))))
        return self._verdicts

    def explain(self, index: I64) -> Evidence:
        """How long the silence is, and how long one lasts on average."""
        m = len(index)
        at = self._at[index]
        spoke = at >= 0
        ticks, active, silent = (np.where(spoke, np.append(self._found.counts[:, c], 0)[at], 0) for c in range(3))
        first, last = (np.append(found, NULL_INT)[at] for found in (self._found.first_ns, self._found.last_ns))
        nothing = np.full(m, np.nan)
        observed = np.where(spoke, silent.astype(np.float64), nothing)
        # q / (1 - q): how long a silence lasts on average where each tick is missing with the chance q.
        expected = np.where(spoke, (ticks - active + 1) / (active + 1), nothing)
        notes = [
            _note(*row) if said else ""
            for said, *row in zip(spoke.tolist(), ticks.tolist(), active.tolist(), silent.tolist(), last.tolist(), strict=True)
        ]
        return Evidence(
            name=self.name,
            type=self.type,
            score=self._verdicts.score[index],
            voted=self._verdicts.voted[index],
            raw=nothing,
            threshold=observed,
            observed=observed,
            expected=expected,
            features=(FEATURE,),
            contributions=np.where(spoke, 1.0, np.nan)[np.newaxis],
            out_of_range=OutOfRange.none(m),
            notes=tuple(notes),
            version=np.zeros(m, np.int64),
            window=WindowSpan(first, last, np.where(spoke, ticks, NULL_INT)),
        )

    def _grow(self, keys: int) -> None:
        self._counts, self._chances = grown_rows(self._counts, keys), grown_rows(self._chances, keys)
        self._first, self._last = grown_rows(self._first, keys, NULL_INT), grown_rows(self._last, keys, NULL_INT)

    def snapshot(self, slots: I64) -> Arrays:
        """Counts and chances by slot."""
        self._grow(int(slots.max(initial=-1)) + 1)
        kept: Arrays = {"counts": self._counts, "chances": self._chances, "first": self._first, "last": self._last}
        return {name: array[slots] for name, array in kept.items()}

    def restore(self, arrays: Arrays, names: Sequence[str]) -> None:
        """Restore a snapshot."""
        del names
        self._counts, self._chances, self._first, self._last = (arrays[name].copy() for name in ("counts", "chances", "first", "last"))


def _note(ticks: int, active: int, silent: int, last_ns: int) -> str:
    moment = np.datetime_as_string(np.datetime64(last_ns, "ns"), unit="s")
    return f"{silent} windows without a row, after {active} with rows in {ticks}; the last of these began at {moment}Z"
