"""The rows around a row, read again from its file."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from offbeat.errors import UserError
from offbeat.io.read.neighbours import neighbours, rows_near
from offbeat.io.write.provenance import Origin
from offbeat.spec.load import load_plan, load_text

PLAN = load_text("""
name: p
source: {key: k, time: t, columns: {price: {type: decimal, scale: 2}, size: float}}
views: {v: {detectors: {d: {type: rule, when: price > size}}}}
""").plan.source


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Rows of two keys by turns, numbered by `size`; each tenth cannot be read, and one line is blank."""
    path = tmp_path / "rows.csv"
    lines = ["k,t,price,size"]
    for i in range(1, 1001):
        lines.append(f"{'ab'[i % 2]},2024-01-01T00:{i // 60 % 60:02}:{i % 60:02}Z,{i}.25,{'x' if i % 10 == 0 else i}")
        lines += [""] if i == 500 else []
    path.write_text("\n".join(lines) + "\n")
    return path


def sizes(rows: pl.DataFrame) -> list[float]:
    return rows["size"].to_list()


def test_both_sides(file: Path) -> None:
    rows = neighbours(PLAN, Origin(str(file), 301), "b", each_side=3)
    assert sizes(rows) == [295, 297, 299, 301, 303, 305, 307]
    assert rows.columns == ["time", "price", "size"]
    assert rows["price"][3] == 301.25
    assert rows.schema["time"] == pl.Datetime("ns", "UTC")


def test_what_cannot_be_read_is_left_out(file: Path) -> None:
    assert sizes(neighbours(PLAN, Origin(str(file), 302), "a", each_side=2)) == [296, 298, 302, 304, 306]


@pytest.mark.parametrize(("row", "key", "expected"), [(1, "b", [1, 3, 5]), (999, "b", [995, 997, 999]), (2, "a", [2, 4, 6])])
def test_at_the_ends(file: Path, row: int, key: str, expected: list[float]) -> None:
    assert sizes(neighbours(PLAN, Origin(str(file), row), key, each_side=2)) == expected


def test_refusals(file: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="standard input"):
        neighbours(PLAN, Origin("-", 1), "a")
    with pytest.raises(UserError, match=r"gone\.csv: "):
        neighbours(PLAN, Origin(str(tmp_path / "gone.csv"), 1), "a")
    with pytest.raises(UserError, match="no rows of 'c'"):
        neighbours(PLAN, Origin(str(file), 1), "c")


def test_rows_near_a_time_are_those_around_the_row(tmp_path: Path) -> None:
    """Where nothing tells the row: the same rows, from one file or cut into three, in any order of files."""
    times = [f"2024-03-01 {9 + i // 60:02}:{i % 60:02}:00" for i in range(300)]
    lines = [f"{time},{i},1,1,{i},10" for i, time in enumerate(times)]
    head = "timestamp,open,high,low,close,volume"
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "ACME_x.csv").write_text("\n".join([head, *lines]) + "\n")
    (tmp_path / "three").mkdir()
    for name, part in (("ACME_a", lines[200:]), ("ACME_b", lines[:100]), ("ACME_c", lines[100:200])):
        (tmp_path / "three" / f"{name}.csv").write_text("\n".join([head, *part]) + "\n")
    plan = load_plan("bars").source
    at = 1_709_289_000_000_000_000  # 10:30 UTC is 16:00 in Kolkata: behind the last row, at 13:59
    middle = at - 4 * 3_600_000_000_000  # 12:00 there: row 180
    for folder in ("one", "three"):
        found = rows_near(plan, [str(tmp_path / folder)], "ACME", middle, each_side=20)
        assert found["close"].to_list() == [float(i) for i in range(160, 201)]
        assert rows_near(plan, [str(tmp_path / folder)], "ACME", at, each_side=20)["close"].to_list() == [float(i) for i in range(280, 300)]
        with pytest.raises(UserError, match="has no rows of 'BOLT'"):
            rows_near(plan, [str(tmp_path / folder)], "BOLT", at)
