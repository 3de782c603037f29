"""Windows that are not there: what the absence detectors of a view say of them, and which alerts stand on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from offbeat.core.batch import I32, I64, Bools
from offbeat.core.evidence import Evidence
from offbeat.core.partials import PartialLayout, PartialTable
from offbeat.core.plan import AbsencePlan, ViewPlan
from offbeat.core.state import Arrays, prefixed, under
from offbeat.decide.vote import Decisions, Vote
from offbeat.detectors.absence.absence import Absence
from offbeat.detectors.verdict import Verdicts

THERE = "no verdict: the window is not missing"
_NO_ROW = "no verdict: the window has no row"


@dataclass(frozen=True, slots=True)
class Missing:
    """m windows that are not there, ordered by (start, slot)."""

    slots: I32
    starts: I64
    revisions: I64
    """(m,) revision of the alert that stands on each, -1 for none."""

    @classmethod
    def none(cls) -> Missing:
        return cls(np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, np.int64))

    @classmethod
    def together(cls, parts: Sequence[Missing]) -> Missing:
        """All of several, each once, with its greatest revision."""
        slots, starts, revisions = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("slots", "starts", "revisions")
        )
        order = np.lexsort((-revisions, slots, starts))
        slots, starts = slots[order], starts[order]
        first = np.ones(len(order), np.bool_)
        first[1:] = (slots[1:] != slots[:-1]) | (starts[1:] != starts[:-1])
        return cls(slots[first], starts[first], revisions[order][first])

    def __len__(self) -> int:
        return len(self.slots)

    def take(self, index: I64 | Bools) -> Missing:
        """Those at `index`."""
        return Missing(self.slots[index], self.starts[index], self.revisions[index])

    def arrays(self) -> Arrays:
        """As part of a state."""
        return {"slots": self.slots, "starts": self.starts, "revisions": self.revisions}

    def between(self, from_ns: int, until_ns: int) -> Missing:
        """Those that start from `from_ns` until before `until_ns`."""
        return self.take((self.starts >= from_ns) & (self.starts < until_ns))

    def places(self, slots: I32, starts: I64) -> I64:
        """(n,) place among these of each of n windows, -1 for those that are none of them."""
        if not len(self):
            return np.full(len(slots), -1, np.int64)
        mine = PartialTable(PartialLayout.of(()))
        mine.count(self.slots, self.starts)
        return mine.find(slots, starts)

    def without(self, places: I64) -> Missing:
        """All but those at some places."""
        kept = np.ones(len(self), np.bool_)
        kept[places] = False
        return self.take(kept)


class Absences:
    """The absence detectors of a view, and their vote."""

    def __init__(self, view: ViewPlan) -> None:
        self._plans = view.detectors
        self._detectors = {d: Absence(plan) for d, plan in enumerate(view.detectors) if isinstance(plan, AbsencePlan)}
        self._vote = Vote(view.quorum, tuple(limit for _, limit in view.levels), view.weights)
        self._said: dict[int, Verdicts] = {}

    def __bool__(self) -> bool:
        return bool(self._detectors)

    def fold(self, slots: I32, starts: I64, keys: int, until_ns: int, standing: Missing) -> Missing:
        """Take in n windows that are there, as `Absence.fold` does.

        Returns windows that are missing: those where a silence became odd, and those on which an alert stands.
        """
        found = [detector.fold(slots, starts, keys, until_ns) for detector in self._detectors.values()]
        return Missing.together([standing, *(Missing(s.slots, s.starts, np.full(len(s.slots), -1, np.int64)) for s in found)])

    def judge(self, missing: Missing) -> Decisions:
        """Votes on m windows that the last `fold` returned; those on which an alert stands are reported in any case."""
        shape = len(self._plans), len(missing)
        score, voted, exceedance = np.full(shape, np.nan), np.zeros(shape, np.bool_), np.full(shape, np.nan)
        self._said = {d: detector.judge(missing.slots, missing.starts) for d, detector in self._detectors.items()}
        for d, said in self._said.items():
            score[d], voted[d], exceedance[d] = said.score, said.voted, said.exceedance
        return self._vote.decide(score, voted, exceedance, missing.revisions >= 0, np.full((len(self._vote.ratios), shape[1]), np.nan))

    def evidence(self, index: I64) -> tuple[Evidence, ...]:
        """What each detector of the view says of the windows at `index` of those last judged."""
        found = {d: detector.evidence(index) for d, detector in self._detectors.items()}
        return tuple(found.get(d) or Evidence.silent(plan.name, plan.type, len(index), _NO_ROW) for d, plan in enumerate(self._plans))

    def snapshot(self, keys: int) -> Arrays:
        """State for the first `keys` slots."""
        out: Arrays = {}
        for d, detector in self._detectors.items():
            out |= prefixed(self._plans[d].name, detector.snapshot(keys))
        return out

    def restore(self, arrays: Arrays) -> None:
        """Take over a snapshot."""
        for d, detector in self._detectors.items():
            detector.restore(under(self._plans[d].name, arrays))

