"""Wall-clock times that come twice, decided row by row in the order of a file [R17]."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from offbeat.core.batch import I64, NULL_INT
from offbeat.io.read.local_times import last_time, settle
from offbeat.io.read.parse_columns import Parsed


class RowBefore:
    """Goes along the blocks of one file, in order. `time_ns`: of the last row that has a time; NULL_INT before the first."""

    def __init__(self, time_ns: int = NULL_INT) -> None:
        self.time_ns = time_ns

    def decided(self, parsed: Parsed) -> Parsed:
        """The next block, its times decided in place."""
        self.time_ns = follow(parsed.time_ns, parsed.later, self.time_ns)
        parsed.later = None
        return parsed


def decided(works: Iterator[Callable[[], Parsed]]) -> Iterator[Parsed]:
    """The blocks of a whole file, from its beginning."""
    before = RowBefore()
    for work in works:
        yield before.decided(work())


def follow(utc: I64, later: I64 | None, before: int) -> int:
    """As `settle` where some times come twice, of rows that go on from others. later: None where none does. Returns the last time."""
    return int(last_time(utc, before) if later is None else settle(utc, later, before))
