"""Chunks on their way between tasks: one Arrow file each, as small as what the fold reads of them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from offbeat.core.batch import I64, NULL_INT
from offbeat.core.chunk import Chunk
from offbeat.core.plan import SourcePlan
from offbeat.io.write.row_json import as_read, json_rows

# Names that no column of a plan has.
_KEY, _TIME, _FAULT, _ROW, _FILE, _RAW, _DETAIL = "(key)", "(time)", "(fault)", "(row)", "(file)", "(raw)", "(detail)"


def packed(chunk: Chunk, files: Sequence[int], *, raw: bool) -> bytes:
    """A chunk as bytes. files: the numbers that its files have in the run. raw: the original text of all rows goes along, not of faulty
    ones alone.
    """
    n = chunk.frame.height
    faulty = np.flatnonzero(chunk.faults)
    texts: list[str | None] = [None] * n
    details: list[str | None] = [None] * n
    wanted = np.arange(n) if raw else faulty
    for i, text in zip(wanted.tolist(), chunk.raw(wanted), strict=True):
        texts[i] = text
    for i, text in zip(faulty.tolist(), chunk.details(faulty), strict=True):
        details[i] = text
    numbers = np.array(files, np.int32)
    of = numbers[chunk.files] if chunk.files is not None else np.full(n, numbers[chunk.file], np.int32)
    rows = chunk.rows if chunk.rows is not None else np.arange(chunk.first_row, chunk.first_row + n)
    keys = chunk.keys if chunk.keys is not None else pl.Series([chunk.key]).new_from_index(0, n)
    own: dict[str, Any] = {_TIME: chunk.time_ns, _FAULT: chunk.faults, _ROW: rows, _FILE: of}
    frame = chunk.frame.with_columns(
        keys.cast(pl.String).alias(_KEY),
        *(pl.Series(name, values) for name, values in own.items()),
        pl.Series(_RAW, _plain(texts), pl.String),
        pl.Series(_DETAIL, _plain(details), pl.String),
    )
    return frame_bytes(frame)


def frame_bytes(frame: pl.DataFrame) -> bytes:
    """A frame as an Arrow file."""
    out = io.BytesIO()
    frame.write_ipc(out, compression="lz4")
    return out.getvalue()


def frame_of(data: bytes) -> pl.DataFrame:
    """What `frame_bytes` was given."""
    return pl.read_ipc(io.BytesIO(data))


def in_order(frames: Sequence[pl.DataFrame], plan: SourcePlan) -> pl.DataFrame:
    """Rows of tables, which have no order of their own: by time, the order column, and then everything else they hold."""
    rows = pl.concat(frames)
    first = [_TIME, *([plan.order] if plan.order else []), _KEY]
    others = [name for name in rows.columns if name not in {*first, _ROW, _FILE}]
    return rows.sort([*first, *others], nulls_last=True)


def chunk_of(frame: pl.DataFrame, plan: SourcePlan) -> Chunk:
    """What `packed` was given, of rows of one bucket. Rows whose text did not come along have the JSON of what was read of them."""
    texts, details = frame[_RAW], frame[_DETAIL]
    time_ns: I64 = frame[_TIME].to_numpy().copy()
    keys = frame[_KEY]
    columns = frame.drop(_KEY, _TIME, _FAULT, _ROW, _FILE, _RAW, _DETAIL)

    def raw(index: npt.NDArray[np.intp]) -> list[str]:
        known = texts[index].to_list()
        lacking = index[[text is None for text in known]]
        made = iter(_as_json(columns[lacking], keys[lacking], time_ns[lacking], plan))
        return [next(made) if text is None else text for text in known]

    return Chunk(
        frame=columns,
        key=None,
        keys=keys,
        time_ns=time_ns,
        faults=frame[_FAULT].to_numpy(),
        file=0,
        first_row=1,
        rows=frame[_ROW].to_numpy(),
        files=frame[_FILE].to_numpy(),
        raw=raw,
        position={},
        details=lambda index: [text or "" for text in details[index].to_list()],
    )


def _as_json(columns: pl.DataFrame, keys: pl.Series, time_ns: I64, plan: SourcePlan) -> list[str]:
    if not len(keys):
        return []
    return json_rows(as_read(plan, columns, keys, np.where(time_ns == NULL_INT, 0, time_ns)))


def _plain(texts: list[str | None]) -> list[str | None]:
    r"""Bytes that were no UTF-8 came as surrogates: shown as \udcff, since a text cannot hold them."""
    return [text if text is None or text.isascii() else text.encode("utf-8", "backslashreplace").decode() for text in texts]
