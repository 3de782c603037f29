"""Whatever stands in a pipeline file, it is either a Plan or a SpecError of one-line problems: never another exception."""

from __future__ import annotations

import copy
from importlib.resources import files
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from offbeat.errors import SpecError
from offbeat.spec.document import read_document
from offbeat.spec.expression import Codes, Named, compile_expressions
from offbeat.spec.load import load_plan, load_text
from offbeat.spec.sql import ExpressionError

TEXT = files("offbeat.pipelines").joinpath("bars.yaml").read_text(encoding="utf-8")
BARS: dict[str, Any] = read_document(TEXT).value
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["60s", "9 rows", "close > 1", "time", "bar"])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.just("type"), inner, max_size=3)
)


def places(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    inner = [place for key, below in value.items() for place in places(below, (*path, key))] if isinstance(value, dict) else []
    return [path, *inner] if path else inner


PLACES = places(BARS)


def must_be_told(load: Any) -> None:
    found = ["nothing"]
    try:
        load()
    except SpecError as error:
        found = error.problems
    assert found
    assert not any("\n" in problem for problem in found)


@given(st.lists(st.tuples(st.sampled_from(PLACES), VALUES, st.booleans()), min_size=1, max_size=3))
def test_changed_values(changes: list[tuple[tuple[str, ...], Any, bool]]) -> None:
    raw = copy.deepcopy(BARS)
    for path, value, drop in changes:
        inside: Any = raw
        for key in path[:-1]:
            inside = inside.get(key) if isinstance(inside, dict) else None
        if isinstance(inside, dict):
            inside.pop(path[-1], None)
            if not drop:
                inside[path[-1]] = value
    must_be_told(lambda: load_plan(raw))


@given(st.data())
def test_changed_text(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(TEXT)))
    cut = data.draw(st.integers(0, 20))
    put = data.draw(st.text(alphabet="{}[]:,'\"#&*!|>-%@ \n\tab0", max_size=4))
    must_be_told(lambda: load_text(TEXT[:at] + put + TEXT[at + cut :], "fuzz.yaml"))


@given(
    st.lists(st.sampled_from([".".join(place) for place in PLACES]) | st.text(max_size=12), max_size=2),
    VALUES.map(repr) | st.text(max_size=12),
)
def test_overrides(paths: list[str], value: str) -> None:
    must_be_told(lambda: load_plan("bars", [f"{path}={value}" for path in paths]))


WORDS = ["a", "b", "side", "'x'", "1", "NULL", "TRUE", "(", ")", "+", "-", "/", "%", "<", "=", "AND", "NOT", "IN", "IS", "CASE", "WHEN"]
WORDS += [
    "THEN",
    "ELSE",
    "END",
    "BETWEEN",
    "abs",
    "count",
    "*",
    ",",
    ".",
    "DISTINCT",
    '"',
    "'",
    "::",
    "||",
    "[",
    "]",
    "->",
    ";",
    "--",
    "/*",
    "?",
]


@settings(max_examples=300)
@given(st.lists(st.sampled_from(WORDS), max_size=10).map(" ".join) | st.text(max_size=12))
def test_expressions(text: str) -> None:
    found = ["nothing"]
    try:
        compile_expressions([text], {"a": Named("number"), "b": Named("truth"), "side": Named("text")}, Codes())
    except ExpressionError as error:
        found = error.problems
    assert found
    assert not any("\n" in problem for problem in found)
