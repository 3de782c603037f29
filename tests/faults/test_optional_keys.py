"""A call without a caller counts for its region, and for nobody else: `key: {column: caller, optional: true}`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from command import Command, adds_up, offbeat

import offbeat as api

__all__ = ["offbeat"]
PIPELINE = """\
name: calls
source: {key: {column: caller, optional: true}, time: ts, columns: {region: text, mb: {type: decimal, scale: 0}}}
quality: {unique: [time, mb], lateness: 1h, cadence: 1h}
views:
  region_hour:
    rollup:
      key: region
      size: 1h
      columns: {calls: count(*), callers: count(DISTINCT key), nobody: sum(key IS NULL), named: sum(key = 'a' OR key LIKE 'b%')}
    detectors: {any: {type: rule, when: calls > 0}}
  caller_day: {rollup: {key: caller, size: 1d, columns: {calls: count(*)}}, detectors: {any: {type: rule, when: calls > 0}}}
  group_day:
    rollup: {key: {mapping: {a: one, b: one}}, size: 1d, columns: {calls: count(*)}}
    detectors: {any: {type: rule, when: calls > 0}}
  all_day: {rollup: {key: {constant: all}, size: 1d, columns: {calls: count(*)}}, detectors: {any: {type: rule, when: calls > 0}}}
  row:
    windows: {two: {over: 2 rows, current: true, min_rows: 1, features: {n: count(*)}}}
    detectors: {any: {type: rule, when: mb >= 0 AND n > 0}}
"""
# (caller, time, region, mb); the third and the last lie behind their key's newest rows, the fourth is a duplicate of the second.
ROWS: list[tuple[str | None, str, str, int]] = [
    ("a", "2024-03-01T10:00:00", "north", 1),
    (None, "2024-03-01T10:10:00", "north", 2),
    (None, "2024-03-01T10:05:00", "south", 3),
    (None, "2024-03-01T10:10:00", "north", 2),
    ("b", "2024-03-01T10:20:00", "south", 4),
    (None, "2024-03-01T12:00:00", "north", 5),
    ("a", "2024-03-01T12:30:00", "north", 6),
    (None, "2024-03-01T10:30:00", "north", 7),
]
WANTED = {
    "all_day": [("all", 6)],
    "caller_day": [("a", 2), ("b", 1)],
    "group_day": [("one", 3)],
    "region_hour": [("north", 2, 1, 1, 1), ("north", 2, 1, 1, 1), ("south", 2, 1, 1, 1)],
    "row": [("a", 1), ("a", 6), ("b", 4)],
}


def files(folder: Path, form: str) -> Path:
    frame = pl.DataFrame(ROWS, schema=["caller", "ts", "region", "mb"], orient="row")
    if form == "parquet":
        frame.with_columns(pl.col("ts").str.to_datetime()).write_parquet(folder / "a.parquet")
    elif form == "ndjson":
        frame.write_ndjson(folder / "a.ndjson")
    elif form == "absent":
        lines = [{name: value for name, value in row.items() if value is not None} for row in frame.to_dicts()]
        (folder / "a.ndjson").write_text("".join(json.dumps(line) + "\n" for line in lines))
    elif form == "quoted":
        frame.with_columns(pl.col("caller").fill_null("")).write_csv(folder / "a.csv", quote_style="always")
    else:
        frame.write_csv(folder / "a.csv")
    return next(path for path in folder.iterdir() if path.stem == "a")


def found(alerts: list[dict[str, Any]]) -> dict[str, list[tuple[Any, ...]]]:
    out: dict[str, list[tuple[Any, ...]]] = {view: [] for view in WANTED}
    for alert in {a["alert_id"]: a for a in alerts}.values():
        names = {"row": ("mb",), "region_hour": ("calls", "callers", "nobody", "named")}.get(alert["view"], ("calls",))
        out[alert["view"]].append((alert["key"], *(int(alert["row"][name]) for name in names)))
    return {view: sorted(rows) for view, rows in out.items()}


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("form", ["csv", "quoted", "parquet", "ndjson", "absent"])
@pytest.mark.parametrize("workers", [1, 3])
def test_in_every_format(offbeat: Command, tmp_path: Path, form: str, workers: int) -> None:
    (tmp_path / "p.yaml").write_text(PIPELINE)
    path = files(tmp_path, form)
    done = offbeat("run", tmp_path / "p.yaml", path, "--alerts", tmp_path / "out.jsonl", "--json", "--workers", workers)
    assert done.code == 0, done.err
    figures = json.loads(done.out)
    assert found(read(tmp_path / "out.jsonl")) == WANTED
    assert adds_up(figures)
    assert (figures["rows_in"], figures["duplicate"], figures["late"], figures["quarantined"]) == (8, 1, 1, {})
    assert figures["scored"] == 6


def test_integer_callers_and_a_table_in_memory(tmp_path: Path) -> None:
    """A null among integers, as a table of a database has it."""
    text = PIPELINE.replace("{a: one, b: one}", "{'1': one, '2': one}").replace("key = 'a' OR key LIKE 'b%'", "key = '1'")
    (tmp_path / "p.yaml").write_text(text)
    frame = pl.DataFrame(ROWS, schema=["caller", "ts", "region", "mb"], orient="row")
    frame = frame.with_columns(pl.col("caller").replace_strict({"a": 1, "b": 2}, default=None, return_dtype=pl.Int64))
    made = api.run(tmp_path / "p.yaml", frame.with_columns(pl.col("ts").str.to_datetime())).alerts
    keys = {view: sorted(made.filter(pl.col("view") == view)["key"].to_list()) for view in ("caller_day", "row", "group_day")}
    assert keys == {"caller_day": ["1", "2"], "row": ["1", "1", "2"], "group_day": ["one"]}


def test_live_and_with_a_state(offbeat: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped while a call without a caller is held back for others."""
    (tmp_path / "p.yaml").write_text(PIPELINE)
    lines = files(tmp_path, "ndjson").read_text().splitlines(keepends=True)
    for number, (part, more) in enumerate([(lines[:3], ()), (lines[3:6], ()), (lines[6:], ("--final",))]):
        (tmp_path / f"{number}").write_text("".join(part))
        with (tmp_path / f"{number}").open() as piece:
            monkeypatch.setattr("sys.stdin", piece)
            done = offbeat("run", tmp_path / "p.yaml", "-", "--alerts", tmp_path / "out.jsonl", "--state", tmp_path / "st", "--json", *more)
            assert done.code == 0, done.err
    assert found(read(tmp_path / "out.jsonl")) == WANTED
    assert adds_up(json.loads(done.out))


def test_one_view_alone_and_nobody_in_it(offbeat: Command, tmp_path: Path) -> None:
    """Where only windows of callers are scored, a call without one is warming up."""
    (tmp_path / "p.yaml").write_text(
        "name: p\nsource: {key: {column: caller, optional: true}, time: ts, columns: {region: text}}\n"
        "views: {day: {rollup: {key: caller, size: 1d, columns: {n: count(*)}}, detectors: {any: {type: rule, when: n > 0}}}}\n"
    )
    done = offbeat("run", tmp_path / "p.yaml", files(tmp_path, "csv"), "--json")
    figures = json.loads(done.out)
    assert (figures["scored"], figures["warming_up"], figures["late"], figures["views"]["day"]["windows"]) == (3, 3, 2, 2)


def test_without_it_they_are_missing(offbeat: Command, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(PIPELINE.replace("{column: caller, optional: true}", "caller"))
    figures = json.loads(offbeat("run", tmp_path / "p.yaml", files(tmp_path, "csv"), "--json").out)
    assert figures["quarantined"] == {"missing": 5}
    (tmp_path / "q.yaml").write_text(PIPELINE.replace("{column: caller, optional: true}", "{file: '^(.*)$', optional: true}"))
    assert "`optional` belongs to a `column`" in offbeat.refused("lint", tmp_path / "q.yaml")
