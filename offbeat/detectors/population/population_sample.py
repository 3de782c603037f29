"""The rows that a population model is trained on: of the last days' rows, those with the lowest hashes of key and window [S15].

A hash that depends on nothing but key and window chooses the same rows however the input was cut, sharded or restarted, and each with the
same chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from offbeat.core.batch import F64, I32, I64, NULL_INT, U64
from offbeat.core.clock import LocalTime
from offbeat.core.hashing import time_word
from offbeat.detectors.population.population_kernels import merge_newest, offer

_HIGHEST = np.uint64(2**64 - 1)


class Sampled(NamedTuple):
    """m rows in rising order of (hash, start)."""

    hashes: U64
    """(m,) of key and start."""
    starts: I64
    """(m,) starts of the rows' windows."""
    rows: F64
    """(m, k) features."""
    live: F64
    """(m,) raw scores given by the models before them; NaN: none."""

    def take(self, index: I64) -> Sampled:
        """The rows at `index`."""
        return Sampled(self.hashes[index], self.starts[index], self.rows[index], self.live[index])


class PopulationSample:
    """The rows with the `kept` lowest hashes out of any ticks of the last `over_ns`. A tick is all windows with the same start.

    Of the ticks that are over it holds the rows that may still come to be among the lowest, once those before them have left: about
    kept · (1 + ln ticks) rows. The tick being filled is held apart: no model sees it before it is over.
    """

    def __init__(self, features: int, kept: int, over_ns: int, local: LocalTime | None = None) -> None:
        """local: by which clock `over_ns` is counted; None: as time goes by."""
        self._kept, self._over, self._local = kept, over_ns, local
        self.tick = int(NULL_INT)
        """Start of the newest tick."""
        self._past = Sampled(np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros((0, features)), np.zeros(0))
        self._ticks: list[int] = []
        """Starts of the ticks that `_past` has rows of, in order."""
        self._make_room(0)

    def _make_room(self, rows: int) -> None:
        features = self._past.rows.shape[1]
        self._hashes, self._rows, self._live = np.empty(rows, np.uint64), np.empty((rows, features)), np.empty(rows)
        self._used, self._cut = 0, _HIGHEST

    def open(self, start: int) -> None:
        """A later tick begins: what was filled is over."""
        if self._used:
            self._close()
        self.tick = start
        self._make_room(0)

    def add(self, outputs: F64, inputs: I64, rows: I64, live: F64, slots: I32, keys: U64) -> None:
        """Rows (m,) of the newest tick, by number among outputs (o, n), with scores `live` (m,); `keys` are hashes of the slots' names."""
        word, at = np.uint64(time_word(self.tick)), 0
        while True:
            at, self._used = offer(
                outputs, inputs, rows, live, slots, keys, word, self._cut, at, self._used, self._hashes, self._rows, self._live
            )
            if at == len(rows):
                return
            if self._used < 2 * self._kept:
                self._grow()
            else:
                self._shrink()

    def _grow(self) -> None:
        before, used, cut = (self._hashes, self._rows, self._live), self._used, self._cut
        self._make_room(min(max(4 * used, 1024), 2 * self._kept))
        for array, old in zip((self._hashes, self._rows, self._live), before, strict=True):
            array[:used] = old[:used]
        self._used, self._cut = used, cut

    def _shrink(self) -> None:
        """Keep the lowest of the tick's rows; no other can be among the lowest of any ticks."""
        hashes = self._hashes[: self._used]
        self._cut = np.partition(hashes, self._kept - 1)[self._kept - 1]
        index = np.flatnonzero(hashes <= self._cut)[: self._kept]
        for array in (self._hashes, self._rows, self._live):
            array[: len(index)] = array[index]
        self._used = len(index)

    def _newest(self) -> Sampled:
        """The rows of the newest tick."""
        if self._used > self._kept:
            self._shrink()
        n = self._used
        hashes = self._hashes[:n]
        order = np.argsort(hashes)
        if (np.diff(hashes[order]) == 0).any():
            order = np.argsort(hashes, kind="stable")  # Processors differ in how they sort equal ones.
        return Sampled(hashes, np.full(n, self.tick), self._rows[:n], self._live[:n]).take(order)

    def _close(self) -> None:
        new, old = self._newest(), self._past
        self._make_room(0)
        # The next tick starts later, and looks back less far.
        since = self.since(self.tick)
        self._ticks = [start for start in self._ticks if start > since]
        if self.tick not in self._ticks:
            self._ticks.append(self.tick)
        most = len(old.hashes) + len(new.hashes)
        features = old.rows.shape[1]
        both = Sampled(np.empty(most, np.uint64), np.empty(most, np.int64), np.empty((most, features)), np.empty(most))
        ticks = np.array(self._ticks)
        found = merge_newest(*old, new.hashes, new.rows, new.live, self.tick, ticks, self._kept, *both)
        self._past = Sampled(both.hashes[:found], both.starts[:found], both.rows[:found], both.live[:found])

    def since(self, start: int) -> int:
        """The time `over_ns` before one."""
        return start - self._over if self._local is None or start == NULL_INT else self._local.back(start, self._over)

    def before(self) -> Sampled:
        """The rows with the lowest hashes out of the ticks that lie up to `over_ns` before the newest."""
        starts = self._past.starts
        return self._past.take(np.flatnonzero((starts >= self.since(self.tick)) & (starts < self.tick))[: self._kept])

    def between(self, from_ns: int, until_ns: int) -> Sampled:
        """The rows with the lowest hashes out of the ticks from `from_ns` until before `until_ns`, the newest among them.

        Raises ValueError where they are no longer all there.
        """
        if self.tick >= until_ns or from_ns <= self.since(self.tick):
            raise ValueError(f"the sample holds {self._over} ns up to {self.tick}, which is not all from {from_ns} until {until_ns}")
        if self._used:
            self._close()
        return self._past.take(np.flatnonzero(self._past.starts >= from_ns)[: self._kept])

    def snapshot(self) -> dict[str, np.ndarray]:
        """Its rows."""
        new = self._newest()
        parts = {"past": self._past, "new": new}
        arrays = {f"{part}.{name}": array for part, sampled in parts.items() for name, array in sampled._asdict().items()}
        return {"tick": np.array([self.tick]), **arrays}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Restore a snapshot."""
        self.tick = int(arrays["tick"][0])
        self._past, new = (Sampled(*(arrays[f"{part}.{field}"] for field in Sampled._fields)) for part in ("past", "new"))
        self._ticks = np.unique(self._past.starts).tolist()
        self._hashes, self._rows, self._live, self._used = new.hashes, new.rows, new.live, len(new.hashes)
        self._cut = _HIGHEST
