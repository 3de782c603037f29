"""The part of a source on which limits are found, and the rest, on which they are checked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offbeat.core.batch import I64, Bools
from offbeat.engines.calibration.budget import Budget
from offbeat.engines.calibration.judged_alerts import Judged
from offbeat.engines.calibration.row_days import Days

_EVERY = 3
"""One block of so many is held out for the check."""
_RECENT = 4
"""The newest part is one of so many blocks."""
_MOST_WARM_UP = 2
"""At most one of so many blocks is warm-up."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some blocks of a source: days, or hours."""

    blocks: Bools
    days: float

    def holds(self, days: Days, time_ns: I64) -> Bools:
        """(n,) whether times lie in it."""
        block = days.block(time_ns)
        return np.append(self.blocks, False)[np.minimum(block, len(self.blocks))]

    def rate(self, days: Days, time_ns: I64) -> float:
        """How many of these times a day lie in it."""
        return float(self.holds(days, time_ns).sum()) / self.days if self.days else 0.0


@dataclass(frozen=True, slots=True)
class Parts:
    """After the warm-up: two blocks of three for finding, the third for the check. `recent`: the newest blocks, of both kinds."""

    found: Part
    checked: Part
    recent: Part


def begins(run: Judged, budget: Budget, among: Bools | None = None) -> I64:
    """When incidents or alerts that ask for attention begin, of all alerts of a run or of some."""
    if budget.of == "alerts":
        return run.facts.time_ns[run.attended() if among is None else run.attended() & among]
    episodes = run.episodes(among)
    return episodes.start_ns[episodes.attended]


def parts_of(run: Judged, since_ns: int | None = None) -> Parts:
    """By default the warm-up lasts to the day on which the last of all detectors first voted, and at most for half of the source."""
    days = run.days
    number = np.arange(days.blocks)
    first = _warm(run) if since_ns is None else int(days.block(np.array([since_ns]))[0])
    later = number >= first
    held_out = later & ((number - first) % _EVERY == _EVERY - 1)
    recent = later & (number >= days.blocks - max((days.blocks - first) // _RECENT, 1))
    return Parts(*(Part(blocks, days.count(blocks)) for blocks in (later & ~held_out, held_out, recent)))


def _warm(run: Judged) -> int:
    firsts = [int(run.facts.time_ns[voted].min()) for voted in ~np.isnan(run.ratio) if voted.any()]
    block = int(run.days.block(np.array(firsts)).max()) if firsts else 0
    return min(block, run.days.blocks // _MOST_WARM_UP)
