"""A record batch on its way from a source to the fold: parsed, not yet checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from offbeat.core.batch import I64, NULL_INT

Position = dict[str, Any]
"""JSON-able position in a source; only the source knows what it means."""

FAULTS = ("", "encoding", "ragged", "missing", "type", "time", "precision")
"""Reasons a source may give, by code."""


def _nothing_known(rows: npt.NDArray[np.intp]) -> list[str]:
    return [""] * len(rows)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows of one file, parsed but not yet checked. n rows."""

    frame: pl.DataFrame
    """The plan's columns by their names: Float64, Int64 (fixed point, scaled), String or Boolean; null where empty or not readable."""
    key: str | None
    """The key of all rows, or None where `keys` has one for each."""
    keys: pl.Series | None
    """(n,) String or Int64."""
    time_ns: I64
    """(n,) nanoseconds UTC; NULL_INT where there is none. Always writable: kernels would be compiled again for read-only arrays."""
    faults: npt.NDArray[np.int8]
    """(n,) codes of FAULTS; 0 = none."""
    file: int
    """Index in `Source.files`."""
    first_row: int
    """Number of the chunk's first row in its file, counted from 1 over the rows of data."""
    rows: I64 | None
    """(n,) row numbers where they are not consecutive from `first_row` (blank lines left out, merged files)."""
    files: npt.NDArray[np.int32] | None
    """(n,) file indices where rows of several files are merged into one chunk."""
    raw: Callable[[npt.NDArray[np.intp]], list[str]]
    """Original text of the rows with these indices in the chunk (a line of CSV or NDJSON without its end; JSON of the row otherwise)."""
    position: Position
    """Where to continue after this chunk."""
    details: Callable[[npt.NDArray[np.intp]], list[str]] = _nothing_known
    """What is wrong with the rows of these indices, in words: which column, and what stands in it; '' where that is not known."""
    floor_ns: int = NULL_INT
    """No row of this chunk or a later one is earlier; NULL_INT if that is not known."""
