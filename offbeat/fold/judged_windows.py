"""Windows on their way through a view: what was said of them before, and what came of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from offbeat.core.batch import I64, Bools
from offbeat.core.partials import ROWS, Partials
from offbeat.core.rings import grown_rows
from offbeat.decide.block import RETRACTED, AlertBlock
from offbeat.fold.absent_windows import Missing
from offbeat.fold.filled_windows import Filling
from offbeat.fold.view import View, ViewResult


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of w windows."""

    blocks: list[AlertBlock]
    windows: Partials
    judged: Bools
    """(w,) which of them got a verdict."""
    standing: Bools
    """(w,) on which of them an alert stands."""
    missing: Missing
    """Windows that are not there on which an alert stands."""


@dataclass(slots=True)
class Folded:
    """A view with all windows up to some time folded into it."""

    view: View
    rows: I64
    """By target slot: rows in these windows."""
    judged: I64
    """Rows in them: of those with a verdict, and of the others."""
    filling: Filling | None = None
    """Where windows without a row are judged, too."""

    def filled(self, windows: Partials, until_ns: int) -> Partials:
        """The next windows to be folded, with those without a row that start before a time."""
        return windows if self.filling is None else self.filling.fill(windows, until_ns)

    def rows_of(self, slots: int) -> I64:
        """`rows` for so many slots."""
        self.rows = grown_rows(self.rows, slots)
        return self.rows

    def count(self, outcome: Outcome) -> None:
        """Count the rows of windows that were folded."""
        self.judged += judged_rows(outcome)


@dataclass(frozen=True, slots=True)
class Before:
    """What was said of w windows, and of missing ones of the same time, until now."""

    revisions: I64
    """(w,) the revision judged, -1 for never."""
    standing: Bools
    """(w,) whether an alert stands on it."""
    missing: Missing
    """Missing windows on which an alert stands."""


def judged_rows(outcome: Outcome) -> tuple[int, int]:
    """Rows in the outcome's windows: of those with a verdict, and of the others."""
    rows = outcome.windows.ints[:, ROWS]
    judged = int(rows[outcome.judged].sum())
    return judged, int(rows.sum()) - judged


def news(result: ViewResult, changed: Bools, standing: Bools) -> list[AlertBlock]:
    """Alerts on windows that have `changed` (w,) since something was last said of them; `standing` (w,) is brought up to date."""
    block = result.block
    if block is None:
        return []
    news = np.flatnonzero(changed[result.index])
    standing[result.index[news]] = block.status[news] != RETRACTED
    return [] if not len(news) else [block if len(news) == len(block) else block.take(news)]


def part(windows: Partials, begin: int, end: int) -> Partials:
    sets = tuple(each.take(np.arange(begin, end)) for each in windows.sets)
    return Partials(windows.targets[begin:end], windows.starts[begin:end], windows.ints[begin:end], windows.floats[begin:end], sets)
