"""Which field of a file is which column of the plan."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from offbeat.core.plan import SourcePlan
from offbeat.errors import UserError

KEY, TIME = "key", "time"


class MissingColumnError(UserError):
    """A required column is not in a file; `column` is its name in the plan."""

    def __init__(self, message: str, column: str) -> None:
        super().__init__(message)
        self.column = column


@dataclass(frozen=True, slots=True)
class Layout:
    """Places of the plan's columns among the fields of one file; -1: not there."""

    fields: tuple[str, ...]
    """Names of all fields of the file."""
    time: int
    key: int
    """-1 also where the file's name gives the key."""
    columns: tuple[int, ...]
    """In the order of the plan's columns."""


_NUMERIC = re.compile(r"[-+]?\d[\d.,:+\-TZ ]*")
"""A number or a time, which nobody calls a column."""


def _place(fields: Sequence[str], spellings: Sequence[str]) -> int:
    for spelling in spellings:
        if spelling in fields:
            return fields.index(spelling)
    return -1


def _absent(name: str, what: str, fields: Sequence[str], spellings: Sequence[str]) -> MissingColumnError:
    folded = {field.casefold(): field for field in fields}
    near = [hit for s in spellings for hit in get_close_matches(s.casefold(), folded, 1, 0.6)]
    hint = (f"did you mean {folded[near[0]]!r}? Add it to" if near else "add its spelling to") + " the column's `headers`"
    if any(_NUMERIC.fullmatch(field.strip()) for field in fields):
        hint = "if its first line is data, set the source's `header: false` and list the columns in `names`"
    if len(fields) == 1 and (separator := _separator_of(fields[0], spellings)):
        hint = f"set the source's `separator: {separator}`"
    asked = " or ".join(repr(s) for s in spellings)
    has = ", ".join(repr(f) for f in fields[:20]) + (f" and {len(fields) - 20} more" if len(fields) > 20 else "")
    message = f"{name}: {what} column {asked} is missing; the file has {has or 'no columns'}; {hint}"
    return MissingColumnError(message, spellings[0])


def _separator_of(header: str, spellings: Sequence[str]) -> str:
    """The separator, quoted, that brings one of the spellings out of a header taken for one field; empty where none does."""
    shown = {";": "';'", "\t": '"\\t"', "|": "'|'", ",": "','"}
    return next((quoted for one, quoted in shown.items() if {f.strip(' "') for f in header.split(one)} & set(spellings)), "")


def lay_out(name: str, fields: Sequence[str], plan: SourcePlan) -> Layout:
    """Find the plan's columns among a file's fields (spellings in the order of the plan, a column's own name first).

    Raises MissingColumnError that names the file, the column, what the file has, and the nearest spelling.
    """
    time = _place(fields, plan.time.headers)
    if time < 0:
        raise _absent(name, "the time", fields, plan.time.headers)
    key = -1
    if plan.key_column:
        key = _place(fields, plan.key_column)
        if key < 0:
            raise _absent(name, "the key", fields, plan.key_column)
    places = []
    for column in plan.columns:
        spellings = (column.name, *(h for h in column.headers if h != column.name))
        place = _place(fields, spellings)
        if place < 0 and column.required:
            raise _absent(name, "the", fields, spellings)
        places.append(place)
    return Layout(tuple(fields), time, key, tuple(places))
