"""Records of a poll as JSON texts in one buffer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from offbeat.core.batch import I64

PUNCTUATION = "offbeat.punctuation"
"""The one field of a record that is no row, but says: no row before this time will come in this partition any more."""
PUNCTUATION_HEAD = b'{"' + PUNCTUATION.encode()
"""How it begins, in topics of every format."""
_FRAME = 5
"""Bytes before a record in Confluent's wire format: a zero, and the schema's id."""


@dataclass(frozen=True, slots=True)
class JsonTexts:
    """n records."""

    data: bytes
    begins: I64
    ends: I64
    """(n,) where in `data` each stands; negative for a null."""
    why: Mapping[int, str] = field(default_factory=dict)
    """Of those that could not be decoded: why, in words. Their bytes are in `data` as they came."""

    def unframed(self) -> JsonTexts:
        """Without the id of a schema in front of a record, as Confluent's serializer of JSON puts it there: no JSON begins with a zero."""
        long = np.flatnonzero(self.ends - self.begins > _FRAME)
        framed = long[np.frombuffer(self.data, np.uint8)[self.begins[long]] == 0]
        if len(framed):
            self.begins[framed] += _FRAME
        return self

    @classmethod
    def of(cls, values: Sequence[bytes | None], why: Mapping[int, str] | None = None) -> JsonTexts:
        """Values behind each other."""
        sizes = np.fromiter((len(value) if value is not None else 0 for value in values), np.int64, len(values))
        ends = np.cumsum(sizes)
        begins = ends - sizes
        tombs = [i for i, value in enumerate(values) if value is None]
        begins[tombs], ends[tombs] = -1, -1
        return cls(b"".join(value for value in values if value is not None), begins, ends, why or {})


def lines_of(frame: pl.DataFrame, rows: int) -> list[bytes]:
    """A JSON object for each of the rows. Fields of records inside become `a.b`, and numbers that JSON does not have texts. Bytes, which
    are no value of a row, are left out.
    """
    flat = _flat(frame)
    return flat.write_ndjson().encode().split(b"\n")[:-1] if flat.width else [b"{}"] * rows


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    columns = []
    for series in frame:
        if isinstance(series.dtype, pl.Struct):
            inside = series.struct.unnest()
            columns += [inner.alias(f"{series.name}.{inner.name}") for inner in _flat(inside)]
        elif series.dtype.is_float() and not series.is_finite().fill_null(value=True).all():
            columns.append(series.cast(pl.String))
        elif series.dtype != pl.Binary:
            columns.append(series)
    return pl.DataFrame(columns)
