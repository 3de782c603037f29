"""Tumbling event-time windows: whole days of a zone, or multiples of a duration since the epoch [S5]."""

from __future__ import annotations

import numpy as np

from offbeat.core.batch import I64
from offbeat.core.days import DAY_NS, local_midnights


class Tumbling:
    """Windows of `size_ns`; days begin at midnight in `zone` and may last 23 or 25 hours."""

    def __init__(self, size_ns: int, zone: str) -> None:
        self.size_ns = size_ns
        self._days = size_ns // DAY_NS if size_ns % DAY_NS == 0 else 0
        self._zone = zone
        self._edges: I64 = np.zeros(0, np.int64)

    def _cover(self, low: int, high: int) -> I64:
        """Starts of windows around all times in [low, high]. Several threads may ask."""
        edges = self._edges
        if len(edges) and edges[0] <= low and high < edges[-1]:
            return edges
        if len(edges):
            low, high = min(low, int(edges[0])), max(high, int(edges[-1]))
        # Whole windows on either side, so that a window's start does not depend on how the edges were computed.
        room = self._days * DAY_NS
        first, midnights = local_midnights(self._zone, low - room, high + room)
        edges = self._edges = midnights[-first % self._days :: self._days]
        return edges

    def starts(self, time_ns: I64) -> I64:
        """(n,) start of the window that holds each time."""
        if not len(time_ns):
            return time_ns
        if not self._days:
            return time_ns - time_ns % self.size_ns
        edges = self._cover(int(time_ns.min()), int(time_ns.max()))
        starts: I64 = edges[np.searchsorted(edges, time_ns, side="right") - 1]
        return starts

    def start(self, time_ns: int) -> int:
        """Start of the window that holds a time."""
        return int(self.starts(np.array([time_ns]))[0])

    def between(self, from_ns: int, until_ns: int) -> I64:
        """Starts of the windows from one that begins at `from_ns` to the last before `until_ns`."""
        if not self._days:
            return np.arange(from_ns, until_ns, self.size_ns)
        edges = self._cover(from_ns, until_ns)
        starts: I64 = edges[np.searchsorted(edges, from_ns) : np.searchsorted(edges, until_ns)]
        return starts

    def ends(self, starts: I64) -> I64:
        """(n,) end of the windows that begin at `starts`."""
        if not len(starts) or not self._days:
            return starts + self.size_ns
        edges = self._cover(int(starts.min()), int(starts.max()) + self.size_ns)
        ends: I64 = edges[np.searchsorted(edges, starts, side="right")]
        return ends
