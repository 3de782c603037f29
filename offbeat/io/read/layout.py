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
    time_rest: tuple[int, ...] = ()
    """Of the further columns that the time consists of."""

    @property
    def wanted(self) -> tuple[int, ...]:
        """Places that are read, each once."""
        places = (self.time, *self.time_rest, self.key, *self.columns)
        return tuple(dict.fromkeys(place for place in places if place >= 0))


_NUMERIC = re.compile(r"[-+]?\d[\d.,:+\-TZ ]*")
"""A number or a time, which nobody calls a column."""


def _place(name: str, fields: Sequence[str], spellings: Sequence[str]) -> int:
    """Place of the first spelling that is there, as it is spelt or else in any case; -1: none is."""
    for spelling in spellings:
        if spelling in fields:
            return _only(name, fields, [place for place, field in enumerate(fields) if field == spelling])
    for spelling in spellings:
        folded = [place for place, field in enumerate(fields) if field.casefold() == spelling.casefold()]
        if folded:
            return _only(name, fields, folded)
    return -1


def has_column(fields: Sequence[str], spellings: Sequence[str]) -> bool:
    """Whether some field is one of the spellings, in any case."""
    folded = {field.casefold() for field in fields}
    return any(spelling.casefold() in folded for spelling in spellings)


def _only(name: str, fields: Sequence[str], places: Sequence[int]) -> int:
    if len(places) > 1:
        which = " and ".join(dict.fromkeys(repr(fields[place]) for place in places))
        at = " and ".join(str(place + 1) for place in places)
        raise UserError(f"{name}: columns {at} are both called {which}, and the pipeline reads one of that name; rename or remove one")
    return places[0]


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
    """The separator, quoted, of a header taken for one field: one that brings a spelling out of it, else the one that cuts it most."""
    shown = {";": "';'", "\t": '"\\t"', "|": "'|'", ",": "','"}
    wanted = {spelling.casefold() for spelling in spellings}
    parts = {quoted: {field.strip(' "').casefold() for field in header.split(one)} for one, quoted in shown.items() if one in header}
    most = max(parts, key=lambda quoted: len(parts[quoted]), default="")
    return next((quoted for quoted, found in parts.items() if found & wanted), most)


def lay_out(name: str, fields: Sequence[str], plan: SourcePlan) -> Layout:
    """Find the plan's columns among a file's fields (spellings in the order of the plan, a column's own name first).

    Raises MissingColumnError that names the file, the column, what the file has, and the nearest spelling; UserError where two fields
    have the name of a column.
    """
    time = _place(name, fields, plan.time.headers)
    if time < 0:
        raise _absent(name, "the time", fields, plan.time.headers)
    rest = tuple(_place(name, fields, (part,)) for part in plan.time.rest)
    for part, place in zip(plan.time.rest, rest, strict=True):
        if place < 0:
            raise _absent(name, "the time", fields, (part,))
    key = -1
    if plan.key_column:
        key = _place(name, fields, plan.key_column)
        if key < 0:
            raise _absent(name, "the key", fields, plan.key_column)
    places = []
    for column in plan.columns:
        spellings = (column.name, *(h for h in column.headers if h != column.name))
        place = _place(name, fields, spellings)
        if place < 0 and column.required:
            raise _absent(name, "the", fields, spellings)
        places.append(place)
    return Layout(tuple(fields), time, key, tuple(places), rest)
