"""Random expressions: text → program → value equals a plain three-valued evaluation of the same tree in Python."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st
from interpreter import Num, arithmetic, run

from offbeat.core.expression_program import Op
from offbeat.spec.expression import Codes, Named, compile_expressions
from offbeat.spec.sql import canonical, parse

COLUMNS = ("x", "y", "z")
SCOPE = {**{name: Named("number") for name in COLUMNS}, "p": Named("truth"), "q": Named("truth")}
ARITHMETIC = {"+": Op.ADD, "-": Op.SUB, "*": Op.MUL, "/": Op.DIV, "%": Op.MOD}


@dataclass(frozen=True)
class Sample:
    """A random expression as text, fully bracketed or not, and how to evaluate it by its parts."""

    kind: str
    parts: tuple[Sample, ...] = ()
    word: str = ""

    def text(self) -> str:
        if self.kind == "leaf":
            return self.word
        inner = [part.text() if part.kind == "leaf" and not part.word.startswith("-") else f"({part.text()})" for part in self.parts]
        if self.kind in {"and", "or"} | set(ARITHMETIC) | {"=", "<>", "<", ">="}:
            return f"{inner[0]} {self.kind} {inner[1]}"
        shapes = {
            "not": "NOT {0}",
            "neg": "- {0}",
            "null": "{0} IS NULL",
            "known": "{0} IS NOT NULL",
            "case": "CASE WHEN {0} THEN {1} ELSE {2} END",
            "between": "{0} BETWEEN {1} AND {2}",
            "in": "{0} IN ({1}, {2})",
        }
        if self.kind in shapes:
            return shapes[self.kind].format(*inner)
        return f"{self.kind}({', '.join(part.text() for part in self.parts)})"

    def value(self, row: dict[str, Num]) -> Num:
        kind = self.kind
        if kind == "leaf":
            return (
                row[self.word]
                if self.word in row
                else {"NULL": None, "TRUE": 1.0, "FALSE": 0.0}[self.word]
                if self.word.isalpha()
                else float(self.word)
            )
        values = [part.value(row) for part in self.parts]
        a, b, c = (*values, None, None)[:3]
        if kind in ARITHMETIC:
            return None if a is None or b is None else arithmetic(ARITHMETIC[kind], a, b)
        if kind in {"=", "<>", "<", ">="}:
            return _compare(kind, a, b)
        if kind == "between":
            return _and(_compare(">=", a, b), _compare(">=", c, a))
        if kind == "in":
            return _or(_compare("=", a, b), _compare("=", a, c))
        simple: dict[str, Callable[[], Num]] = {
            "and": lambda: _and(a, b),
            "or": lambda: _or(a, b),
            "not": lambda: None if a is None else 1.0 - a,
            "null": lambda: float(a is None),
            "known": lambda: float(a is not None),
            "case": lambda: b if a == 1.0 else c,
            "coalesce": lambda: a if a is not None else b,
            "nullif": lambda: None if a is not None and a == b else a,
            "least": lambda: min((v for v in values if v is not None), default=None),
            "greatest": lambda: max((v for v in values if v is not None), default=None),
        }
        if kind in simple:
            return simple[kind]()
        if a is None:
            return None
        one: dict[str, Callable[[], Num]] = {
            "neg": lambda: -a,
            "abs": lambda: abs(a),
            "sqrt": lambda: math.sqrt(a) if a >= 0 else None,
            "floor": lambda: float(math.floor(a)),
        }
        return one[kind]()


def _compare(op: str, a: Num, b: Num) -> Num:
    if a is None or b is None:
        return None
    return float({"=": a == b, "<>": a != b, "<": a < b, ">=": a >= b}[op])


def _and(a: Num, b: Num) -> Num:
    return 0.0 if a == 0.0 or b == 0.0 else None if a is None or b is None else 1.0


def _or(a: Num, b: Num) -> Num:
    return 1.0 if a == 1.0 or b == 1.0 else None if a is None or b is None else 0.0


NUMBERS = st.sampled_from(["0", "1", "2.5", "-3", "0.1", "1e300", *COLUMNS]).map(lambda word: Sample("leaf", word=word))
TRUTHS = st.sampled_from(["TRUE", "FALSE", "p", "q"]).map(lambda word: Sample("leaf", word=word))


@st.composite
def samples(draw: st.DrawFn, truth: bool, depth: int) -> Sample:
    if depth == 0 or draw(st.integers(0, 5)) == 0:
        return draw(TRUTHS if truth else NUMBERS)

    def number() -> Sample:
        return draw(samples(False, depth - 1))

    def condition() -> Sample:
        return draw(samples(True, depth - 1))

    if truth:
        kind = draw(st.sampled_from(["and", "or", "not", "=", "<>", "<", ">=", "null", "known", "between", "in", "case", "coalesce"]))
        if kind in {"and", "or", "coalesce"}:
            return Sample(kind, (condition(), condition()))
        if kind == "not":
            return Sample(kind, (condition(),))
        if kind == "case":
            return Sample(kind, (condition(), condition(), condition()))
        count = 1 if kind in {"null", "known"} else 3 if kind in {"between", "in"} else 2
        return Sample(kind, tuple(number() for _ in range(count)))
    kind = draw(st.sampled_from([*ARITHMETIC, "neg", "abs", "sqrt", "floor", "least", "greatest", "coalesce", "nullif", "case"]))
    if kind == "case":
        return Sample(kind, (condition(), number(), number()))
    return Sample(kind, tuple(number() for _ in range(1 if kind in {"neg", "abs", "sqrt", "floor"} else 2)))


ROWS = st.fixed_dictionaries(
    {name: st.sampled_from([None, 0.0, -0.0, 1.0, -2.5, 3.0, 1e300, 0.1]) for name in COLUMNS}
    | {name: st.sampled_from([None, 0.0, 1.0]) for name in ("p", "q")}
)


@given(st.lists(st.booleans().flatmap(lambda truth: samples(truth, 4)), min_size=1, max_size=3), st.lists(ROWS, min_size=1, max_size=4))
def test_programs_compute_what_the_text_says(expressions: list[Sample], rows: list[dict[str, Num]]) -> None:
    texts = [expression.text() for expression in expressions]
    program = compile_expressions(texts, SCOPE, Codes())
    again = compile_expressions([canonical(parse(text)) for text in texts], SCOPE, Codes())
    for row in rows:
        expected = [expression.value(row) for expression in expressions]
        assert run(program, row) == expected
        assert run(again, row) == expected, "the canonical text means the same"
