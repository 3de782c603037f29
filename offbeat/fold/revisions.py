"""Revisions of windows: what is said of a window later always has the greater one [S22]."""

from __future__ import annotations

import numpy as np

from offbeat.core.batch import I32, I64
from offbeat.core.compiled import compiled
from offbeat.core.partials import ROWS, Partials
from offbeat.core.state import Arrays


class Revisions:
    """A window's revision: the rows of its target up to its end, of all targets if `together`.

    A correction may take rows away, so from there on they are counted from where they had come to.
    """

    def __init__(self, *, together: bool) -> None:
        self._together = together
        self._times: I64 = np.zeros(0, np.int64)
        self._totals: I64 = np.zeros(1, np.int64)
        """totals[i]: what is added from times[i - 1] on, until times[i]."""

    def of(self, windows: Partials, rows: I64) -> I64:
        """(w,) by window, ordered by (start, slot); `rows` (slots,) are those of earlier windows, and then also of these."""
        out: I64 = np.empty(len(windows), np.int64)
        if self._together:
            _running_together(windows.starts, windows.ints[:, ROWS], rows, out)
        else:
            _running(windows.targets, windows.ints[:, ROWS], rows, out)
        return out + self._added(windows.starts) if len(self._times) else out

    def early(self, windows: Partials, rows: I64) -> I64:
        """(w,) as if each window were the next of its target after those that have `rows`."""
        before = rows[:1] if self._together else rows[windows.targets]
        revisions: I64 = before + windows.ints[:, ROWS] + self._added(windows.starts)
        return revisions

    def missing(self, slots: I32, starts: I64, windows: Partials, before: I64) -> I64:
        """(m,) of windows that are not among `windows`; `before` (slots,) rows of windows earlier than those."""
        count = before[slots]
        if self._together:
            running = before[:1].sum() + np.append(0, np.cumsum(windows.ints[:, ROWS]))
            count = running[np.searchsorted(windows.starts, starts, "right")]
        revisions: I64 = count + self._added(starts)
        return revisions

    def _added(self, starts: I64) -> I64:
        return self._totals[np.searchsorted(self._times, starts, "right")]

    def leap(self, time_ns: int, above: int, rows: I64) -> None:
        """From a time on revisions are greater than `above`, and than all that windows with so many `rows` (slots,) ever had."""
        most = max(above, int(rows.max(initial=0)) + int(self._totals[-1]))
        kept = int(np.searchsorted(self._times, time_ns))
        self._times = np.append(self._times[:kept], np.int64(time_ns))
        self._totals = np.append(self._totals[: kept + 1], np.int64(most + 1))

    def arrays(self) -> Arrays:
        """State."""
        return {"times": self._times, "totals": self._totals}

    def restore(self, arrays: Arrays) -> None:
        """Take over what `arrays` gave."""
        self._times, self._totals = arrays["times"], arrays["totals"]


@compiled
def _running(slots: I32, rows: I64, total: I64, out: I64) -> None:
    for i in range(len(slots)):
        total[slots[i]] += rows[i]
        out[i] = total[slots[i]]


@compiled
def _running_together(starts: I64, rows: I64, total: I64, out: I64) -> None:
    """As `_running` with all targets as one: windows of one start have the same sum, kept in total[0]."""
    i = 0
    while i < len(starts):
        end = i
        while end < len(starts) and starts[end] == starts[i]:
            total[0] += rows[end]
            end += 1
        out[i:end] = total[0]
        i = end
