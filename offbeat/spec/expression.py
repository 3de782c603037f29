"""Expressions of one row → programs: names and types checked, texts replaced by codes.

The compiler does not stop at the first mistake: a wrong part gets the type "any", which always fits, so each mistake is reported once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from types import MappingProxyType
from typing import Literal

from offbeat.core.expression_program import Op, Program
from offbeat.core.plan import TextPart
from offbeat.spec.builder import Builder
from offbeat.spec.functions import AGGREGATES, ALIASES, CLOCK, SCALARS, Scalar
from offbeat.spec.nearest import nearest
from offbeat.spec.sql import ExpressionError, Node, canonical, parse

Type = Literal["number", "truth", "text", "literal", "null", "any"]
"""`text` is a text column, `literal` a quoted text; `any` follows a mistake."""

_ARITHMETIC = {"+": Op.ADD, "-": Op.SUB, "*": Op.MUL, "/": Op.DIV, "%": Op.MOD}
_COMPARISON = {"=": Op.EQ, "<>": Op.NE, "<": Op.LT, "<=": Op.LE, ">": Op.GT, ">=": Op.GE}
_LOGIC = {"and": Op.AND, "or": Op.OR}
_SPOKEN: dict[Type, str] = {
    "number": "a number",
    "truth": "a truth value",
    "text": "a text column",
    "literal": "a text",
    "null": "NULL",
    "any": "anything",
}


@dataclass(frozen=True, slots=True)
class Named:
    """What a name in an expression stands for."""

    type: Literal["number", "truth", "text"]
    scale: int | None = None
    """Decimal digits of an exact column; None for every other number."""


_LONGEST = 2**31 - 1
Scope = Mapping[str, Named]


class Codes:
    """The literals that text columns are compared with, in the order in which they appear."""

    def __init__(self) -> None:
        self._literals: dict[str, dict[str, int]] = {}
        self._parts: dict[str, TextPart] = {}

    def part(self, part: TextPart) -> str:
        """The name of what is read of a text besides its codes."""
        return self._parts.setdefault(part.name, part).name

    def parts(self) -> tuple[TextPart, ...]:
        """All of them, as in the Plan."""
        return tuple(self._parts.values())

    def use(self, column: str) -> str:
        """The name of the input that holds the codes of `column`."""
        self._literals.setdefault(column, {})
        return f"{column}@code"

    def code(self, column: str, literal: str) -> int:
        """The number that stands for `literal` in `column`."""
        known = self._literals.setdefault(column, {})
        return known.setdefault(literal, len(known))

    def table(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Column → literals, as in the Plan."""
        return tuple((column, tuple(literals)) for column, literals in self._literals.items())


@dataclass(frozen=True, slots=True)
class Value:
    """A compiled part: its handle in the builder, and its type. Of a literal only the text counts."""

    handle: int
    type: Type
    column: str = ""
    literal: str = ""


class Compiler:
    """Compiles trees over `scope` into one builder, so that several expressions share what they have in common."""

    def __init__(
        self,
        scope: Scope,
        codes: Codes,
        builder: Builder | None = None,
        hints: Mapping[str, str] = MappingProxyType({}),
        *,
        clock: bool = False,
    ) -> None:
        """hints: what to do, said of a name that the scope does not have; clock: whether hour() and weekday() are known."""
        self.scope, self.clock = scope, clock
        self.hints = hints
        self.codes = codes
        self.builder = builder or Builder()
        self.problems: list[str] = []

    def expression(self, text: str, wanted: Literal["number", "truth", "either"]) -> tuple[Value, Node]:
        """Compile `text`; raises ExpressionError with every problem found."""
        tree = parse(text)
        self.problems = []
        try:
            value = self.value(tree)
        except RecursionError:
            raise ExpressionError(["the expression is too deep; use IN for long lists, or several features"]) from None
        if wanted == "either":
            value = self._either(value, tree)
        elif wanted == "truth":
            self._want(value, "truth", f"a condition is needed, but {_quoted(tree)} is {_SPOKEN[value.type]}")
        else:
            self._want(value, "number", f"a number is needed, but {_quoted(tree)} is {_SPOKEN[value.type]}")
        if self.problems:
            raise ExpressionError(list(dict.fromkeys(self.problems)))
        return value, tree

    def value(self, node: Node) -> Value:
        """Compile one part."""
        op = node.op
        if op == "number":
            return Value(self.builder.constant(float(node.value)), "number")
        if op in {"true", "false"}:
            return Value(self.builder.constant(1.0 if op == "true" else 0.0), "truth")
        if op == "null":
            return Value(self.builder.constant(nan), "null")
        if op == "text":
            return Value(-1, "literal", literal=node.value)
        if op in {"name", "quoted"}:
            return self.name(node)
        if op == "call":
            return self.call(node)
        if op == "neg" and node.args[0].op == "number":
            return Value(self.builder.constant(-float(node.args[0].value)), "number")
        if op == "neg":
            return Value(self.builder.apply(Op.NEG, self.number(node.args[0], "-")), "number")
        if op in _ARITHMETIC:
            a, b = (self.number(arg, op) for arg in node.args)
            return Value(self.builder.apply(_ARITHMETIC[op], a, b), "number")
        if op in _COMPARISON:
            return self._compare(op, self.value(node.args[0]), self.value(node.args[1]), node)
        if op in _LOGIC:
            a, b = (self.truth(arg, op.upper()) for arg in node.args)
            return Value(self.builder.apply(_LOGIC[op], a, b), "truth")
        if op == "not":
            return Value(self.builder.apply(Op.NOT, self.truth(node.args[0], "NOT")), "truth")
        if op == "is null":
            value = self.value(node.args[0])
            return (
                self.wrong("a text is never NULL")
                if value.type == "literal"
                else Value(self.builder.apply(Op.IS_NULL, value.handle), "truth")
            )
        if op == "between":
            x, low, high = (self.number(arg, "BETWEEN") for arg in node.args)
            return Value(self.builder.apply(Op.AND, self.builder.apply(Op.GE, x, low), self.builder.apply(Op.LE, x, high)), "truth")
        if op == "in":
            return self._in(node)
        if op == "like":
            return self._like(node)
        if op == "case":
            return self._case(node)
        return self.wrong("* is only for count(*)" if op == "star" else "DISTINCT is only for count(DISTINCT x)")

    def wrong(self, problem: str) -> Value:
        """Note a problem; what comes back fits everywhere."""
        self.problems.append(problem)
        return Value(self.builder.constant(nan), "any")

    def name(self, node: Node) -> Value:
        """A column or feature by its name."""
        named = self.scope.get(node.value)
        if named is None:
            quotes = f"; put text in single quotes: '{node.value}'" if node.op == "quoted" else ""
            hint = (quotes or nearest(node.value, self.scope)) + self.hints.get(node.value, "")
            return self.wrong(f"unknown column {node.value!r}{hint}")
        if named.type == "text":
            return Value(self.builder.input(self.codes.use(node.value)), "text", column=node.value)
        return Value(self.builder.input(node.value), named.type)

    def call(self, node: Node) -> Value:
        """A function of values of the row."""
        spec = SCALARS.get(node.value)
        if node.value == "prefix":
            return self._prefix(node)
        if node.value in CLOCK:
            return self._clock(node)
        if spec is None:
            return self.unknown_function(node.value)
        if len(node.args) < spec.least or (spec.most and len(node.args) > spec.most):
            return self.wrong(f"{node.value}() is written {spec.usage}, not with {len(node.args)} argument{'s' * (len(node.args) != 1)}")
        return self._either_call(spec, node) if spec.any_type else self._number_call(spec, node)

    def _clock(self, node: Node) -> Value:
        if not self.clock:
            return self.wrong(f"{node.value}() is only for views of rows and for columns of a rollup, such as `max({node.value}())`")
        if node.args:
            return self.wrong(f"{node.value}() takes no argument")
        return Value(self.builder.input(f"{node.value}@"), "number")

    def unknown_function(self, name: str) -> Value:
        """A function that does not exist here."""
        if name in AGGREGATES or name in ALIASES:
            return self.wrong(f"{name}() looks at several rows: it belongs to the features of a window")
        return self.wrong(f"unknown function {name!r}{nearest(name, SCALARS)}")

    def number(self, node: Node, user: str) -> int:
        """Handle of a part that must be a number."""
        value = self.value(node)
        self._want(value, "number", f"{user} needs a number, but {_quoted(node)} is {_SPOKEN[value.type]}")
        return value.handle

    def truth(self, node: Node, user: str) -> int:
        """Handle of a part that must be a truth value."""
        value = self.value(node)
        self._want(value, "truth", f"{user} needs a truth value, but {_quoted(node)} is {_SPOKEN[value.type]}")
        return value.handle

    def _want(self, value: Value, wanted: Type, problem: str) -> None:
        if value.type not in {wanted, "null", "any"}:
            self.problems.append(problem)

    def _either(self, value: Value, node: Node) -> Value:
        if value.type in {"text", "literal"}:
            return self.wrong(f"a number or a truth value is needed, but {_quoted(node)} is {_SPOKEN[value.type]}")
        return value

    def _number_call(self, spec: Scalar, node: Node) -> Value:
        handles = [self.number(arg, f"{node.value}()") for arg in node.args]
        return Value(self._fold(spec.op, handles), "number")

    def _either_call(self, spec: Scalar, node: Node) -> Value:
        values = [self._either(self.value(arg), arg) for arg in node.args]
        return Value(self._fold(spec.op, [value.handle for value in values]), self._common(values, f"{node.value}()"))

    def _fold(self, op: Op, handles: list[int]) -> int:
        result = handles[0]
        if len(handles) == 1:
            return self.builder.apply(op, result)
        for handle in handles[1:]:
            result = self.builder.apply(op, result, handle)
        return result

    def _common(self, values: list[Value], user: str) -> Type:
        types = {value.type for value in values} - {"null"}
        if "any" in types:
            return "any"
        if len(types) > 1:
            self.problems.append(f"{user} mixes numbers and truth values")
            return "any"
        return next(iter(types), "null")

    def _compare(self, op: str, a: Value, b: Value, node: Node) -> Value:
        types = {a.type, b.type}
        if "any" in types:
            return Value(self.builder.constant(nan), "any")
        if "null" in types:
            return self.wrong(f"{_quoted(node)} is always null: write IS NULL or IS NOT NULL")
        if types & {"text", "literal"}:
            return self._compare_text(op, a, b, node)
        if len(types) > 1:
            return self.wrong(f"{_quoted(node)} compares a number with a truth value")
        if types == {"truth"} and op not in {"=", "<>"}:
            return self.wrong(f"{_quoted(node)}: truth values are compared only by = and <>")
        return Value(self.builder.apply(_COMPARISON[op], a.handle, b.handle), "truth")

    def _compare_text(self, op: str, a: Value, b: Value, node: Node) -> Value:
        text, literal = (a, b) if a.type == "text" else (b, a)
        if (text.type, literal.type) != ("text", "literal"):
            return self.wrong(
                f"{_quoted(node)} compares {_SPOKEN[a.type]} with {_SPOKEN[b.type]}; a text column is compared with texts in quotes"
            )
        if op not in {"=", "<>"}:
            return self.wrong(f"{_quoted(node)}: text is compared only by =, <>, IN, LIKE and IS NULL")
        code = self.builder.constant(float(self.codes.code(text.column, literal.literal)))
        return Value(self.builder.apply(_COMPARISON[op], text.handle, code), "truth")

    def hashed(self, text: Value) -> int:
        """Handle of a number that stands for a text."""
        prefix = next((part for part in self.codes.parts() if part.name == text.column), None)
        of, length = (prefix.column, prefix.length) if prefix is not None else (text.column, 0)
        return self.builder.input(self.codes.part(TextPart(f"{text.column}@hash", of, "hash", length)))

    def _prefix(self, node: Node) -> Value:
        text, length = self._text(node.args[0], "prefix()") if node.args else None, node.args[1] if len(node.args) == 2 else None
        if length is None or length.op != "number" or not float(length.value).is_integer() or not 1 <= float(length.value) <= _LONGEST:
            return self.wrong("prefix() is written prefix(x, n), with a text column and a whole number of characters from 1 on")
        if text is None:
            return Value(self.builder.constant(nan), "any")
        characters = int(float(length.value))
        name = self.codes.part(TextPart(f"prefix({text}, {characters})", text, "prefix", characters))
        return Value(self.builder.input(self.codes.use(name)), "text", column=name)

    def _like(self, node: Node) -> Value:
        text, pattern = self._text(node.args[0], "LIKE"), node.args[1]
        if pattern.op != "text":
            return self.wrong(f"{_quoted(node)}: LIKE needs a pattern in quotes, such as '07%'")
        if text is None:
            return Value(self.builder.constant(nan), "any")
        return Value(self.builder.input(self.codes.part(TextPart(canonical(node), text, "like", pattern=pattern.value))), "truth")

    def _text(self, node: Node, user: str) -> str | None:
        """The text column that a part names; None after a mistake."""
        named = self.scope.get(node.value) if node.op in {"name", "quoted"} else None
        if named is not None and named.type == "text":
            return node.value
        value = self.value(node)
        if value.type != "any":
            self.wrong(f"{user} needs a text column, but {_quoted(node)} is {'not one' if value.type == 'text' else _SPOKEN[value.type]}")
        return None

    def _in(self, node: Node) -> Value:
        subject = self.value(node.args[0])
        tests = [self._compare("=", subject, self.value(item), Node("=", (node.args[0], item))) for item in node.args[1:]]
        return Value(self._fold_or([test.handle for test in tests]), "truth")

    def _fold_or(self, handles: list[int]) -> int:
        return handles[0] if len(handles) == 1 else self._fold(Op.OR, handles)

    def _case(self, node: Node) -> Value:
        pairs = list(zip(node.args[0:-1:2], node.args[1:-1:2], strict=True))
        conditions = [self.truth(condition, "CASE WHEN") for condition, _ in pairs]
        values = [self._either(self.value(part), part) for part in (*(value for _, value in pairs), node.args[-1])]
        result = values[-1].handle
        for condition, value in reversed(list(zip(conditions, values[:-1], strict=True))):
            result = self.builder.pick(condition, value.handle, result)
        return Value(result, self._common(values, "CASE"))


def _quoted(node: Node) -> str:
    return f"`{canonical(node)}`"


def compile_expressions(texts: list[str], scope: Scope, codes: Codes, wanted: Literal["number", "truth", "either"] = "either") -> Program:
    """One program with an output for each expression; raises ExpressionError."""
    compiler = Compiler(scope, codes)
    return compiler.builder.finish([compiler.expression(text, wanted)[0].handle for text in texts])


def measure(tree: Node) -> Node | None:
    """The comparison that gives a rule its observed value and threshold: the first by order among the operands of the top-level AND."""
    if tree.op == "and":
        return next((found for arg in tree.args if (found := measure(arg)) is not None), None)
    return tree if tree.op in {"<", "<=", ">", ">="} else None


def names(tree: Node) -> set[str]:
    """All columns and features that an expression names."""
    own = {tree.value} if tree.op in {"name", "quoted"} else set()
    return own.union(*(names(arg) for arg in tree.args)) if tree.args else own
