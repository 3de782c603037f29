"""Replay a source in event-time order at its own pace, as JSON lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from offbeat.core.batch import EVER, I64, NULL_INT
from offbeat.core.plan import SourcePlan
from offbeat.io.read.by_time import ByTime, Timed
from offbeat.io.write.row_json import as_read, json_text

_SOON = 0.002
"""Seconds: rows that are due within them go out together."""
_LOOK_UP = 0.5
"""Seconds of waiting after which the progress is shown again."""
_AT_ONCE = 4096
"""Rows that are written together at most: whoever reads them need not wait for the rest."""
_LINE_END = ord("\n")


@dataclass(slots=True)
class Replayed:
    """How far a replay is."""

    rows: int = 0
    time_ns: int = 0
    """Time of the last row."""
    next_in: float = 0.0
    """Seconds until the next row is due."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows that are due together, as JSON lines; n of them."""

    text: memoryview
    ends: I64
    """(n,) where in `text` each line ends, its line feed included."""
    keys: pl.Series
    """(n,) String."""
    time_ns: I64
    floor_ns: int
    """No row after these is before it; NULL_INT where that is not known."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Where the pace comes from."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def replay(
    source: Iterable[Timed],
    plan: SourcePlan,
    write: Callable[[Stretch], None],
    speed: float | None,
    progress: Callable[[Replayed], None],
    clock: Clock | None = None,
    *,
    floors: Sequence[int] | None = None,
    skip: int = 0,
    skipped: Callable[[pl.Series, I64], None] | None = None,
) -> Replayed:
    """Write every row as a JSON line from which `plan` reads exactly the same values.

    speed: seconds of event time in a second; None: as fast as `write` takes them. The first row goes out at once. `progress` is called
    after each writing, and now and then while waiting. floors: what `floors_of` gave, so that stretches say which times have passed. skip:
    so many rows were replayed before and are left out; `skipped` is shown their keys and times.
    """
    clock = clock or Clock()
    at = Replayed()
    began = clock.now()
    first: int | None = None
    for number, rows in enumerate(source):
        if skip and skipped is not None:
            skipped(rows.keys[:skip], rows.time_ns[:skip])
        if skip >= len(rows.time_ns):
            skip -= len(rows.time_ns)
            continue
        text = memoryview(json_text(as_read(plan, rows.frame, rows.keys, rows.time_ns)))
        ends = np.flatnonzero(np.frombuffer(text, np.uint8) == _LINE_END) + 1
        first = int(rows.heads[skip]) if first is None else first
        passed = None if floors is None else np.minimum(floors[number], _least_after(rows.time_ns))
        done, skip = skip, 0
        while done < len(ends):
            if speed is None:
                end = min(done + _AT_ONCE, len(ends))
            else:
                at.next_in = (int(rows.heads[done]) - first) / 1e9 / speed - (clock.now() - began)
                if at.next_in > _SOON:
                    progress(at)
                    clock.sleep(min(at.next_in, _LOOK_UP))
                    continue
                end = _due(rows.heads, first + int((clock.now() - began + _SOON) * speed * 1e9), done)
            begin = int(ends[done - 1]) if done else 0
            floor_ns = NULL_INT if passed is None else int(passed[end - 1])
            own = slice(done, end)
            write(Stretch(text[begin : int(ends[end - 1])], ends[own] - begin, rows.keys[own], rows.time_ns[own], floor_ns))
            at.rows += end - done
            at.time_ns = int(rows.time_ns[end - 1])
            at.next_in = 0.0
            progress(at)
            done = end
    return at


def floors_of(source: ByTime) -> list[int]:
    """For each batch of a source the least time of a row in a later one; EVER for the last. Reads the source once."""
    least = [int(rows.time_ns.min()) for rows in source]
    after = np.minimum.accumulate(np.array([EVER, *least[:0:-1]], np.int64))[::-1]
    return after.tolist() if least else []


def _least_after(time_ns: I64) -> I64:
    """(n,) of each row the least time of a row behind it in its batch."""
    return np.minimum.accumulate(np.append(time_ns[1:], EVER)[::-1])[::-1]


def _due(heads: I64, until: int, done: int) -> int:
    """End of the rows from `done` on that are due; at least one is."""
    last = min(done + _AT_ONCE, len(heads))
    return max(done + int(np.searchsorted(heads[done:last], until, "right")), done + 1)
