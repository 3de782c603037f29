"""Closed windows of a view, kept apart from its state: read again only when a row comes that belongs into one of them [S13]."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from offbeat.core.batch import Bools
from offbeat.core.co_occurrence import CoOccurring
from offbeat.core.partials import Partials
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

    def before(self, time_ns: int) -> Closed:
        """Those that start before a time."""
        n = int(np.searchsorted(self.windows.starts, time_ns))
        if n == len(self.windows):
            return self
        index = np.arange(n)
        linked = {other: links.take(index) for other, links in self.linked.items()}
        return Closed(self.windows.take(index), self.standing[:n], self.missing.take(self.missing.starts < time_ns), linked)


class ClosedWindows(Protocol):
    """Keeps the closed windows of one view, in the order of their time."""

    entries: list[tuple[int, int, str]]
    """(first start, last start, name) of what is kept."""

    def keep(self, closed: Closed) -> None:
        """Take windows later than all that are here; durable when this returns."""

    def load(self, number: int) -> Closed:
        """The windows of an entry."""

    def replace(self, number: int, closed: Closed) -> None:
        """Put other windows in place of an entry."""

    def cut(self, from_ns: int) -> None:
        """Forget windows that start at a time or later."""

    def tidy(self) -> None:
        """A state was saved that no longer names what was replaced or forgotten."""

    def take(self, entries: list[list[int | str]]) -> None:
        """Go on with the entries of a state."""
