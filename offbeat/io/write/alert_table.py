"""The alert as a record: one Arrow schema for every sink, built by columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from offbeat.core.batch import F64, NULL_INT
from offbeat.decide.block import STATUSES, AlertBlock, DetectorBlock
from offbeat.io.write.arrow_arrays import (
    TIME,
    WORD,
    Array,
    coded,
    constant,
    fields_of,
    floats,
    hex_ids,
    integers,
    lists,
    nulls,
    structs,
    times,
    truths,
    whole,
    words,
)

CONTRIBUTION = pa.struct([pa.field("feature", WORD), pa.field("value", pa.float64())])
ODD = pa.struct([pa.field("feature", WORD), *(pa.field(name, pa.float64()) for name in ("observed", "expected", "low", "high"))])
DETECTOR = pa.struct(
    [
        pa.field("name", WORD),
        pa.field("score", pa.float64()),
        pa.field("threshold", pa.float64()),
        pa.field("voted", pa.bool_()),
        pa.field("observed", pa.float64()),
        pa.field("expected", pa.float64()),
        pa.field("contributions", pa.list_(CONTRIBUTION)),
        pa.field("odd", pa.list_(ODD)),
        pa.field("note", WORD),
    ]
)


def window_type(statistics: pa.DataType) -> pa.DataType:
    """Type of `window` for a type of its statistics (a struct, or null where there are none)."""
    return pa.struct([pa.field("from", TIME), pa.field("to", TIME), pa.field("n", pa.int64()), pa.field("statistics", statistics)])


def alert_schema(row: pa.DataType, statistics: pa.DataType) -> pa.Schema:
    """The alert's Arrow schema; only `row` and `window.statistics` differ between views."""
    fields: list[pa.Field[Any]] = [
        pa.field("alert_id", pa.string()),
        pa.field("revision", pa.int64()),
        pa.field("status", WORD),
        pa.field("pipeline", WORD),
        pa.field("view", WORD),
        pa.field("key", WORD),
        pa.field("time", TIME),
        pa.field("severity", pa.float64()),
        pa.field("level", WORD),
        pa.field("votes", pa.int32()),
        pa.field("voters", pa.int32()),
        pa.field("detectors", pa.list_(DETECTOR)),
        pa.field("row", row),
        pa.field("window", window_type(statistics)),
        pa.field("model_version", pa.string()),
        pa.field("plan_hash", WORD),
        pa.field("offbeat_version", WORD),
    ]
    return pa.schema(fields)


EMPTY = alert_schema(pa.null(), pa.null())
"""Schema of alerts of which no row or statistic is known."""


def alert_table(block: AlertBlock, *, pipeline: str, plan_hash: str, version: str) -> pa.Table:
    """The m alerts of `block` as a table in the alert schema, in the block's order.

    `detectors` holds every detector of the view in the order of the spec, whether it voted or not. Values that are NaN or infinite
    become null. `row` has the columns of `block.row`, `window.statistics` the names of `block.statistics`; both have type null where
    there are none.
    """
    m = len(block)
    row = _row(block.row, m)
    statistics = (
        structs([floats(v) for v in block.values], [pa.field(n, pa.float64()) for n in block.statistics]) if block.statistics else None
    )
    columns = [
        hex_ids(block.ids),
        integers(block.revision, pa.int64()),
        words(block.status, STATUSES),
        constant(pipeline, m),
        constant(block.view, m),
        coded(block.key, block.keys),
        times(block.time_ns),
        floats(block.severity),
        words(block.level, block.levels),
        integers(block.votes, pa.int32()),
        integers(block.voters, pa.int32()),
        _detectors(block.detectors, m),
        row,
        _window(block, nulls(m, pa.null()) if statistics is None else statistics),
        _versions(block.detectors, m),
        constant(plan_hash, m),
        constant(version, m),
    ]
    return pa.Table.from_arrays(columns, schema=alert_schema(row.type, pa.null() if statistics is None else statistics.type))


def _interleaved(columns: Sequence[F64], m: int) -> F64:
    """Several columns (m,) → one array, the values of the first alert first."""
    out = np.empty((m, len(columns)), dtype=np.float64)
    for i, column in enumerate(columns):
        out[:, i] = column
    return out.reshape(-1)


def _tiled(names: Sequence[str], m: int) -> Array:
    """The names in turn, m times over."""
    distinct = sorted(set(names))
    return words(np.tile(np.array([distinct.index(name) for name in names], dtype=np.int32), m), distinct)


def _detectors(detectors: Sequence[DetectorBlock], m: int) -> Array:
    """All children of the nested lists are made at once; a list is only an offset into them."""
    count = len(detectors)
    features = [name for d in detectors for name in d.features]
    values = _interleaved([row for d in detectors for row in d.contributions], m) if features else np.empty(0)
    ends = np.cumsum([len(d.features) for d in detectors])
    offsets = np.append(0, np.arange(m)[:, None] * len(features) + ends[None, :])
    voted = np.empty((m, count), dtype=np.bool_)
    for i, d in enumerate(detectors):
        voted[:, i] = d.voted
    children = [
        _tiled([d.name for d in detectors], m),
        floats(_interleaved([d.score for d in detectors], m)),
        floats(_interleaved([d.threshold for d in detectors], m)),
        truths(voted.reshape(-1)),
        floats(_interleaved([d.observed for d in detectors], m)),
        floats(_interleaved([d.expected for d in detectors], m)),
        lists(offsets, structs([_tiled(features, m), floats(values)], fields_of(CONTRIBUTION))),
        _odd(detectors),
        _notes(detectors, m),
    ]
    return lists(np.arange(m + 1) * count, structs(children, fields_of(DETECTOR)))


def _odd(detectors: Sequence[DetectorBlock]) -> Array:
    """What is out of range, all detectors of the first alert first."""
    lengths = np.stack([np.diff(d.odd.offsets) for d in detectors], axis=1).reshape(-1)
    offsets = np.append(np.int64(0), np.cumsum(lengths))
    texts = sorted({name for d in detectors for name in d.features})
    feature = np.zeros(int(offsets[-1]), np.int32)
    values = np.zeros((4, int(offsets[-1])))
    for number, d in enumerate(detectors):
        starts = offsets[number : -1 : len(detectors)]
        own = np.diff(d.odd.offsets)
        at = np.repeat(starts - d.odd.offsets[:-1], own) + np.arange(int(own.sum()))
        feature[at] = np.array([texts.index(name) for name in d.features] or [0], np.int32)[d.odd.feature]
        values[:, at] = d.odd.values
    return lists(offsets, structs([words(feature, texts), *(floats(row) for row in values)], fields_of(ODD)))


def _notes(detectors: Sequence[DetectorBlock], m: int) -> Array:
    texts = sorted({note for d in detectors for note in d.notes if note})
    place = {text: i for i, text in enumerate(texts)}
    codes = np.full((m, len(detectors)), -1, np.int32)
    for number, d in enumerate(detectors):
        if d.notes:
            codes[:, number] = [place.get(note, -1) for note in d.notes]
    return words(codes.reshape(-1), texts)


def _versions(detectors: Sequence[DetectorBlock], m: int) -> Array:
    """Which training each model came from, as `forest 12, covariance 12`."""
    trained = [d for d in detectors if d.version.any()]
    if not trained:
        return nulls(m, pa.string())
    if len(trained) == 1:  # a comparison of columns is ten times as slow
        versions, codes = np.unique(trained[0].version, return_inverse=True)
        distinct = versions[:, None]
    else:
        columns, codes = np.unique(np.stack([d.version for d in trained]), axis=1, return_inverse=True)
        distinct = columns.T
    texts = [", ".join(f"{d.name} {v}" for d, v in zip(trained, row, strict=True) if v) or None for row in distinct.tolist()]
    return words(codes, texts).cast(pa.string())


def _row(frame: pl.DataFrame, m: int) -> Array:
    if not frame.width:
        return nulls(m, pa.null())
    columns: list[Array] = []
    for series in frame:
        if series.dtype == pl.Float64:
            columns.append(floats(series.fill_null(float("nan")).to_numpy() if series.null_count() else series.to_numpy()))
        elif series.dtype in {pl.Categorical, pl.Enum, pl.String}:
            columns.append(whole(series.cast(pl.String).to_arrow().cast(pa.string())))
        else:
            columns.append(whole(series.to_arrow()))
    return structs(columns, [pa.field(name, column.type) for name, column in zip(frame.columns, columns, strict=True)])


def _window(block: AlertBlock, statistics: Array) -> Array:
    children = [times(block.window_from_ns), times(block.window_to_ns), integers(block.window_n, pa.int64()), statistics]
    return structs(children, fields_of(window_type(statistics.type)), absent=truths(block.window_n == NULL_INT))
