"""The alert as a record: one Arrow schema for every sink, built by columns.

Entries of `detectors` have fields that rules never fill. A pipeline of rules alone has many alerts, and would pay most for them:
there they are left out (`lean`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from offbeat.core.batch import NULL_INT
from offbeat.core.evidence import Evidence, WindowSpan
from offbeat.core.plan import Plan, RulePlan
from offbeat.decide.block import STATUSES, AlertBlock
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

T = TypeVar("T", np.float64, np.int64, np.bool_)

RECORD_VERSION = 2
"""Of the record's form: raised when a field gets another name, type or meaning, or is left out."""
OF_SOME_DETECTORS = ("model_version", "raw", "out_of_range", "note")
"""Fields of an entry of `detectors` that are left out where no detector of the pipeline ever fills them."""

_SPAN: list[pa.Field[Any]] = [pa.field("from", TIME), pa.field("to", TIME), pa.field("n", pa.int64())]
_CONTRIBUTION = pa.struct([pa.field("feature", WORD), pa.field("value", pa.float64())])
_OUT_OF_RANGE = pa.struct([pa.field("feature", WORD), *(pa.field(name, pa.float64()) for name in ("observed", "expected", "low", "high"))])
_DETECTOR: dict[str, pa.DataType] = {
    "name": WORD,
    "type": WORD,
    "model_version": pa.int64(),
    "window": pa.struct(_SPAN),
    "score": pa.float64(),
    "raw": pa.float64(),
    "threshold": pa.float64(),
    "voted": pa.bool_(),
    "observed": pa.float64(),
    "expected": pa.float64(),
    "contributions": pa.list_(_CONTRIBUTION),
    "out_of_range": pa.list_(_OUT_OF_RANGE),
    "note": WORD,
}


def is_lean(plan: Plan) -> bool:
    """Whether no detector of the pipeline fills `OF_SOME_DETECTORS`: there are only rules, all of them judge whatever is judged, and no
    vote by surprise notes how rare it was.
    """
    rules = all(isinstance(detector, RulePlan) and not detector.early for view in plan.views for detector in view.detectors)
    return rules and all(view.budget is None for view in plan.views)


def _detector_fields(lean: bool) -> list[pa.Field[Any]]:
    return [pa.field(name, kind) for name, kind in _DETECTOR.items() if not (lean and name in OF_SOME_DETECTORS)]


def _window_type(statistics: pa.DataType) -> pa.DataType:
    """Type of `window` for a type of its statistics (a struct, or null where there are none)."""
    return pa.struct([*_SPAN, pa.field("statistics", statistics)])


def alert_schema(row: pa.DataType, statistics: pa.DataType, *, lean: bool = False) -> pa.Schema:
    """The alert's Arrow schema. Between views only `row` and `window.statistics` differ, between pipelines also what `lean` leaves out."""
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
        pa.field("detectors", pa.list_(pa.struct(_detector_fields(lean)))),
        pa.field("row", row),
        pa.field("window", _window_type(statistics)),
        pa.field("model_version", pa.string()),
        pa.field("plan_hash", WORD),
        pa.field("offbeat_version", WORD),
    ]
    return pa.schema(fields)


EMPTY = alert_schema(pa.null(), pa.null())
"""Schema of alerts of which no row or statistic is known."""


def alert_table(block: AlertBlock, *, pipeline: str, plan_hash: str, version: str, lean: bool = False) -> pa.Table:
    """The m alerts of `block` as a table in the alert schema, in the block's order; `lean` as in `is_lean`.

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
        _detectors(block.detectors, m, lean),
        row,
        _window(block, nulls(m, pa.null()) if statistics is None else statistics),
        _versions(block.detectors, m),
        constant(plan_hash, m),
        constant(version, m),
    ]
    return pa.Table.from_arrays(columns, schema=alert_schema(row.type, pa.null() if statistics is None else statistics.type, lean=lean))


def _interleaved(columns: Sequence[npt.NDArray[T]], m: int, kind: type[T]) -> npt.NDArray[T]:
    """Several columns (m,) → one array, the values of the first alert first."""
    out = np.empty((m, len(columns)), dtype=kind)
    for i, column in enumerate(columns):
        out[:, i] = column
    return out.reshape(-1)


def _tiled(names: Sequence[str], m: int) -> Array:
    """The names in turn, m times over."""
    distinct = sorted(set(names))
    return words(np.tile(np.array([distinct.index(name) for name in names], dtype=np.int32), m), distinct)


def _detectors(detectors: Sequence[Evidence], m: int, lean: bool) -> Array:
    """All children of the nested lists are made at once; a list is only an offset into them."""
    count = len(detectors)

    def numbers(name: str) -> Array:
        return floats(_interleaved([getattr(d, name) for d in detectors], m, np.float64))

    features = [name for d in detectors for name in d.features]
    values = _interleaved([row for d in detectors for row in d.contributions], m, np.float64) if features else np.empty(0)
    ends = np.cumsum([len(d.features) for d in detectors])
    offsets = np.append(0, np.arange(m)[:, None] * len(features) + ends[None, :])
    children: dict[str, Array] = {
        "name": _tiled([d.name for d in detectors], m),
        "type": _tiled([d.type for d in detectors], m),
        "window": _spans([d.window for d in detectors], m),
        "score": numbers("score"),
        "threshold": numbers("threshold"),
        "voted": truths(_interleaved([d.voted for d in detectors], m, np.bool_)),
        "observed": numbers("observed"),
        "expected": numbers("expected"),
        "contributions": lists(offsets, structs([_tiled(features, m), floats(values)], fields_of(_CONTRIBUTION))),
    }
    if not lean:
        versions = _interleaved([d.version for d in detectors], m, np.int64)
        children["model_version"] = integers(versions, pa.int64(), versions > 0)
        children["raw"] = numbers("raw")
        children["out_of_range"] = _out_of_range(detectors)
        children["note"] = _notes(detectors, m)
    fields = _detector_fields(lean)
    return lists(np.arange(m + 1) * count, structs([children[field.name] for field in fields], fields))


def _spans(windows: Sequence[WindowSpan], m: int) -> Array:
    """What each detector held each alert against, all detectors of the first alert first."""
    n = _interleaved([w.n for w in windows], m, np.int64)
    ends = (_interleaved(columns, m, np.int64) for columns in ([w.from_ns for w in windows], [w.to_ns for w in windows]))
    alone = n == NULL_INT
    return structs([*(times(end) for end in ends), integers(n, pa.int64())], _SPAN, absent=truths(alone) if alone.any() else None)


def _out_of_range(detectors: Sequence[Evidence]) -> Array:
    """What is out of range, all detectors of the first alert first."""
    lengths = np.stack([np.diff(d.out_of_range.offsets) for d in detectors], axis=1).reshape(-1)
    offsets = np.append(np.int64(0), np.cumsum(lengths))
    texts = sorted({name for d in detectors for name in d.features})
    feature = np.zeros(int(offsets[-1]), np.int32)
    values = np.zeros((4, int(offsets[-1])))
    for number, d in enumerate(detectors):
        starts = offsets[number : -1 : len(detectors)]
        own = np.diff(d.out_of_range.offsets)
        at = np.repeat(starts - d.out_of_range.offsets[:-1], own) + np.arange(int(own.sum()))
        feature[at] = np.array([texts.index(name) for name in d.features] or [0], np.int32)[d.out_of_range.feature]
        values[:, at] = d.out_of_range.values
    return lists(offsets, structs([words(feature, texts), *(floats(row) for row in values)], fields_of(_OUT_OF_RANGE)))


def _notes(detectors: Sequence[Evidence], m: int) -> Array:
    texts = sorted({note for d in detectors for note in d.notes if note})
    place = {text: i for i, text in enumerate(texts)}
    codes = np.full((m, len(detectors)), -1, np.int32)
    for number, d in enumerate(detectors):
        if d.notes:
            codes[:, number] = [place.get(note, -1) for note in d.notes]
    return words(codes.reshape(-1), texts)


def _versions(detectors: Sequence[Evidence], m: int) -> Array:
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
    held = block.window
    children = [times(held.from_ns), times(held.to_ns), integers(held.n, pa.int64()), statistics]
    return structs(children, fields_of(_window_type(statistics.type)), absent=truths(held.n == NULL_INT))
