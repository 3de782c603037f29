"""How far a live source has come, by the times of its rows: windows that lie well behind are closed [S3]."""

from __future__ import annotations

from collections import deque

import numpy as np

from offbeat.core.batch import I64, NULL_INT
from offbeat.core.plan import Plan

_ROWS = 15
_GRACE = 10


class Watermark:
    """The median time of the last 15 rows folded, less lateness and a tenth of the longest window.

    So a few keys whose clocks are ahead close nothing. It is never wrong to close: a row that comes later opens the window again.
    """

    def __init__(self, plan: Plan) -> None:
        longest = max((view.rollup.size_ns for view in plan.views if view.rollup is not None), default=0)
        self._behind = plan.quality.lateness_ns + longest // _GRACE
        self._recent: deque[int] = deque(maxlen=_ROWS)

    def until_ns(self, time_ns: I64) -> int:
        """See the times (n,) of further rows; gives the time before which windows are to be closed, the least int64 without any row."""
        self._recent.extend(time_ns[-_ROWS:].tolist())
        if not self._recent:
            return NULL_INT
        ordered = np.sort(np.fromiter(self._recent, np.int64, len(self._recent)))
        return int(ordered[(len(ordered) - 1) // 2]) - self._behind
