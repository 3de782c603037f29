"""Kinds of values in the pipeline file: names, durations, zones, patterns; each one is checked in its place."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from offbeat.spec.duration import (
    CADENCES_PATTERN,
    PATTERN,
    ROWS_PATTERN,
    alert_budget,
    cadence_ns,
    calendar_day,
    cooldown_length,
    duration_ns,
    instant_ns,
    past_length,
    positive_duration_ns,
    window_length,
)
from offbeat.spec.nearest import suggestion

WORDS = frozenset(["and", "between", "case", "distinct", "else", "end", "false", "in", "is", "like", "not", "null", "or"])
WORDS |= {"then", "true", "when"}
"""Words of the expression language: no name may be one of them."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PERCENT = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?%")
TIME_FORMATS = ("auto", "any", "epoch", "s", "ms", "us", "ns")


def _checked(check: Callable[[str], object]) -> AfterValidator:
    def validate(value: str) -> str:
        check(value)
        return value

    return AfterValidator(validate)


def _name(value: str) -> None:
    if _NAME.fullmatch(value) is None:
        raise ValueError(f"{value!r} is not a name: use letters, digits and _ only, and do not start with a digit")
    if value.lower() in WORDS:
        raise ValueError(f"{value!r} is a word of the expression language and cannot be a name")


def _zone(value: str) -> None:
    # A look at the time zone database itself, which also refuses names that would leave its folder.
    try:
        ZoneInfo(value)
    except (KeyError, OSError, ValueError):
        hint = suggestion(value, sorted(available_timezones())) or "; zones have names such as Africa/Algiers or UTC"
        raise ValueError(f"unknown zone {value!r}{hint}") from None


def share_of(value: str) -> float:
    """`5 %` as 0.05. Raises ValueError for what is no share of a whole."""
    found = _PERCENT.fullmatch(value.strip())
    if found is None or float(found[1]) > 100:
        raise ValueError(f"expected a share such as 5 %, got {value!r}")
    return float(found[1]) / 100


def _time_format(value: str) -> None:
    if value not in TIME_FORMATS and "%" not in value:
        raise ValueError(f"unknown time format {value!r}; valid: {', '.join(TIME_FORMATS)}, or a pattern such as '%d/%m/%Y %H:%M:%S'")


def _file_pattern(value: str) -> None:
    try:
        pattern = re.compile(value)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    if pattern.groups == 0:
        raise ValueError("the pattern needs a group around the key, such as '^(?P<key>[^_.]+)'")


def _separator(value: str) -> None:
    if len(value) != 1 or not value.isascii() or value in '"\r\n':
        raise ValueError(f"the separator must be one ASCII character, not {value!r}")


def _decimal_mark(value: str) -> None:
    if value not in {".", ","}:
        raise ValueError(f"the decimal separator is '.' or ',', not {value!r}")


def _thousands(value: str) -> None:
    if value not in {",", ".", " ", "'", "_", "\u00a0"}:
        raise ValueError(f"the thousands separator is one of , . ' _ or a blank, not {value!r}")


def _with_null(value: Any) -> Any:
    # YAML reads a bare null, NULL or ~ as nothing; in a list of spellings, a text is meant.
    if not isinstance(value, list):
        return value
    return [text for one in value for text in (["NULL", "null"] if one is None else [one])]


@dataclass(frozen=True)
class Called:
    """What the reference page calls values of this type."""

    name: str


def _pattern(pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern})


Name = Annotated[str, _checked(_name), Called("name")]
Text = Annotated[str, Field(min_length=1)]
Duration = Annotated[str, _checked(duration_ns), _pattern(PATTERN), Called("duration")]
PositiveDuration = Annotated[str, _checked(positive_duration_ns), _pattern(PATTERN), Called("duration")]
Cadence = Annotated[str, _checked(cadence_ns), _pattern(f"{PATTERN}|^auto$"), Called("duration or auto")]
Length = Annotated[str, _checked(window_length), _pattern(f"{PATTERN}|{ROWS_PATTERN}|{CADENCES_PATTERN}"), Called("duration or rows")]
Cooldown = Annotated[str, _checked(cooldown_length), _pattern(f"{PATTERN}|{ROWS_PATTERN}"), Called("duration or rows")]
Budget = Annotated[str, _checked(alert_budget), Called("alerts per time or rows")]
Past = Annotated[
    str, _checked(past_length), _pattern(f"{PATTERN}|{ROWS_PATTERN}|{CADENCES_PATTERN}|^all$"), Called("duration, rows or all")
]
Instant = Annotated[str, _checked(instant_ns), Called("date or time")]
Day = Annotated[str, _checked(calendar_day), Called("date")]
Zone = Annotated[str, _checked(_zone), Called("zone")]
TimeFormat = Annotated[str, _checked(_time_format)]
FilePattern = Annotated[str, _checked(_file_pattern)]
Separator = Annotated[str, _checked(_separator)]

DecimalMark = Annotated[str, _checked(_decimal_mark)]
Thousands = Annotated[str, _checked(_thousands)]
Nulls = Annotated[list[Text], BeforeValidator(_with_null, json_schema_input_type=list[str | None]), Called("list of texts")]


def _one_or_more(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Names = Annotated[list[Text], BeforeValidator(_one_or_more, json_schema_input_type=str | list[str]), Called("text or list of texts")]
Share = Annotated[str, _checked(share_of)]
