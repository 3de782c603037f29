"""Outputs that cannot be written: one line for the person, nothing under the final name, no traceback."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pandas as pd
import polars as pl
import pytest
from alert_blocks import as_table, many, two_bars
from folders import SUPPORT

from offbeat.core.chunk import Position
from offbeat.errors import UserError
from offbeat.io.read.alert_files import read_alerts
from offbeat.io.write.jsonl_sink import json_lines
from offbeat.io.write.sinks import open_sink

NAMES = ["a.jsonl", "a.parquet"]


def refused(uri: str, *, position: Position | None = None, bounded: bool = True) -> str:
    with pytest.raises(UserError) as caught:
        open_sink(uri, position=position, bounded=bounded)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_system_that_nobody_can_write_to_is_named_with_those_that_are_there() -> None:
    message = refused("carrier-pigeon://coop")
    assert "carrier-pigeon" in message
    assert "postgresql://" in message
    assert "*.jsonl" in message
    assert "*.parquet" in message


@pytest.mark.parametrize("uri", ["alerts.csv", "alerts", ""])
def test_unknown_kinds_of_file(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "*.parquet" in refused(uri)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_where_a_file_should_be(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    assert "folder" in refused(str(tmp_path / name))
    assert list(tmp_path.iterdir()) == [tmp_path / name]


def test_a_file_where_the_folder_of_parts_should_be(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"precious")
    assert "folder" in refused(str(tmp_path / "a.parquet"), bounded=False)
    assert (tmp_path / "a.parquet").read_bytes() == b"precious"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bounded", [True, False])
def test_missing_folders_are_made(tmp_path: Path, name: str, bounded: bool) -> None:
    sink = open_sink(str(tmp_path / "x" / "y" / name), bounded=bounded)
    sink.write(many(3))
    sink.close(True)
    assert read_alerts(tmp_path / "x" / "y" / name).height == 3


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bounded", [True, False])
def test_a_file_in_the_place_of_a_folder_above(tmp_path: Path, name: str, bounded: bool) -> None:
    (tmp_path / "x").write_text("")
    assert "cannot write" in refused(str(tmp_path / "x" / name), bounded=bounded)


@pytest.mark.parametrize("name", NAMES)
def test_two_runs_do_not_write_one_file(tmp_path: Path, name: str) -> None:
    first = open_sink(str(tmp_path / name))
    assert "another run" in refused(str(tmp_path / name))
    first.write(many(2))
    first.close(True)
    assert read_alerts(tmp_path / name).height == 2
    second = open_sink(str(tmp_path / name))
    second.close(True)
    assert read_alerts(tmp_path / name).height == 0


@pytest.mark.parametrize("name", NAMES)
def test_an_interrupted_bounded_run_leaves_nothing(tmp_path: Path, name: str) -> None:
    sink = open_sink(str(tmp_path / name))
    sink.write(many(200))
    sink.commit()
    sink.close(False)
    sink.close(False)
    assert not list(tmp_path.iterdir())


def test_lines_that_were_never_committed_are_taken_back(tmp_path: Path) -> None:
    out = tmp_path / "a.jsonl"
    sink = open_sink(str(out), bounded=False)
    sink.write(many(2))
    position = sink.commit()
    sink.write(many(3, 1))
    sink.close(False)
    assert position["bytes"] == out.stat().st_size
    assert read_alerts(out).height == 2


def test_a_file_that_the_state_does_not_know(tmp_path: Path) -> None:
    out = tmp_path / "a.jsonl"
    assert "missing" in refused(str(out), position={"bytes": 10}, bounded=False)
    assert not out.exists()
    data = json_lines(as_table(two_bars()))
    out.write_bytes(data)
    assert f"has {len(data)} bytes, but the state says that {len(data) + 1} " in refused(
        str(out), position={"bytes": len(data) + 1}, bounded=False
    )
    assert "changed" in refused(str(out), position={"bytes": len(data) - 5}, bounded=False)
    assert out.read_bytes() == data
    folder = tmp_path / "a.parquet"
    assert "part-000001.parquet is missing" in refused(str(folder), position={"parts": 1}, bounded=False)


def test_what_others_put_into_the_folder_stays(tmp_path: Path) -> None:
    folder = tmp_path / "a.parquet"
    folder.mkdir()
    (folder / "README").write_text("mine")
    for rows in (2, 3):
        sink = open_sink(str(folder), bounded=False)
        sink.write(many(rows))
        sink.close(True)
    assert sorted(p.name for p in folder.iterdir()) == ["README", "part-000001.parquet"]
    assert read_alerts(folder).height == 3, "without a position an output of an earlier life is replaced"


def test_the_folder_can_be_read_while_it_grows(tmp_path: Path) -> None:
    sink = open_sink(str(tmp_path / "a.parquet"), bounded=False)
    sink.write(many(3))
    sink.commit()
    sink.write(many(150_000, 1))
    while not list(tmp_path.glob(".*.partial")):
        time.sleep(0.01)
    assert pl.read_parquet(tmp_path / "a.parquet").height == len(pd.read_parquet(tmp_path / "a.parquet")) == 3
    sink.close(False)
    assert list(tmp_path.iterdir()) == [tmp_path / "a.parquet"]


def test_a_link_to_a_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "a.jsonl").symlink_to(tmp_path / "real" / "b.jsonl")
    sink = open_sink(str(tmp_path / "a.jsonl"))
    sink.write(many(2))
    sink.close(True)
    assert (tmp_path / "a.jsonl").is_symlink()
    assert read_alerts(tmp_path / "real" / "b.jsonl").height == 2


@pytest.mark.parametrize("bounded", [True, False])
def test_a_full_device(tmp_path: Path, bounded: bool) -> None:
    (tmp_path / "a.jsonl").symlink_to("/dev/full")
    sink = open_sink(str(tmp_path / "a.jsonl"), bounded=bounded)
    with pytest.raises(UserError, match=r"cannot write .*a\.jsonl: No space left on device$"):
        sink.write(many(5))
    sink.close(False)


@pytest.mark.parametrize("bounded", [True, False])
def test_a_device_can_be_no_parquet_file(tmp_path: Path, bounded: bool) -> None:
    (tmp_path / "a.parquet").symlink_to("/dev/null")
    assert "cannot write" in refused(str(tmp_path / "a.parquet"), bounded=bounded)
    assert Path("/dev/null").is_char_device()


def test_a_pipe_takes_lines_as_they_come(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jsonl")
    with subprocess.Popen(["cat", str(tmp_path / "a.jsonl")], stdout=subprocess.PIPE) as reader:
        sink = open_sink(str(tmp_path / "a.jsonl"))
        sink.write(as_table(two_bars()))
        sink.close(True)
        assert reader.stdout is not None
        assert reader.stdout.read() == json_lines(as_table(two_bars()))


LIMITED = textwrap.dedent("""
    import resource, sys
    sys.path.insert(0, sys.argv[4])
    from alert_blocks import many
    from offbeat.errors import UserError
    from offbeat.io.write.sinks import open_sink
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    tables = [many(1000, i) for i in range(30)]
    if sys.argv[3] == "large":
        import pyarrow as pa
        tables = [pa.concat_tables(tables).combine_chunks() for _ in range(20)]
    sink = open_sink(sys.argv[1], bounded=sys.argv[2] == "file")
    try:
        for table in tables:
            sink.write(table)
            print("x", end="")
        sink.commit()
    except UserError as error:
        print(error)
        for again in (sink.commit, lambda: sink.close(True)):
            try:
                again()
            except UserError as second:
                assert str(second) == str(error)
            else:
                raise SystemExit("what was refused counts as written")
        sink.close(False)
        sys.exit(2)
    sink.close(True)
""")


@pytest.mark.heavy
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["file", "parts"])
@pytest.mark.parametrize("size", ["small", "large"])
def test_a_disk_that_fills_up(tmp_path: Path, name: str, kind: str, size: str) -> None:
    out = tmp_path / "out" / name
    command = [sys.executable, "-W", "error", "-c", LIMITED, str(out), kind, size, str(SUPPORT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert re.fullmatch(r"x*cannot write [^\n]*: File too large\n", done.stdout)
    assert done.stderr == ""
    left = [p for p in (tmp_path / "out").rglob("*") if p.is_file() and p.stat().st_size]
    assert left == []
