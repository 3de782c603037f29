"""Features of windows and columns of rollups: what is computed of each row, which aggregates, and what is read from them."""

from __future__ import annotations

import pytest
from interpreter import run
from told import tells

from offbeat.core.plan import Aggregate
from offbeat.spec.aggregate import Compiled, compile_aggregates
from offbeat.spec.expression import Codes, Named

SCOPE = {
    "price": Named("number"),
    "volume": Named("number", 0),
    "size": Named("number", 3),
    "odd_lot": Named("truth"),
    "side": Named("text"),
}


def features(rollup: bool = False, /, **expressions: str) -> Compiled:
    compiled = compile_aggregates(expressions, SCOPE, Codes(), kind="rollup" if rollup else "window")
    assert compiled.problems == {}
    return compiled


@pytest.mark.parametrize(
    ("text", "aggregate"),
    [
        ("count(*)", Aggregate("count_rows")),
        ("count(price)", Aggregate("count", 0)),
        ("count(side)", Aggregate("count", 0)),
        ("COUNT(DISTINCT price)", Aggregate("distinct", 0)),
        ("sum(price)", Aggregate("sum", 0)),
        ("sum(volume)", Aggregate("sum_exact", 0, scale=0, column="volume")),
        ("sum((size))", Aggregate("sum_exact", 0, scale=3, column="size")),
        ("sum(CASE WHEN side = 'A' THEN size END)", Aggregate("sum_exact", 0, scale=3, column="size")),
        ("sum(CASE WHEN side = 'A' THEN size ELSE 0 END)", Aggregate("sum", 0)),
        ("mad(price)", Aggregate("mad", 0)),
        ("share(odd_lot)", Aggregate("mean", 0)),
        ("sum(size * 2)", Aggregate("sum", 0)),
        ("sum(odd_lot)", Aggregate("sum_exact", 0, scale=0)),
        ("sum(side = 'A')", Aggregate("sum_exact", 0, scale=0)),
        ("mean(price)", Aggregate("mean", 0)),
        ("avg(volume)", Aggregate("mean", 0)),
        ("mean(side = 'A')", Aggregate("mean", 0)),
        ("std(price)", Aggregate("std", 0)),
        ("stddev(price)", Aggregate("std", 0)),
        ("variance(price)", Aggregate("var", 0)),
        ("min(price)", Aggregate("min", 0)),
        ("max(price)", Aggregate("max", 0)),
        ("first(price)", Aggregate("first", 0)),
        ("last(price)", Aggregate("last", 0)),
        ("median(price)", Aggregate("quantile", 0, q=0.5)),
        ("quantile(price, 0.95)", Aggregate("quantile", 0, q=0.95)),
        ("span()", Aggregate("span")),
        ("rate()", Aggregate("rate")),
        ("max(hour())", Aggregate("max", 0)),
    ],
)
def test_aggregate(text: str, aggregate: Aggregate) -> None:
    compiled = features(f=text)
    assert compiled.aggregates == (aggregate,)
    assert compiled.program.inputs == ("agg0",)
    assert len(compiled.arguments.outputs) == (aggregate.argument + 1)


@pytest.mark.parametrize(
    ("text", "aggregate"),
    [
        ("count(*)", Aggregate("count_rows")),
        ("count(price)", Aggregate("count", 0)),
        ("sum(size)", Aggregate("sum_exact", 0, scale=3, column="size")),
        ("mean(size)", Aggregate("mean_exact", 0, scale=3, column="size")),
        ("mean(CASE WHEN price > 5 THEN volume END)", Aggregate("mean_exact", 0, scale=0, column="volume")),
        ("count(DISTINCT hour())", Aggregate("distinct", 0)),
        ("count(DISTINCT CASE WHEN price > 5 THEN weekday() END)", Aggregate("distinct", 0)),
        ("sum(hour() BETWEEN 2 AND 5)", Aggregate("sum_exact", 0, scale=0)),
        ("avg(price > 5)", Aggregate("mean_exact", 0, scale=0)),
        ("max(price)", Aggregate("max", 0)),
        ("min(price * volume)", Aggregate("min", 0)),
    ],
)
def test_aggregate_of_a_rollup(text: str, aggregate: Aggregate) -> None:
    assert features(True, f=text).aggregates == (aggregate,)


def test_split_into_arguments_aggregates_and_features() -> None:
    compiled = features(
        move="last(price) / first(price) - 1",
        turnover="sum(price * volume) / count(*)",
        spread="max(price) - min(price) + last(price)",
        buys="mean(side = 'A') > 0.5",
    )
    assert compiled.aggregates == (
        Aggregate("last", 0),
        Aggregate("first", 0),
        Aggregate("sum", 1),
        Aggregate("count_rows"),
        Aggregate("max", 0),
        Aggregate("min", 0),
        Aggregate("mean", 2),
    )
    assert run(compiled.arguments, {"price": 4.0, "volume": 3.0, "side@code": 0.0}) == [4.0, 12.0, 1.0]
    row = {"agg0": 6.0, "agg1": 4.0, "agg2": 30.0, "agg3": 10.0, "agg4": 9.0, "agg5": 2.0, "agg6": 0.75}
    assert run(compiled.program, row) == [0.5, 3.0, 13.0, 1.0]
    assert compiled.program.inputs == tuple(row)
    assert {name: named.type for name, named in compiled.results.items()} == {
        "move": "number",
        "turnover": "number",
        "spread": "number",
        "buys": "truth",
    }


def test_the_last_truth_value_is_a_truth_value() -> None:
    assert features(f="last(odd_lot)").results["f"] == Named("truth")
    assert features(f="mean(odd_lot)").results["f"] == Named("number")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("price", "column 'price' must be inside an aggregate, such as last(price)"),
        ("last(prize)", "unknown column 'prize'; did you mean 'price'?"),
        ("lst(price)", "unknown function 'lst'; did you mean 'last'?"),
        ("mode(price)", "unknown function 'mode'"),
        ("mean(sum(price))", "sum() is inside another aggregate; aggregates cannot be nested"),
        ("sum(*)", "sum() is written sum(x)"),
        ("mean(DISTINCT price)", "mean() is written mean(x), avg(x)"),
        ("sum()", "sum() is written sum(x), not with 0 arguments"),
        ("span(price)", "span() is written span(), not with 1 argument"),
        ("quantile(price)", "quantile() is written quantile(x, q), not with 1 argument"),
        ("quantile(price, 2)", "the second argument of quantile() is a number from 0 to 1, not `2`"),
        ("quantile(price, price)", "the second argument of quantile() is a number from 0 to 1, not `price`"),
        ("sum(side)", "sum() needs a number or a truth value, but `side` is text"),
        ("count(DISTINCT 'x')", "count() needs a number or a truth value, but `'x'` is text"),
        ("last('x')", "last() needs a number or a truth value, but `'x'` is text"),
        ("last(odd_lot) + 1", "+ needs a number, but `last(odd_lot)` is a truth value"),
        ("*", "* is only for count(*)"),
    ],
)
def test_refused(text: str, problem: str) -> None:
    found = compile_aggregates({"f": text}, SCOPE, Codes(), kind="window").problems["f"]
    assert len(found) == 1
    assert tells(found[0], problem)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("price", "column 'price' must be inside an aggregate, such as max(price)"),
        (
            "sum(price)",
            "sum of float column 'price' would depend on the order of rows: give the column a scale, such as price: {type: decimal,",
        ),
        (
            "mean(size / 2)",
            "mean in a rollup must be exact: of a column with a scale, of CASE WHEN … THEN such a column END, or of a condition, "
            "not of `size / 2`",
        ),
        ("std(size)", "std() cannot be merged exactly; a rollup has count, sum, mean, min, max"),
        ("last(size)", "last() cannot be merged exactly"),
    ],
)
def test_refused_in_a_rollup(text: str, problem: str) -> None:
    found = compile_aggregates({"f": text}, SCOPE, Codes(), kind="rollup").problems["f"]
    assert len(found) == 1
    assert tells(found[0], problem)
