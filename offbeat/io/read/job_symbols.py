"""The symbols of a Databento batch job: `symbology.csv` or `symbology.json` beside its data files say whose an instrument's number is."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from offbeat.core.batch import NULL_INT
from offbeat.core.chunk import FAULTS
from offbeat.errors import UserError
from offbeat.io.read.dbn_symbols import Symbols
from offbeat.io.read.layout import Layout
from offbeat.io.read.parse_columns import Details, Parsed

NAMES = ("symbology.csv", "symbology.json")
NUMBER = "instrument_id"
_DATE = "date"
_DAY = timedelta(days=1)


def symbology_beside(path: str) -> Path | None:
    """The file beside a data file that says whose its numbers are; None without one."""
    found = (Path(path).parent / name for name in NAMES)
    return next((file for file in found if file.is_file()), None)


def read_symbology(file: Path) -> Symbols:
    """Symbols by number and UTC day. Raises UserError where the file is not as Databento writes it."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read ({error}); fetch the file again") from error
    symbols = Symbols()
    try:
        for number, first, end, symbol in _of_json(text) if file.suffix == ".json" else _of_csv(text):
            symbols.add(number, first, end, symbol)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{file}: this is no symbology as Databento writes it ({error}); fetch the file again") from error
    return symbols


def _of_csv(text: str) -> Iterator[tuple[int, date, date, str]]:
    read = csv.DictReader(text.splitlines())
    names = [name for name in read.fieldnames or () if name not in (NUMBER, _DATE)]
    if len(names) != 1 or len(read.fieldnames or ()) != 3:
        raise ValueError(f"its columns are {', '.join(read.fieldnames or ()) or 'none'}, not a symbol, {NUMBER} and {_DATE}")
    for row in read:
        day = date.fromisoformat(row[_DATE])
        if row[NUMBER] and row[names[0]]:
            yield int(row[NUMBER]), day, day + _DAY, row[names[0]]


def _of_json(text: str) -> Iterator[tuple[int, date, date, str]]:
    found: dict[str, Any] = json.loads(text)
    by_number = found["stype_in"] == NUMBER
    if not by_number and found["stype_out"] != NUMBER:
        raise ValueError(f"it maps {found['stype_in']} to {found['stype_out']}, not to {NUMBER}")
    for name, intervals in found["result"].items():
        for interval in intervals:
            number, symbol = (name, interval["s"]) if by_number else (interval["s"], name)
            if number and symbol:
                yield int(number), date.fromisoformat(interval["d0"]), date.fromisoformat(interval["d1"]), symbol


class WithSymbols:
    """A reader whose keys are numbers, with the symbols they stand for on the day of each row as keys."""

    def __init__(self, inner: Any, file: Path) -> None:
        self._inner, self._file, self._symbols = inner, file, read_symbology(file)
        self.layout: Layout | None = inner.layout
        self.header: str | None = inner.header
        self.named_by = file.name
        """The file that the symbols are from."""

    def statistics(self) -> tuple[int, int] | None:
        """See `Reader`."""
        found: tuple[int, int] | None = self._inner.statistics()
        return found

    def blocks(self, mark: int = 0) -> Iterator[Callable[[], Parsed]]:
        """Work to be done for each block after `mark`."""
        for work in self._inner.blocks(mark):
            yield partial(self._named, work)

    def _named(self, work: Callable[[], Parsed]) -> Parsed:
        parsed = work()
        if parsed.keys is None:
            return parsed
        # By the time that orders the rows, as in Databento's own library; what has no time has another fault.
        known = parsed.time_ns != NULL_INT
        numbers = parsed.keys.cast(pl.String).cast(pl.UInt32, strict=False)
        there = known & numbers.is_not_null().to_numpy()
        keys = self._symbols.names(numbers.fill_null(0).to_numpy(), np.where(known, parsed.time_ns, 0).astype(np.uint64))
        keys = keys.set(pl.Series(~there), None)
        lacking = keys.is_null().to_numpy() & (parsed.faults == 0)
        faults = np.where(lacking, np.int8(FAULTS.index("missing")), parsed.faults).astype(np.int8)
        told = partial(self._details, parsed.details, parsed.keys.cast(pl.String), lacking)
        return replace(parsed, keys=keys, faults=faults, details=told)

    def _details(self, inner: Details, numbers: pl.Series, lacking: npt.NDArray[np.bool_], rows: npt.NDArray[np.intp]) -> list[str]:
        words = inner(rows)
        own = f"has no symbol on its day in {self._file.name}"
        return [f"{NUMBER} {numbers[int(row)]} {own}" if lacking[row] else word for row, word in zip(rows, words, strict=True)]
