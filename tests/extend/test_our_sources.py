"""Our own sources keep the contract that other people's must keep."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from io_plans import keyed, plan, source

from offbeat.core.plan import Column, SourcePlan, TimePlan
from offbeat.extend import Source
from offbeat.io.read.frame import FrameSource
from offbeat.testing import check_source

SECONDS = keyed(time=TimePlan(("t",), "s", "UTC"))
FILE_KEYED = plan(columns=(Column("x", "float"),), time=TimePlan(("t",), "s", "UTC"))
HEADER = "k,t,x,n,s,b\n"


def lines(first: int, count: int, step: int = 1) -> list[str]:
    return [f"k{i % 5},{first + i * step},{i / 4},{i}.25,word{i},{'true' if i % 2 else 'false'}\n" for i in range(count)]


def csv(tmp_path: Path) -> tuple[SourcePlan, Callable[[], Source], int, dict[str, int]]:
    """Blank lines, and a line each that is too long, has a word for a number, no value, and no time."""
    rows = lines(1_600_000_000, 300)
    rows[7], rows[20] = rows[7].replace("\n", ",more\n"), rows[20].replace("5.0", "five")
    rows[100], rows[250] = "k0,1600000100,,,,\n", "k0,never,1,,,\n"
    (tmp_path / "a.csv").write_text(HEADER + "".join(rows[:120]) + "\n" + "".join(rows[120:]))
    return SECONDS, lambda: source(SECONDS, tmp_path / "a.csv", block=2000), 300, {"ragged": 1, "type": 1, "missing": 1, "time": 1}


def files_that_overlap(tmp_path: Path) -> tuple[SourcePlan, Callable[[], Source], int, dict[str, int]]:
    """Two at the same times, one of them packed, and a later one."""
    (tmp_path / "a.csv").write_text(HEADER + "".join(lines(1_600_000_000, 150, 2)))
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress((HEADER + "".join(lines(1_600_000_001, 150, 2))).encode()))
    (tmp_path / "c.csv").write_text(HEADER + "".join(lines(1_600_009_000, 80)))
    return SECONDS, lambda: source(SECONDS, tmp_path, block=1500), 380, {}


def a_file_a_key(tmp_path: Path) -> tuple[SourcePlan, Callable[[], Source], int, dict[str, int]]:
    for name in "ABC":
        text = "".join(f"{1_600_000_000 + i},{i + ord(name)}\n" for i in range(90))
        (tmp_path / f"{name}_1.csv").write_text("t,x\n" + text)
    return FILE_KEYED, lambda: source(FILE_KEYED, tmp_path, block=500), 270, {}


def ndjson(tmp_path: Path) -> tuple[SourcePlan, Callable[[], Source], int, dict[str, int]]:
    rows = [json.dumps({"k": f"k{i % 3}", "t": 1_600_000_000 + i, "x": i, "s": "é\n" * (i % 4)}) for i in range(200)]
    rows[50], rows[150] = "{", json.dumps({"k": "k0", "t": 1_600_000_150})
    (tmp_path / "a.ndjson").write_text("\n".join(rows) + "\n")
    return SECONDS, lambda: source(SECONDS, tmp_path / "a.ndjson", block=1000), 200, {"type": 1, "missing": 1}


def table() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "k": [f"k{i % 4}" for i in range(500)],
            "t": [1_600_000_000 + i for i in range(500)],
            "x": [None if i == 77 else i / 8 for i in range(500)],
            "s": ["word" if i % 2 else None for i in range(500)],
        }
    )


def parquet(tmp_path: Path) -> tuple[SourcePlan, Callable[[], Source], int, dict[str, int]]:
    table().write_parquet(tmp_path / "a.parquet", row_group_size=60)
    return SECONDS, lambda: source(SECONDS, tmp_path / "a.parquet", block=4000), 500, {"missing": 1}


def frame(_: Path) -> tuple[SourcePlan, Callable[[], Source], int, dict[str, int]]:
    return SECONDS, lambda: FrameSource(SECONDS, table(), rows=64), 500, {"missing": 1}


@pytest.mark.parametrize("made", [csv, files_that_overlap, a_file_a_key, ndjson, parquet, frame], ids=lambda made: made.__name__)
def test_the_contract(tmp_path: Path, made: Callable[[Path], tuple[SourcePlan, Callable[[], Source], int, dict[str, int]]]) -> None:
    wanted, factory, rows, faults = made(tmp_path)
    check_source(factory, wanted, rows=rows, faults=faults)
