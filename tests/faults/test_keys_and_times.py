"""Files of one pipeline that carry their key or are named by it, and whose times are written in either way; right values by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from command import Command, offbeat

import offbeat as package

__all__ = ["offbeat"]
SPEC = """
name: p
source:
  key: {column: host, headers: [Server], file: '^(?P<key>[^.]+)'}
  time: {column: t, format: any}
  columns: {v: float}
views: {row: {detectors: {high: {type: rule, when: v > 10}}}}
"""
TIMES: list[list[Any]] = [
    ["2024-01-01T00:00:00Z", "2024-01-01 00:01:00"],
    [1704067200, 1704067260],
    [1704067200000, 1704067260.0],
    ["1704067200.0", "2024-01-01T01:01:00+01:00"],
]
"""Midnight and a minute later."""
WHEN = ["2024-01-01T00:00:00Z", "2024-01-01T00:01:00Z"]


def written(folder: Path, form: str, table: pl.DataFrame, name: str = "alone") -> Path:
    file = folder / f"{name}.{form}"
    if form == "csv":
        table.write_csv(file)
    elif form == "parquet":
        table.write_parquet(file)
    elif form == "arrow":
        table.write_ipc(file)
    else:
        file.write_text("".join(json.dumps(row) + "\n" for row in table.to_dicts()))
    return file


def ran(offbeat: Command, tmp_path: Path, *args: object) -> tuple[dict[str, Any], list[tuple[str, str, float]]]:
    out = tmp_path / "alerts.jsonl"
    out.unlink(missing_ok=True)
    (tmp_path / "p.yaml").write_text(SPEC)
    done = offbeat("run", tmp_path / "p.yaml", *args, "--alerts", out, "--json")
    assert done.code == 0, done
    alerts = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    return json.loads(done.out), [(a["key"], a["time"].replace(".000000000", ""), a["row"]["v"]) for a in alerts]


@pytest.mark.parametrize("form", ["csv", "parquet", "arrow", "ndjson"])
@pytest.mark.parametrize("times", TIMES, ids=["iso", "seconds", "mixed units", "mixed"])
def test_times_of_either_kind(offbeat: Command, tmp_path: Path, form: str, times: list[Any]) -> None:
    table = pl.DataFrame({"t": pl.Series(times, strict=False), "v": [11.0, 12.0]})
    _, alerts = ran(offbeat, tmp_path, written(tmp_path, form, table))
    assert alerts == [("alone", WHEN[0], 11.0), ("alone", WHEN[1], 12.0)]


def test_what_is_neither_is_quarantined(offbeat: Command, tmp_path: Path) -> None:
    table = pl.DataFrame({"t": ["2024-01-01", "yesterday", "", "1704067260"], "v": [11.0, 12.0, 13.0, 14.0]})
    figures, alerts = ran(offbeat, tmp_path, written(tmp_path, "csv", table))
    assert alerts == [("alone", WHEN[0], 11.0), ("alone", WHEN[1], 14.0)]
    assert figures["quarantined"] == {"missing": 1, "time": 1}


@pytest.mark.parametrize("form", ["csv", "parquet", "arrow", "ndjson"])
@pytest.mark.parametrize("column", ["host", "Server"])
def test_a_column_goes_before_the_files_name(offbeat: Command, tmp_path: Path, form: str, column: str) -> None:
    keyed = written(tmp_path, form, pl.DataFrame({column: ["a", "b"], "t": WHEN, "v": [11.0, 12.0]}), "keyed")
    named = written(tmp_path, form, pl.DataFrame({"t": WHEN, "v": [1.0, 13.0]}), "named")
    _, alerts = ran(offbeat, tmp_path, keyed, named)
    assert sorted(alerts) == [("a", WHEN[0], 11.0), ("b", WHEN[1], 12.0), ("named", WHEN[1], 13.0)]


def test_a_row_without_its_key_is_missing_where_others_have_one(offbeat: Command, tmp_path: Path) -> None:
    table = pl.DataFrame({"host": ["a", None], "t": WHEN, "v": [11.0, 12.0]})
    for form in ("csv", "ndjson", "parquet"):
        figures, alerts = ran(offbeat, tmp_path, written(tmp_path, form, table))
        assert alerts == [("a", WHEN[0], 11.0)]
        assert figures["quarantined"] == {"missing": 1}


def test_a_folder_that_names_the_key_goes_before_the_file(offbeat: Command, tmp_path: Path) -> None:
    folder = tmp_path / "in" / "host=h1"
    folder.mkdir(parents=True)
    written(folder, "csv", pl.DataFrame({"t": WHEN, "v": [11.0, 1.0]}), "part")
    _, alerts = ran(offbeat, tmp_path, tmp_path / "in")
    assert alerts == [("h1", WHEN[0], 11.0)]


def test_tables_in_memory(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(SPEC)
    for columns, key in (({"host": ["a", "a"]}, "a"), ({}, "table")):
        found = package.run(tmp_path / "p.yaml", pl.DataFrame({**columns, "t": WHEN, "v": [11.0, 1.0]}))
        assert found.alerts["key"].to_list() == [key]


def test_it_goes_on_where_it_stopped(offbeat: Command, tmp_path: Path) -> None:
    first = written(tmp_path, "csv", pl.DataFrame({"t": WHEN, "v": [11.0, 1.0]}), "one")
    second = written(tmp_path, "csv", pl.DataFrame({"host": ["one"], "t": ["1704067320"], "v": [15.0]}), "two")
    state = ("--state", tmp_path / "state")
    ran(offbeat, tmp_path, first, *state)
    out = tmp_path / "more.jsonl"
    done = offbeat("run", tmp_path / "p.yaml", first, second, *state, "--alerts", out, "--json")
    assert done.code == 0, done
    (alert,) = map(json.loads, out.read_text().splitlines())
    assert (alert["key"], alert["row"]["v"]) == ("one", 15.0)
