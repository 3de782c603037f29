"""Rows set aside: counted, listed, and written back so that they can be fixed and run again."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from offbeat.core.batch import NULL_INT
from offbeat.decide.block import Quarantined
from offbeat.errors import UserError
from offbeat.io.write.quarantine import counts, export, listed, open_quarantine, quarantine_table

FILES = ["in/AIG_2024.csv.gz", "other/AIG_2024.csv.gz", "in/calls.ndjson", "in/bars.parquet"]
HEADERS = ["time,close", "Time;Close;Volume\r\n", None, None]


def rows() -> Quarantined:
    return Quarantined(
        reasons=["price", "type", "late", "price", "encoding", "missing", "price"],
        files=np.array([0, 0, 1, 2, 0, 3, -1], np.int32),
        rows=np.array([5, 6, 1, 9, 7, 2, 0]),
        keys=["AIG", None, "AIG", "x\x1b[31m", None, "K", None],
        time_ns=np.array([60_000_000_000, NULL_INT, 1, 2, NULL_INT, 3, 4]),
        raw=["a,-1", '"b\n,",x', "c;2;3", '{"close": -1}', "d\udcff,1", '{"close": null}', ""],
    )


def stored(path: Path, *, bounded: bool = True) -> Path:
    sink = open_quarantine(path, bounded=bounded)
    table = quarantine_table(rows(), FILES, HEADERS)
    sink.write(table.slice(0, 4))
    sink.commit()
    sink.write(table.slice(4))
    sink.close(True)
    return path


@pytest.mark.parametrize("bounded", [True, False])
def test_counts_and_rows(tmp_path: Path, bounded: bool) -> None:
    path = stored(tmp_path / "q.parquet", bounded=bounded)
    assert counts(path).rows() == [("price", 3, 3), ("encoding", 1, 1), ("late", 1, 1), ("missing", 1, 1), ("type", 1, 1)]
    found = listed(path, reasons=["price", "type"], limit=2)
    assert found.drop("time", "detail").rows() == [("price", FILES[0], 5, "AIG", "a,-1"), ("type", FILES[0], 6, None, '"b\n,",x')]
    assert found["time"].dt.timestamp("ns").to_list() == [60_000_000_000, None]
    assert listed(path, limit=100).height == 7
    assert listed(path, reasons=["encoding"])["raw"].to_list() == ["d\\udcff,1"]
    assert pl.read_parquet_schema(path if bounded else path / "part-000001.parquet")["reason"] == pl.String


def test_export_gives_sources_that_can_be_run_again(tmp_path: Path) -> None:
    done = export(stored(tmp_path / "q.parquet"), tmp_path / "fix")
    names = {str(p.relative_to(tmp_path / "fix")): p.read_bytes().decode() for p in done.files}
    assert names == {
        "AIG_2024.csv": 'time,close\na,-1\n"b\n,",x\nd\\udcff,1\n',
        "2/AIG_2024.csv": "Time;Close;Volume\nc;2;3\n",
        "calls.ndjson": '{"close": -1}\n',
        "bars.ndjson": '{"close": null}\n',
    }
    assert (done.rows, done.left_out) == (6, 1)
    assert json.loads(names["bars.ndjson"]) == {"close": None}


def test_export_of_some_reasons(tmp_path: Path) -> None:
    path = stored(tmp_path / "q.parquet", bounded=False)
    done = export(path, tmp_path / "fix", reasons=["late"])
    assert [p.read_text() for p in done.files] == ["Time;Close;Volume\nc;2;3\n"]
    with pytest.raises(UserError, match=r"reason prize; .*price, encoding"):
        export(path, tmp_path / "other", reasons=["prize"])
    with pytest.raises(UserError, match="not an empty folder"):
        export(path, tmp_path / "fix")


def test_names_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    block = Quarantined(["a"] * 3, np.arange(3, dtype=np.int32), np.ones(3, np.int64), [None] * 3, np.zeros(3, np.int64), ["x,1"] * 3)
    sink = open_quarantine(tmp_path / "q.parquet")
    sink.write(quarantine_table(block, ["../../evil.csv", "..", "/etc/passwd"], ["h,i"] * 3))
    sink.close(True)
    export(tmp_path / "q.parquet", tmp_path / "deep" / "fix")
    assert sorted(p.name for p in (tmp_path / "deep" / "fix").iterdir()) == ["evil.csv", "passwd", "rows"]


def test_what_is_no_quarantine(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"no parquet at all")
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "b.parquet")
    (tmp_path / "empty").mkdir()
    for name in ("a.parquet", "b.parquet", "empty", "missing.parquet"):
        with pytest.raises(UserError) as caught:
            counts(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_nothing_set_aside(tmp_path: Path) -> None:
    open_quarantine(tmp_path / "q.parquet").close(True)
    assert counts(tmp_path / "q.parquet").is_empty()
    assert export(tmp_path / "q.parquet", tmp_path / "fix").rows == 0


@pytest.mark.heavy
def test_a_million_rows_are_exported_in_little_memory(tmp_path: Path) -> None:
    m, files = 100_000, [f"in/S{i}.csv" for i in range(200)]
    block = Quarantined(
        ["price"] * m,
        np.arange(m, dtype=np.int32) % 200,
        np.arange(m),
        [None] * m,
        np.zeros(m, np.int64),
        [f"2024-01-01,{i}.25,-1" for i in range(m)],
    )
    sink = open_quarantine(tmp_path / "q.parquet")
    table = quarantine_table(block, files, ["time,open,close"] * 200)
    for _ in range(10):
        sink.write(table)
    sink.close(True)
    tracemalloc.start()
    done = export(tmp_path / "q.parquet", tmp_path / "fix")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (len(done.files), done.rows) == (200, 1_000_000)
    assert (tmp_path / "fix" / "S7.csv").read_text().count("\n") == 5_001
    assert peak < 100e6
