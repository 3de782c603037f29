"""Source plans made by hand, and what a source gives as plain rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offbeat.core.batch import NULL_INT
from offbeat.core.chunk import FAULTS, Chunk
from offbeat.core.plan import Column, SourcePlan, TimePlan
from offbeat.io.contract import Source
from offbeat.io.read.file_source import FileSource

FLOATS = tuple(Column(c, "float", headers=(c.title(),)) for c in ("open", "high", "low", "close"))


def plan(**changes: Any) -> SourcePlan:
    """Minute bars, the key from the file's name, unless changed."""
    values: dict[str, Any] = {
        "format": "auto",
        "header": True,
        "names": (),
        "separator": ",",
        "key_column": (),
        "key_pattern": r"^(?P<key>[^_.]+)",
        "time": TimePlan(("timestamp", "Datetime", "Date"), "auto", "Asia/Kolkata"),
        "order": "",
        "columns": (*FLOATS, Column("volume", "decimal", headers=("Volume",))),
    }
    return SourcePlan(**(values | changes))


def keyed(**changes: Any) -> SourcePlan:
    """Key `k`, time `t` in UTC, float `x`, fixed point `n` of two decimals, text `s`, truth value `b`; only `x` is required."""
    columns = (
        Column("x", "float"),
        Column("n", "decimal", scale=2, required=False),
        Column("s", "text", required=False),
        Column("b", "bool", required=False),
    )
    base: dict[str, Any] = {"key_column": ("k",), "key_pattern": "", "time": TimePlan(("t",), "auto", "UTC"), "columns": columns}
    return plan(**(base | changes))


def source(p: SourcePlan, *paths: Path | str, **options: Any) -> FileSource:
    return FileSource(p, [str(path) for path in paths], **options)


def rows_of(chunks: Iterable[Chunk], files: Sequence[str]) -> list[tuple[Any, ...]]:
    """(key, time or None, fault, file name, row number, values …, raw line) of every row."""
    out: list[tuple[Any, ...]] = []
    for c in chunks:
        n = len(c.time_ns)
        keys = [c.key] * n if c.keys is None else c.keys.to_list()
        raw = c.raw(np.arange(n))
        for i, values in enumerate(c.frame.rows()):
            time = None if c.time_ns[i] == NULL_INT else int(c.time_ns[i])
            file = c.file if c.files is None else int(c.files[i])
            row = c.first_row + i if c.rows is None else int(c.rows[i])
            out.append((keys[i], time, FAULTS[c.faults[i]], Path(files[file]).name, row, *values, raw[i]))
    return out


def read(s: Source) -> list[tuple[Any, ...]]:
    try:
        return rows_of(s.chunks(None), s.files)
    finally:
        s.close()


def real_data(folder: str) -> Path:
    """A folder of the real data beside the repository; skips the test where it is absent."""
    for parent in Path(__file__).resolve().parents:
        place = parent / "shared" / "data" / folder
        if place.is_dir():
            return place
    pytest.skip(f"the real data (../shared/data/{folder}) is not here")
