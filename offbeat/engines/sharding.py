"""Which shard a key belongs to, and chunks cut by shard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import polars as pl

from offbeat.core.batch import I64
from offbeat.core.chunk import Chunk
from offbeat.core.hashing import words_of


def shards_of(keys: pl.Series, shards: int) -> I64:
    """(n,) the shard of each key: FNV-1a of its text modulo their number, so that integers and their decimal form agree."""
    return (words_of(keys.cast(pl.String)) % np.uint64(shards)).astype(np.int64)


def cut(chunk: Chunk, shards: int) -> Iterator[tuple[int, Chunk]]:
    """(shard, its rows) of a chunk, in their order; the first part is there even if the chunk is empty."""
    if shards == 1:
        yield 0, chunk
        return
    if chunk.keys is None:
        yield int(shards_of(pl.Series([chunk.key or ""]), shards)[0]), chunk
        return
    of = shards_of(chunk.keys, shards)
    found = np.unique(of)
    if len(found) <= 1:
        yield int(found[0]) if len(found) else 0, chunk
        return
    for shard in found.tolist():
        yield shard, _part(chunk, chunk.keys, np.flatnonzero(of == shard))


def _part(chunk: Chunk, keys: pl.Series, index: I64) -> Chunk:
    def raw(inner: npt.NDArray[np.intp]) -> list[str]:
        return chunk.raw(index[inner])

    def details(inner: npt.NDArray[np.intp]) -> list[str]:
        return chunk.details(index[inner])

    return replace(
        chunk,
        frame=chunk.frame[index],
        keys=keys.gather(index),
        time_ns=chunk.time_ns[index],
        faults=chunk.faults[index],
        rows=index + chunk.first_row if chunk.rows is None else chunk.rows[index],
        files=None if chunk.files is None else chunk.files[index],
        raw=raw,
        details=details,
    )
