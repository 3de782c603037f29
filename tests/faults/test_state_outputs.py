"""Faults of outputs: nothing that a run did not write is lost, and nothing that it writes, whoever moves or cuts the files meanwhile."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from command import Command, offbeat
from small_runs import DAYS, csv, feed, here, line, ran, times

from offbeat.io.write.sinks import open_sink

__all__ = ["feed", "here", "offbeat"]
pytestmark = pytest.mark.usefixtures("here")
# -- outputs that hold something ---------------------------------------------------------------------------------------------------------

OUTPUTS = ["al.jsonl", "al.parquet"]


@pytest.mark.parametrize("out", OUTPUTS)
def test_a_mistyped_state_directory_wipes_nothing(offbeat: Command, out: str) -> None:
    csv("d1.csv", ("2024-01-01", 2))
    csv("d2.csv", ("2024-01-02", 3))
    assert ran(offbeat, "p.yaml", "d1.csv", "--alerts", out, "--state", "stA")["alerts"] == 1
    message = offbeat.refused("run", "p.yaml", "d2.csv", "--alerts", out, "--state", "stB")
    assert out in message
    assert "--append" in message
    assert times(out) == ["01-01T00"]
    assert ran(offbeat, "p.yaml", "d2.csv", "--alerts", out, "--state", "stB", "--append")["alerts"] == 1
    assert times(out) == ["01-01T00", "01-02T00"]
    # The state that wrote first does not cut what came after it, either.
    csv("d3.csv", ("2024-01-03", 3))
    assert out in offbeat.refused("run", "p.yaml", "d3.csv", "--alerts", out, "--state", "stA")
    ran(offbeat, "p.yaml", "d3.csv", "--alerts", out, "--state", "stA", "--append")
    assert times(out) == ["01-01T00", "01-02T00", "01-03T00"]


@pytest.mark.parametrize("out", OUTPUTS)
def test_a_live_run_started_again_wipes_nothing(offbeat: Command, feed: Callable[..., None], out: str) -> None:
    feed(line("2024-01-01"), line("2024-01-02"))
    ran(offbeat, "p.yaml", "-", "--alerts", out)
    feed(line("2024-02-01"))
    assert "--append" in offbeat.refused("run", "p.yaml", "-", "--alerts", out)
    assert times(out) == ["01-01T00", "01-02T00"]
    feed(line("2024-02-01"))
    ran(offbeat, "p.yaml", "-", "--alerts", out, "--append")
    assert times(out) == ["01-01T00", "01-02T00", "02-01T00"]


@pytest.mark.parametrize("out", OUTPUTS)
def test_a_run_over_files_can_append_too(offbeat: Command, out: str) -> None:
    for number in (1, 2, 3):
        csv("d.csv", (f"2024-01-0{number}", 2))
        ran(offbeat, "p.yaml", "d.csv", "--alerts", out, "--append")
    assert times(out) == ["01-01T00", "01-02T00", "01-03T00"]
    assert pl.read_parquet(f"{out}.provenance.parquet").height == 3


@pytest.mark.parametrize("name", ["al.jsonl", "al.parquet", "al.jsonl.provenance.parquet", "q.parquet"])
def test_two_runs_on_one_output(offbeat: Command, name: str) -> None:
    """The second is refused as long as the first one runs: alerts, provenance and quarantine alike."""
    first = open_sink(name, bounded=False)
    try:
        csv("d.csv", ("2024-01-01", 2))
        alerts = name if name.startswith("al.") and "provenance" not in name else "al.jsonl"
        args = ["run", "p.yaml", "d.csv", "--alerts", alerts, "--quarantine", "q.parquet", "--state", "st"]
        assert "another run is writing it" in offbeat.refused(*args)
        assert "another run is writing it" in offbeat.refused(*args, "--append")
    finally:
        first.close(True)


def test_two_runs_on_one_folder_of_tables(offbeat: Command) -> None:
    Path("days.yaml").write_text(DAYS + "tables: {days: {view: day, columns: [total]}}\n")
    csv("d.csv", ("2024-01-01", 2))
    Path("t").mkdir()
    handle = os.open("t", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        assert "another run" in offbeat.refused("run", "days.yaml", "d.csv", "--tables", "t")
    finally:
        os.close(handle)


# -- outputs that are moved, removed, cut under a live run -------------------------------------------------------------------------------


def _rotate(path: Path) -> None:
    path.rename(path.with_name(path.name + ".1"))


def _rotate_and_create(path: Path) -> None:
    _rotate(path)
    path.mkdir() if path.with_name(path.name + ".1").is_dir() else path.touch()


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _copy_and_truncate(path: Path) -> None:
    shutil.copy(path, f"{path}.1")
    os.truncate(path, 0)


@pytest.mark.heavy
@pytest.mark.parametrize("state", [False, True])
@pytest.mark.parametrize(
    ("out", "happens", "kept"),
    [
        *((out, what, True) for out in OUTPUTS for what in (_rotate, _rotate_and_create)),
        *((out, _remove, False) for out in OUTPUTS),
        ("al.jsonl", _copy_and_truncate, True),
    ],
)
def test_an_output_moved_under_a_live_run(
    offbeat: Command, feed: Callable[..., None], out: str, happens: Callable[[Path], None], kept: bool, state: bool
) -> None:
    args = ["p.yaml", "-", "--alerts", out, *(["--state", "st"] if state else [])]
    feed(line("2023-12-31", 0), line("2024-01-01"), lambda: happens(Path(out)), line("2024-01-02"), line("2024-01-03"))
    figures = ran(offbeat, *args)
    assert any(note.startswith(out) for note in figures["notes"])
    if out == "al.jsonl":
        assert b"\0" not in Path(out).read_bytes()
    if kept and (old := Path(f"{out}.1")).exists():
        moved = list(old.iterdir()) if old.is_dir() else [old]
        rows = [pl.read_parquet(part) if part.suffix == ".parquet" else pl.read_ndjson(part) for part in moved]
        assert sum(frame.height for frame in rows) == 1
    assert times(out) == ["01-02T00", "01-03T00"]
    feed(line("2024-01-04"))
    ran(offbeat, *args, *([] if state else ["--append"]))
    assert times(out) == ["01-02T00", "01-03T00", "01-04T00"]


def test_somebody_else_writes_into_the_file(offbeat: Command, feed: Callable[..., None]) -> None:
    def scribble() -> None:
        with Path("al.jsonl").open("a") as file:
            file.write("not ours")

    feed(line("2023-12-31", 0), line("2024-01-01"), scribble, line("2024-01-02"))
    figures = ran(offbeat, "p.yaml", "-", "--alerts", "al.jsonl", "--state", "st")
    assert any("somebody else" in note for note in figures["notes"])
    lines = Path("al.jsonl").read_text().splitlines()
    assert (len(lines), lines[1]) == (3, "not ours")
    with Path("al.jsonl").open("a") as file:
        file.write("nor this\n")
    feed(line("2024-01-03"))
    assert "--append" in offbeat.refused("run", "p.yaml", "-", "--alerts", "al.jsonl", "--state", "st")
    assert Path("al.jsonl").read_text().endswith("nor this\n")
