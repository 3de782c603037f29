"""Columns in the spelling in which JSON lines carry them, so that reading them back gives the very same values."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import numpy.typing as npt
import polars as pl

from offbeat.core.batch import I64, NULL_INT

_EXACT = 10**15
"""Below this the shortest decimal of the double n / 10^scale is n / 10^scale itself."""
_ISO = "%Y-%m-%dT%H:%M:%S%.9fZ"


def decimal_numbers(counts: pl.Series, scale: int) -> pl.Series:
    """Integers n that stand for n / 10^scale, as numbers; as texts where a double could not hold one of them. Null stays null."""
    if scale == 0:
        return counts
    if int(np.abs(counts.fill_null(0).to_numpy()).max(initial=0)) < _EXACT:
        return counts / 10.0**scale
    texts = [None if n is None else format(Decimal(n).scaleb(-scale), "f") for n in counts]
    return pl.Series(counts.name, texts, dtype=pl.String)


def iso_times(name: str, time_ns: I64) -> pl.Series:
    """Nanoseconds UTC as RFC 3339 with nine digits; NULL_INT becomes null."""
    times = pl.Series(name, time_ns)
    return times.set(times == NULL_INT, None).cast(pl.Datetime("ns")).dt.to_string(_ISO)


def json_rows(frame: pl.DataFrame) -> list[str]:
    """An object for each row, fields in the order of the columns."""
    return frame.write_ndjson().split("\n")[:-1] if len(frame) else []


def epoch_ns(counts: npt.NDArray[np.uint64]) -> I64:
    """Unsigned nanoseconds since 1970; NULL_INT where they leave the int64 range, as an undefined time does."""
    return np.where(counts < np.uint64(2**63), counts, np.uint64(2**63)).view(np.int64)
