"""Closed windows of a view, kept apart from its state: read again only when a row comes that belongs into one of them [S13]."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import numpy as np

from offbeat.core.batch import Bools
from offbeat.core.co_occurrence import CoOccurring
from offbeat.core.partials import PartialLayout, Partials
from offbeat.core.state import Arrays, prefixed, under
from offbeat.fold.absent_windows import Missing


@dataclass(frozen=True, slots=True)
class Closed:
    """Windows that were closed together, ordered by (start, target slot), and on which of them an alert stands."""

    windows: Partials
    standing: Bools
    missing: Missing
    """Windows that are not there on which an alert stands."""
    linked: dict[str, CoOccurring] = field(default_factory=dict)
    """Other view → links of the windows to those of that view, where a table asks for them."""

    @classmethod
    def none(cls, layout: PartialLayout) -> Closed:
        """No windows."""
        nothing = layout.empty(np.zeros(0, np.int32), np.zeros(0, np.int64))
        return cls(nothing, np.zeros(0, np.bool_), Missing.none())

    def arrays(self) -> Arrays:
        """All of it, for `from_arrays`."""
        w = self.windows
        # Column by column they take less space.
        arrays = w.arrays() | {"ints": w.ints.T, "floats": w.floats.T, "standing": self.standing}
        arrays |= prefixed("missing", self.missing.arrays())
        for other, linked in self.linked.items():
            arrays |= prefixed(f"links/{other}", {"offsets": linked.offsets, "targets": linked.targets, "masks": linked.masks})
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Closed:
        """What `arrays` gave."""
        ints, floats = np.ascontiguousarray(arrays["ints"].T), np.ascontiguousarray(arrays["floats"].T)
        others = dict.fromkeys(name.split("/")[1] for name in arrays if name.startswith("links/"))
        linked = {other: CoOccurring(**under(f"links/{other}", arrays)) for other in others}
        windows, missing = Partials.from_arrays(arrays | {"ints": ints, "floats": floats}), Missing(**under("missing", arrays))
        return cls(windows, arrays["standing"], missing, linked)

    def before(self, time_ns: int) -> Closed:
        """Those that start before a time."""
        n = int(np.searchsorted(self.windows.starts, time_ns))
        if n == len(self.windows):
            return self
        index = np.arange(n)
        linked = {other: links.take(index) for other, links in self.linked.items()}
        return Closed(self.windows.take(index), self.standing[:n], self.missing.take(self.missing.starts < time_ns), linked)

    def since(self, time_ns: int) -> Closed:
        """Those that start at a time or later."""
        index = np.arange(int(np.searchsorted(self.windows.starts, time_ns)), len(self.windows))
        linked = {other: links.take(index) for other, links in self.linked.items()}
        return Closed(self.windows.take(index), self.standing[index], self.missing.take(self.missing.starts >= time_ns), linked)


class ClosedWindows(ABC):
    """Keeps the closed windows of one view, in the order of their time.

    What was replaced or forgotten is removed by `tidy`, as the last state still names it.
    """

    def __init__(self) -> None:
        self.entries: list[tuple[int, int, str]] = []
        """(first start, last start, name) of what is kept; no two overlap."""
        self._unused: list[str] = []

    @abstractmethod
    def write(self, closed: Closed) -> str:
        """Store windows; durable when this returns the name, which nothing here had."""

    @abstractmethod
    def read(self, name: str) -> Closed:
        """What was stored under a name."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Forget what was stored under a name."""

    @abstractmethod
    def names(self) -> list[str]:
        """Of all that is stored."""

    def _stored(self, closed: Closed) -> tuple[int, int, str]:
        starts = closed.windows.starts
        return int(starts[0]), int(starts[-1]), self.write(closed)

    def keep(self, closed: Closed) -> None:
        """Take windows later than all that are here; durable when this returns."""
        self.entries.append(self._stored(closed))

    def load(self, number: int) -> Closed:
        """The windows of an entry."""
        return self.read(self.entries[number][2])

    def replace(self, number: int, closed: Closed) -> None:
        """Put other windows in place of an entry."""
        self._unused.append(self.entries[number][2])
        self.entries[number] = self._stored(closed)

    def cut(self, from_ns: int) -> None:
        """Forget windows that start at a time or later."""
        while self.entries and self.entries[-1][0] >= from_ns:
            self._unused.append(self.entries.pop()[2])
        if self.entries and self.entries[-1][1] >= from_ns:
            self.replace(-1, self.load(-1).before(from_ns))

    def drop_before(self, until_ns: int) -> None:
        """Forget windows that start before a time."""
        while self.entries and self.entries[0][1] < until_ns:
            self._unused.append(self.entries.pop(0)[2])
        if self.entries and self.entries[0][0] < until_ns:
            self.replace(0, self.load(0).since(until_ns))

    def tidy(self) -> None:
        """A state was saved that no longer names what was replaced or forgotten."""
        for name in self._unused:
            self.remove(name)
        self._unused.clear()

    def arrays(self) -> Arrays:
        """What belongs into the state itself, as it is stored nowhere else."""
        return {}

    def restore(self, entries: list[list[int | str]], arrays: Arrays) -> None:
        """Go on with the entries of a state, and with its `arrays`; anything else is left over from a crash."""
        self._take(arrays)
        self.entries = [(int(low), int(high), str(name)) for low, high, name in entries]
        known = {name for _, _, name in self.entries}
        self._unused = [name for name in self.names() if name not in known]


    def _take(self, arrays: Arrays) -> None:
        """Take over what `arrays` gave."""
        if arrays:
            raise ValueError("a state holds closed windows that are stored elsewhere")


class ClosedInMemory(ClosedWindows):
    """Those of a process that will not go on after its end, or has them in its state."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[str, Closed] = {}
        self._made = 0

    def write(self, closed: Closed) -> str:
        """Keep windows under a new name."""
        self._made += 1
        name = str(self._made)
        self._kept[name] = closed
        return name

    def read(self, name: str) -> Closed:
        """What is kept under a name."""
        return self._kept[name]

    def remove(self, name: str) -> None:
        """Forget what is kept under a name."""
        del self._kept[name]

    def names(self) -> list[str]:
        """Of all that is kept."""
        return list(self._kept)

    def arrays(self) -> Arrays:
        """All that is kept: no state names anything else."""
        self.tidy()
        return {name: array for kept, closed in self._kept.items() for name, array in prefixed(kept, closed.arrays()).items()}

    def _take(self, arrays: Arrays) -> None:
        kept = sorted({int(name.partition("/")[0]) for name in arrays})
        self._kept = {str(number): Closed.from_arrays(under(str(number), arrays)) for number in kept}
        self._made = max(kept, default=0)
