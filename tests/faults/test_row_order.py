"""Faults found in files of strangers: files whose rows are not in order of time."""

from __future__ import annotations

import gzip
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from command import DATA, Command, offbeat
from test_rows import alerts, report, said

import offbeat as package
from offbeat.core.row_order import Order, RowOrder
from offbeat.io.read import sorted_file
from offbeat.io.read.file_source import FileSource
from offbeat.spec.load import load_plan

__all__ = ["offbeat"]
MARKET = DATA / "faults" / "market"
needs_data = pytest.mark.skipif(not MARKET.is_dir(), reason="no shared data")
TICKS = """
name: ticks
source: {key: k, time: t, columns: {v: float}}
quality: {unique: [time]}
views: {v: {windows: {w: {over: 3 rows, features: {m: mean(v)}}}, detectors: {high: {type: rule, when: v > 2 * m, expected: m}}}}
"""
ROWS = 500


def ticks(count: int = ROWS) -> pl.DataFrame:
    """A row a minute of two keys in turn; every 50th is high."""
    start = datetime(2024, 3, 1, tzinfo=UTC)
    rows = [("AB"[n % 2], (start + timedelta(minutes=n)).isoformat(), 10.0 if n % 50 == 49 else 1.0) for n in range(count)]
    return pl.DataFrame(rows, schema=["k", "t", "v"], orient="row")


WRITERS: dict[str, Callable[[pl.DataFrame, Path], object]] = {
    "csv": lambda table, path: table.write_csv(path),
    "csv.gz": lambda table, path: path.write_bytes(gzip.compress(table.write_csv().encode())),
    "ndjson": lambda table, path: table.write_ndjson(path),
    "parquet": lambda table, path: table.write_parquet(path),
}


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    (tmp_path / "ticks.yaml").write_text(TICKS)
    return tmp_path / "ticks.yaml"


@pytest.fixture
def right(tmp_path: Path, pipeline: Path, offbeat: Command) -> list[str]:
    """Ids of the alerts of the rows in their order: one for each of the high rows, 49, 99 … 499."""
    ticks().write_csv(tmp_path / "right.csv")
    assert report(offbeat, pipeline, tmp_path / "right.csv", "--alerts", tmp_path / "right.jsonl")["alerts"] == ROWS // 50
    return sorted(alerts(tmp_path / "right.jsonl")["alert_id"])


def _disordered(how: str) -> pl.DataFrame:
    order = list(range(ROWS))
    random.Random(1).shuffle(order)
    return ticks().reverse() if how == "backwards" else ticks()[order]


@pytest.mark.heavy
@pytest.mark.parametrize("how", ["backwards", "shuffled"])
@pytest.mark.parametrize("ending", list(WRITERS))
def test_sorted_files(tmp_path: Path, offbeat: Command, pipeline: Path, right: list[str], ending: str, how: str) -> None:
    path, out = tmp_path / f"x.{ending}", tmp_path / "a.jsonl"
    WRITERS[ending](_disordered(how), path)
    figures = report(offbeat, pipeline, path)
    assert figures["late"] > ROWS // 2
    assert said(figures, path.name, "source.sort=true", "quality.lateness=")
    assert said(figures, "newest rows first") == (how == "backwards")
    figures = report(offbeat, pipeline, path, "--set", "source.sort=true", "--alerts", out)
    assert (figures["late"], figures["scored"] + figures["warming_up"], figures["notes"]) == (0, ROWS, [])
    assert sorted(alerts(out)["alert_id"]) == right


def test_sorted_tables_in_memory(pipeline: Path, right: list[str]) -> None:
    found = package.run(str(pipeline), _disordered("shuffled"), overrides=["source.sort=true"])
    assert sorted(found.alerts["alert_id"]) == right


def test_the_lateness_that_is_named_is_enough(tmp_path: Path, offbeat: Command, pipeline: Path, right: list[str]) -> None:
    """It is measured, so it is never what is set already."""
    path, out = tmp_path / "x.csv", tmp_path / "a.jsonl"
    _disordered("shuffled").write_csv(path)
    for lateness in ("0s", "1h"):
        figures = report(offbeat, pipeline, path, "--set", f"quality.lateness={lateness}")
        (named,) = {note.rpartition("--set ")[2].split()[0] for note in figures["notes"] if "were late" in note}
        assert named != f"quality.lateness={lateness}"
        figures = report(offbeat, pipeline, path, "--set", named, "--alerts", out)
        assert figures["late"] == 0
        assert sorted(alerts(out)["alert_id"]) == right
        out.unlink()


def test_files_that_overlap_and_run_backwards(tmp_path: Path, offbeat: Command, pipeline: Path, right: list[str]) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    for part in range(3):
        ticks().gather_every(3, part).reverse().write_csv(folder / f"{part}.csv")
    figures = report(offbeat, pipeline, folder, "--set", "source.sort=true", "--alerts", tmp_path / "a.jsonl")
    assert figures["late"] == 0
    assert sorted(alerts(tmp_path / "a.jsonl")["alert_id"]) == right


def test_more_rows_than_memory(tmp_path: Path, pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs on disk, merged: the same rows, with their numbers in the file and their text, also from the middle on."""
    _disordered("shuffled").write_csv(tmp_path / "x.csv")
    plan = load_plan(pipeline, ["source.sort=true"]).source

    def rows(mark: int = 0) -> list[tuple[int, int, str]]:
        source = FileSource(plan, [str(tmp_path / "x.csv")], block=1 << 10)
        found = []
        for work in source._readers[0].blocks(mark):
            parsed = work()
            assert parsed.rows is not None
            found += list(zip(parsed.time_ns.tolist(), parsed.rows.tolist(), parsed.raw(np.arange(len(parsed.rows))), strict=True))
        return found

    whole = rows()
    monkeypatch.setattr(sorted_file, "IN_MEMORY", 0)
    monkeypatch.setattr(sorted_file, "RUN_ROWS", 60)
    assert rows() == whole == sorted(whole)
    lines = (tmp_path / "x.csv").read_text().splitlines()
    assert all(text == lines[number] for _, number, text in whole)
    assert rows(123) == whole[123:]


def test_a_sorted_file_and_a_state(tmp_path: Path, offbeat: Command, pipeline: Path, right: list[str]) -> None:
    """Day after day a file with its newest rows first."""
    for part in range(2):
        ticks()[part * ROWS // 2 : (part + 1) * ROWS // 2].reverse().write_csv(tmp_path / f"day{part}.csv")
    job = (pipeline, "--set", "source.sort=true", "--state", tmp_path / "state", "--alerts", tmp_path / "a.jsonl")
    report(offbeat, *job, tmp_path / "day0.csv")
    assert report(offbeat, *job, tmp_path / "day0.csv", tmp_path / "day1.csv")["late"] == 0
    assert sorted(alerts(tmp_path / "a.jsonl")["alert_id"]) == right


@needs_data
def test_bars_with_the_newest_first(offbeat: Command) -> None:
    figures = report(offbeat, "bars", MARKET / "NEWESTFIRST.csv")
    assert figures["late"] == 299
    assert said(figures, "NEWESTFIRST.csv", "newest rows first", "source.sort=true")
    assert report(offbeat, "bars", MARKET / "NEWESTFIRST.csv", "--set", "source.sort=true")["late"] == 0


def test_rows_that_come_backwards_take_no_longer() -> None:
    """All of them wait, each before all others: twice as many may take twice as long, not four times."""

    def seconds(rows: int) -> float:
        order = RowOrder(Order(10**15, 64, 10**15, identity_has_time=True))
        none = np.empty(0, np.uint64)
        slots, times, zeros = np.zeros(rows, np.int32), np.arange(rows, 0, -1) * 1000, np.zeros(rows, np.int64)
        began = time.process_time()
        order.admit(slots, times, zeros, none, none, 1, 0)
        return time.process_time() - began

    seconds(1000)
    assert seconds(400_000) < 1.0
