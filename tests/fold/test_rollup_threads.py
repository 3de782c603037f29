"""Rows are prepared on one thread and, where they were held back, prepared again on that of the fold: targets stay what they are."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import polars as pl
import pytest

from offbeat.core.chunk import Chunk
from offbeat.fold.intake import Prepared
from offbeat.fold.shard import Shard
from offbeat.io.read.frame import FrameSource
from offbeat.spec.load import load_plan

KEYS, PART = 16_000, 2_000


@pytest.fixture(autouse=True)
def restless() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.heavy
@pytest.mark.parametrize("key", [{"mapping": {f"k{i}": f"g{i % 7}" for i in range(KEYS)}}, "tower"])
def test_targets_learnt_on_two_threads(key: object) -> None:
    """Towers are integers written out, more than a few in each part: these have a table of their own."""
    view = {"rollup": {"key": key, "size": "1d", "columns": {"n": "count(*)"}}, "detectors": {"r": {"type": "rule", "when": "n > 0"}}}
    plan = load_plan({"name": "x", "source": {"key": "k", "time": "t", "columns": {"tower": "text"}}, "views": {"d": view}})
    of = [f"g{i % 7}" if isinstance(key, dict) else str(1_000_000 + i) for i in range(KEYS)]
    towers = [str(1_000_000 + i) for i in range(KEYS)]
    frame = pl.DataFrame({"k": [f"k{i}" for i in range(KEYS)], "t": "2024-01-01T12:00:00Z", "tower": towers})
    chunks = list(FrameSource(plan.source, frame, rows=PART).chunks(None))
    assert len(chunks) == KEYS // PART
    for _ in range(40):
        shard = Shard(plan)
        rollup = shard.rollups["d"]
        prepared = [shard.prepare(chunks[0])]
        ahead = threading.Thread(target=_prepare, args=(shard, chunks[1:], prepared))
        ahead.start()
        again = []
        while ahead.is_alive():
            again.append(rollup._target(prepared[0].batch.slots, prepared[0].batch.texts))
        ahead.join()
        names = rollup.targets.names
        assert len(set(names)) == len(names), "each target once"
        for part, rows in enumerate(prepared):
            targets = [rows.rollups["d"].targets, rollup.rows(rows.batch).targets, *(again if part == 0 else [])]
            assert all([names[slot] for slot in made.tolist()] == of[part * PART : (part + 1) * PART] for made in targets)


def _prepare(shard: Shard, chunks: list[Chunk], prepared: list[Prepared]) -> None:
    prepared.extend(map(shard.prepare, chunks))
