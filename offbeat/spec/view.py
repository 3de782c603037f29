"""One view of a pipeline → its part of the Plan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from offbeat.core.plan import RollupPlan, RulePlan, ViewPlan, WindowPlan
from offbeat.detectors.rule_spec import RuleSpec
from offbeat.spec.aggregate import compile_aggregates
from offbeat.spec.duration import duration_ns, window_length
from offbeat.spec.expression import Codes, Compiler, Named, Scope, measure
from offbeat.spec.models import RollupSpec, SourceSpec, ViewSpec, WindowSpec
from offbeat.spec.nearest import nearest
from offbeat.spec.problems import Problems
from offbeat.spec.sql import ExpressionError, canonical

_COMPARISONS: dict[str, Literal[">", ">=", "<", "<="]] = {">": ">", ">=": ">=", "<": "<", "<=": "<="}


@dataclass(frozen=True, slots=True)
class Given:
    """What all views share."""

    source: SourceSpec
    scope: Scope
    """The source's columns."""
    codes: Codes
    problems: Problems


@dataclass(frozen=True, slots=True)
class CompiledView:
    """A view's plan, and what its hashes are made of."""

    view: ViewPlan
    state_parts: dict[str, Any]
    decides: dict[str, Any]

    def plan(self, numeric: tuple[str, ...]) -> ViewPlan:
        """The plan; `numeric` are the number columns of the source and the codes of its texts, known only when all views are compiled."""
        return self.view if self.view.rollup is not None else replace(self.view, columns=numeric)


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
    visible = dict(columns)
    windows: list[WindowPlan] = []
    owner: dict[str, str] = {}
    for window_name, window in spec.windows.items():
        path = (*at, "windows", window_name)
        plan, results, texts = _window(path, window, columns, given)
        windows.append(plan)
        state[f"views.{name}.windows.{window_name}"] = [
            plan.duration_ns,
            plan.rows,
            plan.current,
            plan.at_least,
            [[f, t] for f, t in texts.items()],
        ]
        for feature, named in results.items():
            if feature in columns:
                problems.add((*path, "features", feature), f"feature {feature!r} has the name of a column; choose another")
            elif feature in owner:
                problems.add((*path, "features", feature), f"feature {feature!r} already exists in window {owner[feature]!r}")
            owner[feature] = window_name
            visible.setdefault(feature, named)
    detectors = _Detectors(visible, codes)
    for detector_name, detector in spec.detectors.items():
        if isinstance(detector, RuleSpec):
            detectors.rule((*at, "detectors", detector_name), detector_name, detector, problems)
    if spec.vote.at_least > len(spec.detectors):
        problems.add((*at, "vote", "at_least"), f"{spec.vote.at_least} votes can never be reached with {len(spec.detectors)} detector(s)")
    if len(problems) > before:
        return None
    view = ViewPlan(
        name=name,
        rollup=rollup,
        columns=tuple(columns),
        windows=tuple(windows),
        rules=tuple(detectors.rules),
        rule_program=detectors.compiler.builder.finish(detectors.outputs),
        at_least=spec.vote.at_least,
        levels=tuple(spec.severity.levels.items()),
    )
    decides = {"detectors": detectors.decides, "at_least": spec.vote.at_least, "levels": [list(level) for level in view.levels]}
    return CompiledView(view, state, decides)


def _check_names(at: tuple[str, ...], spec: ViewSpec, problems: Problems) -> None:
    for kind, names in (("window", spec.windows), ("detector", spec.detectors)):
        for name in names:
            if name in ViewSpec.model_fields:
                problems.add(
                    (*at, f"{kind}s", name), f"a {kind} cannot be called {name!r}: --set {at[-1]}.{name}.… means the view's own `{name}`"
                )
    for name in spec.detectors:
        if name in spec.windows:
            problems.add((*at, "detectors", name), f"detector {name!r} has the name of a window; choose another")


def _window(path: tuple[str, ...], spec: WindowSpec, scope: Scope, given: Given) -> tuple[WindowPlan, dict[str, Named], dict[str, str]]:
    duration, rows = window_length(spec.over)
    compiled = compile_aggregates(spec.features, scope, given.codes, rollup=False)
    for feature, found in compiled.problems.items():
        for problem in found:
            given.problems.add((*path, "features", feature), problem)
    plan = WindowPlan(
        name=path[-1],
        duration_ns=duration,
        rows=rows,
        current=spec.current,
        at_least=spec.at_least if spec.at_least is not None else max(rows, 1),
        arguments=compiled.arguments,
        aggregates=compiled.aggregates,
        features=tuple(spec.features),
        feature_program=compiled.program,
    )
    return plan, compiled.results, compiled.texts


def _rollup(path: tuple[str, ...], spec: RollupSpec, given: Given) -> tuple[RollupPlan, dict[str, Named], list[Any]]:
    column = spec.key.column
    texts = [name for name, named in given.scope.items() if named.type == "text"]
    if column is not None and column not in given.scope:
        given.problems.add((*path, "key", "column"), f"unknown column {column!r}{nearest(column, texts)}")
    elif column is not None and column not in texts:
        given.problems.add(
            (*path, "key", "column"), f"column {column!r} must be of type text to be a key, not {given.source.columns[column].type}"
        )
    compiled = compile_aggregates(spec.columns, given.scope, given.codes, rollup=True)
    for name, found in compiled.problems.items():
        for problem in found:
            given.problems.add((*path, "columns", name), problem)
    mapping = tuple((spec.key.mapping or {}).items())
    plan = RollupPlan(
        key_column=column or "",
        key_constant=spec.key.constant or "",
        mapping=mapping,
        every_ns=duration_ns(spec.every),
        zone=given.source.time.zone,
        arguments=compiled.arguments,
        aggregates=compiled.aggregates,
        columns=tuple(spec.columns),
        column_program=compiled.program,
    )
    key = [plan.key_column, plan.key_constant, [list(pair) for pair in sorted(mapping)]]
    return plan, compiled.results, [key, plan.every_ns, plan.zone, [[name, text] for name, text in compiled.texts.items()]]


class _Detectors:
    """The rules of a view in one program."""

    def __init__(self, scope: Scope, codes: Codes) -> None:
        self.compiler = Compiler(scope, codes)
        self.outputs: list[int] = []
        self.rules: list[RulePlan] = []
        self.decides: list[Any] = []

    def rule(self, path: tuple[str, ...], name: str, spec: RuleSpec, problems: Problems) -> None:
        """Compile one rule, with its measure and what it expects."""
        expected = None
        if spec.expected is not None:
            try:
                expected = self.compiler.expression(spec.expected, "number")
            except ExpressionError as error:
                for problem in error.problems:
                    problems.add((*path, "expected"), problem)
        try:
            when, tree = self.compiler.expression(spec.when, "truth")
        except ExpressionError as error:
            for problem in error.problems:
                problems.add((*path, "when"), problem)
            return
        found = measure(tree)
        # Compiling the two sides again costs nothing: equal parts are one value in the builder.
        sides = [] if found is None else [self.compiler.value(side).handle for side in found.args]
        self.rules.append(
            RulePlan(
                name=name,
                comparison=_COMPARISONS[found.op] if found is not None else "",
                when=self._output(when.handle),
                observed=self._output(sides[0]) if sides else -1,
                threshold=self._output(sides[1]) if sides else -1,
                expected=-1 if expected is None else self._output(expected[0].handle),
                measure=canonical(found.args[0]) if found is not None else "",
                text=spec.when,
            )
        )
        self.decides.append([name, spec.type, canonical(tree), None if expected is None else canonical(expected[1])])

    def _output(self, handle: int) -> int:
        if handle not in self.outputs:
            self.outputs.append(handle)
        return self.outputs.index(handle)
