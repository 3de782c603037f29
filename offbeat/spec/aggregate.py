"""Features of windows and columns of rollups: expressions over aggregates.

Each is split into what is computed of every row (the arguments), the aggregates of them, and what is read from those.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import Literal

from offbeat.core.expression_program import Program
from offbeat.core.plan import DECAYED, Aggregate
from offbeat.spec.builder import Builder
from offbeat.spec.expression import Codes, Compiler, Named, Scope, Value
from offbeat.spec.functions import AGGREGATES, CLOCK, NEIGHBOURS, SCALARS, Aggregated, canonical_name
from offbeat.spec.nearest import nearest
from offbeat.spec.sql import ExpressionError, Node, canonical, chosen

_GROWING = ("count", "sum", "mean", "std", "var", "min", "max", "share", *sorted(DECAYED))
_MOST_ROWS = {"ar": 64}
"""Of functions f(x, n): the greatest n."""
_ALL = dict.fromkeys((*SCALARS, *AGGREGATES, *NEIGHBOURS, *CLOCK), "")


@dataclass(frozen=True, slots=True)
class Compiled:
    """The three parts, and what the names of the results stand for."""

    arguments: Program
    aggregates: tuple[Aggregate, ...]
    program: Program
    results: dict[str, Named]
    texts: dict[str, str]
    """Name → canonical text of its expression."""
    changes: Program
    """Row expressions whose change against the row before the arguments read."""
    problems: dict[str, list[str]]
    """Name → what is wrong with its expression; those names are not in the program."""
    where: int
    """Output of `arguments` that says whether a row is selected; -1 where all are."""
    condition: str
    """Its canonical text."""


Kind = Literal["window", "past", "rollup"]
"""Of what: a window of rows or time, all of the past, the windows of a rollup."""


def compile_aggregates(
    expressions: dict[str, str], scope: Scope, codes: Codes, kind: Kind, where: str | None = None, *, clock: bool = True
) -> Compiled:
    """Compile the features of one window, or the columns of a rollup, together: equal aggregates are computed once.

    `clock`: whether rows have a time of the day. `where`: a condition on the row; its place among the outputs of `arguments` comes back in
    the result. Raises ExpressionError for a wrong one.
    """
    compiler = _AggregateCompiler(scope, codes, kind, clock=clock)
    place, condition = (-1, "") if where is None else compiler.condition(where)
    outputs: list[int] = []
    results: dict[str, Named] = {}
    texts: dict[str, str] = {}
    problems: dict[str, list[str]] = {}
    for name, text in expressions.items():
        try:
            value, tree = compiler.expression(text, "either")
        except ExpressionError as error:
            problems[name] = error.problems
            results[name] = Named("number")
            continue
        outputs.append(value.handle)
        results[name] = Named("truth" if value.type == "truth" else "number", compiler.scale_of(tree) if kind == "rollup" else None)
        texts[name] = canonical(tree)
    return Compiled(
        compiler.rows.builder.finish(compiler.arguments),
        tuple(compiler.aggregates),
        compiler.builder.finish(outputs),
        results,
        texts,
        compiler.rows.changes.builder.finish(compiler.rows.changed),
        problems,
        place,
        condition,
    )


class _AggregateCompiler(Compiler):
    """Outside aggregates only aggregates, constants and functions of them; inside, expressions of a row."""

    def __init__(self, scope: Scope, codes: Codes, kind: Kind, *, clock: bool) -> None:
        super().__init__(scope, codes, Builder())
        self.rollup, self.past = kind == "rollup", kind == "past"
        self.rows = _RowCompiler(scope, codes, self.rollup, clock=clock)
        self.aggregates: list[Aggregate] = []
        self.arguments: list[int] = []

    def condition(self, text: str) -> tuple[int, str]:
        """Place among the arguments of a condition on the row, and its canonical text; raises ExpressionError."""
        value, tree = self.rows.expression(text, "truth")
        return self._place(value.handle), canonical(tree)

    def name(self, node: Node) -> Value:
        if node.value not in self.scope:
            return super().name(node)
        example = "max" if self.rollup else "last"
        return self.wrong(f"column {node.value!r} must be inside an aggregate, such as {example}({node.value})")

    def call(self, node: Node) -> Value:
        name = canonical_name(node.value)
        if name in SCALARS:
            return super().call(node)
        spec = AGGREGATES.get(name)
        if name in CLOCK:
            return self.wrong(f"{name}() is a function of a row; put it inside an aggregate, such as max({name}())")
        if name in NEIGHBOURS:
            return self.wrong(f"{name}() must be inside an aggregate, such as mean({NEIGHBOURS[name][0]})")
        if spec is None:
            return self.wrong(f"unknown function {node.value!r}{nearest(node.value, _ALL)}")
        if self.rollup and not spec.rollup:
            allowed = ", ".join(name for name, other in AGGREGATES.items() if other.rollup)
            return self.wrong(f"{node.value}() cannot be merged exactly; a rollup has {allowed}")
        if self.past and name not in _GROWING:
            return self.wrong(f"{node.value}() would need every row of the past; a window `over: all` has {', '.join(_GROWING)}")
        if name in DECAYED and not self.past:
            return self.wrong(f"{node.value}() reads a key's whole past: it belongs into a window `over: all`")
        if len(node.args) != spec.arguments:
            return self.wrong(f"{node.value}() is written {spec.usage}, not with {len(node.args)} argument{'s' * (len(node.args) != 1)}")
        return self._aggregate(name, spec, node)

    def _aggregate(self, name: str, spec: Aggregated, node: Node) -> Value:
        if spec.arguments == 0:
            return self._read(Aggregate(spec.function))
        argument = node.args[0]
        if argument.op in {"star", "distinct"} and name != "count":
            return self.wrong(f"{node.value}() is written {spec.usage}")
        if argument.op == "star":
            return self._read(Aggregate("count_rows"))
        distinct = argument.op == "distinct"
        argument = argument.args[0] if distinct else argument
        value = self._row(argument, distinct=distinct)
        if value.type == "any":
            return Value(self.builder.constant(nan), "any")
        if value.type == "literal" or (value.type == "text" and name != "count"):
            return self.wrong(f"{node.value}() needs a number or a truth value, but `{canonical(argument)}` is text")
        place = self._place(value.handle)
        if name == "count":
            if distinct and self.past:
                return self.wrong("count(DISTINCT x) would need every row of the past; count(*) and count(x) do not")
            clocked = chosen(argument)
            if distinct and self.rollup and (clocked.op != "call" or clocked.value not in CLOCK):
                return self._read(Aggregate("distinct_set", place))
            return self._read(Aggregate("distinct" if distinct else "count", place))
        if name == "share" and value.type != "truth":
            return self.wrong(f"share() needs a condition, but `{canonical(argument)}` is a number")
        if name in DECAYED:
            return self._decayed(name, node.args[1], place) if spec.arguments > 1 else self._read(Aggregate(name, place))
        if self.past:
            return self._grown(name, argument, value, place)
        if name in {"sum", "mean"}:
            return self._sum(name, spec, argument, value, place)
        if name == "quantile":
            return self._quantile(node.args[1], place)
        kept = value.type == "truth" and spec.keeps_type
        return self._read(Aggregate(spec.function, place), truth=kept)

    def _grown(self, name: str, argument: Node, value: Value, place: int) -> Value:
        """An aggregate of the whole past: of whole numbers in some scale, whose sums are exact."""
        truth = value.type == "truth"
        scale = 0 if truth else self._scale(argument)
        if scale is None:
            return self.wrong(
                f"{name}() of the whole past must be exact: its argument must be a column with a scale, a count, a sum or an extreme of "
                f"such a column, or a condition, not `{canonical(argument)}`"
            )
        return self._read(Aggregate(AGGREGATES[name].function or name, place, scale=scale), truth=truth and AGGREGATES[name].keeps_type)

    def _decayed(self, name: str, rows: Node, place: int) -> Value:
        most = _MOST_ROWS.get(name, 1_000_000)
        if rows.op != "number" or not float(rows.value).is_integer() or not 1 <= float(rows.value) <= most:
            return self.wrong(f"the second argument of {name}() is a whole number from 1 to {most:,}, not `{canonical(rows)}`")
        return self._read(Aggregate(name, place, rows=int(float(rows.value))))

    def scale_of(self, node: Node) -> int | None:
        """Decimal digits of a result that is a whole number of them; None where that is not known."""
        if node.op != "call":
            return None
        name = canonical_name(node.value)
        if name == "count":
            return 0
        if name == "nullif":
            return self.scale_of(node.args[0])
        argument = chosen(node.args[0]) if node.args else node
        if name in {"sum", "min", "max"}:
            if argument.op in {"name", "quoted"} and argument.value in self.scope:
                return self._scale(argument)
            return 0 if name == "sum" else None  # else it sums a condition
        return None

    def _sum(self, name: str, spec: Aggregated, argument: Node, value: Value, place: int) -> Value:
        source = chosen(argument)
        scale = 0 if value.type == "truth" else self._scale(source)
        column = "" if value.type == "truth" or scale is None else str(source.value)
        if self.rollup and scale is None:
            if argument.op in {"name", "quoted"}:
                return self.wrong(
                    f"{name} of float column {argument.value!r} would depend on the order of rows: "
                    f"give the column a scale, such as {argument.value}: {{type: decimal, scale: 2}}"
                )
            return self.wrong(
                f"{name} in a rollup must be exact: its argument must be a column with a scale, CASE WHEN … THEN such a column END, or a "
                f"condition, not `{canonical(argument)}`"
            )
        if name == "mean":
            exact = Aggregate("mean_exact", place, scale=scale or 0, column=column)
            return self._read(exact if self.rollup else Aggregate(spec.function, place))
        return self._read(Aggregate("sum", place) if scale is None else Aggregate("sum_exact", place, scale=scale, column=column))

    def _scale(self, argument: Node) -> int | None:
        return self.scope[argument.value].scale if argument.op in {"name", "quoted"} and argument.value in self.scope else None

    def _quantile(self, node: Node, place: int) -> Value:
        if node.op != "number" or not 0 <= float(node.value) <= 1:
            return self.wrong(f"the second argument of quantile() is a number from 0 to 1, not `{canonical(node)}`")
        return self._read(Aggregate("quantile", place, q=float(node.value)))

    def _row(self, node: Node, *, distinct: bool = False) -> Value:
        before = len(self.rows.problems)
        value = self.rows.distinct(node) if distinct else self.rows.value(node)
        self.problems.extend(self.rows.problems[before:])
        return value

    def _place(self, handle: int) -> int:
        if handle not in self.arguments:
            self.arguments.append(handle)
        return self.arguments.index(handle)

    def _read(self, aggregate: Aggregate, truth: bool = False) -> Value:
        if aggregate not in self.aggregates:
            self.aggregates.append(aggregate)
        handle = self.builder.input(f"agg{self.aggregates.index(aggregate)}")
        return Value(handle, "truth" if truth else "number")


class _RowCompiler(Compiler):
    """Expressions of a row and the one before it."""

    def __init__(self, scope: Scope, codes: Codes, rollup: bool, *, clock: bool) -> None:
        super().__init__(scope, codes, clock=clock)
        self.changes = Compiler(scope, codes, clock=clock)
        self.changed: list[int] = []
        self._rollup = rollup

    def call(self, node: Node) -> Value:
        usage = NEIGHBOURS.get(node.value, ("", ""))[0]
        if not usage:
            return super().call(node)
        if self._rollup:
            return self.wrong(f"{node.value}() depends on the order of rows and cannot be merged exactly; a rollup cannot use it")
        if len(node.args) != (node.value == "diff"):
            return self.wrong(f"{node.value}() is written {usage}")
        if node.value == "gap":
            return Value(self.builder.input("gap@"), "number")
        before = len(self.changes.problems)
        handle = self.changes.number(node.args[0], "diff()")
        self.problems.extend(self.changes.problems[before:])
        if handle not in self.changed:
            self.changed.append(handle)
        return Value(self.builder.input(f"diff@{self.changed.index(handle)}"), "number")

    def distinct(self, node: Node) -> Value:
        """A value of which only equality counts: a text by its hash, also one that is chosen by CASE."""
        if node.op == "case":
            values = [self.distinct(part) for part in (*node.args[1:-1:2], node.args[-1])]
            kinds = {value.type for value in values} - {"null", "any"}
            if "text" not in kinds:
                return self.value(node)
            if kinds != {"text"}:
                return self.wrong(f"`{canonical(node)}` mixes text columns and other values")
            conditions = [self.truth(condition, "CASE WHEN") for condition in node.args[0:-1:2]]
            result = values[-1].handle
            for condition, value in reversed(list(zip(conditions, values[:-1], strict=True))):
                result = self.builder.pick(condition, value.handle, result)
            return Value(result, "text")
        value = self.value(node)
        return Value(self.hashed(value), "text") if value.type == "text" else value

    def unknown_function(self, name: str) -> Value:
        if canonical_name(name) in AGGREGATES:
            return self.wrong(f"{name}() is inside another aggregate; aggregates cannot be nested")
        return super().unknown_function(name)
