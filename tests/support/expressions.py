"""Random SQL expressions, each with the Python function that it must equal."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from oracle_logic import (
    Num,
    Truth,
    absolute,
    add,
    all_of,
    any_of,
    area_sine,
    compare,
    div,
    greatest,
    least,
    logarithm,
    mod,
    mul,
    negate,
    root,
    same_text,
    sub,
)
from oracle_windows import Env

NUMBERS = ("x", "y", "z")
OR, AND, NOT, COMPARISON, SUM, PRODUCT, ATOM = range(7)


@dataclass(frozen=True)
class Sql:
    """`strength`: how tightly its outermost operator binds; parentheses stand only where they are needed."""

    text: str
    strength: int
    value: Callable[[Env], Any]

    def within(self, strength: int) -> str:
        return self.text if self.strength >= strength else f"({self.text})"


def _binary(operator: str, strength: int, apply: Callable[[Any, Any], Any]) -> Callable[[Sql, Sql], Sql]:
    def build(a: Sql, b: Sql) -> Sql:
        text = f"{a.within(strength)} {operator} {b.within(strength + 1)}"
        return Sql(text, strength, lambda env: apply(a.value(env), b.value(env)))

    return build


ARITHMETIC = [
    _binary("+", SUM, add),
    _binary("-", SUM, sub),
    _binary("*", PRODUCT, mul),
    _binary("/", PRODUCT, div),
    _binary("%", PRODUCT, mod),
]


def _comparison(operator: str) -> Callable[[Sql, Sql], Sql]:
    return _binary(operator, COMPARISON, lambda a, b: compare(a, operator, b))


COMPARISONS = [_comparison(operator) for operator in (">", ">=", "<", "<=", "=", "<>")]
LOGIC = [_binary("AND", AND, all_of), _binary("OR", OR, any_of)]


def _call(name: str, apply: Callable[..., Any]) -> Callable[[Sequence[Sql]], Sql]:
    def build(arguments: Sequence[Sql]) -> Sql:
        text = f"{name}({', '.join(a.text for a in arguments)})"
        return Sql(text, ATOM, lambda env: apply(*(a.value(env) for a in arguments)))

    return build


def _sign(a: Num) -> Num:
    return None if a is None else float((a > 0) - (a < 0))


def _floor(a: Num) -> Num:
    return None if a is None else float(math.floor(a))


def _ceil(a: Num) -> Num:
    return None if a is None else float(math.ceil(a))


def _coalesce(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _nullif(a: Num, b: Num) -> Num:
    return None if compare(a, "=", b) else a


UNARY = [
    _call(name, f)
    for name, f in [
        ("abs", absolute), ("sqrt", root), ("floor", _floor), ("ceil", _ceil), ("sign", _sign), ("ln", logarithm), ("asinh", area_sine)
    ]
]  # fmt: skip
MANY = [_call(name, f) for name, f in [("least", least), ("greatest", greatest), ("coalesce", _coalesce)]]
NULLIF = _call("nullif", _nullif)


def _minus(a: Sql) -> Sql:
    return Sql(f"-{a.within(ATOM)}", PRODUCT + 0, lambda env: sub(0.0, a.value(env)))


def _not(a: Sql) -> Sql:
    return Sql(f"NOT {a.within(NOT + 1)}", NOT, lambda env: negate(a.value(env)))


def _is_null(a: Sql, inverted: bool) -> Sql:
    text = f"{a.within(SUM)} IS {'NOT ' if inverted else ''}NULL"
    return Sql(text, COMPARISON, lambda env: (a.value(env) is None) != inverted)


def _between(a: Sql, low: Sql, high: Sql, inverted: bool) -> Sql:
    def value(env: Env) -> Truth:
        inside = all_of(compare(a.value(env), ">=", low.value(env)), compare(a.value(env), "<=", high.value(env)))
        return negate(inside) if inverted else inside

    text = f"{a.within(SUM)} {'NOT ' if inverted else ''}BETWEEN {low.within(SUM)} AND {high.within(SUM)}"
    return Sql(text, COMPARISON, value)


def _in(a: Sql, choices: Sequence[Sql], inverted: bool) -> Sql:
    def value(env: Env) -> Truth:
        among = any_of(*(compare(a.value(env), "=", choice.value(env)) for choice in choices))
        return negate(among) if inverted else among

    text = f"{a.within(SUM)} {'NOT ' if inverted else ''}IN ({', '.join(c.text for c in choices)})"
    return Sql(text, COMPARISON, value)


def _case(branches: Sequence[tuple[Sql, Sql]], otherwise: Sql | None) -> Sql:
    def value(env: Env) -> Any:
        for condition, then in branches:
            if condition.value(env) is True:
                return then.value(env)
        return None if otherwise is None else otherwise.value(env)

    middle = " ".join(f"WHEN {condition.text} THEN {then.text}" for condition, then in branches)
    return Sql(f"CASE {middle}{'' if otherwise is None else f' ELSE {otherwise.text}'} END", ATOM, value)


def _text_test(literal: str, inverted: bool) -> Sql:
    def value(env: Env) -> Truth:
        same = same_text(env["side"], literal)
        return negate(same) if inverted else same

    return Sql(f"side {'<>' if inverted else '='} '{literal}'", COMPARISON, value)


def _text_in(literals: Sequence[str]) -> Sql:
    listed = ", ".join(f"'{literal}'" for literal in literals)
    return Sql(f"side IN ({listed})", COMPARISON, lambda env: any_of(*(same_text(env["side"], literal) for literal in literals)))


def _like(column: str, pattern: str, inverted: bool) -> Sql:
    def matches(text: str, wanted: str) -> bool:
        if not wanted:
            return not text
        if wanted[0] == "%":
            return any(matches(text[begin:], wanted[1:]) for begin in range(len(text) + 1))
        return bool(text) and wanted[0] in {"_", text[0]} and matches(text[1:], wanted[1:])

    def value(env: Env) -> Truth:
        text = env[column]
        found = None if text is None else matches(text, pattern)
        return negate(found) if inverted else found

    return Sql(f"{column} {'NOT ' if inverted else ''}LIKE '{pattern}'", COMPARISON, value)


def _prefix(column: str, length: int, literals: Sequence[str]) -> Sql:
    def value(env: Env) -> Truth:
        first = None if env[column] is None else env[column][:length]
        return any_of(*(same_text(first, literal) for literal in literals))

    listed = ", ".join(f"'{literal}'" for literal in literals)
    return Sql(f"prefix({column}, {length}) IN ({listed})", COMPARISON, value)


def _key_is(literal: str) -> Sql:
    return Sql(f"key = '{literal}'", COMPARISON, lambda env: same_text(env["key"], literal))


def _column(name: str) -> Sql:
    return Sql(name, ATOM, lambda env: env[name])


def _literal(text: str) -> Sql:
    return Sql(text, ATOM, lambda _: float(text))


LEAVES = st.one_of(
    st.sampled_from([_column(name) for name in NUMBERS]),
    st.sampled_from([_literal(text) for text in ("0", "1", "2", "0.1", "1e300", "3.75", "9007199254740993")]),
)
SIDES = st.sampled_from(("A", "B", "\u00e9", "nobody"))
TEXT_TESTS = st.one_of(
    st.builds(_text_test, SIDES, st.booleans()),
    st.builds(_text_in, st.lists(SIDES, min_size=1, max_size=3)),
    st.builds(_like, st.sampled_from(("side", "key")), st.text("AB\u00e9%_a.\\n", max_size=4), st.booleans()),
    st.builds(_prefix, st.sampled_from(("side", "key")), st.integers(1, 3), st.lists(SIDES, min_size=1, max_size=2)),
    st.builds(_key_is, SIDES),
    st.booleans().map(
        lambda inverted: Sql(f"side IS {'NOT ' if inverted else ''}NULL", COMPARISON, lambda e: (e["side"] is None) != inverted)
    ),
)


def numbers(depth: int) -> st.SearchStrategy[Sql]:
    """Expressions that give a number."""
    if depth == 0:
        return LEAVES
    inner = numbers(depth - 1)
    return st.one_of(
        LEAVES,
        st.builds(lambda build, a, b: build(a, b), st.sampled_from(ARITHMETIC), inner, inner),
        st.builds(lambda build, a, b: build(a, b), st.sampled_from(ARITHMETIC), inner, inner),
        st.builds(lambda build, a: build([a]), st.sampled_from(UNARY), inner),
        st.builds(lambda build, a: build(a), st.sampled_from(MANY), st.lists(inner, min_size=2, max_size=3)),
        st.builds(lambda a, b: NULLIF([a, b]), inner, inner),
        st.builds(_minus, inner),
        st.builds(_case, st.lists(st.tuples(truths(depth - 1), inner), min_size=1, max_size=2), st.none() | inner),
    )


def truths(depth: int) -> st.SearchStrategy[Sql]:
    """Conditions."""
    leaf = numbers(max(depth - 1, 0))
    compared = st.builds(lambda build, a, b: build(a, b), st.sampled_from(COMPARISONS), leaf, leaf)
    if depth == 0:
        return st.one_of(compared, TEXT_TESTS)
    inner = truths(depth - 1)
    return st.one_of(
        compared,
        TEXT_TESTS,
        st.builds(lambda build, a, b: build(a, b), st.sampled_from(LOGIC), inner, inner),
        st.builds(lambda build, a, b: build(a, b), st.sampled_from(LOGIC), inner, inner),
        st.builds(_not, inner),
        st.builds(_is_null, leaf, st.booleans()),
        st.builds(_between, leaf, leaf, leaf, st.booleans()),
        st.builds(_in, leaf, st.lists(LEAVES, min_size=1, max_size=3), st.booleans()),
    )
