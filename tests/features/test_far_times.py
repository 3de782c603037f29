"""Times near the ends of int64 nanoseconds, and limits longer than all of time: differences must not wrap around."""

from __future__ import annotations

import numpy as np
import polars as pl

from offbeat.core.chunk import Chunk
from offbeat.core.days import local_midnights
from offbeat.fold.fold import Fold
from offbeat.spec.load import load_text

_DAY = 86_400_000_000_000
_PIPELINE = """
name: old
source:
  key: {column: key}
  time: {column: time}
  columns: {x: float}
quality: {not_before: "1900-01-01", max_jump: 100000d, lateness: LATENESS}
views:
  v:
    windows: {w: {over: 100000d, features: {n: count(*)}}}
    detectors: {d: {type: rule, when: n >= 1}}
"""


def _chunk(time_ns: list[int]) -> Chunk:
    n = len(time_ns)
    return Chunk(
        frame=pl.DataFrame({"x": np.ones(n)}), key="k", keys=None, time_ns=np.array(time_ns), faults=np.zeros(n, np.int8), file=0,
        first_row=1, rows=None, files=None, raw=lambda index: [""] * len(index), position={},
    )  # fmt: skip


def test_limits_longer_than_time_itself_quarantine_nothing() -> None:
    times = [-23_000 * _DAY, -22_999 * _DAY, -22_000 * _DAY]
    for lateness in ("0s", "100000d"):
        fold = Fold(load_text(_PIPELINE.replace("LATENESS", lateness), "old").plan)
        fold.assign(0)
        fold.feed(0, fold.prepare(0, _chunk(times)))
        fold.end()
        ledger = fold.ledger
        assert (ledger.rows_in, ledger.scored, ledger.warming_up) == (3, 2, 1)
        assert not ledger.quarantined


def test_every_time_lies_in_a_day() -> None:
    top = np.iinfo(np.int64).max
    first, midnights = local_midnights("Asia/Kolkata", top - 1, top)
    assert midnights[-1] == top
    assert midnights[-2] <= top - 1
    assert first < 106_752
