"""Rows of files as tables that can be put in another order: with their file, their number and their text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt
import polars as pl

from offbeat.core.batch import I64, NULL_INT
from offbeat.io.read.ambiguous_times import decided
from offbeat.io.read.parse_columns import Parsed
from offbeat.quality.row_filter import RowFilter

KEY, TIME, FAULT, FILE, RANK, ROW, RAW, HEAD = "@key", "@time", "@fault", "@file", "@rank", "@row", "@raw", "@head"
KEYED, BLOCK, AT, REJECTED, DETAIL, LOCAL = "@keyed", "@block", "@at", "@rejected", "@detail", "@local"
_OWN = frozenset({KEY, TIME, FAULT, FILE, RANK, ROW, RAW, HEAD, KEYED, BLOCK, AT, REJECTED, DETAIL, LOCAL})
"""Columns of a table that are not the plan's."""

Raw = Callable[[npt.NDArray[np.intp]], list[str]]
"""See `Chunk.raw`."""


class Blocks(Protocol):
    """The part of a `Reader` that is needed here."""

    def blocks(self, mark: int = 0) -> Iterator[Callable[[], Parsed]]:
        """See `Reader`."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file of those that are put in order."""

    index: int
    path: str
    size: int
    """Bytes of its text, as far as known without unpacking."""
    on_disk: int
    reader: Blocks
    rows_before: int = 0
    """Rows of the file that `reader` leaves out at its beginning."""


def tables(member: Member, rank: int, where: RowFilter | None, raws: list[Raw] | None) -> Iterator[pl.DataFrame]:
    """A table a block; its rows have their text, or with `raws` the place of it: a number of a block there and a row in it."""
    row = member.rows_before
    for parsed in decided(member.reader.blocks()):
        n = len(parsed.time_ns)
        if n == 0:
            continue
        # As text, since one file may have as integers what another has as text.
        key = parsed.keys.cast(pl.String) if parsed.keys is not None else pl.Series([""]).new_from_index(0, n)
        time = pl.Series(parsed.time_ns)
        about = pl.DataFrame(
            {
                KEY: key,
                TIME: time.set(time == NULL_INT, None),
                FAULT: parsed.faults,
                FILE: np.full(n, member.index, dtype=np.int32),
                RANK: np.full(n, rank, dtype=np.int32),
                ROW: np.arange(row + 1, row + n + 1, dtype=np.int64) if parsed.rows is None else parsed.rows,
                KEYED: np.full(n, parsed.keys is not None),
                DETAIL: _details(parsed),
                LOCAL: np.full(n, parsed.local),
            }
        )
        if where is not None:
            rejected = where.rejected(parsed.frame, parsed.faults)
            about = about.with_columns(pl.Series(REJECTED, np.zeros(n, np.bool_) if rejected is None else rejected))
        if raws is None:
            about = about.with_columns(pl.Series(RAW, parsed.raw(np.arange(n)), dtype=pl.String))
        else:
            about = about.with_columns(pl.Series(BLOCK, np.full(n, len(raws), dtype=np.int32)), pl.Series(AT, np.arange(n)))
            raws.append(parsed.raw)
        yield about.hstack(parsed.frame.get_columns())
        row += n


def _details(parsed: Parsed) -> pl.Series:
    """What is wrong with each row that could not be read; null for the others."""
    none = pl.Series([None], dtype=pl.String).new_from_index(0, len(parsed.time_ns))
    faulty = np.flatnonzero(parsed.faults)
    return none.scatter(faulty, parsed.details(faulty)) if len(faulty) else none


def parsed_rows(frame: pl.DataFrame, mark: int, done: int, raws: Sequence[Raw]) -> Parsed:
    def lines(rows: npt.NDArray[np.intp]) -> list[str]:
        if not raws:
            return cast("list[str]", frame[RAW].gather(rows).to_list())
        chosen = frame.select(BLOCK, AT)[rows]
        out = [""] * len(rows)
        for block in chosen[BLOCK].unique():
            where = np.flatnonzero((chosen[BLOCK] == block).to_numpy())
            for i, text in zip(where.tolist(), raws[block](chosen[AT].to_numpy()[where]), strict=True):
                out[i] = text
        return out

    keyed = bool(frame[KEYED][0])
    columns = [name for name in frame.columns if name not in _OWN]
    return Parsed(
        frame=frame.select(columns),
        keys=frame[KEY] if keyed else None,
        time_ns=np.require(frame[TIME].fill_null(NULL_INT).to_numpy(), requirements="W"),
        faults=frame[FAULT].to_numpy(),
        raw=lines,
        details=lambda rows: frame[DETAIL].gather(rows).fill_null("").to_list(),
        local=bool(frame[LOCAL].any()),
        mark=mark,
        done=done,
        rows=frame[ROW].to_numpy(),
        files=frame[FILE].to_numpy(),
    )


def readable_times(parsed: Parsed, where: RowFilter | None) -> I64:
    """Times of the rows of a block that have one and are not filtered."""
    rejected = where.rejected(parsed.frame, parsed.faults) if where is not None else None
    there = parsed.time_ns != NULL_INT
    times: I64 = parsed.time_ns[there if rejected is None else there & ~rejected]
    return times
