"""Trades as DBN, one record of Databento's a record: the symbol, which is not in it, is the record's key."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from offbeat.io.kafka.json_texts import PUNCTUATION_HEAD, JsonTexts
from offbeat.io.read.dbn import kind_of, record_types, records_as_json


class DbnRows:
    """Reads records of the schemas `trades`, `tbbo` and `mbp-1`, as a gateway sends them and as files have them."""

    def __init__(self) -> None:
        self._types = record_types()

    def read(self, values: Sequence[bytes | None], keys: Sequence[bytes | str | None]) -> JsonTexts:
        """The records as JSON; punctuation is JSON already."""
        texts: list[bytes | None] = list(values)
        why: dict[int, str] = {}
        alike: dict[np.dtype[np.void], list[int]] = {}
        for i, value in enumerate(values):
            if value is None or value.startswith(PUNCTUATION_HEAD):
                continue
            kind = self._types.get((value[1], len(value))) if len(value) > 1 and value[0] * 4 == len(value) else None
            if kind is None:
                why[i] = f"no DBN record of a trade ({_what(value)})"
            else:
                alike.setdefault(kind, []).append(i)
        for kind, rows in alike.items():
            records = np.frombuffer(b"".join(values[i] or b"" for i in rows), kind)
            lines = records_as_json(records, _Keys([keys[i] for i in rows]), np.arange(len(rows)))
            for i, line in zip(rows, lines, strict=True):
                texts[i] = line.encode()
        return JsonTexts.of(texts, why)


class _Keys:
    """Symbols by place."""

    def __init__(self, keys: Sequence[bytes | str | None]) -> None:
        self._texts = [key.decode("utf-8", "replace") if isinstance(key, bytes) else key for key in keys]

    def names(self, numbers: npt.NDArray[np.uint32], received: npt.NDArray[np.uint64]) -> pl.Series:
        """The keys, whatever the numbers."""
        del numbers, received
        return pl.Series("symbol", self._texts, dtype=pl.String)


def _what(value: bytes) -> str:
    if len(value) < 2 or value[0] * 4 != len(value):
        return f"{len(value)} bytes" + (f", of which it says {value[0] * 4}" if value else "")
    return kind_of(value[1])
