"""Open windows of which something was said early, and by which detectors: each detector fires once a window [R29]."""

from __future__ import annotations

import numpy as np

from offbeat.core.batch import EVER, F64, I32, I64, Bools
from offbeat.core.partials import PartialLayout, Partials, PartialTable
from offbeat.core.plan import Aggregate
from offbeat.core.state import Arrays

# One set of detector numbers a window, kept as the distinct values of a rollup are: a mask.
_LAYOUT = PartialLayout.of((Aggregate("distinct", 0, False, 0),))
_MASK = int(_LAYOUT.at[0])


class FiredWindows:
    """Windows by target slot and start."""

    def __init__(self) -> None:
        self._windows = PartialTable(_LAYOUT)

    def __len__(self) -> int:
        return len(self._windows)

    def add(self, targets: I32, starts: I64, detectors: I64) -> None:
        """Note that a detector, by its number below 64, has fired on a window: n of each."""
        nothing: F64 = np.empty((1, len(targets)))
        self._windows.fold(targets, starts, detectors[np.newaxis], nothing)

    def masks(self, targets: I32, starts: I64) -> I64:
        """(n,) which detectors have fired on these windows: bit d for the d-th."""
        place = self._windows.find(targets, starts)
        masks: I64 = np.zeros(len(targets), np.int64)
        masks[place >= 0] = self._windows.at(place[place >= 0]).ints[:, _MASK]
        return masks

    def has(self, targets: I32, starts: I64) -> Bools:
        """(n,) on which of these windows some detector has fired."""
        found: Bools = self._windows.find(targets, starts) >= 0
        return found

    def addresses(self) -> tuple[I32, I64]:
        """Targets and starts of all windows."""
        windows = self._windows.partials()
        return windows.targets, windows.starts

    def drop(self, until_ns: int = EVER) -> None:
        """Forget windows that start before a time."""
        if len(self._windows):
            self._windows.remove_before(until_ns)

    def keep_before(self, from_ns: int) -> None:
        """Forget windows that start at a time or later."""
        self._windows.restore(self._windows.remove_before(from_ns))

    def arrays(self) -> Arrays:
        """State."""
        p = self._windows.partials()
        return {"targets": p.targets, "starts": p.starts, "ints": p.ints}

    def restore(self, arrays: Arrays) -> None:
        """Take over what `arrays` gave."""
        windows = Partials(arrays["targets"].copy(), arrays["starts"].copy(), arrays["ints"].copy(), np.empty((len(arrays["starts"]), 0)))
        self._windows = PartialTable(_LAYOUT)
        self._windows.fold(windows.targets, windows.starts, np.zeros((1, len(windows)), np.int64), np.empty((1, len(windows))))
        self._windows.restore(windows)
