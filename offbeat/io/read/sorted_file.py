"""A file in the order of its times, whatever the order of its rows [R7]: `source.sort`.

Rows are sorted by time, those of one time by their number in the file, those without a time first. What does not fit in memory is sorted
in runs, which wait on disk and are merged.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from offbeat.core.batch import NULL_INT
from offbeat.io.read.by_time import SortedRun, merged_runs, spilled_run
from offbeat.io.read.merge_overlapping import IN_MEMORY, ROWS
from offbeat.io.read.parse_columns import Parsed
from offbeat.io.read.row_tables import HEAD, RANK, ROW, TIME, Member, Raw, parsed_rows, tables

RUN_ROWS = 1 << 18
"""Rows of a run."""


class SortedFile:
    """One file as a reader; `Parsed.mark` counts rows in their new order. A row keeps its number in the file."""

    def __init__(self, member: Member) -> None:
        self._member = member
        inner: Any = member.reader
        self.layout, self.header = inner.layout, inner.header
        self._statistics: tuple[int, int] | None = inner.statistics()

    def statistics(self) -> tuple[int, int] | None:
        """See `Reader`."""
        return self._statistics

    def blocks(self, mark: int = 0) -> Iterator[Callable[[], Parsed]]:
        """Blocks after the first `mark` rows."""
        done = 0
        # Of what stays in memory, rows are turned into text when somebody asks for it; what goes to disk must have it with it.
        raws: list[Raw] | None = [] if self._member.size <= IN_MEMORY else None
        with ExitStack() as stack:
            for frame in merged_runs(self._runs(raws, stack)):
                for at in range(0, len(frame), ROWS):
                    part = frame.slice(at, ROWS)
                    done += len(part)
                    if done > mark:
                        keep = part.tail(min(len(part), done - mark))
                        yield partial(_parsed, keep, done, self._member.on_disk, raws or [])

    def _runs(self, raws: list[Raw] | None, stack: ExitStack) -> list[SortedRun]:
        runs: list[SortedRun] = []
        waiting: list[pl.DataFrame] = []
        folder: Path | None = None
        for table in tables(self._member, 0, None, raws):
            waiting.append(table)
            if raws is None and sum(map(len, waiting)) >= RUN_ROWS:
                folder = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="offbeat-sort-")))
                runs.append(spilled_run(_sorted(waiting), 0, folder / f"{len(runs)}.arrow", stack))
                waiting = []
        if waiting:
            run = _sorted(waiting)
            runs.append(SortedRun(0, int(run[HEAD][0]), iter([run])))
        return sorted(runs, key=lambda run: run.low)


def _sorted(parts: list[pl.DataFrame]) -> pl.DataFrame:
    whole = pl.concat(parts)
    return whole.with_columns(pl.col(TIME).fill_null(NULL_INT).alias(HEAD)).sort(HEAD, RANK, ROW)


def _parsed(frame: pl.DataFrame, done: int, on_disk: int, raws: list[Raw]) -> Parsed:
    parsed = parsed_rows(frame, done, on_disk, raws)
    parsed.floor_ns = int(frame[HEAD][0])
    return parsed
