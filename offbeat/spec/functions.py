"""The functions of the expression language: one table makes the compiler, its error messages and the reference page."""

from __future__ import annotations

from dataclasses import dataclass

from offbeat.core.expression_program import Op


@dataclass(frozen=True, slots=True)
class Scalar:
    """A function of values of one row. With more than two arguments it is folded from the left."""

    op: Op
    least: int
    most: int
    """Greatest number of arguments; 0: any."""
    any_type: bool
    """Takes truth values too and gives back what it takes."""
    usage: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Aggregated:
    """A function over the rows of a window."""

    function: str
    """Name in the Plan; '' where it depends on the argument."""
    arguments: int
    rollup: bool
    """Allowed in a rollup: exact and mergeable."""
    keeps_type: bool
    """Gives back a truth value for a truth value."""
    usage: str
    meaning: str


SCALARS: dict[str, Scalar] = {
    "abs": Scalar(Op.ABS, 1, 1, False, "abs(x)", "absolute value"),
    "sqrt": Scalar(Op.SQRT, 1, 1, False, "sqrt(x)", "square root; null for negative numbers"),
    "floor": Scalar(Op.FLOOR, 1, 1, False, "floor(x)", "largest whole number not above x"),
    "ceil": Scalar(Op.CEIL, 1, 1, False, "ceil(x)", "smallest whole number not below x"),
    "sign": Scalar(Op.SIGN, 1, 1, False, "sign(x)", "-1, 0 or 1"),
    "ln": Scalar(Op.LN, 1, 1, False, "ln(x)", "natural logarithm; null for 0 and negative numbers"),
    "asinh": Scalar(
        Op.ASINH, 1, 1, False, "asinh(x)", "about x near 0, about ±ln(2|x|) far from it: a logarithm for values that may be 0 or negative"
    ),
    "least": Scalar(Op.LEAST, 2, 0, False, "least(x, y, …)", "the smallest value; skips nulls"),
    "greatest": Scalar(Op.GREATEST, 2, 0, False, "greatest(x, y, …)", "the largest value; skips nulls"),
    "coalesce": Scalar(Op.COALESCE, 2, 0, True, "coalesce(x, y, …)", "the first value that is not null"),
    "nullif": Scalar(Op.NULLIF, 2, 2, True, "nullif(x, y)", "null where x = y, else x"),
}

AGGREGATES: dict[str, Aggregated] = {
    "count": Aggregated(
        "", 1, True, False, "count(*), count(x), count(DISTINCT x)",
        "rows; rows where x is not null; distinct values, also of a text (in rollups exact up to 256, then to 2.3 %)",
    ),
    "sum": Aggregated("", 1, True, False, "sum(x)", "exact for a column with a scale and for truth values; null without any value"),
    "mean": Aggregated("mean", 1, True, False, "mean(x), avg(x)", "average of the values that are not null"),
    "std": Aggregated("std", 1, False, False, "std(x), stddev(x)", "sample standard deviation (n - 1); null for fewer than 2 values"),
    "var": Aggregated("var", 1, False, False, "var(x), variance(x)", "sample variance (n - 1); null for fewer than 2 values"),
    "min": Aggregated("min", 1, True, True, "min(x)", "smallest value"),
    "max": Aggregated("max", 1, True, True, "max(x)", "largest value"),
    "first": Aggregated("first", 1, False, True, "first(x)", "value of the oldest row (may be null)"),
    "last": Aggregated("last", 1, False, True, "last(x)", "value of the newest row (may be null)"),
    "median": Aggregated("quantile", 1, False, False, "median(x)", "quantile(x, 0.5)"),
    "quantile": Aggregated("quantile", 2, False, False, "quantile(x, q)", "quantile by linear interpolation, q from 0 to 1"),
    "mad": Aggregated("mad", 1, False, False, "mad(x)", "median of the distances from the median; null without any value"),
    "share": Aggregated("mean", 1, False, False, "share(condition)", "share of rows where the condition is true"),
    "ewma": Aggregated(
        "ewma", 2, False, False, "ewma(x, n)",
        "in a window `over: all`: exponentially weighted mean, in which a row weighs 1 - 2/(n + 1) times as much as the next one",
    ),
    "ewstd": Aggregated("ewstd", 2, False, False, "ewstd(x, n)", "as `ewma`: the deviation from that mean; null for fewer than 2 values"),
    "ar": Aggregated(
        "ar", 2, False, False, "ar(x, p)",
        "in a window `over: all`: x as the key's last p values foretell it, by an autoregression that learns with every row",
    ),
    "still": Aggregated(
        "still", 1, False, False, "still(x)",
        "in a window `over: all`: how many values before the last one are equal to it; 0 where it has just changed"
    ),
    "span": Aggregated("span", 0, False, False, "span()", "seconds from the oldest to the newest row"),
    "rate": Aggregated("rate", 0, False, False, "rate()", "(count - 1) / span(); null when span is 0"),
}

NEIGHBOURS = {
    "diff": ("diff(x)", "x minus the x of the key's previous row; null for the key's first row"),
    "gap": ("gap()", "seconds since the key's previous row; null for the key's first row"),
}
"""Functions of a row and the one before it."""

CLOCK = {
    "hour": ("hour()", "hour of the day, 0 to 23, in the zone of the pipeline"),
    "weekday": ("weekday()", "day of the week, 1 (Monday) to 7, in the zone of the pipeline"),
}
"""Functions of the row's time; each is also the input NAME@ of a program."""

ALIASES = {"avg": "mean", "stddev": "std", "variance": "var"}


def canonical_name(function: str) -> str:
    """The one spelling of a function that has several."""
    return ALIASES.get(function, function)
