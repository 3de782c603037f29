"""A source that breaks a promise does not pass the check."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from io_plans import keyed

from offbeat.core.plan import Column, TimePlan
from offbeat.extend import Chunk, Position, UserError, chunk_of_records
from offbeat.testing import check_source

PLAN = keyed(time=TimePlan(("t",), "s", "UTC"), columns=(Column("x", "float"),))
ROWS = 40


class Numbers:
    """Rows in chunks of seven; `flaw` says what is wrong with it."""

    opened = 0

    def __init__(self, flaw: str = "", *, live: bool = False) -> None:
        Numbers.opened += 1
        self.flaw, self.live = flaw, live
        self.files = ["numbers"] if flaw != "nameless" else []
        self.headers: list[str | None] = [None] * len(self.files)
        self.notes: list[str] = []
        self._closed = False
        self._times = np.empty(7, np.int64)

    def size_bytes(self) -> int | None:
        return None

    def done_bytes(self) -> int:
        return 0

    def close(self) -> None:
        if self.flaw == "closed once" and self._closed:
            raise RuntimeError("closed twice")
        self._closed = True

    def chunks(self, start: Position | None) -> Iterator[Chunk]:
        if start is not None and "row" not in start:
            if self.flaw == "forgiving":
                start = None
            else:
                raise KeyError("row") if self.flaw == "careless" else UserError("a place in another source")
        first = start["row"] if start else 0
        if self.flaw == "forgetful":
            first = 0
        last = 10**9 if self.live else ROWS
        while first < last:
            end = min(first + 7, last)
            yield self._chunk(first, end)
            first = end
            if self.live:
                yield chunk_of_records(PLAN, [], {"row": first}, first_row=first + 1)

    def _chunk(self, first: int, end: int) -> Chunk:
        records: list[dict[str, Any]] = [{"k": "a", "t": 1_600_000_000 + i, "x": i} for i in range(first, end)]
        if first <= 20 < end:
            records[20 - first]["x"] = "twenty"
        if self.flaw == "drops" and first <= 20 < end:
            del records[20 - first]
        if self.flaw == "moody":
            records[0]["x"] = Numbers.opened
        chunk = chunk_of_records(PLAN, records, {"row": end}, first_row=first + 1)
        if self.flaw == "doubles":
            return replace(chunk, first_row=1)
        if self.flaw == "untyped":
            return replace(chunk, frame=chunk.frame.cast(pl.Float32))
        if self.flaw == "position":
            return replace(chunk, position={"row": end, "at": (1, 2)})
        if self.flaw == "object":
            return replace(chunk, position={"row": np.int64(end)})
        if self.flaw == "timeless":
            chunk.time_ns[0] = np.iinfo(np.int64).min
        if self.flaw == "floor":
            return replace(chunk, floor_ns=int(chunk.time_ns[0]) + 1)
        if self.flaw == "reuses":
            times = self._times[: len(chunk.time_ns)]
            times[:] = chunk.time_ns
            return replace(chunk, time_ns=times)
        return chunk


FLAWS = {
    "nameless": "at least one name",
    "closed once": "closed twice",
    "forgiving": "is taken for one of this source",
    "careless": "raises KeyError, not UserError",
    "forgetful": "after a restart",
    "drops": "39 rows came, 40 were expected",
    "moody": "a second reading gives other rows",
    "doubles": "a row comes twice",
    "untyped": "column 'x' is Float32",
    "position": "JSON changes the position",
    "object": "cannot be written as JSON",
    "timeless": "a row without a time has no fault",
    "floor": "floor_ns",
    "reuses": "has changed since",
}


@pytest.mark.parametrize("live", [False, True])
def test_a_plain_one_passes(live: bool) -> None:
    check_source(lambda: Numbers(live=live), PLAN, rows=ROWS, faults={"type": 1})


def test_other_faults_than_expected() -> None:
    with pytest.raises(AssertionError, match=r"rows with a fault are \{'type': 1\}, expected were \{\}"):
        check_source(Numbers, PLAN, rows=ROWS)


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flaw_is_found_and_named(flaw: str) -> None:
    with pytest.raises((AssertionError, RuntimeError), match=FLAWS[flaw]):
        check_source(lambda: Numbers(flaw), PLAN, rows=ROWS, faults={"type": 1})
