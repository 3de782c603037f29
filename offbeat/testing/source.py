"""The contract of a source, executable."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl

from offbeat.core.batch import NULL_INT
from offbeat.core.chunk import FAULTS, Chunk, Position
from offbeat.core.plan import SourcePlan
from offbeat.errors import UserError
from offbeat.io.contract import Source

_TYPES: Mapping[str, pl.DataType] = {"float": pl.Float64(), "decimal": pl.Int64(), "text": pl.String(), "bool": pl.Boolean()}
_PLACES = 12
"""Places from which it is read again, at most."""

Row = tuple[Any, ...]
"""File, number, key, time, fault, values, original text."""


def check_source(factory: Callable[[], Source], plan: SourcePlan, *, rows: int, faults: Mapping[str, int] | None = None) -> None:
    """Check that a source hands over its rows as `Source` says.

    factory: opens the source anew, each time with the same content. plan: what the pipeline wants of it, as in
    `offbeat.load_plan("my.yaml").source`. rows: how many rows there are, those that cannot be read included; a live source is stopped
    after so many. faults: of how many rows each reason of FAULTS is expected, such as {"type": 2}. Give it a source with rows of several
    chunks and with some that cannot be read.

    Raises AssertionError: rows or faults are not those expected, differ from one reading to the next or after a restart at any place, come
    twice, or are not of the form that the plan wants.
    """
    first = factory()
    _described(first)
    chunks, kept = _read(first, None, rows, plan)
    for chunk in chunks:
        _well_formed(chunk, plan, len(first.files))
    _numbered(kept)
    _floors(chunks)
    now = [row for chunk in chunks for row in _rows_of(chunk, first, plan)]
    _hold(now[: len(kept)] == kept, "what was handed over has changed since: give each chunk arrays of its own")
    _hold(len(kept) == rows, f"{len(kept)} rows came, {rows} were expected")
    found = Counter(row[4] for row in kept if row[4])
    _hold(found == Counter(faults or {}), f"rows with a fault are {dict(found)}, expected were {dict(faults or {})}")
    first.close()
    first.close()
    _hold(_again(factory, None, rows, plan) == kept, "a second reading gives other rows")
    for at in sorted({*range(0, len(chunks), max(1, len(chunks) // _PLACES)), len(chunks) - 1} - {-1}):
        done = sum(chunk.frame.height for chunk in chunks[: at + 1])
        if done < len(kept) or not first.live:  # a live source has no end to be found
            position = json.loads(json.dumps(chunks[at].position))
            rest = _again(factory, position, rows - done, plan)
            _hold(rest == kept[done:], f"after a restart at {position!r} other rows come than those that were left")
    _interrupted(factory, kept, rows, plan)
    _foreign(factory)


def _hold(true: bool, promise: str) -> None:
    if not true:
        raise AssertionError(promise)


def _described(source: Source) -> None:
    _hold(bool(source.files) and all(isinstance(name, str) and name for name in source.files), "`files` must hold at least one name")
    _hold(len(set(source.files)) == len(source.files), "`files` holds a name twice")
    _hold(len(source.headers) == len(source.files), "`headers` must have an entry for each of `files`")
    _hold(all(header is None or isinstance(header, str) for header in source.headers), "each of `headers` is a text or None")
    _hold(all(isinstance(note, str) for note in source.notes), "each of `notes` is a text")
    _hold(isinstance(source.live, bool), "`live` must be True or False")
    size = source.size_bytes()
    _hold(size is None or (isinstance(size, int) and size >= 0), "`size_bytes` gives a number of bytes, or None")
    _hold(isinstance(source.done_bytes(), int), "`done_bytes` gives a number of bytes")


def _read(source: Source, start: Position | None, rows: int, plan: SourcePlan) -> tuple[list[Chunk], list[Row]]:
    """All chunks and rows, these taken down as they come; of a live source the first `rows` rows."""
    chunks: list[Chunk] = []
    found: list[Row] = []
    for chunk in source.chunks(start):
        chunks.append(chunk)
        found += _rows_of(chunk, source, plan)
        if source.live and len(found) >= rows:
            break
    return chunks, found[:rows] if source.live else found


def _rows_of(chunk: Chunk, source: Source, plan: SourcePlan) -> list[Row]:
    n = chunk.frame.height
    keys = [chunk.key] * n if chunk.keys is None else chunk.keys.cast(pl.String).to_list()
    files = [chunk.file] * n if chunk.files is None else chunk.files.tolist()
    numbers = range(chunk.first_row, chunk.first_row + n) if chunk.rows is None else chunk.rows.tolist()
    raw = chunk.raw(np.arange(n))
    _hold(len(raw) == n and all(isinstance(text, str) for text in raw), "`Chunk.raw` gives one text for each row asked for")
    # What is no number equals nothing, not even itself.
    values = [tuple("NaN" if value != value else value for value in row) for row in chunk.frame.select(_columns(plan)).rows()]
    faults, times = chunk.faults.tolist(), chunk.time_ns.tolist()
    return [(source.files[files[i]], numbers[i], keys[i], times[i], FAULTS[faults[i]], values[i], raw[i]) for i in range(n)]


def _columns(plan: SourcePlan) -> list[str]:
    return [column.name for column in plan.columns]


def _well_formed(chunk: Chunk, plan: SourcePlan, files: int) -> None:
    n = chunk.frame.height
    _hold(list(chunk.frame.columns) == _columns(plan), f"a chunk has the columns {chunk.frame.columns}; the plan's are {_columns(plan)}")
    for column in plan.columns:
        kind = chunk.frame.schema[column.name]
        _hold(kind == _TYPES[column.kind], f"column {column.name!r} is {kind}; {column.kind} wants {_TYPES[column.kind]}")
    for name, array, type_ in (("time_ns", chunk.time_ns, "int64"), ("faults", chunk.faults, "int8")):
        right = array.shape == (n,) and str(array.dtype) == type_
        _hold(right, f"`Chunk.{name}` must be {n} values of {type_}, as the chunk has {n} rows")
    _hold(chunk.time_ns.flags.writeable and chunk.time_ns.flags.c_contiguous, "`Chunk.time_ns` must be writable and contiguous")
    _hold((chunk.key is None) != (chunk.keys is None) or n == 0, "a chunk has either `key` or `keys`")
    for name, given in (("keys", chunk.keys), ("rows", chunk.rows), ("files", chunk.files)):
        _hold(given is None or len(given) == n, f"`Chunk.{name}` must have an entry for each of the {n} rows")
    _hold(chunk.keys is None or chunk.keys.dtype in (pl.String, pl.Int64), "`Chunk.keys` must be of type String or Int64")
    known = [chunk.file] if chunk.files is None else chunk.files.tolist()
    _hold(all(0 <= file < files for file in known), "a chunk names a file that is not in `files`")
    _hold(bool(((chunk.faults >= 0) & (chunk.faults < len(FAULTS))).all()), "`Chunk.faults` holds a number that is no place in FAULTS")
    _usable(chunk, plan)
    _carried(chunk.position)


def _usable(chunk: Chunk, plan: SourcePlan) -> None:
    """What the fold relies on for rows without a fault."""
    good = chunk.faults == 0
    _hold(not (good & (chunk.time_ns == NULL_INT)).any(), "a row without a time has no fault")
    if chunk.keys is not None:
        _hold(not (good & chunk.keys.is_null().to_numpy()).any(), "a row without a key has no fault")
    for column in plan.columns:
        if column.required:
            absent = good & chunk.frame[column.name].is_null().to_numpy()
            _hold(not absent.any(), f"a row without a value of {column.name!r}, which is required, has no fault")


def _carried(position: Position) -> None:
    try:
        _hold(json.loads(json.dumps(position)) == position, f"JSON changes the position {position!r}")
    except TypeError as error:
        raise AssertionError(f"the position {position!r} cannot be written as JSON: {error}") from error


def _numbered(rows: list[Row]) -> None:
    places = [(file, number) for file, number, *_ in rows]
    _hold(all(number >= 1 for _, number in places), "rows of a file are numbered from 1")
    twice = [place for place, count in Counter(places).items() if count > 1]
    _hold(not twice, f"a row comes twice: {twice[:1]}")


def _floors(chunks: list[Chunk]) -> None:
    earliest = None
    for chunk in reversed(chunks):
        times = chunk.time_ns[chunk.time_ns != NULL_INT]
        if len(times):
            earliest = min(int(times.min()), earliest) if earliest is not None else int(times.min())
        if chunk.floor_ns != NULL_INT and earliest is not None:
            _hold(chunk.floor_ns <= earliest, "`Chunk.floor_ns` says that no later row is earlier, and one is")


def _again(factory: Callable[[], Source], start: Position | None, rows: int, plan: SourcePlan) -> list[Row]:
    source = factory()
    try:
        return _read(source, start, rows, plan)[1]
    finally:
        source.close()


def _interrupted(factory: Callable[[], Source], kept: list[Row], rows: int, plan: SourcePlan) -> None:
    source = factory()
    reading = source.chunks(None)
    next(reading, None)
    source.close()
    source.close()
    _hold(_again(factory, None, rows, plan) == kept, "after a reading that was stopped in the middle, another one gives other rows")


def _foreign(factory: Callable[[], Source]) -> None:
    source = factory()
    try:
        next(source.chunks({"a place": "in another source"}), None)
    except UserError:
        return
    except Exception as error:
        raise AssertionError(f"a position of another source raises {type(error).__name__}, not UserError") from error
    finally:
        source.close()
    raise AssertionError("a position of another source is taken for one of this source: raise UserError")
