"""YAML without surprises, and durations."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offbeat.spec.document import read_document
from offbeat.spec.duration import UNITS_NS, duration_ns, instant_ns, window_length


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("10:30", "10:30"),
        ("2000-01-01", "2000-01-01"),
        ("010", 10),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("-5", -5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e-3", 0.001),
        ("+.inf", float("inf")),
        ("true", True),
        ("~", None),
        ("", None),
        ("<<", "<<"),
        ("'5'", "5"),
        ("{1: a, true: b}", {"1": "a", "true": "b"}),
        ("[1, [2], {a: null}]", [1, [2], {"a": None}]),
    ],
)
def test_values(text: str, value: Any) -> None:
    document = read_document(text)
    assert document.problems == []
    assert document.value == value
    assert type(document.value) is type(value)


def test_lines() -> None:
    document = read_document("a:\n  b: 1\n  c:\n  - x\n  - {d: 2}\n")
    assert document.lines == {
        (): 1,
        ("a",): 1,
        ("a", "b"): 2,
        ("a", "c"): 3,
        ("a", "c", "0"): 4,
        ("a", "c", "1"): 5,
        ("a", "c", "1", "d"): 5,
    }


def test_anchors_are_allowed() -> None:
    assert read_document("a: &x {b: 1}\nc: *x").value == {"a": {"b": 1}, "c": {"b": 1}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0s", 0),
        ("60s", 60 * 10**9),
        ("10m", 600 * 10**9),
        ("1h", 3600 * 10**9),
        ("35d", 35 * 86400 * 10**9),
        ("1.5s", 1_500_000_000),
        ("0.1ms", 100_000),
        ("7ns", 7),
        ("0.000000001s", 1),
        ("106751d", 106_751 * 86_400 * 10**9),
    ],
)
def test_duration(text: str, expected: int) -> None:
    assert duration_ns(text) == expected


@pytest.mark.parametrize("text", ["", "s", "5", "5 s", "5w", "-1s", "1.5ns", "1e3s", "107000d", "\uff15s", "1s2s", "nan"])
def test_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|nanosecond|longer"):
        duration_ns(text)


@given(st.integers(0, 10**9), st.sampled_from(sorted(UNITS_NS)))
def test_durations_are_exact(number: int, unit: str) -> None:
    expected = number * UNITS_NS[unit]
    if expected < 2**63:
        assert duration_ns(f"{number}{unit}") == expected
    else:
        with pytest.raises(ValueError, match="longer than 292 years"):
            duration_ns(f"{number}{unit}")


def test_window_length() -> None:
    assert window_length("100 rows") == (0, 100)
    assert window_length("1 row") == (0, 1)
    assert window_length("10m") == (600 * 10**9, 0)


def test_instants_are_utc_unless_they_say_otherwise() -> None:
    assert instant_ns("2000-01-01") == 946_684_800 * 10**9
    assert instant_ns("2000-01-01T05:30:00+05:30") == 946_684_800 * 10**9
    assert instant_ns("1969-12-31T23:59:59.5") == -(10**9) // 2
    for text in ("0001-01-01", "9999-12-31", "today"):
        with pytest.raises(ValueError, match=r"years|not a date"):
            instant_ns(text)
