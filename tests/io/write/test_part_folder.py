"""A folder of parts stays small: parts are merged as they come, and no crash in between loses or doubles a row [R27]."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from offbeat.core.chunk import Position
from offbeat.io.write import part_folder
from offbeat.io.write.parquet_sink import Layout, ParquetSink
from offbeat.io.write.part_folder import part_files, part_name, parts_of

SCHEMA = pa.schema([pa.field("n", pa.int64())])
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


class Killed(BaseException):
    """No `except Exception` may catch it."""


def opened(path: Path, position: Position | None = None) -> ParquetSink:
    return ParquetSink(path, position, bounded=False, schema=SCHEMA, layout=Layout())


def rows(path: Path) -> list[int]:
    return [n for file in part_files(path) for n in pl.read_parquet(file)["n"].to_list()]


def commit(sink: ParquetSink, n: int) -> Position:
    sink.write(pa.table({"n": [n]}, SCHEMA))
    return sink.commit()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four parts are many; and the disk is not waited for, since no test here cuts the power."""
    monkeypatch.setattr(os, "fsync", os.fstat)
    monkeypatch.setattr(part_folder, "MERGED", 4)


@pytest.mark.usefixtures("small")
def test_many_commits_leave_few_files(tmp_path: Path) -> None:
    sink = opened(tmp_path / "q.parquet")
    for n in range(200):
        position = commit(sink, n)
        sink.stored()
        assert rows(tmp_path / "q.parquet") == list(range(n + 1))
    assert position == {"parts": 200}
    # 200 = 3·64 + 0·16 + 2·4 + 0, and what the last two states may still need.
    assert len(list((tmp_path / "q.parquet").iterdir())) <= 3 + 3 + 3 + 5
    sink.close(True)
    assert rows(tmp_path / "q.parquet") == list(range(200))
    assert sorted(pl.read_parquet(tmp_path / "q.parquet" / "*.parquet")["n"]) == list(range(200)), "and for anybody's reader"


@pytest.mark.heavy
@pytest.mark.usefixtures("small")
def test_the_state_before_the_last_one_can_be_gone_back_to(tmp_path: Path) -> None:
    """Its parts are there as it knows them, however many were merged meanwhile."""
    path = tmp_path / "q.parquet"
    for last in range(2, 40):
        positions: list[Position] = []
        sink = opened(path)
        for n in range(last):
            positions.append(commit(sink, n))
            sink.stored()
        sink.close(True)
        opened(path, positions[-2]).close(True)
        assert rows(path) == list(range(last - 1))


def test_parts_that_are_large_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_folder, "MERGED_BYTES", 10)
    sink = opened(tmp_path / "q.parquet")
    for n in range(40):
        commit(sink, n)
        sink.stored()
    assert len(parts_of(tmp_path / "q.parquet")) == 40
    sink.close(True)


@pytest.mark.heavy
@pytest.mark.usefixtures("small")
def test_dying_at_any_step_of_a_merge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads the folder then, and whoever goes on, finds every committed row once."""
    left = -1

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            for act in (lambda: None, lambda: real(*args, **kwargs)):
                result = act()
                if left == 0:
                    raise Killed
                left -= 1
            return result

        return call

    for owner, name in ((Path, "replace"), (Path, "unlink"), (ParquetSink, "_merge")):
        monkeypatch.setattr(owner, name, counted(getattr(owner, name)))
    deaths = 0
    for at in range(1000):
        path = tmp_path / str(at) / "q.parquet"
        stored: dict[str, Any] = {}
        left = at
        for _ in range(2):
            died = False
            sink = opened(path, stored.get("at"))
            try:
                for n in range(stored.get("n", 0), 14):
                    position = commit(sink, n)
                    stored |= {"at": position, "n": n + 1}
                    sink.stored()
            except Killed:
                died = True
                deaths += 1
            if died:
                del sink
                gc.collect()
                assert rows(path)[: stored.get("n", 0)] == list(range(stored.get("n", 0)))
                assert len(rows(path)) <= stored.get("n", 0) + 1
                left = -1
                continue
            sink.close(True)
            break
        assert rows(path) == list(range(14))
        assert not list(path.parent.rglob("*.partial"))
        if left > 0:
            break
    assert deaths > 10


def test_names_of_parts() -> None:
    assert part_name(3) == part_name(3, 3) == "part-000003.parquet"
    assert part_name(1, 16) == "part-000001-000016.parquet"
