"""The range of times that a Parquet file's footer tells is that of its rows, as they are read."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from offbeat.core.batch import NULL_INT
from offbeat.io.read.files import find_files
from offbeat.io.read.parquet import ParquetReader
from offbeat.spec.load import load_text

# Across the end of summer time in Europe, where an hour of the clock comes twice.
_NAIVE = pl.Series([datetime(2020, 10, 24) + timedelta(minutes=37 * i) for i in range(100)], dtype=pl.Datetime("us"))
_KINDS = {
    "naive": _NAIVE,
    "naive, ms": _NAIVE.cast(pl.Datetime("ms")),
    "day": _NAIVE.dt.date(),
    "instant": _NAIVE.dt.replace_time_zone("UTC"),
}


def _reader(folder: Path, times: pl.Series, zone: str, form: str = "auto") -> ParquetReader:
    path = folder / "a.parquet"
    pl.DataFrame({"t": times, "k": ["a"] * len(times), "x": [1.0] * len(times)}).write_parquet(path, row_group_size=7, statistics=True)
    text = f"""
name: p
source:
  key: k
  time: {{column: t, zone: {zone}, format: {form}}}
  columns: {{x: float}}
views: {{v: {{detectors: {{r: {{type: rule, when: x > 1}}}}}}}}
"""
    return ParquetReader(find_files([str(path)]).files[0], load_text(text, "p").plan.source)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "UTC", "Africa/Algiers"])
@pytest.mark.parametrize("kind", _KINDS)
def test_range_and_floors(tmp_path: Path, kind: str, zone: str) -> None:
    reader = _reader(tmp_path, _KINDS[kind], zone)
    blocks = [work() for work in reader.blocks()]
    times = np.concatenate([block.time_ns for block in blocks])
    assert NULL_INT not in times
    assert reader.statistics() == (times.min(), times.max())
    at = 0
    for block in blocks:
        assert block.floor_ns != NULL_INT
        assert block.floor_ns <= times[at:].min()
        at += len(block.time_ns)


def test_epochs(tmp_path: Path) -> None:
    reader = _reader(tmp_path, pl.Series([5, 3, 9]), "UTC", "s")
    assert reader.statistics() == (3_000_000_000, 9_000_000_000)


def test_times_as_text_are_not_told(tmp_path: Path) -> None:
    assert _reader(tmp_path, pl.Series(["2020-01-02", "2020-01-01"]), "UTC").statistics() is None
