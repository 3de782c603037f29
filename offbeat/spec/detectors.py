"""The detectors of one view → their plans, in one program that computes what all of them read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from offbeat.core.expression_program import Program
from offbeat.core.plan import AbsencePlan, DetectorPlan, ModelPlan, PopulationPlan, RecordPlan, RulePlan, WindowPlan
from offbeat.detectors.spec import DetectorSpec
from offbeat.spec.aggregate import compile_aggregates
from offbeat.spec.duration import over_length, positive_duration_ns, window_length
from offbeat.spec.expression import Codes, Compiler, Named, Scope, measure
from offbeat.spec.identity import former_name
from offbeat.spec.never_negative import Signs
from offbeat.spec.problems import Problems
from offbeat.spec.rising import Rising
from offbeat.spec.sql import ExpressionError, canonical, parse

_AT_ONCE = "rows are scored at once; `early` is for windows of a rollup, which stay open for a while"
_COMPARISONS: dict[str, Literal[">", ">=", "<", "<="]] = {">": ">", ">=": ">=", "<": "<", "<=": "<="}


class DetectorCompiler:
    """Compiles detectors one after the other. `scope` holds the view's columns and features, `features` the names of the latter.

    `size_ns` is the size of the rollup's windows, 0 for a view of rows; then there is nothing that is `rising`.
    """

    def __init__(
        self,
        at: tuple[str, ...],
        scope: Scope,
        features: tuple[str, ...],
        size_ns: int,
        codes: Codes,
        problems: Problems,
        signs: Signs,
        rising: Rising | None,
        cadence_ns: int | None = None,
    ) -> None:
        self.features, self.size_ns = features, size_ns
        self.backgrounds: list[WindowPlan] = []
        self.decides: list[Any] = []
        """What the verdicts of the detectors depend on."""
        self.state_parts: dict[str, Any] = {}
        """What kept state depends on."""
        self._at, self._scope, self._codes, self._problems = at, scope, codes, problems
        self._signs, self._rising, self._cadence_ns = signs, rising, cadence_ns
        self._compiler = Compiler({**scope}, codes, clock=not size_ns)
        self._outputs: list[int] = []
        self._texts: dict[str, str] = {}
        """Expressions of the detector at hand → their canonical text."""
        self._path: tuple[str, ...] = at

    def detector(self, name: str, spec: DetectorSpec) -> DetectorPlan | None:
        """Compile one detector; None after a mistake, which is noted."""
        self._path = (*self._at, "detectors", name)
        self._texts = {}
        plan = spec.plan(name, self)
        settings = spec.model_dump(mode="json", exclude={"enabled"}, exclude_none=True)
        self.decides.append([name, self._canonical({former_name(spec.former, key): value for key, value in settings.items()})])
        if isinstance(plan, ModelPlan | PopulationPlan | RecordPlan):
            features = [self._texts[text] for text in plan.features]
            self.state_parts[f"views.{self._at[1]}.detectors.{name}"] = [spec.type, spec.training(), features]
        elif isinstance(plan, AbsencePlan):
            self.state_parts[f"views.{self._at[1]}.detectors.{name}"] = [spec.type]
        return plan

    def _canonical(self, value: Any) -> Any:
        """Settings with each expression in its canonical form: how it was spelt decides nothing."""
        if isinstance(value, dict):
            return {self._texts.get(key, key): self._canonical(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._canonical(inner) for inner in value]
        return self._texts.get(value, value) if isinstance(value, str) else value

    def program(self) -> Program:
        """What all detectors read."""
        return self._compiler.builder.finish(self._outputs)

    def problem(self, field: tuple[str, ...], message: str) -> None:
        """Note a mistake."""
        self._problems.add((*self._path, *field), message)

    def duration(self, field: tuple[str, ...], text: str) -> int:
        """Nanoseconds of a duration above zero; 0 after a mistake."""
        try:
            return positive_duration_ns(text)
        except ValueError as error:
            self.problem(field, str(error))
            return 0

    def number(self, field: tuple[str, ...], text: str) -> int:
        """Output of the view's program for an expression; -1 after a mistake."""
        try:
            value, tree = self._compiler.expression(text, "either")
        except ExpressionError as error:
            for problem in error.problems:
                self.problem(field, problem)
            return -1
        self._texts[text] = canonical(tree)
        return self._output(value.handle)

    def never_negative(self, text: str) -> bool:
        """Whether the value of an expression is 0 or more, or null, whatever the rows."""
        try:
            return self._signs.never_negative(parse(text))
        except ExpressionError:  # which `number` tells
            return False

    def background(self, name: str, over: str, features: Mapping[str, str], shown: Mapping[str, str] | None = None) -> None:
        """A window of the rows before the one scored, over columns and features; its features can be named in `number`, in quotes.

        `shown`: features of arguments that the others have too, which only explanations read: no state depends on them.
        """
        decides, features = list(features), {**features, **(shown or {})}
        try:
            window_length(over)
            duration, rows = over_length(over, self._cadence_ns)
        except ValueError as error:
            self.problem(("over",), str(error))
            duration, rows = 0, 1
        compiled = compile_aggregates(features, self._scope, self._codes, kind="window", clock=not self.size_ns)
        found = dict.fromkeys(problem for problems in compiled.problems.values() for problem in problems)
        for problem in found:
            self.problem((), problem)
        self._compiler.scope = {**self._compiler.scope, **dict.fromkeys(features, Named("number"))}
        plan = WindowPlan(
            name=name,
            duration_ns=duration,
            rows=rows,
            current=False,
            min_rows=1,
            arguments=compiled.arguments,
            aggregates=compiled.aggregates,
            features=tuple(features),
            feature_program=compiled.program,
            changes=compiled.changes,
        )
        self.backgrounds.append(plan)
        self.state_parts[f"views.{self._at[1]}.windows.{name}"] = [
            duration, rows, [text for feature, text in compiled.texts.items() if feature in decides]
        ]  # fmt: skip

    def rises(self, field: tuple[str, ...], text: str, limits: tuple[str, ...]) -> bool:
        """Whether, once a value lies above its limits, it does so until its window ends; if not, that is noted."""
        if self._rising is None:
            self.problem(("early",), _AT_ONCE)
            return False
        why = self._rising.value(parse(text)) or next((why for limit in limits if (why := self._rising.settled(parse(limit)))), "")
        if why:
            self.problem(field, f"`early` is only for values that can only rise: {why}")
        return not why

    def rule(self, name: str, when: str, expected: str | None, floor: str | None, *, early: bool) -> RulePlan | None:
        """A condition with its measure; None after a mistake."""
        usual, floored = self._number("expected", expected), self._number("floor", floor)
        try:
            condition, tree = self._compiler.expression(when, "truth")
        except ExpressionError as error:
            for problem in error.problems:
                self.problem(("when",), problem)
            return None
        if early and self._rising is None:
            self.problem(("early",), _AT_ONCE)
        elif early and self._rising is not None and (why := self._rising.condition(tree)):
            self.problem(("when",), f"`early` is only for values that can only rise: {why}")
        found = measure(tree)
        # Compiling the two sides again costs nothing: equal parts are one value in the builder.
        sides = [] if found is None else [self._compiler.value(side).handle for side in found.args]
        self._texts[when] = canonical(tree)
        return RulePlan(
            name=name,
            comparison=_COMPARISONS[found.op] if found is not None else "",
            when=self._output(condition.handle),
            observed=self._output(sides[0]) if sides else -1,
            threshold=self._output(sides[1]) if sides else -1,
            expected=-1 if usual is None else self._output(usual),
            floor=-1 if floored is None else self._output(floored),
            measure=canonical(found.args[0]) if found is not None else "",
            text=when,
            early=early,
        )

    def _number(self, field: str, text: str | None) -> int | None:
        """Handle of a number that may be given; None where it is not, or after a mistake."""
        if text is None:
            return None
        try:
            value, tree = self._compiler.expression(text, "number")
        except ExpressionError as error:
            for problem in error.problems:
                self.problem((field,), problem)
            return None
        self._texts[text] = canonical(tree)
        return value.handle

    def _output(self, handle: int) -> int:
        if handle not in self._outputs:
            self._outputs.append(handle)
        return self._outputs.index(handle)
