"""Order of a key's rows over several files [S2]: merged by head time, ties by path, then row number."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl

from offbeat.core.batch import EVER, NULL_INT
from offbeat.io.read.ambiguous_times import decided
from offbeat.io.read.head_times import head_times
from offbeat.io.read.parse_columns import Parsed
from offbeat.io.read.row_tables import HEAD, KEY, RANK, REJECTED, ROW, TIME, Blocks, Member, Raw, parsed_rows, tables
from offbeat.quality.row_filter import RowFilter

IN_MEMORY = 64 << 20
"""Bytes of text (or Parquet, a few times smaller) that are sorted at once; more go through buckets of keys on disk."""

ROWS = 1 << 17
"""Rows of a merged block."""

_BUCKET = "@bucket"
_ipc: Any = import_module("pyarrow.ipc")


_ALWAYS = NULL_INT + 1, EVER


def time_range(reader: Blocks, within: tuple[int, int] = _ALWAYS) -> tuple[int, int]:
    """Least and greatest time of the rows `within` a range; of no such rows: the beginning of all time, so that the file comes first."""
    low, high = EVER, NULL_INT
    for parsed in decided(reader.blocks()):
        times = parsed.time_ns
        times = times[(times >= within[0]) & (times <= within[1])]
        if len(times):
            low, high = min(low, int(times.min())), max(high, int(times.max()))
    return (low, high) if high != NULL_INT else (NULL_INT, NULL_INT)


def clusters(members: Sequence[Member], ranges: Sequence[tuple[int, int]]) -> list[list[Member]]:
    """Groups in order of time; files of one group overlap and must be merged, in order of their paths."""
    order = sorted(range(len(members)), key=lambda i: (ranges[i][0], members[i].path))
    out: list[list[Member]] = []
    high = NULL_INT
    for i in order:
        member, (low, top) = members[i], ranges[i]
        # Rows of equal time go by path, so touching ranges need no merge if the paths have the same order.
        if out and (low < high or (low == high and low != NULL_INT and member.path < max(m.path for m in out[-1]))):
            out[-1].append(member)
            high = max(high, top)
        else:
            out.append([member])
            high = top
    return [sorted(group, key=lambda m: m.path) for group in out]


class Merged:
    """Several files as one reader; `Parsed.mark` counts rows. Memory is bounded by buckets of keys, sorted one at a time."""

    layout = None
    header = None

    def statistics(self) -> None:
        """See `Reader`."""

    def __init__(self, members: Sequence[Member], where: RowFilter | None = None, max_jump_ns: int | None = None) -> None:
        """members: in the order of their paths. where: rows that it rejects have no say in the order of others, nor have those that
        jump ahead (see `head_times`).
        """
        self._members, self._where, self._max_jump_ns = members, where, max_jump_ns
        size = sum(m.size for m in members)
        self._buckets = 1 if size <= IN_MEMORY else min(256, -(-size // IN_MEMORY) * 2)
        self._on_disk = sum(m.on_disk for m in members)

    def blocks(self, mark: int = 0) -> Iterator[Callable[[], Parsed]]:
        """Blocks after the first `mark` merged rows."""
        done = 0
        # Of what stays in memory, rows are turned into text when somebody asks for it; what goes to disk must have it with it.
        raws: list[Raw] | None = [] if self._buckets == 1 else None
        for bucket in self._sorted_buckets(raws):
            for at in range(0, len(bucket), ROWS):
                part = bucket.slice(at, ROWS)
                done += len(part)
                if done > mark:
                    keep = part.tail(min(len(part), done - mark))
                    yield partial(parsed_rows, keep, done, self._on_disk, raws or [])

    def _tables(self, raws: list[Raw] | None) -> Iterator[pl.DataFrame]:
        for rank, member in enumerate(self._members):
            yield from tables(member, rank, self._where, raws)

    def _sorted_buckets(self, raws: list[Raw] | None) -> Iterator[pl.DataFrame]:
        if self._buckets == 1:
            parts = list(self._tables(raws))
            if parts:
                yield _in_order(pl.concat(parts), self._max_jump_ns)
            return
        with tempfile.TemporaryDirectory(prefix="offbeat-merge-") as folder:
            paths = [Path(folder) / f"{b}.arrow" for b in range(self._buckets)]
            with ExitStack() as stack:
                writers: dict[int, Any] = {}
                for table in self._tables(raws):
                    bucket = (table[KEY].hash(0) % self._buckets).fill_null(0)
                    for b, part in table.with_columns(bucket.alias(_BUCKET)).partition_by(_BUCKET, include_key=False, as_dict=True).items():
                        number = int(cast("int", b[0]))
                        arrow = part.to_arrow(compat_level=pl.CompatLevel.oldest())
                        if number not in writers:
                            writers[number] = stack.enter_context(_ipc.new_stream(str(paths[number]), arrow.schema))
                        writers[number].write_table(arrow)
            for number in sorted(writers):
                with _ipc.open_stream(str(paths[number])) as stream:
                    frame = pl.DataFrame(stream.read_all())
                paths[number].unlink()
                yield _in_order(frame, self._max_jump_ns)


def _in_order(frame: pl.DataFrame, max_jump_ns: int | None) -> pl.DataFrame:
    """A file's row cannot come before the rows above it; see `head_times`."""
    times = frame[TIME].fill_null(NULL_INT).to_numpy()
    if REJECTED in frame.columns:
        times = np.where(frame[REJECTED].to_numpy(), NULL_INT, times)
    keys = frame[KEY].fill_null("").cast(pl.Categorical).to_physical().cast(pl.Int64).to_numpy()
    ranks = frame[RANK].to_numpy().astype(np.int64)
    heads = head_times(keys * (int(ranks.max(initial=0)) + 1) + ranks, times, max_jump_ns)
    return frame.with_columns(pl.Series(HEAD, heads)).sort(HEAD, RANK, ROW).drop(HEAD, RANK)
