"""Which symbol an instrument's number stands for: by the dates in a DBN file's metadata, or by messages among its records."""

from __future__ import annotations

from datetime import date
from typing import Any

import databento_dbn
import numpy as np
import numpy.typing as npt
import polars as pl

from offbeat.core.days import DAY_NS

_EPOCH = date(1970, 1, 1)


class Symbols:
    """Symbols by number and, where the metadata has them, by the UTC day on which a record was received (as Databento itself maps)."""

    def __init__(self) -> None:
        self._dated: dict[int, list[tuple[int, int, str]]] = {}
        self._told: dict[int, str] = {}

    def add(self, number: int, first: date, end: date, symbol: str) -> None:
        """The number stands for the symbol from one day to before another."""
        self._dated.setdefault(number, []).append(((first - _EPOCH).days, (end - _EPOCH).days, symbol))

    def __bool__(self) -> bool:
        """Whether some number stands for a symbol by its day."""
        return bool(self._dated)

    @classmethod
    def of(cls, metadata: databento_dbn.Metadata) -> Symbols:
        """What the metadata of a DBN file says."""
        symbols = cls()
        by_number = metadata.stype_in == databento_dbn.SType.from_str("instrument_id")
        for name, intervals in metadata.mappings.items():
            for interval in intervals:
                number, symbol = (name, interval["symbol"]) if by_number else (interval["symbol"], name)
                if number.isdecimal() and symbol:
                    symbols.add(int(number), interval["start_date"], interval["end_date"], symbol)
        return symbols

    def as_of_now(self) -> Symbols:
        """What is known so far; what is learned later does not change it."""
        now = Symbols.__new__(Symbols)
        now._dated, now._told = self._dated, self._told
        return now

    def learn(self, message: Any) -> None:
        """Take a SymbolMappingMsg: from here on its number stands for its symbol."""
        self._told = self._told | {message.instrument_id: message.stype_out_symbol}

    def names(self, numbers: npt.NDArray[np.uint32], received: npt.NDArray[np.uint64]) -> pl.Series:
        """(n,) symbols of numbers in records received at these ns UTC; null where neither metadata nor message names the number."""
        coded = (numbers.astype(np.int64) << 32) | (received // np.uint64(DAY_NS)).astype(np.int64)
        if len(coded) and bool((coded == coded[0]).all()):
            return pl.Series("symbol", [self._name(int(coded[0]))], dtype=pl.String).new_from_index(0, len(coded))
        codes = pl.Series("symbol", coded)
        distinct = codes.unique()
        return codes.replace_strict(distinct, pl.Series([self._name(c) for c in distinct], dtype=pl.String), return_dtype=pl.String)

    def _name(self, coded: int) -> str | None:
        number, day = coded >> 32, coded & 0xFFFF_FFFF
        told = self._told.get(number)
        if told:
            return told
        return next((symbol for first, end, symbol in self._dated.get(number, ()) if first <= day < end), None)
