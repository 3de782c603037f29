"""What is wrong with a row that could not be read, in words: which column, and what stands in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from offbeat.core.batch import I8
from offbeat.core.chunk import FAULTS
from offbeat.core.plan import Column, SourcePlan
from offbeat.io.read.layout import KEY
from offbeat.io.read.numbers import BAD, EMPTY, IMPRECISE
from offbeat.io.read.parse_columns import Places, read_values, slot_of, time_slots
from offbeat.io.read.timestamps import Times

MISSING, TYPE, TIME_FAULT, PRECISION = (FAULTS.index(reason) for reason in ("missing", "type", "time", "precision"))
_FIXED_WORDS = {
    FAULTS.index("encoding"): "bytes that are no text: not UTF-8, or NUL",
    FAULTS.index("ragged"): "more fields than the header, or a quote that is not closed",
}
_UNITS = frozenset({"s", "ms", "us", "ns"})
_SHOWN = 60
"""Characters of a value that are shown."""
_KINDS = {"float": "no number", "decimal": "no number", "bool": "neither true nor false", "text": "no text"}


def shown(value: str) -> str:
    """A value of a file in quotes, cut where it is long."""
    return repr(value if len(value) <= _SHOWN else value[: _SHOWN - 1] + "…")


def details(
    faults: Sequence[int],
    plan: SourcePlan,
    times: Times,
    keys: npt.NDArray[np.bool_] | None,
    statuses: Sequence[I8],
    value: Callable[[str, int], str | None],
    names: Mapping[str, str],
) -> list[str]:
    """For each of m rows its fault in words.

    faults (m,): codes. keys (m,): which keys are empty. statuses: (m,) of each column of the plan. value: the text at a slot of a row,
    None: the file has no such field. names: slot → what the file calls it.
    """
    return [_detail(code, row, plan, times, keys, statuses, value, names) for row, code in enumerate(faults)]


def _detail(
    code: int,
    row: int,
    plan: SourcePlan,
    times: Times,
    keys: npt.NDArray[np.bool_] | None,
    statuses: Sequence[I8],
    value: Callable[[str, int], str | None],
    names: Mapping[str, str],
) -> str:
    if code in _FIXED_WORDS:
        return _FIXED_WORDS[code]
    if code == TIME_FAULT or (code == MISSING and times.empty[row]):
        slots = time_slots(plan)
        spelt = [names.get(slot, name) for slot, name in zip(slots, (plan.time.headers[0], *plan.time.rest), strict=True)]
        if code == MISSING:
            return f"{' and '.join(spelt)} {'are' if len(spelt) > 1 else 'is'} empty"
        written = " ".join(value(slot, row) or "" for slot in slots)
        hint = f" in {plan.time.format}; `format: epoch` tells units apart" if _is_count(written) and plan.time.format in _UNITS else ""
        return f"{' and '.join(spelt)} {shown(written)} is no time{hint}"
    if code == MISSING and keys is not None and keys[row]:
        return f"{names.get(KEY, (*plan.key_column, KEY)[0])} is empty"
    for column, status in zip(plan.columns, statuses, strict=True):
        slot = slot_of(column)
        if code == MISSING and column.required and status[row] == EMPTY and value(slot, row) is not None:
            return f"{names.get(slot, column.name)} is empty"
        if code == PRECISION and status[row] == IMPRECISE:
            return f"{names.get(slot, column.name)} {shown(value(slot, row) or '')} {_unheld(column)}"
        if code == TYPE and status[row] == BAD:
            return f"{names.get(slot, column.name)} {shown(value(slot, row) or '')} is {_kind(column)}"
    return ""


def _is_count(text: str) -> bool:
    return text.strip().removeprefix("-").isdecimal()


def _unheld(column: Column) -> str:
    digits = f"{column.scale} decimals" if column.scale else "whole numbers"
    return f"has no place in a decimal column of {digits}; set its `scale`, or `type: float`"


def _kind(column: Column) -> str:
    return _KINDS[column.kind]


def place_details(
    places: Places, plan: SourcePlan, faults: I8, names: Mapping[str, str], rows: npt.NDArray[np.intp]
) -> list[str]:
    """As `details`, of rows of a block of text."""
    part = places.of(rows)
    values = read_values(part, plan)

    def value(slot: str, row: int) -> str | None:
        if slot not in part.slots:
            return None
        at = part.slots[slot]
        return bytes(part.data[part.begins[at, row] : part.ends[at, row]]).decode("utf-8", "replace")

    keys = None if values.keys is None else values.keys.is_null().to_numpy()
    return details([int(code) for code in faults[rows]], plan, values.times, keys, values.statuses, value, names)
