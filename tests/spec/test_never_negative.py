"""Which values are known never to be negative; each verdict follows from arithmetic alone."""

from __future__ import annotations

import pytest

from offbeat.spec.expression import Named
from offbeat.spec.never_negative import Signs
from offbeat.spec.sql import parse

SIGNS = Signs(
    (
        {"usual": parse("mean(volume)"), "move": parse("last(price) / first(price) - 1"), "wide": parse("std(temperature)")},
        {"volume": parse("sum(size)"), "calls": parse("nullif(sum(hour() < 5), 0)"), "heat": parse("max(temperature)")},
    ),
    {"price": Named("number"), "size": Named("number", 0), "temperature": Named("number"), "on": Named("truth")},
    (parse("price > 0 AND 1 <= size"),),
)


@pytest.mark.parametrize(
    "text",
    [
        "price", "size", "on", "volume", "usual", "calls", "wide", "count(*)", "3", "price * size + 1", "price / size", "size % 7",
        "abs(temperature)", "sqrt(temperature)", "greatest(temperature, 0)", "least(price, size)", "coalesce(price, 0)", "price > 5",
        "CASE WHEN on THEN price ELSE 2 END", "CASE WHEN on THEN price END", "quantile(size, 0.1)", "nullif(volume, 3)", "mad(temperature)",
    ],
)  # fmt: skip
def test_never_negative(text: str) -> None:
    assert SIGNS.never_negative(parse(text))


@pytest.mark.parametrize(
    "text",
    [
        "temperature", "heat", "move", "-1", "-price", "price - size", "temperature * temperature", "least(price, temperature)",
        "greatest(temperature, -1)", "coalesce(price, temperature)", "CASE WHEN on THEN price ELSE -1 END", "sum(temperature)",
        "max(diff(price))", "unknown",
    ],
)  # fmt: skip
def test_not_known(text: str) -> None:
    assert not SIGNS.never_negative(parse(text))


def test_a_name_means_what_it_means_where_it_stands() -> None:
    """A rollup's column may have the name of a source's column that it is made of."""
    signs = Signs(({"last_x": parse("last(x)")}, {"x": parse("sum(x)")}), {"x": Named("number", 0)}, (parse("x >= 0"),))
    assert signs.never_negative(parse("x"))
    assert signs.never_negative(parse("last_x"))
    without = Signs(signs.named, signs.scope, ())
    assert not without.never_negative(parse("last_x"))
