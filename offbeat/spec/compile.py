"""A pipeline's typed objects → the Plan. Checks what needs more than one key: names, columns, types, and what fits together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from typing import Any

from offbeat.core.plan import (
    KEY,
    AsOfPlan,
    Column,
    FilterPlan,
    ModelPlan,
    Plan,
    PopulationPlan,
    QualityPlan,
    SourcePlan,
    TimePlan,
    TolerancePlan,
    text_inputs,
)
from offbeat.spec.calendars import calendar_codes
from offbeat.spec.duration import cadence_ns, calendar_day, duration_ns, in_cadences, instant_ns
from offbeat.spec.episode_plans import compile_episodes
from offbeat.spec.expression import Codes, Compiler, Named, Scope
from offbeat.spec.identity import canonical_json, digest, former_name
from offbeat.spec.models import ColumnSpec, PipelineSpec, QualitySpec, SourceSpec
from offbeat.spec.nearest import nearest
from offbeat.spec.problems import Problems
from offbeat.spec.sources import own_settings
from offbeat.spec.sql import ExpressionError, canonical, parse
from offbeat.spec.table_plans import compile_tables
from offbeat.spec.values import share_of
from offbeat.spec.view import CompiledView, Given, compile_view

_QUARANTINE = ("encoding", "ragged", "missing", "type", "time", "precision", "non_finite", "not_before", "not_after", "future", "conflict")
UNDEFINED_PRICE = ("9223372036854775807", "9223372036.854775807", "9223372036.854776", "nan", "NaN")
"""Databento's price of a record that has none, as a count, as a decimal, as the nearest double, and as its data frames have it."""
REASONS = frozenset((*_QUARANTINE, "late", "duplicate", "filtered", "pending", "scored", "warming_up"))
"""Reasons that the ledger and the quarantine have of their own: no rule may have such a name."""
RESERVED_COLUMNS = ("time", KEY)


def make_plan(spec: PipelineSpec, problems: Problems) -> Plan | None:
    """The Plan of `spec`; None when `problems` were noted."""
    codes = Codes()
    scope = _scope(spec.source)
    source = _source(spec.source, scope, problems)
    quality, rules = _quality(spec.quality, spec.source, scope, codes, problems)
    source = replace(source, max_jump_ns=quality.max_jump_ns)
    _view_names(spec, problems)
    as_of = _as_of(spec, problems)
    zone = spec.zone or spec.source.time.zone
    parsed = tuple(parse(text) for text in rules.values())
    given = Given(spec.source, zone, scope, codes, problems, parsed, cadence_ns=quality.cadence_ns, fills=as_of is None)
    views = [compile_view(name, view, given) for name, view in spec.views.items()]
    made = [view for view in views if view is not None]
    episodes = compile_episodes(spec, [view.view for view in made], problems)
    tables = compile_tables(spec, {view.view.name: view.view for view in made}, problems)
    if problems or len(made) != len(views):
        return None
    parts = _state_parts(spec, source, quality, rules, made)
    table = codes.table()
    numeric = _numeric(spec.source, codes)
    return Plan(
        name=spec.name,
        source=source,
        quality=quality,
        views=tuple(view.plan(numeric, text_inputs(codes.table(), codes.parts(), KEY)) for view in made),
        codes=table,
        parts=codes.parts(),
        plan_hash=digest(_decides(spec, source, parts, made, as_of)),
        state_hash=digest(parts),
        state_parts={name: canonical_json(part) for name, part in parts.items()},
        text=canonical_json(spec.model_dump(mode="json", exclude_none=True)),
        seed=spec.seed,
        tables=tables,
        as_of=as_of,
        zone=zone,
        episodes=episodes,
    )


def _scope(source: SourceSpec) -> Scope:
    kinds: dict[str, Named] = {}
    for name, column in source.columns.items():
        if column.type == "id":
            continue
        if column.type == "text":
            kinds[name] = Named("text")
        elif column.type == "bool":
            kinds[name] = Named("truth")
        else:
            kinds[name] = Named("number", column.scale if column.type == "decimal" else None)
    return {**kinds, KEY: Named("text")}


def _numeric(source: SourceSpec, codes: Codes) -> tuple[str, ...]:
    numbers = [name for name, column in source.columns.items() if column.type != "text"]
    return (*numbers, *(codes.use(name) for name, _ in codes.table()), *(part.name for part in codes.parts() if part.kind != "prefix"))


def _spellings(name: str, headers: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((name, *headers)))


def _source(spec: SourceSpec, scope: Scope, problems: Problems) -> SourcePlan:
    at = ("source",)
    for name in spec.columns:
        if name in RESERVED_COLUMNS:
            problems.add(
                (*at, "columns", name),
                f"{name!r} is reserved for the event's {name}; give the column another name and add {name!r} to its `headers`",
            )
    columns = tuple(
        Column(
            name,
            "decimal" if column.type == "id" else column.type,
            column.scale,
            _spellings(name, column.headers),
            column.required,
            column.allow_nan,
            compared=column.type == "id",
            nulls=UNDEFINED_PRICE if spec.format == "databento" and "price" in (name, *column.headers) else (),
        )
        for name, column in spec.columns.items()
    )
    if spec.order is not None:
        decimals = [column.name for column in columns if column.kind == "decimal" and not column.compared]
        if spec.order not in spec.columns:
            problems.add((*at, "order"), f"unknown column {spec.order!r}{nearest(spec.order, spec.columns)}")
        elif spec.order not in decimals:
            kind = spec.columns[spec.order].type
            problems.add((*at, "order"), f"column {spec.order!r} must be of type decimal to order rows, not {kind}")
    key = _spellings(spec.key.column, spec.key.headers) if spec.key.column is not None else ()
    first, *rest = [spec.time.column] if spec.time.column is not None else spec.time.columns
    time = TimePlan(_spellings(first, spec.time.headers), spec.time.format, spec.time.zone, tuple(rest))
    if not spec.header:
        parts = [((*at, "time"), part) for part in (time.headers, *((name,) for name in rest))]
        # Keys and texts may also stand in the names of folders.
        numbers = [column for column in columns if column.kind != "text"]
        for path, spellings in [*parts, *(((*at, "columns", column.name), column.headers) for column in numbers)]:
            if not set(spellings) & set(spec.names):
                problems.add(path, f"{spellings[0]!r} is not in `names`{nearest(spellings[0], spec.names)}")
    for place, name in enumerate(spec.names):
        if name in spec.names[:place]:
            problems.add((*at, "names", str(place)), f"{name!r} appears twice in `names`")
    return SourcePlan(
        spec.format, spec.header, tuple(spec.names), spec.separator, key, spec.key.file or "", time, spec.order or "", columns,
        type=spec.type or "", settings=None if spec.type is None else own_settings(spec.type, spec),
        where=None if spec.where is None else _filter(spec, spec.where, scope, problems), sort=spec.sort,
        key_optional=spec.key.optional,
        nulls=tuple(spec.nulls), decimal=spec.decimal, thousands=spec.thousands or "",
    )  # fmt: skip


def _filter(spec: SourceSpec, where: str, scope: Scope, problems: Problems) -> FilterPlan | None:
    codes = Codes()
    own = spec.key.column
    needs_column = f"; a condition on the key needs its column under `columns` too: `{own}: text`"
    # What is asked before a row has a key knows none.
    own_scope = {name: named for name, named in scope.items() if name != KEY}
    compiler = Compiler(own_scope, codes, hints=dict.fromkeys((own, KEY), needs_column) if own else {})
    try:
        value, tree = compiler.expression(where, "truth")
    except ExpressionError as error:
        for problem in error.problems:
            problems.add(("source", "where"), problem)
        return None
    return FilterPlan(canonical(tree), compiler.builder.finish([value.handle]), codes.table(), codes.parts())


def _quality(spec: QualitySpec, source: SourceSpec, scope: Scope, codes: Codes, problems: Problems) -> tuple[QualityPlan, dict[str, str]]:
    at = ("quality",)
    compiler = Compiler(scope, codes)
    outputs: list[int] = []
    texts: dict[str, str] = {}
    for name, rule in spec.rules.items():
        path = (*at, "rules", name)
        if name in REASONS:
            problems.add(path, f"{name!r} is a reason that the ledger itself uses; give the rule another name")
        try:
            value, tree = compiler.expression(rule, "truth")
        except ExpressionError as error:
            for problem in error.problems:
                problems.add(path, problem)
            continue
        outputs.append(value.handle)
        texts[name] = canonical(tree)
    _unique(spec, source, problems)
    not_before = instant_ns(spec.not_before)
    not_after = None if spec.not_after is None else instant_ns(spec.not_after)
    if not_after is not None and not_after < not_before:
        problems.add((*at, "not_after"), f"`not_after` lies before `not_before` ({spec.not_before}): no row can pass")
    if spec.calendar is not None and calendar_codes() and spec.calendar not in calendar_codes():
        problems.add((*at, "calendar"), f"unknown calendar {spec.calendar!r}{nearest(spec.calendar, sorted(calendar_codes()))}")
    if spec.forget_after is not None and duration_ns(spec.forget_after) <= duration_ns(spec.lateness):
        problems.add((*at, "forget_after"), f"`forget_after` must exceed `lateness` ({spec.lateness}): rows of the key may still wait")
    plan = QualityPlan(
        rules=tuple(spec.rules),
        program=compiler.builder.finish(outputs) if outputs else None,
        unique=tuple(spec.unique),
        lateness_ns=duration_ns(spec.lateness),
        dedup_rows=spec.dedup_rows,
        not_before_ns=not_before,
        not_after_ns=not_after,
        max_jump_ns=duration_ns(spec.max_jump),
        cadence_ns=None if spec.cadence is None else cadence_ns(spec.cadence),
        calendar=spec.calendar or "",
        recognise=spec.cadence == "auto",
        keep_last=spec.keep == "last",
        forget_ns=0 if spec.forget_after is None else duration_ns(spec.forget_after),
        tolerate=TolerancePlan(*(None if most is None else share_of(most) for most in (spec.tolerate.quarantined, spec.tolerate.late))),
    )
    return plan, texts


def _unique(spec: QualitySpec, source: SourceSpec, problems: Problems) -> None:
    if spec.keep == "last" and "time" not in spec.unique:
        problems.add(("quality", "keep"), "`keep: last` needs `unique` with `time` in it: versions of a row have one time")
    for place, name in enumerate(spec.unique):
        path = ("quality", "unique", str(place))
        if name in spec.unique[:place]:
            problems.add(path, f"{name!r} appears twice")
        elif name == "time" or name in source.columns:
            continue
        elif name in {"key", source.key.column}:
            problems.add(path, f"{name!r} is the key, which is always part of `unique`: leave it out")
        elif name == source.time.column:
            problems.add(path, f"the event time is called `time` here, not {name!r}")
        else:
            problems.add(path, f"unknown column {name!r}{nearest(name, ['time', *source.columns])}")


def _as_of(spec: PipelineSpec, problems: Problems) -> AsOfPlan | None:
    if spec.as_of.mode == "rolling":
        return None
    for name, view in spec.views.items():
        if view.rollup is None:
            problems.add(("as_of", "mode"), f"`fixed` is for views with a `rollup`; view {name!r} scores single rows")
    return AsOfPlan(None if spec.as_of.date is None else (calendar_day(spec.as_of.date) - date(1970, 1, 1)).days)


def _view_names(spec: PipelineSpec, problems: Problems) -> None:
    for name in spec.views:
        if name in PipelineSpec.model_fields:
            problems.add(("views", name), f"a view cannot be called {name!r}: --set {name}.… means the pipeline's own `{name}`")


def _state_parts(
    spec: PipelineSpec, source: SourcePlan, quality: QualityPlan, rules: dict[str, str], views: list[CompiledView]
) -> dict[str, Any]:
    """What kept state depends on; it survives a change of anything else: spellings, file format, thresholds, votes, severity."""
    kinds = {column.name: former_name(ColumnSpec.former_values["type"], column.kind) for column in source.columns}
    parts: dict[str, Any] = {
        "name": spec.name,
        "source.key": _key_part(source),
        "source.time": [source.time.headers[0], source.time.format, source.time.zone, *source.time.rest],
        "source.order": source.order,
        "source.columns": [[column.name, kinds[column.name], column.scale, column.required, column.allow_nan] for column in source.columns],
        "quality.rules": [[name, text] for name, text in rules.items()],
        "quality.unique": list(quality.unique),
        "quality.lateness": quality.lateness_ns,
        "quality.dedup_rows": quality.dedup_rows,
        "quality.not_before": quality.not_before_ns,
        "quality.not_after": quality.not_after_ns,
        "quality.max_jump": quality.max_jump_ns,
    }
    if quality.keep_last:
        parts["quality.keep"] = "last"
    if quality.forget_ns:
        parts["quality.forget_after"] = quality.forget_ns
    if source.sort:
        parts["source.sort"] = True
    if source.where is not None:
        parts["source.where"] = source.where.text
    lengths = [window.over for view in spec.views.values() for window in view.windows.values()]
    lengths += [str(getattr(detector, "over", "")) for view in spec.views.values() for detector in view.detectors.values()]
    if any(map(in_cadences, lengths)):
        parts["quality.cadence"] = quality.cadence_ns
    if source.type:
        parts["source.type"] = source.type
    for view in views:
        parts.update(view.state_parts)
    if any(isinstance(detector, ModelPlan | PopulationPlan) for view in views for detector in view.view.detectors):
        parts["seed"] = spec.seed
    # In the order of names: which of two detectors or views stands first changes no state.
    return dict(sorted(parts.items()))


def _key_part(source: SourcePlan) -> Any:
    if source.key_pattern:
        return {"file": source.key_pattern, **({"column": source.key_column[0]} if source.key_column else {})}
    return [source.key_column[0], "optional"] if source.key_optional else source.key_column[0]


def _decides(
    spec: PipelineSpec, source: SourcePlan, parts: dict[str, Any], views: list[CompiledView], as_of: AsOfPlan | None
) -> dict[str, Any]:
    """What an alert depends on: the state's parts, and what state may do without. Descriptions, cadence and calendar decide no alert."""
    # The settings of a source say where its rows are, as the names of files do; what a row is lies in the columns.
    reading = [source.format, source.header, list(source.names), source.separator, list(source.key_column), list(source.time.headers)]
    own = [list(source.nulls), source.decimal, source.thousands]
    return {
        "state": parts,
        "reading": [*reading, [list(column.headers) for column in source.columns], *([] if own == [[], ".", ""] else [own])],
        "views": [[name, view.decides] for name, view in zip(spec.views, views, strict=True)],
        **({} if as_of is None else {"as_of": as_of.day}),
        **({} if spec.zone in (None, spec.source.time.zone) else {"zone": spec.zone}),
    }
