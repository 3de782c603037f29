"""Alerts of different views in one file: `row` and `window.statistics` differ, so schemas are merged and tables fitted to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from offbeat.core.plan import Column, Plan
from offbeat.io.write.alert_table import alert_schema, is_lean
from offbeat.io.write.arrow_arrays import Array, child, field_type, fields_of, lists, nulls, structs, whole

_ARROW: dict[str, pa.DataType] = {"float": pa.float64(), "text": pa.string(), "bool": pa.bool_()}


def plan_schema(plan: Plan) -> pa.Schema:
    """The schema that holds the alerts of all views of `plan`: each view's columns and features, null where a view has no such thing."""
    columns: dict[str, pa.DataType] = {}
    features: list[str] = []
    for view in plan.views:
        found = _source_types(plan.source.columns) if view.rollup is None else dict.fromkeys(view.rollup.columns, pa.float64())
        columns |= {name: kind for name, kind in found.items() if name not in columns}
        features += [name for window in view.windows for name in window.features if name not in features]
    row = pa.struct(list(columns.items())) if columns else pa.null()
    statistics = pa.struct([(name, pa.float64()) for name in features]) if features else pa.null()
    return alert_schema(row, statistics, lean=is_lean(plan))


def _source_types(columns: Sequence[Column]) -> dict[str, pa.DataType]:
    return {c.name: _ARROW.get(c.kind, pa.float64() if c.scale else pa.int64()) for c in columns if not c.compared}


def widened(schema: pa.Schema, other: pa.Schema, *, other_wins: bool = False) -> pa.Schema:
    """`schema` with the columns and struct fields it lacks taken from `other`, at the end.

    Integers and doubles under one name become doubles; any other clash becomes text. `other_wins`: `other`'s type stands instead.
    """
    if schema.equals(other):
        return schema
    return pa.schema(_joined(list(schema), list(other), other_wins))


def _joined(mine: list[pa.Field[Any]], theirs: list[pa.Field[Any]], they_win: bool) -> list[pa.Field[Any]]:
    found = {f.name: f.type for f in theirs}
    names = {f.name for f in mine}
    kept = [pa.field(f.name, _wider(f.type, found[f.name], they_win) if f.name in found else f.type) for f in mine]
    return kept + [f for f in theirs if f.name not in names]


def _wider(a: pa.DataType, b: pa.DataType, b_wins: bool) -> pa.DataType:
    if a.equals(b) or pa.types.is_null(b):
        return a
    if pa.types.is_null(a):
        return b
    if pa.types.is_struct(a) and pa.types.is_struct(b):
        return pa.struct(_joined(fields_of(a), fields_of(b), b_wins))
    if pa.types.is_list(a) and (pa.types.is_list(b) or pa.types.is_large_list(b)):
        return pa.list_(pa.field("item", _wider(a.value_type, b.value_type, b_wins)))
    if pa.types.is_dictionary(a) or pa.types.is_dictionary(b):
        return a if pa.types.is_dictionary(a) else b
    if b_wins:
        return b
    numeric = all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in (a, b))
    return pa.float64() if numeric else pa.string()


def fitted(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """`table` with exactly the columns and types of `schema`; what it does not have is null."""
    if table.schema.equals(schema):
        return table
    m = table.num_rows
    have = set(table.column_names)
    return pa.Table.from_arrays([_fit(whole(table[f.name]), f.type) if f.name in have else nulls(m, f.type) for f in schema], schema=schema)


def _fit_list(array: Any, kind: Any) -> Array:
    """Lists whose values are fitted; as long as they are."""
    begin, end = array.offsets[0].as_py(), array.offsets[-1].as_py()
    offsets = array.offsets.to_numpy() - begin
    return lists(offsets, _fit(array.values.slice(begin, end - begin), kind.value_type), absent=array.is_null())


def _fit(array: Array, kind: pa.DataType) -> Array:
    if array.type.equals(kind):
        return array
    if pa.types.is_struct(kind) and pa.types.is_struct(array.type):
        children = [
            nulls(len(array), f.type) if field_type(array.type, f.name) is None else _fit(child(array, f.name), f.type)
            for f in fields_of(kind)
        ]
        return structs(children, fields_of(kind), absent=array.is_null())
    if pa.types.is_list(kind) and (pa.types.is_list(array.type) or pa.types.is_large_list(array.type)):
        return _fit_list(array, kind)
    if pa.types.is_dictionary(kind) and not pa.types.is_dictionary(array.type):
        return array.cast(pa.string()).dictionary_encode().cast(kind)
    return array.cast(kind)
