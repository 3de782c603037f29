"""Expressions of one row: what they mean, worked out by hand, and what is refused."""

from __future__ import annotations

import pytest
from interpreter import Num, run

from offbeat.spec.expression import Codes, Compiler, Named, compile_expressions, measure
from offbeat.spec.sql import ExpressionError, canonical, parse

SCOPE = {
    "a": Named("number"),
    "b": Named("number"),
    "n": Named("number", 2),
    "flag": Named("truth"),
    "side": Named("text"),
    "open": Named("number"),
    "set": Named("number"),
    "first": Named("number"),
    "show": Named("number"),
}
ROW: dict[str, Num] = {"a": 7.0, "b": -2.0, "n": None, "flag": 1.0, "open": 3.0, "set": 4.0, "first": 5.0, "show": 6.0}


def value(text: str, **row: Num) -> Num:
    program = compile_expressions([text], SCOPE, Codes())
    return run(program, {**ROW, **row})[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a + b * 2", 3.0),
        ("(a + b) * 2", 10.0),
        ("a - 1 - 1", 5.0),
        ("a / 2 / 2", 1.75),
        ("a / 2", 3.5),  # never a division of integers
        ("7 / 2", 3.5),
        ("1 / 3 * 3", 1.0),
        ("a % 4", 3.0),
        ("-a % 4", -3.0),  # the sign of the left side, as fmod
        ("a % 0", None),
        ("a / 0", None),
        ("a * 2 % 4", 2.0),
        ("- -a", 7.0),
        ("-(-a)", 7.0),
        ("+a", 7.0),
        ("1e308 * 10", None),
        ("sqrt(b)", None),
        ("SQRT(9)", 3.0),
        ("abs(b) + Floor(2.5) + ceil(2.5) + sign(b)", 6.0),
        ("least(a, n, b)", -2.0),
        ("greatest(n, n)", None),
        ("greatest(a, b, 9, 8)", 9.0),
        ("coalesce(n, NULL, 4)", 4.0),
        ("nullif(a, 7)", None),
        ("nullif(a, 8)", 7.0),
        ("open + set + first + show", 18.0),
        ('"open"', 3.0),
        (".5 + 5. + 1e-3", 5.501),
        ("a > b", 1.0),
        ("a <> 7", 0.0),
        ("a != 7", 0.0),
        ("n > 1", None),
        ("n > 1 AND a < 0", 0.0),
        ("n > 1 OR a > 0", 1.0),
        ("n > 1 OR a < 0", None),
        ("NOT n > 1", None),
        ("NOT a = 7", 0.0),
        ("NOT flag AND a > 0", 0.0),
        ("NOT (flag AND a < 0)", 1.0),
        ("n IS NULL", 1.0),
        ("n is not null", 0.0),
        ("a BETWEEN 7 AND 8", 1.0),
        ("a NOT BETWEEN 7 AND 8", 0.0),
        ("a BETWEEN 8 AND 7", 0.0),
        ("a IN (1, 7)", 1.0),
        ("a NOT IN (1, 2)", 1.0),
        ("n IN (1, 2)", None),
        ("a IN (b + 9)", 1.0),
        ("flag = TRUE", 1.0),
        ("(a > 1) = (b > 1)", 0.0),
        ("CASE WHEN n > 1 THEN 1 WHEN a > 1 THEN 2 ELSE 3 END", 2.0),
        ("CASE WHEN a < 1 THEN 1 END", None),
        ("CASE a WHEN 6 THEN 1 WHEN 7 THEN 2 END", 2.0),
        ("CASE WHEN a > 1 THEN a > 6 ELSE FALSE END", 1.0),
        ("CASE WHEN flag THEN 1 ELSE 2 END + CASE WHEN flag THEN 10 ELSE 20 END", 11.0),
        ("-0.0 = 0", 1.0),
    ],
)
def test_value(text: str, expected: Num) -> None:
    assert value(text) == expected


def test_texts_become_codes() -> None:
    codes = Codes()
    texts = ["side = 'B'", "side <> 'A'", "side IN ('A', 'C')", "side IS NULL", "'B' = side", "CASE side WHEN 'it''s' THEN 1 ELSE 0 END"]
    program = compile_expressions(texts, SCOPE, codes)
    assert codes.table() == (("side", ("B", "A", "C", "it's")),)
    assert program.inputs == ("side@code",)
    assert run(program, {"side@code": 0.0}) == [1.0, 1.0, 0.0, 0.0, 1.0, 0.0]
    assert run(program, {"side@code": 2.0}) == [0.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    assert run(program, {"side@code": 3.0})[5] == 1.0
    assert run(program, {"side@code": -1.0}) == [0.0, 1.0, 0.0, 0.0, 0.0, 0.0], "any other text"
    assert run(program, {"side@code": None}) == [None, None, None, 1.0, None, 0.0]


def test_equal_parts_are_computed_once_and_registers_are_used_again() -> None:
    once = compile_expressions(["(a + b) * (a + b)", "a + b > 0"], SCOPE, Codes())
    assert len(once.code) == 3
    long = compile_expressions([" + ".join(f"abs(a - {i})" for i in range(50))], SCOPE, Codes())
    assert long.registers <= len(long.inputs) + len(long.constants) + 4


def test_a_condition_is_still_there_after_case_used_it() -> None:
    program = compile_expressions(["CASE WHEN a > 1 THEN 5 ELSE 6 END", "a > 1"], SCOPE, Codes())
    assert run(program, {"a": 2.0}) == [5.0, 1.0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the expression is empty"),
        ("aa > 1", "unknown column 'aa'; did you mean 'a'?"),
        ("Open > 1", "unknown column 'Open'; did you mean 'open'?"),
        ("side > 'A'", "`side > 'A'`: text is compared only by =, <>, IN, LIKE and IS NULL"),
        ("side = 1", "`side = 1` compares a text column with a number; a text column is compared with texts in quotes"),
        ("a = 'x'", "`a = 'x'` compares a number with a text; a text column is compared with texts in quotes"),
        ("'x' = 'x'", "`'x' = 'x'` compares a text with a text; a text column is compared with texts in quotes"),
        ("side = side", "`side = side` compares a text column with a text column; a text column is compared with texts in quotes"),
        ('side = "A"', "unknown column 'A'; put text in single quotes: 'A'"),
        ("side + 1", "+ needs a number, but `side` is a text column"),
        ("side", "a number or a truth value is needed, but `side` is a text column"),
        ("1 < a < 2", "`1 < a < 2` compares a number with a truth value"),
        ("flag > FALSE", "`flag > FALSE`: truth values are compared only by = and <>"),
        ("flag + 1", "+ needs a number, but `flag` is a truth value"),
        ("a AND flag", "AND needs a truth value, but `a` is a number"),
        ("NOT a", "NOT needs a truth value, but `a` is a number"),
        ("a = NULL", "`a = NULL` is always null: write IS NULL or IS NOT NULL"),
        ("a IN (1, NULL)", "`a = NULL` is always null: write IS NULL or IS NOT NULL"),
        ("coalesce(flag, 1)", "coalesce() mixes numbers and truth values"),
        ("CASE WHEN flag THEN 1 ELSE flag END", "CASE mixes numbers and truth values"),
        ("abs()", "abs() is written abs(x), not with 0 arguments"),
        ("least(a)", "least() is written least(x, y, …), not with 1 argument"),
        ("absolute(a)", "unknown function 'absolute'; did you mean 'abs'?"),
        ("sum(a)", "sum() looks at several rows: it belongs to the features of a window"),
        ("avg(a)", "avg() looks at several rows: it belongs to the features of a window"),
        ("abs(*)", "* is only for count(*)"),
        ("abs(DISTINCT a)", "DISTINCT is only for count(DISTINCT x)"),
        ("a --b", "-- and /* begin a comment in SQL, which an expression cannot hold; write - -x for a double minus"),
        ("a; b", "one expression only: ';' is not part of the language"),
        ("!flag", "'!' is not part of the language; write NOT"),
        ("flag IS TRUE", "IS is only for IS NULL and IS NOT NULL"),
        ("a || b", "|| is not part of the language"),
        ("a::int", ":: is not part of the language"),
        ("t.a", "names have no dots"),
        ("a IN b", "IN needs a list of values in brackets"),
        ("a >", "the expression ends too early, after '>'"),
        ("(a > 1", "cannot be read at '1', after '>'"),
        ("a b", "cannot be read at 'b', after 'a'"),
        ("a ILIKE 'x'", "cannot be read at 'ILIKE', after 'a'"),
        ("1e999 > a", "1e999 is too large"),
        ("a = 'x", "cannot be read"),
        ("a ^ 2", "is not part of the language"),
        ("[a]", "is not part of the language"),
        ("{a}", "is not part of the language"),
        ("@a", "is not part of the language"),
        ("$1", "'$1' is not a name"),
        ("(a, b)", "is not part of the language"),
        ("a[1]", "is not part of the language"),
        ("CAST(a AS INT)", "cannot be read at 'AS'"),
        ("sum(a) OVER (PARTITION BY b)", "cannot be read at 'OVER'"),
        ("a IN (SELECT 1)", "cannot be read at '1'"),
        ("0x1F", "cannot be read at 'x1F'"),
        (" OR ".join(["a > 1"] * 3000), "the expression is too deep"),
    ],
)
def test_refused(text: str, problem: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expressions([text], SCOPE, Codes())
    assert problem in caught.value.problems[0], caught.value.problems
    assert len(caught.value.problems) == 1


def test_every_mistake_is_told_once() -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expressions(["aa > 1 AND aa < 2 AND flag > 3 OR sqr(bb) = 'x'"], SCOPE, Codes())
    assert caught.value.problems == [
        "unknown column 'aa'; did you mean 'a'?",
        "`flag > 3` compares a number with a truth value",
        "unknown function 'sqr'; did you mean 'sqrt'?",
    ]


@pytest.mark.parametrize(
    ("wanted", "text", "said"), [("truth", "a + 1", "a condition is needed"), ("number", "a > 1", "a number is needed")]
)
def test_wanted_type(wanted: str, text: str, said: str) -> None:
    with pytest.raises(ExpressionError, match=said):
        Compiler(SCOPE, Codes()).expression(text, "truth" if wanted == "truth" else "number")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abs( close/previous_close -1)>.005", "abs(close / previous_close - 1) > 0.005"),
        ("(a+b)*c", "(a + b) * c"),
        ("a+(b*c)", "a + b * c"),
        ("a-(b-c)", "a - (b - c)"),
        ("(a-b)-c", "a - b - c"),
        ("a / (b * c)", "a / (b * c)"),
        ("- -a", "- -a"),
        ("-(a + 1)", "-(a + 1)"),
        ("a != 1 and (b or c)", "a <> 1 AND (b OR c)"),
        ("not a = 1 and b", "NOT a = 1 AND b"),
        ("not (a and b)", "NOT (a AND b)"),
        ("(not a) = b", "(NOT a) = b"),
        ("a not in (1,'x')", "NOT a IN (1, 'x')"),
        ("a is not null", "a IS NOT NULL"),
        ("a between 1 and 2 and b", "a BETWEEN 1 AND 2 AND b"),
        ("case when a then 1 end", "CASE WHEN a THEN 1 ELSE NULL END"),
        ("COUNT( * ) + Count(distinct x)", "count(*) + count(DISTINCT x)"),
        ("'it''s' = \"a b\"", "'it''s' = \"a b\""),
        ("1.50 + 1e3 + 2", "1.5 + 1000 + 2"),
    ],
)
def test_canonical_text(text: str, expected: str) -> None:
    tree = parse(text)
    assert canonical(tree) == expected
    assert canonical(parse(expected)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a > 1", "a > 1"),
        ("flag AND a <= 1 AND b > 2", "a <= 1"),
        ("flag AND (b < 0 AND a > 1)", "b < 0"),
        ("a = 1 AND NOT b > 1", None),
        ("a > 1 OR b > 1", None),
        ("flag", None),
        ("a BETWEEN 1 AND 2", None),
    ],
)
def test_measure_is_the_first_comparison_of_the_top_level_and(text: str, expected: str | None) -> None:
    found = measure(parse(text))
    assert (None if found is None else canonical(found)) == expected
