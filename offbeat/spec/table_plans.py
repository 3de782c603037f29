"""The tables of a pipeline → their plans: every name in them is looked up in the views, or reported as unknown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from offbeat.core.plan import LINKED_WINDOWS, DimensionPlan, RangePlan, RollupPlan, TablePlan, TableValue, ViewPlan
from offbeat.spec.models import DimensionSpec, PipelineSpec, TableSpec
from offbeat.spec.nearest import nearest
from offbeat.spec.problems import Problems

ALWAYS = ("start", "day")
"""Columns that every table has, beside the key's."""
_NOT_IN_NAMES = re.compile(r"\W+", re.ASCII)
Values = dict[str, TableValue]


def compile_tables(spec: PipelineSpec, views: Mapping[str, ViewPlan], problems: Problems) -> tuple[TablePlan, ...]:
    """Plans of all tables. `views` are those that could be compiled; nothing more is reported about the others."""
    plans = []
    for name, table in spec.tables.items():
        if table.view not in spec.views:
            problems.add(("tables", name, "view"), f"unknown view {table.view!r}{nearest(table.view, spec.views)}")
        elif spec.views[table.view].rollup is None:
            problems.add(("tables", name, "view"), f"view {table.view!r} has no rollup; a table has one row per window")
        elif table.view in views:
            off = _switched_off(spec, table.view)
            plan = _table(name, table, views, {view: _key_of(spec, view) for view in views}, off, problems)
            if plan.where or not table.where:
                plans.append(plan)
    return tuple(plans)


def _switched_off(spec: PipelineSpec, view: str) -> tuple[str, ...]:
    """Detectors that are switched off, as tables of a view call them: what depends on them alone is left out."""
    off = [(name, detector) for name, other in spec.views.items() for detector, kind in other.detectors.items() if not kind.enabled]
    return tuple(detector if name == view else f"{name}.{detector}" for name, detector in off)


def _key_of(spec: PipelineSpec, view: str) -> str:
    """What the key is called: the name of its column where it is one."""
    rollup = spec.views[view].rollup
    return _named((rollup.key.column if rollup is not None else None) or "key")


def _table(
    name: str, spec: TableSpec, views: Mapping[str, ViewPlan], keys: Mapping[str, str], off: tuple[str, ...], problems: Problems
) -> TablePlan:
    view, key = views[spec.view], keys[spec.view]
    known = _linked(view, views, keys) | _own(view)
    texts = spec.columns or _usual(view)
    columns = _found(("tables", name, "columns"), texts, known, off, problems)
    taken = {key: "the key's column", **dict.fromkeys(ALWAYS, "a column of every table")}
    for place, (text, value) in enumerate(zip(texts, columns, strict=True)):
        path = ("tables", name, "columns", *([str(place)] if spec.columns else []))
        if value is not None and value.name in taken:
            problems.add(path, f"{text!r} would be called {value.name!r}, the name of {taken[value.name]}; leave it out")
        elif value is not None:
            taken[value.name] = f"{text!r}"
    where = _found(("tables", name, "where"), spec.where, _conditions(view, known), off, problems)
    return TablePlan(
        name=name,
        view=view.name,
        key=key,
        columns=tuple(value for value in columns if value is not None),
        where=tuple(value for value in where if value is not None),
        dimension=_dimension(name, spec.dimension, taken, problems),
    )


def _found(path: tuple[str, ...], texts: list[str], known: Values, off: tuple[str, ...], problems: Problems) -> list[TableValue | None]:
    for place, text in enumerate(texts):
        if text not in known and not any(text == name or text.startswith(f"{name}.") for name in off):
            problems.add((*path, str(place)), f"unknown name {text!r}{nearest(text, known)}")
    return [known.get(text) for text in texts]


def _usual(view: ViewPlan) -> list[str]:
    features = [feature for window in view.windows for feature in window.features]
    said = [f"{detector.name}.{what}" for detector in view.detectors for what in ("score", "voted")]
    return [*view.columns, *features, *said]


def _own(view: ViewPlan) -> Values:
    """What is known of a window of the view itself. Of equal names the first counts."""
    found = [TableValue(column, "column", i) for i, column in enumerate(view.columns)]
    features = [feature for window in view.windows for feature in window.features]
    found += [TableValue(feature, "feature", i) for i, feature in enumerate(features)]
    found += [TableValue("alert", "alert"), TableValue("severity", "severity"), TableValue("level", "level")]
    for d, detector in enumerate(view.detectors):
        found += [TableValue(f"{detector.name}.score", "score", d), TableValue(f"{detector.name}.voted", "voted", d)]
        terms = detector.terms if isinstance(detector, RangePlan) else ()
        found += [TableValue(f"{detector.name}.{term.feature}", "term", d, t) for t, term in enumerate(terms)]
    return _by_name(found)


def _linked(view: ViewPlan, views: Mapping[str, ViewPlan], keys: Mapping[str, str]) -> Values:
    """What is known of the windows of other views that share rows with it."""
    found = []
    for other in views.values():
        if other.rollup is not None and view.rollup is not None and other.name != view.name and _fits(view.rollup, other.rollup):
            found.append(TableValue(other.name, "linked", view=other.name, key=keys[other.name]))
            found += [TableValue(f"{other.name}.{said.name}", "linked_voted", d, view=other.name) for d, said in enumerate(other.detectors)]
    return _by_name(found)


def _fits(view: RollupPlan, other: RollupPlan) -> bool:
    """Whether windows of the other view divide those of the view, and there are bits for them and for one that reaches in at either end."""
    return view.size_ns % other.size_ns == 0 and view.size_ns // other.size_ns + 2 <= LINKED_WINDOWS


def _conditions(view: ViewPlan, known: Values) -> Values:
    votes = {detector.name: TableValue(detector.name, "voted", d) for d, detector in enumerate(view.detectors)}
    scored = {f"{detector.name}.scored": TableValue(detector.name, "score", d) for d, detector in enumerate(view.detectors)}
    return {**votes, **scored, **{text: value for text, value in known.items() if "." not in text and text not in votes}}


def _by_name(found: list[TableValue]) -> Values:
    named: Values = {}
    for value in found:
        named.setdefault(value.name, replace(value, name=_named(value.name)))
    return named


def _named(text: str) -> str:
    """A name that every reader of tables accepts: `zscore.total_mb` becomes `zscore_total_mb`."""
    return _NOT_IN_NAMES.sub("_", text).strip("_")


def _dimension(name: str, spec: DimensionSpec | None, taken: Mapping[str, str], problems: Problems) -> DimensionPlan | None:
    if spec is None or spec.source is None:
        return None
    for place, column in enumerate(spec.columns):
        if column in taken:
            problems.add(("tables", name, "dimension", "columns", str(place)), f"the table already has a column {column!r}; leave it out")
    return DimensionPlan(spec.source, spec.key, tuple(spec.columns))
