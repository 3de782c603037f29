"""Columns that stand in the names of a file's folders (`day=20240101/region=02/`): each of its rows has their values [R19]."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from offbeat.core.plan import Column, SourcePlan
from offbeat.errors import UserError
from offbeat.io.read.files import InputFile
from offbeat.io.read.numbers import BAD
from offbeat.io.read.parse_columns import Parsed, Places, column_values, slot_of

_NOWHERE = ("\0path",)
_MISSING = 3  # place of `missing` in FAULTS


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a file's path gives to its rows."""

    values: tuple[tuple[Column, pl.Series], ...]
    """Columns of the plan, and one value of each."""


def draw(file: InputFile, plan: SourcePlan) -> tuple[InputFile, SourcePlan, Drawn]:
    """The file and the plan as its reader needs them, without what the path gives. Raises UserError for a value that does not fit."""
    if file.key is not None and plan.key_column:
        plan = replace(plan, key_column=())
    there = dict(file.path_columns)
    if not there:
        return file, plan, Drawn(())
    wanted = {spelling for column in plan.columns for spelling in (column.name, *column.headers)} | {*plan.key_column}
    # What the pipeline does not read makes no other delivery of the same bytes.
    file = replace(file, path_columns=tuple(entry for entry in file.path_columns if entry[0] in wanted))
    key = _of(there, plan.key_column)
    if key is not None and there[key] is not None:
        file, plan = replace(file, key=there[key]), replace(plan, key_column=())
    values: list[tuple[Column, pl.Series]] = []
    columns: list[Column] = []
    for column in plan.columns:
        name = _of(there, (column.name, *column.headers))
        if name is not None:
            values.append((column, _value(file.path, name, there[name], column, plan)))
            # The file's own column of that name, if it has one, is the same by the rules of such folders.
            columns.append(replace(column, headers=_NOWHERE, required=False))
        else:
            columns.append(column)
    return file, replace(plan, columns=tuple(columns)), Drawn(tuple(values))


def gives_key(file: InputFile, plan: SourcePlan) -> bool:
    """Whether the key stands in the names of the file's folders."""
    there = dict(file.path_columns)
    name = _of(there, plan.key_column)
    return name is not None and there[name] is not None


def _of(there: dict[str, str | None], spellings: tuple[str, ...]) -> str | None:
    return next((spelling for spelling in spellings if spelling in there), None)


def _value(path: str, name: str, text: str | None, column: Column, plan: SourcePlan) -> pl.Series:
    data = (text or "").encode() + b" "
    ends = np.array([[len(data) - 1]], np.int32)
    places = Places(np.frombuffer(data, np.uint8), np.zeros((1, 1), np.int32), ends, {slot_of(column): 0}, np.zeros(1, np.int8), None)
    value, status = column_values(places, column, plan)
    if status[0] == BAD:
        raise UserError(f"{path}: the folder says {name}={text}, which is no value of column {column.name!r}, a {column.kind}")
    return value


class WithPath:
    """A reader whose rows get what the path gives."""

    def __init__(self, reader: Any, drawn: Drawn) -> None:
        self.inner = reader
        self._drawn = drawn
        self.layout, self.header = reader.layout, reader.header
        self.drawn = frozenset(column.name for column, _ in drawn.values)
        """Names of the columns that come from the path."""

    def statistics(self) -> tuple[int, int] | None:
        """See `Reader`."""
        found: tuple[int, int] | None = self.inner.statistics()
        return found

    def blocks(self, mark: int = 0) -> Iterator[Callable[[], Parsed]]:
        """See `Reader`."""
        for work in self.inner.blocks(mark):
            yield partial(self._filled, work)

    def _filled(self, work: Callable[[], Parsed]) -> Parsed:
        parsed = work()
        n = parsed.frame.height
        parsed.frame = parsed.frame.with_columns(value.new_from_index(0, n).alias(column.name) for column, value in self._drawn.values)
        if any(column.required and value.null_count() for column, value in self._drawn.values):
            parsed.faults = np.where((parsed.faults == 0) | (parsed.faults > _MISSING), np.int8(_MISSING), parsed.faults)
        return parsed
