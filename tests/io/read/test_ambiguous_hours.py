"""The hour that a clock shows twice [R17]: what each row means, whatever carries the rows and however they are cut."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from io_plans import keyed, read, rows_of, source

from offbeat.core.plan import TimePlan
from offbeat.io.read.frame import FrameSource

ZONE = "Europe/Lisbon"
"""Its clocks show 01:00 to 02:00 twice on 27 October 2024."""
EVENING = datetime(2024, 10, 26, 23, 30)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def nanoseconds(wall: datetime, fold: int) -> int:
    """By the standard library's own rules."""
    return (wall.replace(tzinfo=ZoneInfo(ZONE), fold=fold).astimezone(UTC) - EPOCH) // timedelta(microseconds=1) * 1_000


def meant(walls: list[datetime | None]) -> list[int | None]:
    """The earlier instant, unless that lies before the file's row before: then the later one."""
    found: list[int | None] = []
    before: int | None = None
    for wall in walls:
        if wall is None:
            found.append(None)
            continue
        earlier, later = nanoseconds(wall, 0), nanoseconds(wall, 1)
        before = later if later != earlier and before is not None and earlier < before else earlier
        found.append(before)
    return found


steps = st.one_of(st.integers(0, 40), st.just(-60), st.integers(-90, 90), st.none())


@pytest.mark.heavy
@given(st.lists(steps, min_size=1, max_size=40), st.integers(20, 400), st.integers(0, 40))
def test_each_row_means_what_the_rows_before_tell(moves: list[int | None], block: int, cut: int) -> None:
    """Minutes from one row to the next; None: a row without a time, which says nothing about the next."""
    walls: list[datetime | None] = []
    at = EVENING
    for move in moves:
        at += timedelta(minutes=move or 0)
        walls.append(None if move is None else at)
    texts = ["" if wall is None else wall.strftime("%Y-%m-%d %H:%M:%S") for wall in walls]
    expected = meant(walls)
    plan = keyed(time=TimePlan(("t",), "auto", ZONE))
    columns: dict[str, Any] = {"k": ["a"] * len(texts), "t": texts, "x": [float(i) for i in range(len(texts))]}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        frame = pl.DataFrame(columns)
        frame.write_csv(place / "in.csv")
        (place / "in.ndjson").write_text(frame.write_ndjson())
        local = pl.Series("t", walls, pl.Datetime("us"))
        frame.with_columns(local).write_parquet(place / "in.parquet", row_group_size=max(block // 40, 1))
        for name in ("in.csv", "in.ndjson", "in.parquet"):
            assert [row[1] for row in read(source(plan, place / name, block=block))] == expected, name
        memory = FrameSource(plan, frame.with_columns(local), name="m", rows=max(block // 40, 1))
        assert [row[1] for row in read(memory)] == expected
        chunks = list(source(plan, place / "in.csv", block=block).chunks(None))
        after = min(cut, len(chunks) - 1)
        rest = source(plan, place / "in.csv", block=block).chunks(chunks[after].position)
        rows = rows_of([*chunks[: after + 1], *rest], ["in.csv"])
        assert [row[1] for row in rows] == expected, "stopped on the way"
