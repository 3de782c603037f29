"""How far a live shard has come, by the times of its rows: windows that lie well behind get a provisional verdict [S3, R29]."""

from __future__ import annotations

import numpy as np

from offbeat.core.batch import I64, NULL_INT
from offbeat.core.compiled import compiled
from offbeat.core.plan import Plan
from offbeat.core.state import Arrays

ROWS = 15
_GRACE = 10


def provisional_lag_ns(plan: Plan) -> int:
    """How far the watermark must have passed the end of a live window before it is closed provisionally: lateness and a tenth of the
    longest window, as rows of other keys may lie a little behind.
    """
    longest = max((view.rollup.size_ns for view in plan.views if view.rollup is not None), default=0)
    return plan.quality.lateness_ns + longest // _GRACE


@compiled
def _see(times: I64, recent: I64, ordered: I64, state: I64, out: I64) -> None:
    """`recent`: a ring of the last rows' times; `ordered`: the same, rising. `state`: how many were seen, and the watermark."""
    seen, mark, rows = state[0], state[1], len(recent)
    n = min(seen, rows)
    for i in range(len(times)):
        t, place = times[i], seen % rows
        if n == rows:
            # The new time takes the place of the oldest one: those that lie between the two move by one.
            at = 0
            while ordered[at] < recent[place]:
                at += 1
            while at + 1 < n and ordered[at + 1] < t:
                ordered[at] = ordered[at + 1]
                at += 1
        else:
            at = n
            n += 1
        while at > 0 and ordered[at - 1] > t:
            ordered[at] = ordered[at - 1]
            at -= 1
        ordered[at] = t
        recent[place] = t
        seen += 1
        mark = max(mark, ordered[(n - 1) // 2])
        out[i] = mark
    state[0], state[1] = seen, mark


class Watermark:
    """The running maximum of the median time of a shard's last 15 folded rows, seen after every row.

    A median, so that a few keys whose clocks are ahead close nothing; a maximum, so that it never goes back. It is a function of the
    shard's rows in their order, however they were cut into batches, and part of the shard's state. That it says a window is over is never
    the last word: a row that comes later opens the window again.
    """

    def __init__(self) -> None:
        self._recent: I64 = np.zeros(ROWS, np.int64)
        self._ordered = self._recent.copy()
        self._state: I64 = np.array([0, NULL_INT])

    @property
    def time_ns(self) -> int:
        """The watermark; the least int64 before the first row."""
        return int(self._state[1])

    def see(self, time_ns: I64) -> I64:
        """(n,) the watermark after each of n further rows, given by their times (n,)."""
        out: I64 = np.empty(len(time_ns), np.int64)
        _see(time_ns, self._recent, self._ordered, self._state, out)
        return out

    def arrays(self) -> Arrays:
        """State."""
        return {"recent": self._recent.copy(), "state": self._state.copy()}

    def restore(self, arrays: Arrays) -> None:
        """Take over what `arrays` gave."""
        self._recent, self._state = arrays["recent"].copy(), arrays["state"].copy()
        n = min(int(self._state[0]), ROWS)
        self._ordered[:n] = np.sort(self._recent[:n])
