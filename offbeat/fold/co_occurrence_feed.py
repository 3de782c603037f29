"""Links of windows on their way from the shards to those who ask for them when the windows are judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from offbeat.core.batch import I32, I64
from offbeat.core.co_occurrence import CoOccurring
from offbeat.core.partials import Partials
from offbeat.core.window_merge import WindowMerge
from offbeat.fold.shard_side import Shards, ShardSide


class CoOccurrenceFeed:
    """The links of the windows that are being judged: those of `pairs`, (view, other view). `stages` are those of the merged views."""

    def __init__(self, pairs: Sequence[tuple[str, str]], stages: Mapping[str, WindowMerge]) -> None:
        self._pairs, self._stages = pairs, stages
        self._held: dict[tuple[str, str], list[tuple[I32, I64, CoOccurring]]] = {pair: [] for pair in pairs}
        """Slots and starts of windows, and their links."""

    def others(self, view: str) -> list[str]:
        """Views that a view is linked to."""
        return [other for mine, other in self._pairs if mine == view]

    def remove(self, view: str, shards: Shards, until_ns: int) -> None:
        """Take over the links of a view's windows that start before `until_ns`, in place of what was held.

        The shards have them no longer: their windows must be taken out of their tables next.
        """
        for other in self.others(view):
            self._held[view, other] = []
            for number, shard in shards.items():
                links = shard.links[view, other]
                _, starts = shard.rollups[view].table.addresses()
                gone = starts < until_ns
                self._hold(view, other, number, shard, np.flatnonzero(gone))
                if gone.any():
                    links.renumber(np.where(gone, -1, np.cumsum(~gone) - 1))

    def look(self, view: str, shards: Shards) -> None:
        """As `remove`, for all windows of a view, which stay with the shards."""
        for other in self.others(view):
            self._held[view, other] = []
            for number, shard in shards.items():
                self._hold(view, other, number, shard, np.arange(len(shard.rollups[view].table)))

    def _hold(self, view: str, other: str, number: int, shard: ShardSide, places: I64) -> None:
        found = shard.links[view, other].take(places)
        targets, starts = shard.rollups[view].table.addresses()
        mine = self._stages[view].known(number, shard.rollups[view].targets.names)
        theirs = self._stages[other].known(number, shard.rollups[other].targets.names)
        here = CoOccurring(found.offsets, theirs[found.targets], found.masks)
        self._held[view, other].append((mine[targets[places]], starts[places], here))

    def __call__(self, view: str, other: str, start: int, slots: I32) -> CoOccurring:
        """Links of windows that begin at `start`, given by slots (m,); `targets` are slots of the other view."""
        size = int(slots.max(initial=-1)) + 1
        parts = [CoOccurring(np.zeros(len(slots) + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.uint64))]
        for held, starts, linked in self._held[view, other]:
            here = np.flatnonzero((starts == start) & (held < size))
            at = np.full(size, -1, np.int64)
            at[held[here]] = here
            parts.append(linked.take(at[slots]))
        return CoOccurring.together(parts[1:] if len(parts) > 1 else parts)

    def of(self, view: str, windows: Partials) -> dict[str, CoOccurring]:
        """Links of windows in order of their start, by other view: to be kept with them."""
        edges = np.flatnonzero(np.append(True, windows.starts[1:] != windows.starts[:-1])) if len(windows) else np.zeros(0, np.int64)
        parts = list(zip(windows.starts[edges].tolist(), np.split(windows.targets, edges[1:]), strict=True)) if len(edges) else []
        out = {}
        for other in self.others(view):
            found = [self(view, other, start, slots) for start, slots in parts]
            lengths = np.concatenate([np.zeros(1, np.int64), *(np.diff(linked.offsets) for linked in found)])
            targets = np.concatenate([np.zeros(0, np.int32), *(linked.targets for linked in found)])
            masks = np.concatenate([np.zeros(0, np.uint64), *(linked.masks for linked in found)])
            out[other] = CoOccurring(np.cumsum(lengths), targets, masks)
        return out

    def recall(self, view: str, windows: Partials, linked: Mapping[str, CoOccurring]) -> None:
        """Windows that were closed are judged again: hold what was kept with them, too."""
        for other in self.others(view):
            self._held[view, other].append((windows.targets, windows.starts, linked[other]))
