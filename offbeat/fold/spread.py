"""Which merge judges which windows, where several share the work: by target, but for views that look across targets [R31]."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import polars as pl

from offbeat.core.hashing import mixed, words_of
from offbeat.core.plan import AbsencePlan, Plan, PopulationPlan, ViewPlan
from offbeat.fold.scoring_view import scoring_view
from offbeat.fold.wire import Delta, named


def looks_across(view: ViewPlan) -> bool:
    """Whether some detector of a view on another key looks at all targets together."""
    return any(isinstance(detector, PopulationPlan | AbsencePlan) for detector in view.detectors)


def merges(plan: Plan, most: int) -> int:
    """How many merges can share the windows of a plan: `most` of them, or 1 where that would change something.

    So it is where every view looks across targets, and where a row counts as scored if some window of several views is judged: that is
    known only where all of them are.
    """
    views = [view for view in plan.views if view.rollup is not None]
    if not views:
        return 0
    return most if scoring_view(plan) is not None and not all(map(looks_across, views)) else 1


def spread(plan: Plan, delta: Delta, count: int) -> Iterator[tuple[int, Delta]]:
    """What each of `count` merges (see `merges`) is told of a shard: windows by a hash of their target's name.

    Each is told something, as how far time has gone on concerns them all. Views that look across targets go to the first one.
    """
    if count == 1:
        yield 0, delta
        return
    across = {view.name for view in plan.views if looks_across(view)}
    home = {name: _home(names, 1 if name in across else count) for name, (names, _) in delta.windows.items()}
    for number in range(count):
        windows = {}
        for view, (names, mine) in delta.windows.items():
            known, part, _ = named(names, mine.take(np.flatnonzero(home[view][mine.targets] == number)), delta.groups, 0)
            windows[view] = known, part
        yield number, replace(delta, windows=windows)


def _home(names: list[str], count: int) -> np.ndarray:
    """(names,) the merge of each target."""
    if count == 1 or not names:
        return np.zeros(len(names), np.int64)
    # Mixed, as keys of a shard have one remainder modulo the number of shards.
    return (mixed(words_of(pl.Series(names, dtype=pl.String))) % np.uint64(count)).astype(np.int64)
