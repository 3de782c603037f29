"""Rows of many files and keys in the order of their times, for replays: a merge by the heads of files, with bounded memory.

The order of a key's rows is the one in which a run reads them [S2], so alerts do not change: a row's place is the greatest time of its
key so far in its file, then the file's path, then its row number.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl

from offbeat.core.batch import EVER, I64, NULL_INT
from offbeat.io.read.ambiguous_times import decided
from offbeat.io.read.parse_columns import Parsed
from offbeat.quality.row_filter import RowFilter

RUN_ROWS = 1 << 18
"""Rows of a file out of order that are sorted in memory; of more, sorted runs go to disk and are merged."""
_BATCH_ROWS = 1 << 14
"""Rows of a run that are read back at a time."""

_KEY, _TIME, _HEAD, _RANK, _ROW, _USABLE = "@key", "@time", "@head", "@rank", "@row", "@usable"
_PLACE = (_HEAD, _RANK, _ROW)
_ipc: Any = import_module("pyarrow.ipc")


class _Blocks(Protocol):
    def blocks(self, mark: int = 0) -> Iterator[Callable[[], Parsed]]: ...

    def statistics(self) -> tuple[int, int] | None: ...


@dataclass(frozen=True, slots=True)
class TimedFile:
    """One file to be merged."""

    path: str
    key: str | None
    """The key of all rows; None where a column holds it."""
    reader: _Blocks
    times: _Blocks
    """Reads the times alone, which is quicker."""


@dataclass(frozen=True, slots=True)
class Timed:
    """Consecutive rows of the merged order; n rows, all readable."""

    frame: pl.DataFrame
    """The plan's columns (see `Chunk.frame`)."""
    keys: pl.Series
    """(n,) String."""
    time_ns: I64
    heads: I64
    """(n,) `time_ns`, but never below that of an earlier row of the same key and file: rising over all rows."""


@dataclass(slots=True)
class SortedRun:
    """Frames in order of `_PLACE`, the one at hand and those to come."""

    rank: int
    low: int
    """No head is below it."""
    frames: Iterator[pl.DataFrame]
    frame: pl.DataFrame | None = None

    def advance(self) -> bool:
        """Take up the next frame that has rows, if there is one."""
        self.frame = next((frame for frame in self.frames if len(frame)), None)
        return self.frame is not None

    def last(self) -> tuple[int, int, int]:
        """Place of the last row at hand."""
        frame = self._at_hand()
        head, row = frame[_HEAD][-1], frame[_ROW][-1]
        return int(head), self.rank, int(row)

    def take(self, place: tuple[int, int, int]) -> pl.DataFrame:
        """The rows at hand up to `place`, which are removed."""
        frame = self._at_hand()
        heads = frame[_HEAD].to_numpy()
        head, rank, row = place
        cut = int(np.searchsorted(heads, head, "left" if self.rank > rank else "right"))
        if self.rank == rank:
            first = int(np.searchsorted(heads, head, "left"))
            cut = first + int(np.searchsorted(frame[_ROW].to_numpy()[first:cut], row, "right"))
        self.frame = frame[cut:]
        return frame[:cut]

    def _at_hand(self) -> pl.DataFrame:
        if self.frame is None:
            raise ValueError("the stream has ended")
        return self.frame


class ByTime:
    """Iterates over the readable rows of `files` in their common order; `left_out` counts the others."""

    def __init__(self, files: Sequence[TimedFile], where: RowFilter | None = None) -> None:
        """where: rows that it rejects are left out, as if they were not there."""
        self._where = where
        self._files = sorted(files, key=lambda f: f.path)
        self.left_out = 0

    def __iter__(self) -> Iterator[Timed]:
        with ExitStack() as stack:
            streams = [s for rank, file in enumerate(self._files) for s in self._streams(rank, file, stack)]
            for frame in merged_runs(sorted(streams, key=lambda s: (s.low, s.rank))):
                columns = frame.drop(_KEY, _TIME, *_PLACE)
                yield Timed(columns, frame[_KEY], frame[_TIME].to_numpy(), frame[_HEAD].to_numpy())

    def _streams(self, rank: int, file: TimedFile, stack: ExitStack) -> list[SortedRun]:
        alone = len(self._files) == 1 and file.key is not None
        low, rising = (NULL_INT, True) if alone else _look(file.times)
        if rising or file.key is not None:
            return [SortedRun(rank, low, self._in_order(rank, file))]
        return self._sorted_runs(rank, file, stack)

    def _in_order(self, rank: int, file: TimedFile) -> Iterator[pl.DataFrame]:
        """Of a file whose heads rise: it holds one key, or no time is below an earlier one."""
        high = NULL_INT
        for frame in self._frames(rank, file):
            heads = np.maximum.accumulate(np.maximum(frame[_TIME].to_numpy(), high))
            high = int(heads[-1])
            yield self._usable(frame.with_columns(pl.Series(_HEAD, heads)))

    def _sorted_runs(self, rank: int, file: TimedFile, stack: ExitStack) -> list[SortedRun]:
        """Of any other file: sorted stretches of it, all but a single one on disk."""
        runs: list[SortedRun] = []
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="offbeat-replay-")))
        highs = pl.DataFrame({_KEY: [], _HEAD: []}, schema={_KEY: pl.String, _HEAD: pl.Int64})
        waiting: list[pl.DataFrame] = []
        rows = 0
        for frame in self._frames(rank, file):
            waiting.append(frame)
            rows += len(frame)
            if rows >= RUN_ROWS:
                run, highs = _with_heads(pl.concat(waiting), highs)
                runs.append(spilled_run(self._usable(run), rank, folder / f"{len(runs)}.arrow", stack))
                waiting, rows = [], 0
        if waiting:
            run = self._usable(_with_heads(pl.concat(waiting), highs)[0])
            runs.append(SortedRun(rank, _low(run), iter([run])))
        return runs

    def _usable(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Without the rows that could not be read: they count for the heads, as they do in a run, and go no further."""
        usable = frame.filter(_USABLE)
        self.left_out += len(frame) - len(usable)
        return usable.drop(_USABLE)

    def _frames(self, rank: int, file: TimedFile) -> Iterator[pl.DataFrame]:
        row = 0
        for parsed in decided(file.reader.blocks()):
            n = len(parsed.time_ns)
            keys = parsed.keys.cast(pl.String) if parsed.keys is not None else pl.Series([file.key], dtype=pl.String).new_from_index(0, n)
            rejected = self._where.rejected(parsed.frame, parsed.faults) if self._where is not None else None
            times = parsed.time_ns if rejected is None else np.where(rejected, NULL_INT, parsed.time_ns)
            about = [
                keys.alias(_KEY),
                pl.Series(_TIME, times),
                pl.Series(_RANK, np.full(n, rank, dtype=np.int32)),
                pl.Series(_ROW, np.arange(row, row + n)),
                pl.Series(_USABLE, (parsed.faults == 0) & (times != NULL_INT)),
            ]
            row += n
            if n:
                yield pl.DataFrame([*about, *parsed.frame.get_columns()])


def _look(times: _Blocks) -> tuple[int, bool]:
    """The least time of a file, and whether no time is below an earlier one."""
    low, high, rising = EVER, NULL_INT, True
    for parsed in decided(times.blocks()):
        found = parsed.time_ns
        found = found[found != NULL_INT]
        if len(found) == 0:
            continue
        rising = rising and int(found[0]) >= high and bool((found[1:] >= found[:-1]).all())
        low, high = min(low, int(found.min())), max(high, int(found.max()))
    return low, rising


def _with_heads(run: pl.DataFrame, highs: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The run in order of its places, and the greatest time of each key so far; `highs`: as it was before the run."""
    before = run.join(highs, on=_KEY, how="left", maintain_order="left")[_HEAD]
    own = run.select(pl.col(_TIME).cum_max().over(_KEY))[_TIME]
    run = run.with_columns(pl.select(pl.max_horizontal(own, before)).to_series().alias(_HEAD))
    highs = pl.concat([highs, run.select(_KEY, _HEAD)]).group_by(_KEY).agg(pl.col(_HEAD).max())
    return run.sort(*_PLACE), highs


def spilled_run(run: pl.DataFrame, rank: int, path: Path, stack: ExitStack) -> SortedRun:
    table = run.to_arrow(compat_level=pl.CompatLevel.oldest())
    with _ipc.new_stream(str(path), table.schema) as out:
        out.write_table(table, max_chunksize=_BATCH_ROWS)
    stream = stack.enter_context(_ipc.open_stream(str(path)))
    return SortedRun(rank, _low(run), (pl.DataFrame(batch) for batch in stream))


def _low(run: pl.DataFrame) -> int:
    return int(run[_HEAD][0]) if len(run) else NULL_INT


def merged_runs(streams: list[SortedRun]) -> Iterator[pl.DataFrame]:
    """Frames in order of `_PLACE` from streams that are. streams: in order of `low`; each is begun when its time has come."""
    waiting = streams[::-1]
    active: list[SortedRun] = []
    while active or waiting:
        place = min((s.last() for s in active), default=None)
        while waiting and (place is None or waiting[-1].low <= place[0]):
            stream = waiting.pop()
            if stream.advance():
                active.append(stream)
                place = min(s.last() for s in active)
        if place is None:
            return
        parts = [part for s in active if len(part := s.take(place))]
        yield parts[0] if len(parts) == 1 else pl.concat(parts).sort(*_PLACE)
        active = [s for s in active if (s.frame is not None and len(s.frame)) or s.advance()]
