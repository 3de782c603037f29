"""Windows that are not there: what the absence detectors of a view say of them, and which alerts stand on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from offbeat.core.batch import I32, I64, Bools
from offbeat.core.partials import PartialLayout, PartialTable
from offbeat.core.state import Arrays


@dataclass(frozen=True, slots=True)
class Missing:
    """m windows that are not there, ordered by (start, slot)."""

    slots: I32
    starts: I64
    revisions: I64
    """(m,) revision of the alert that stands on each, -1 for none."""

    @classmethod
    def none(cls) -> Missing:
        return cls(np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, np.int64))

    @classmethod
    def together(cls, parts: Sequence[Missing]) -> Missing:
        """All of several, each once, with its greatest revision."""
        slots, starts, revisions = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("slots", "starts", "revisions")
        )
        order = np.lexsort((-revisions, slots, starts))
        slots, starts = slots[order], starts[order]
        first = np.ones(len(order), np.bool_)
        first[1:] = (slots[1:] != slots[:-1]) | (starts[1:] != starts[:-1])
        return cls(slots[first], starts[first], revisions[order][first])

    def __len__(self) -> int:
        return len(self.slots)

    def take(self, index: I64 | Bools) -> Missing:
        """Those at `index`."""
        return Missing(self.slots[index], self.starts[index], self.revisions[index])

    def arrays(self) -> Arrays:
        """As part of a state."""
        return {"slots": self.slots, "starts": self.starts, "revisions": self.revisions}

    def between(self, from_ns: int, until_ns: int) -> Missing:
        """Those that start from `from_ns` until before `until_ns`."""
        return self.take((self.starts >= from_ns) & (self.starts < until_ns))

    def places(self, slots: I32, starts: I64) -> I64:
        """(n,) place among these of each of n windows, -1 for those that are none of them."""
        if not len(self):
            return np.full(len(slots), -1, np.int64)
        mine = PartialTable(PartialLayout.of(()))
        mine.count(self.slots, self.starts)
        return mine.find(slots, starts)

    def without(self, places: I64) -> Missing:
        """All but those at some places."""
        kept = np.ones(len(self), np.bool_)
        kept[places] = False
        return self.take(kept)
