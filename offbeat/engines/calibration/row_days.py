"""On which days the rows of a source lie: what a budget per day is measured by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from offbeat.core.batch import I64, NULL_INT, Bools
from offbeat.core.chunk import Chunk, Position
from offbeat.core.days import local_midnights
from offbeat.io.contract import Source

_HOUR_NS = 3_600 * 10**9
_FEW_DAYS = 12


class CountedSource:
    """A source that notes how many rows came in each hour, and which keys."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.hours: Counter[int] = Counter()
        self.keys: set[str] = set()

    @property
    def files(self) -> Sequence[str]:
        """As the source's."""
        return self._source.files

    @property
    def headers(self) -> Sequence[str | None]:
        """As the source's."""
        return self._source.headers

    @property
    def notes(self) -> Sequence[str]:
        """As the source's."""
        return self._source.notes

    @property
    def live(self) -> bool:
        """As the source's."""
        return self._source.live

    def size_bytes(self) -> int | None:
        """As the source's."""
        return self._source.size_bytes()

    def done_bytes(self) -> int:
        """As the source's."""
        return self._source.done_bytes()

    def chunks(self, start: Position | None) -> Iterator[Chunk]:
        """The source's."""
        for chunk in self._source.chunks(start):
            times = chunk.time_ns[chunk.time_ns != NULL_INT]
            hours, counts = np.unique(times // _HOUR_NS, return_counts=True)
            self.hours.update(dict(zip(hours.tolist(), counts.tolist(), strict=True)))
            if chunk.key is not None:
                self.keys.add(chunk.key)
            elif chunk.keys is not None:
                self.keys.update(map(str, chunk.keys.drop_nulls().unique().to_list()))
            yield chunk

    def close(self) -> None:
        """Let go of the source."""
        self._source.close()


class Days:
    """Local days with rows; and blocks, which are such days, or hours with rows where there are few days."""

    def __init__(self, hours: Counter[int], zone: str) -> None:
        self._times = np.array(sorted(hours), np.int64) * _HOUR_NS
        self._rows = np.array([hours[hour] for hour in sorted(hours)], np.int64)
        first, last = (int(self._times[0]), int(self._times[-1])) if len(self._times) else (0, 0)
        _, self._midnights = local_midnights(zone, first, last)
        self._day = self._days_of(self._times)
        self._days = np.unique(self._day)
        self._few = len(self._days) < _FEW_DAYS

    def _days_of(self, time_ns: I64) -> I64:
        return np.searchsorted(self._midnights, time_ns, side="right") - 1

    def block(self, time_ns: I64) -> I64:
        """(n,) the number of the block in which each time lies, or the next one where there are no rows then; from 0."""
        if self._few:
            return np.searchsorted(self._times, time_ns // _HOUR_NS * _HOUR_NS)
        return np.searchsorted(self._days, self._days_of(time_ns))

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return len(self._times) if self._few else len(self._days)

    def count(self, blocks: Bools) -> float:
        """How many days some blocks are, (blocks,); hours count by their share of their day's rows."""
        if not len(self._times):
            return 0.0
        inside = blocks[self.block(self._times)]
        day = np.searchsorted(self._days, self._day)
        rows = np.bincount(day, weights=self._rows * inside, minlength=len(self._days))
        return float((rows / np.bincount(day, weights=self._rows, minlength=len(self._days))).sum())
