"""One view of a pipeline → its part of the Plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from offbeat.core.expression_program import certain
from offbeat.core.plan import DECAYED, KEY, AbsencePlan, BudgetPlan, DetectorPlan, Part, RangePlan, RollupPlan, ViewPlan, WindowPlan
from offbeat.spec.aggregate import compile_aggregates
from offbeat.spec.detectors import DetectorCompiler
from offbeat.spec.duration import alert_budget, cooldown_length, duration_ns, over_length, past_length
from offbeat.spec.empty_windows import FILL, low_rules
from offbeat.spec.expression import Codes, Named, Scope
from offbeat.spec.functions import CLOCK
from offbeat.spec.identity import former_name
from offbeat.spec.models import DEFAULT_BUDGET, DEFAULT_WARM_UP, RollupSpec, SourceSpec, ViewSpec, WindowSpec
from offbeat.spec.nearest import nearest
from offbeat.spec.never_negative import Signs
from offbeat.spec.problems import Problems
from offbeat.spec.rising import Rising
from offbeat.spec.sql import ExpressionError, Node, parse

_MOST_DETECTORS = 63
"""Of a view of windows: which of them fired or voted is kept as bits of one integer, and tables need one bit more."""


_MOST_PLACES = 2016
"""Of a season: a week of 5 minutes. Every key has a state for each."""


@dataclass(frozen=True, slots=True)
class Given:
    """What all views share."""

    source: SourceSpec
    zone: str
    """Of days and hours."""
    scope: Scope
    """The source's columns."""
    codes: Codes
    problems: Problems
    rules: tuple[Node, ...]
    """The quality rules."""
    cadence_ns: int | None = None
    fills: bool = True
    """Whether windows without a row are judged where `fill` asks for it: not as of one moment [S16]."""


@dataclass(frozen=True, slots=True)
class CompiledView:
    """A view's plan, and what its hashes are made of."""

    view: ViewPlan
    state_parts: dict[str, Any]
    decides: dict[str, Any]

    def plan(self, numeric: tuple[str, ...], keyed: tuple[str, ...]) -> ViewPlan:
        """The plan. What expressions read of texts is known only when all views are compiled.

        numeric: the number columns of the source and what is read of its texts. keyed: what is read of the key.
        """
        return replace(self.view, columns=numeric if self.view.rollup is None else (*self.view.columns, *keyed))


def compile_view(name: str, spec: ViewSpec, given: Given) -> CompiledView | None:
    """Compile one view; None when problems were noted."""
    at, problems, codes = ("views", name), given.problems, given.codes
    before = len(problems)
    _check_names(at, spec, problems)
    state: dict[str, Any] = {}
    rollup = None
    columns = dict(given.scope)
    if spec.rollup is not None:
        rollup, columns, part = _rollup((*at, "rollup"), spec.rollup, given)
        state[f"views.{name}.rollup"] = part
    # Windows of rows or time fold a rollup's columns as the doubles they are; the whole past takes them as exact numbers.
    inexact = columns if rollup is None else {column: Named(named.type) for column, named in columns.items()}
    key = {KEY: Named("text")}
    visible = {**inexact, **key}
    windows: list[WindowPlan] = []
    owner: dict[str, str] = {}
    for window_name, window in spec.windows.items():
        path = (*at, "windows", window_name)
        names = {**(columns if window.over == "all" else inexact), **key}
        plan, results, texts = _window(path, window, names, given, clock=rollup is None)
        _check_season(path, plan, rollup, problems)
        windows.append(plan)
        state[f"views.{name}.windows.{window_name}"] = [
            plan.duration_ns,
            plan.rows,
            plan.current,
            plan.min_rows,
            [[f, t] for f, t in texts.items()],
            plan.lag_ns,
            plan.season_ns,
            *([plan.slot_ns] if plan.slot_ns else []),
        ]
        for feature, named in results.items():
            if feature in columns:
                problems.add((*path, "features", feature), f"feature {feature!r} has the same name as a column; choose another")
            elif feature in owner:
                problems.add((*path, "features", feature), f"feature {feature!r} already exists in window {owner[feature]!r}")
            owner[feature] = window_name
            visible.setdefault(feature, named)
    size_ns = 0 if rollup is None else rollup.size_ns
    meanings = {} if spec.rollup is None else _parsed(spec.rollup.columns)
    rising = None if spec.rollup is None else _rising(meanings, spec.windows, given)
    made_of = _parsed({feature: text for window in spec.windows.values() for feature, text in window.features.items()})
    signs = Signs((made_of, meanings), given.scope, given.rules)
    compiler = DetectorCompiler(at, visible, tuple(owner), size_ns, codes, problems, signs, rising, given.cadence_ns)
    # What is switched off is checked as the others are, but leaves nothing behind.
    unused = DetectorCompiler(at, visible, tuple(owner), size_ns, Codes(), problems, signs, rising, given.cadence_ns)
    made = [(compiler if kind.enabled else unused).detector(detector, kind) for detector, kind in spec.detectors.items()]
    off = {detector for detector, kind in spec.detectors.items() if not kind.enabled}
    plans = [found for found in made if found is not None and found.name not in off]
    state.update(compiler.state_parts)
    able = len(spec.detectors) - len(off)
    if not able:
        problems.add((*at, "detectors"), "all detectors of the view are switched off")
    elif spec.vote.quorum > able:
        problems.add((*at, "vote", "quorum"), f"{spec.vote.quorum} votes can never be reached with {able} detector(s)")
    if rollup is not None and able > _MOST_DETECTORS:
        most = f"a view of windows takes at most {_MOST_DETECTORS} detectors, not {able}"
        problems.add((*at, "detectors"), f"{most}: put some into another view with the same `rollup`")
    absences = sum(isinstance(plan, AbsencePlan) for plan in plans)
    if rollup is not None and spec.rollup is not None and _fills(spec.rollup, rollup, meanings, plans, given):
        rollup = replace(rollup, fill=True)
        state[f"views.{name}.rollup"] = [*state[f"views.{name}.rollup"], FILL]
    if absences and rollup is not None and rollup.fill:
        problems.add((*at, "rollup", "fill"), "with `fill: zero` no window is missing, so `absence` never votes: leave one of them out")
    if 0 < absences < spec.vote.quorum:
        problems.add(
            (*at, "vote", "quorum"),
            f"only absence detectors vote on a missing window; with {absences} of them, {spec.vote.quorum} votes can never be reached",
        )
    budget = None
    if spec.vote.by == "surprise":
        budget = BudgetPlan(*alert_budget(spec.vote.budget or DEFAULT_BUDGET), spec.vote.warm_up or DEFAULT_WARM_UP)
        for found in plans:
            if isinstance(found, AbsencePlan):
                problems.add((*at, "detectors", found.name), "an absence has no place in a vote `by: surprise`: put it into another view")
            elif getattr(found, "early", False):
                why = "how surprising a window is, is known when it is over: leave `early` out"
                problems.add((*at, "detectors", found.name, "early"), why)
        state[f"views.{name}.vote"] = ["surprise", compiler.decides]
    gone = [found for found in made if found is not None and found.name in off]
    cooldown_ns, cooldown_rows = (0, 0) if spec.cooldown is None else cooldown_length(spec.cooldown)
    weights = _weights((*at, "severity", "weights"), spec.severity.weights, plans, gone, problems)
    if len(problems) > before:
        return None
    view = ViewPlan(
        name=name,
        rollup=rollup,
        columns=tuple(columns),
        windows=tuple(windows),
        detectors=tuple(plans),
        program=compiler.program(),
        quorum=spec.vote.quorum,
        levels=tuple(spec.severity.levels.items()),
        backgrounds=tuple(compiler.backgrounds),
        weights=weights,
        budget=budget,
        cooldown_rows=cooldown_rows,
        cooldown_ns=cooldown_ns,
    )
    if _reads_clock(view):
        state[f"views.{name}.zone"] = given.zone
    decides = {
        "detectors": compiler.decides,
        former_name(spec.vote.former, "quorum"): spec.vote.quorum,
        "levels": [list(level) for level in view.levels],
        "weights": [[part.name, part.weight] for part in weights],
        **({} if budget is None else {"surprise": [budget.alerts, budget.unit_ns, budget.unit_rows, budget.warm_up]}),
        **({} if spec.cooldown is None else {"cooldown": [cooldown_ns, cooldown_rows]}),
    }
    return CompiledView(view, state, decides)


def _fills(
    spec: RollupSpec, rollup: RollupPlan, columns: Mapping[str, Node], detectors: Sequence[DetectorPlan], given: Given
) -> bool:
    """Whether windows without a row are judged though the pipeline does not say so: a rule for few calls is to see none of them [R11]."""
    if spec.fill is not None or not given.fills or rollup.key_source or any(isinstance(plan, AbsencePlan) for plan in detectors):
        return False
    return any(True for _ in low_rules(columns, detectors))


def _parsed(texts: Mapping[str, str]) -> dict[str, Node]:
    """Expressions by name; one that cannot be read is not among them."""
    found = {}
    for name, text in texts.items():
        with suppress(ExpressionError):
            found[name] = parse(text)
    return found


def _rising(columns: Mapping[str, Node], windows: dict[str, WindowSpec], given: Given) -> Rising:
    """What can be proven of the view's names."""
    holding = {current: frozenset(f for w in windows.values() if w.current is current for f in w.features) for current in (True, False)}
    return Rising(columns, holding[True], holding[False], given.scope, given.rules)


def _terms(plans: list[DetectorPlan]) -> dict[str, tuple[int, int]]:
    return {
        f"{plan.name}.{term.feature}": (d, t)
        for d, plan in enumerate(plans)
        if isinstance(plan, RangePlan)
        for t, term in enumerate(plan.terms)
    }


def _weights(
    at: tuple[str, ...], weights: dict[str, float], plans: list[DetectorPlan], gone: list[DetectorPlan], problems: Problems
) -> tuple[Part, ...]:
    """The parts of the severity, found in the detectors; those of detectors that are switched off are left out."""
    terms, off = _terms(plans), _terms(gone)
    parts = []
    for name, weight in weights.items():
        if name in {"score", "confidence"}:
            parts.append(Part(name, weight))
        elif name in terms:
            parts.append(Part(name, weight, *terms[name]))
        elif name not in off:
            known = nearest(name, ["score", "confidence", *terms])
            parts_are = "parts are score, confidence and DETECTOR.VALUE of a range detector"
            problems.add((*at, name), f"{name!r} is not a part of the severity; {parts_are}{known}")
    return tuple(parts)


def _check_names(at: tuple[str, ...], spec: ViewSpec, problems: Problems) -> None:
    for kind, names in (("window", spec.windows), ("detector", spec.detectors)):
        for name in names:
            if name in ViewSpec.model_fields:
                problems.add(
                    (*at, f"{kind}s", name), f"a {kind} cannot be called {name!r}: --set {at[-1]}.{name}.… means the view's own `{name}`"
                )
    for name in spec.detectors:
        if name in spec.windows:
            problems.add((*at, "detectors", name), f"detector {name!r} has the same name as a window; choose another")


def _reads_clock(view: ViewPlan) -> bool:
    """Whether a view of rows depends on the zone of days and hours; that of a rollup stands in the rollup's part of the state."""
    clock = {f"{name}@" for name in CLOCK}
    return view.rollup is None and (any(window.slot_ns for window in view.windows) or not view.inputs.isdisjoint(clock))


def _check_season(path: tuple[str, ...], plan: WindowPlan, rollup: RollupPlan | None, problems: Problems) -> None:
    """Whether the places of a window's season are whole."""
    if rollup is not None and plan.season_ns % rollup.size_ns:
        problems.add((*path, "season"), "`season` must be a multiple of the rollup's `size`, such as 1d for windows of 1h")
    if rollup is not None and plan.slot_ns:
        problems.add((*path, "slot"), "`slot` is for views of rows: the places of a rollup's season are its windows")
    if rollup is None and plan.season_ns and not plan.slot_ns:
        problems.add((*path, "season"), "a `season` of rows needs a `slot`, such as `slot: 1h` for the hours of a day")
    if plan.slot_ns and plan.season_ns % plan.slot_ns:
        problems.add((*path, "slot"), "`season` must be a multiple of `slot`, such as 1h for a season of 1d")
    elif plan.slot_ns and plan.season_ns // plan.slot_ns > _MOST_PLACES:
        problems.add((*path, "slot"), f"a season has at most {_MOST_PLACES:,} places, not {plan.season_ns // plan.slot_ns:,}")
    if plan.season_ns and not plan.decayed and rollup is None and plan.neighbours:
        problems.add(path, "diff() and gap() look at the key's row before, which a window with a `season` does not hold")


def _window(
    path: tuple[str, ...], spec: WindowSpec, scope: Scope, given: Given, *, clock: bool
) -> tuple[WindowPlan, dict[str, Named], dict[str, str]]:
    duration, rows = past_length(spec.over)
    try:
        duration, rows = over_length(spec.over, given.cadence_ns)
    except ValueError as error:
        given.problems.add((*path, "over"), str(error))
    compiled = compile_aggregates(spec.features, scope, given.codes, kind="window" if duration or rows else "past", clock=clock)
    for feature, found in compiled.problems.items():
        for problem in found:
            given.problems.add((*path, "features", feature), problem)
    plan = WindowPlan(
        name=path[-1],
        duration_ns=duration,
        rows=rows,
        current=spec.current,
        min_rows=spec.min_rows if spec.min_rows is not None else max(rows, 1),
        arguments=compiled.arguments,
        aggregates=compiled.aggregates,
        features=tuple(spec.features),
        feature_program=compiled.program,
        changes=compiled.changes,
        lag_ns=0 if spec.lag is None else duration_ns(spec.lag),
        season_ns=0 if spec.season is None else duration_ns(spec.season),
        slot_ns=0 if spec.slot is None else duration_ns(spec.slot),
    )
    _check_past(path, plan, given.problems)
    return plan, compiled.results, compiled.texts


def _check_past(path: tuple[str, ...], plan: WindowPlan, problems: Problems) -> None:
    """What only some windows `over: all` can hold."""
    if plan.duration_ns or plan.rows:
        return
    names = ", ".join(f"{name}()" for name in sorted(DECAYED))
    if not plan.decayed and plan.neighbours:
        problems.add(path, f"in a window `over: all` diff() and gap() are for {names}")
    if plan.decayed and any(aggregate.function not in DECAYED for aggregate in plan.aggregates):
        problems.add(path, f"{names} need a window of their own: put others into a second one")
    if plan.decayed and plan.lag_ns:
        problems.add((*path, "lag"), "`lag` is not for weighted means and forecasts: every row before counts at once")
    if plan.season_ns and not plan.decayed:
        problems.add((*path, "season"), "in a window `over: all`, `season` is for weighted means such as ewma(x, n)")


def _never_null(source: SourceSpec) -> frozenset[str]:
    """Inputs of a rollup's arguments that no admitted row lacks."""
    required = {name: column for name, column in source.columns.items() if column.required and not column.allow_nan}
    return frozenset({"hour@", "weekday@"} | {f"{name}@code" if column.type == "text" else name for name, column in required.items()})


def _rollup(path: tuple[str, ...], spec: RollupSpec, given: Given) -> tuple[RollupPlan, dict[str, Named], list[Any]]:
    column = spec.key.column
    texts = [name for name, named in given.scope.items() if named.type == "text"]
    own = given.source.key.column or ""
    of_source = column is not None and column == own
    if of_source:
        column = None
    elif column is not None and column not in given.scope:
        given.problems.add((*path, "key", "column"), f"unknown column {column!r}{nearest(column, [*texts, own])}")
    elif column is not None and column not in texts:
        given.problems.add(
            (*path, "key", "column"), f"column {column!r} must be of type text to be a key, not {given.source.columns[column].type}"
        )
    try:
        compiled = compile_aggregates(spec.columns, given.scope, given.codes, kind="rollup", where=spec.where)
    except ExpressionError as error:
        for problem in error.problems:
            given.problems.add((*path, "where"), problem)
        compiled = compile_aggregates(spec.columns, given.scope, given.codes, kind="rollup")
    for name, found in compiled.problems.items():
        for problem in found:
            given.problems.add((*path, "columns", name), problem)
    mapping = tuple((spec.key.mapping or {}).items())
    plan = RollupPlan(
        key_column=column or "",
        key_constant=spec.key.constant or "",
        mapping=mapping,
        key_source=of_source,
        where=compiled.where,
        size_ns=duration_ns(spec.size),
        zone=given.zone,
        arguments=compiled.arguments,
        aggregates=compiled.aggregates,
        columns=tuple(spec.columns),
        column_program=compiled.program,
        sure=certain(compiled.arguments, _never_null(given.source).__contains__),
        fill=spec.fill == "zero" and given.fills,
    )
    key = [plan.key_column, plan.key_constant, [list(pair) for pair in sorted(mapping)], of_source]
    columns = [[name, text] for name, text in compiled.texts.items()]
    return plan, compiled.results, [key, plan.size_ns, plan.zone, columns, compiled.condition, *([FILL] * plan.fill)]

