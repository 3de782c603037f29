"""The rows around one row of a file, or around a time, read again from the source: for drawing an alert (S23)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from offbeat.core.batch import NULL_INT
from offbeat.core.chunk import Chunk
from offbeat.core.plan import SourcePlan
from offbeat.errors import UserError
from offbeat.io.read.open_source import open_source
from offbeat.io.write.provenance import Origin
from offbeat.io.write.row_json import quotients


def neighbours(plan: SourcePlan, origin: Origin, key: str, *, each_side: int = 120) -> pl.DataFrame:
    """Up to `each_side` rows of `key` before the row `origin` and after it, with it, as they lie in its file.

    `time` (Datetime, UTC) and the plan's columns, fixed-point ones as decimal numbers; rows that the source could not read are left out.
    Reads no further than needed, and holds no more than it gives. Raises UserError where the file is gone or cannot be read again.
    """
    if origin.file == "-":
        raise UserError("these rows came from standard input and cannot be read again; to plot alerts, run offbeat on a file")
    if not Path(origin.file).exists():
        raise UserError(f"{origin.file}: the file of the alert is missing; call from the folder in which the run was started")
    before: deque[pl.DataFrame] = deque()
    held = 0
    after: list[pl.DataFrame] = []
    wanted = each_side + 1  # the row itself counts among those from it on
    source = open_source(plan, [origin.file])
    try:
        for chunk in source.chunks(None):
            numbers, frame = _readable(chunk, plan, key)
            cut = int(np.searchsorted(numbers, origin.row))
            if cut:
                before.append(frame[:cut])
                held += cut
                while held - before[0].height >= each_side:
                    held -= before.popleft().height
            if cut < frame.height:
                after.append(frame[cut : cut + wanted])
                wanted -= after[-1].height
            if wanted <= 0:
                break
    finally:
        source.close()
    parts = [pl.concat(before).tail(each_side)] if before else []
    if not parts and not after:
        raise UserError(f"{origin.file} has no rows of {key!r}; it has changed since the alert")
    return pl.concat([*parts, *after])


def rows_near(plan: SourcePlan, sources: Sequence[str], key: str, time_ns: int, *, each_side: int = 120) -> pl.DataFrame:
    """Up to `each_side` rows of `key` before a time and after it, where nobody wrote down which row it was: all of the source is read.

    Columns as in `neighbours`, in the order of time. Raises UserError where the source cannot be read, or has no row of the key.
    """
    before, after = list[pl.DataFrame](), list[pl.DataFrame]()
    at = pl.lit(time_ns).cast(pl.Datetime("ns", "UTC"))
    source = open_source(plan, sources)
    try:
        for chunk in source.chunks(None):
            _, frame = _readable(chunk, plan, key)
            if frame.height:
                before = _held([*before, frame.filter(pl.col("time") < at)], each_side, last=True)
                after = _held([*after, frame.filter(pl.col("time") >= at)], each_side + 1, last=False)
    finally:
        source.close()
    if not before and not after:
        raise UserError(f"{', '.join(sources)} has no rows of {key!r}")
    return pl.concat([*_held(before, each_side, last=True, now=True), *_held(after, each_side + 1, last=False, now=True)])


def _held(parts: list[pl.DataFrame], most: int, *, last: bool, now: bool = False) -> list[pl.DataFrame]:
    """Parts cut to what can still be among the last or the first rows, once they are many."""
    if not now and sum(part.height for part in parts) < 8 * most:
        return [part for part in parts if part.height]
    joined = pl.concat(parts).sort("time", maintain_order=True) if parts else None
    return [] if joined is None else [joined.tail(most) if last else joined.head(most)]


def _readable(chunk: Chunk, plan: SourcePlan, key: str) -> tuple[np.ndarray, pl.DataFrame]:
    """Numbers of the key's rows in the file, rising, and the rows."""
    here = (chunk.faults == 0) & (chunk.time_ns != NULL_INT)
    if chunk.keys is not None:
        here &= (chunk.keys.cast(pl.String) == key).fill_null(value=False).to_numpy()
    elif chunk.key != key:
        here &= False
    index = np.flatnonzero(here)
    numbers = index + chunk.first_row if chunk.rows is None else chunk.rows[index]
    time = pl.Series("time", chunk.time_ns[index]).cast(pl.Datetime("ns", "UTC"))
    frame = chunk.frame[index]
    frame = frame.with_columns(
        quotients(frame[column.name], column.scale) for column in plan.columns if column.kind == "decimal" and column.scale
    )
    return numbers, frame.select(pl.all().exclude("time")).insert_column(0, time)
