"""Windows without a row, which a rollup with `fill: zero` has all the same: a target once seen has a window in every tick [R11]."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from offbeat.core.batch import I64, NULL_INT, Bools
from offbeat.core.partials import PartialLayout, Partials
from offbeat.core.rings import grown_rows
from offbeat.core.state import Arrays
from offbeat.errors import UserError
from offbeat.features.tumbling import Tumbling

_AT_ONCE = 500_000
"""Windows that are closed in one go: bounds the memory after a long silence."""
_MOST = 20_000_000
"""More windows without a row than this come of a wrong time, not of an outage."""


class Filling:
    """Goes through a view's windows in the order of their start, and adds those of targets seen before that have no row."""

    def __init__(self, tumbling: Tumbling, layout: PartialLayout, view: str) -> None:
        self._tumbling, self._layout, self._view = tumbling, layout, view
        self._seen: Bools = np.zeros(0, np.bool_)
        """By slot of the target."""
        self._until_ns = NULL_INT
        """Ticks before this are filled."""

    def copy(self) -> Filling:
        """One that goes on from here by itself."""
        other = Filling(self._tumbling, self._layout, self._view)
        other._seen, other._until_ns = self._seen.copy(), self._until_ns
        return other

    def fill(self, windows: Partials, until_ns: int) -> Partials:
        """Windows ordered by (start, slot), none before those of the last call, with those added that are missing before `until_ns`.

        Doing it again adds nothing. Raises UserError where there would be too many.
        """
        begin_ns = self._begin(windows)
        low, within = np.searchsorted(windows.starts, [begin_ns, until_ns]).tolist()
        slots, at = np.unique(windows.targets[:within], return_index=True)
        self._seen = grown_rows(self._seen, int(windows.targets.max(initial=-1)) + 1)
        first: I64 = np.where(self._seen, np.int64(begin_ns), np.int64(until_ns))
        fresh = ~self._seen[slots]
        first[slots[fresh]] = windows.starts[at[fresh]]
        self._seen[windows.targets] = True
        self._until_ns = max(self._until_ns, until_ns)
        targets = np.flatnonzero(first < until_ns)
        if begin_ns >= until_ns or not len(targets):
            return windows
        self._require_few(begin_ns, until_ns, len(targets))
        ticks = self._tumbling.between(begin_ns, until_ns)
        wanted = ticks[:, np.newaxis] >= first[targets]
        place = np.full(len(self._seen), -1, np.int64)
        place[targets] = np.arange(len(targets))
        wanted[np.searchsorted(ticks, windows.starts[low:within]), place[windows.targets[low:within]]] = False
        tick, target = np.nonzero(wanted)
        if not len(tick):
            return windows
        empty = self._layout.empty(targets[target].astype(np.int32), ticks[tick])
        both = Partials.together([windows, empty])
        return both.take(np.lexsort((both.targets, both.starts)))

    def sections(self, windows: Partials, until_ns: int) -> Iterator[tuple[int, int, int]]:
        """The next windows, all before `until_ns`, in parts that are not too long when they are filled: (begin, end, time to fill to)."""
        begin_ns = self._begin(windows)
        targets = int(self._seen.sum()) + len(np.unique(windows.targets))
        if begin_ns >= until_ns or not targets:
            return
        self._require_few(begin_ns, until_ns, targets)
        edges = self._tumbling.between(begin_ns, until_ns)[:: max(_AT_ONCE // targets, 1)].tolist()
        places = [0, *np.searchsorted(windows.starts, edges[1:]).tolist(), len(windows)]
        yield from zip(places[:-1], places[1:], [*edges[1:], until_ns], strict=True)

    def _begin(self, windows: Partials) -> int:
        """The first tick to be filled."""
        first_ns = int(windows.starts[0]) if len(windows) else self._until_ns
        return self._until_ns if self._seen.any() else first_ns

    def _require_few(self, begin_ns: int, until_ns: int, targets: int) -> None:
        if (until_ns - begin_ns) // self._tumbling.size_ns * targets > _MOST:
            begin, until = (np.datetime_as_string(np.datetime64(time_ns, "ns"), unit="s") for time_ns in (begin_ns, until_ns))
            raise UserError(
                f"view {self._view}: `fill: zero` would add more than {_MOST:,} windows without a row, to {targets:,} targets from "
                f"{begin}Z to {until}Z: look for a row with a wrong time, or take `fill` out"
            )

    def arrays(self) -> Arrays:
        """State."""
        return {"seen": self._seen, "until": np.array([self._until_ns])}

    def restore(self, arrays: Arrays) -> None:
        """Take over what `arrays` gave."""
        self._seen, self._until_ns = arrays["seen"].copy(), int(arrays["until"][0])
