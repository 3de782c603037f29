"""Texts in expressions: distinct callees, prefixes, patterns, the key; from file to alerts, held against DuckDB [R22]."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from command import DATA, Command, offbeat

from offbeat.core.distinct_sets import MOST, SetTable
from offbeat.core.text_inputs import hashes

__all__ = ["offbeat"]
PIPELINE = """\
name: calls
source:
  key: {column: caller}
  time: {column: ts}
  columns: {other: {type: text, required: false}, tower: text}
views:
  day:
    rollup:
      key: caller
      size: 1d
      columns:
        callees: count(DISTINCT other)
        abroad: count(DISTINCT CASE WHEN other NOT LIKE '+213%' THEN prefix(other, 4) END)
        near: sum(other LIKE '+21355_1%')
    detectors: {any: {type: rule, when: callees >= 0}}
  tower_hour:
    rollup:
      key: tower
      size: 1h
      where: "key <> 'c0' AND prefix(key, 1) IN ('c', 'd')"
      columns: {callers: count(DISTINCT key), n: count(*)}
    detectors: {any: {type: rule, when: "n > 0 AND (key LIKE 't%' OR key = 'x')"}}
  row:
    windows: {last: {over: 5 rows, current: true, min_rows: 1, features: {kinds: count(DISTINCT other)}}}
    detectors: {any: {type: rule, when: "kinds >= 3 AND key NOT LIKE '%1' AND prefix(tower, 2) = 't1'"}}
"""
DAYS = """
SELECT caller AS key, count(DISTINCT other)::DOUBLE AS callees,
  count(DISTINCT CASE WHEN other NOT LIKE '+213%' THEN left(other, 4) END)::DOUBLE AS abroad,
  count(*) FILTER (other LIKE '+21355_1%')::DOUBLE AS near
FROM calls GROUP BY caller, ts::DATE ORDER BY ALL
"""
HOURS = """
SELECT tower AS key, count(DISTINCT caller)::DOUBLE AS callers, count(*)::DOUBLE AS n
FROM calls WHERE caller <> 'c0' AND left(caller, 1) IN ('c', 'd') AND (tower LIKE 't%' OR tower = 'x')
GROUP BY tower, date_trunc('hour', ts) ORDER BY ALL
"""
ROWS = """
SELECT key, kinds FROM (
  SELECT caller AS key, tower, len(list_distinct(list(other) OVER w))::DOUBLE AS kinds
  FROM calls WINDOW w AS (PARTITION BY caller ORDER BY ts, n ROWS 4 PRECEDING))
WHERE kinds >= 3 AND key NOT LIKE '%1' AND left(tower, 2) = 't1' ORDER BY ALL
"""


def calls(count: int = 3000) -> pl.DataFrame:
    chance = random.Random(4)
    others = [None, "", *(f"+2135{chance.randrange(50, 60)}{n % 3}{n:03}" for n in range(60)), *(f"+3{n:02}\u00e9%{n}" for n in range(20))]
    return pl.DataFrame(
        {
            "n": range(count),
            "caller": [f"{chance.choice('cde')}{chance.randrange(5)}" for _ in range(count)],
            "ts": [f"2024-03-0{1 + i * 3 // count}T{i * 72 // count % 24:02}:{i % 60:02}:{i // 60 % 60:02}" for i in range(count)],
            "other": [chance.choice(others) or None for _ in range(count)],
            "tower": [chance.choice(["t1", "t10", "t2", "x", "y"]) for _ in range(count)],
        }
    ).sort("ts", maintain_order=True)


def write(path: Path, frame: pl.DataFrame) -> Path:
    if path.suffix == ".parquet":
        frame.with_columns(pl.col("ts").str.to_datetime()).write_parquet(path)
    elif path.suffix == ".ndjson":
        frame.write_ndjson(path)
    else:
        frame.write_csv(path)
    return path


def found(path: Path, view: str, *names: str) -> list[tuple[Any, ...]]:
    last = {a["alert_id"]: a for a in map(json.loads, path.read_text().splitlines()) if a["view"] == view}
    both = [(a["key"], a["row"] | a["window"]["statistics"] if a["window"] else a["row"]) for a in last.values()]
    return sorted((key, *(float(values[name]) for name in names)) for key, values in both)


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".ndjson"])
def test_as_duckdb_has_it(offbeat: Command, tmp_path: Path, ending: str) -> None:
    frame = calls()
    (tmp_path / "p.yaml").write_text(PIPELINE)
    done = offbeat("run", tmp_path / "p.yaml", write(tmp_path / f"a{ending}", frame), "--alerts", tmp_path / "a.jsonl")
    assert done.code == 0, done.err
    with duckdb.connect() as con:
        con.register("calls", frame.with_columns(pl.col("ts").str.to_datetime()).to_arrow())
        days, hours, rows = (con.execute(query).fetchall() for query in (DAYS, HOURS, ROWS))
    assert found(tmp_path / "a.jsonl", "day", "callees", "abroad", "near") == sorted(days)
    assert found(tmp_path / "a.jsonl", "tower_hour", "callers", "n") == sorted(hours)
    assert [key for key, in found(tmp_path / "a.jsonl", "row")] == sorted(key for key, _ in rows)
    assert min(len(days), len(hours), len(rows)) > 30


@pytest.mark.heavy
def test_with_a_state_and_other_workers(offbeat: Command, tmp_path: Path) -> None:
    """Sets within the state, in closed windows, and added up over shards, above and below 256 values; a late file among them."""
    many = calls(9000).with_columns(other=pl.format("+{}", pl.col("n") % 700), caller=pl.lit("c") + (pl.col("n") % 4).cast(pl.String))
    many = many.with_columns(tower=pl.lit("t1"))
    (tmp_path / "p.yaml").write_text(
        PIPELINE.replace("key: caller\n      size", "key: tower\n      size")
    )
    source = tmp_path / "in"
    source.mkdir()
    once = tmp_path / "once.jsonl"
    write(tmp_path / "all.parquet", many)
    assert offbeat("run", tmp_path / "p.yaml", tmp_path / "all.parquet", "--alerts", once, "--workers", 3).code == 0
    late = many.filter(pl.col("caller") == "c3")
    rest = many.filter(pl.col("caller") != "c3")
    for number, part in enumerate([*(rest.filter(pl.col("ts").str.starts_with(f"2024-03-0{d}")) for d in (1, 2, 3)), late]):
        write(source / f"{number}.parquet", part)
        args = ("run", tmp_path / "p.yaml", source, "--alerts", tmp_path / "a.jsonl", "--state", tmp_path / "st", "--workers", 2)
        assert offbeat(*args).code == 0
    for view, names in (("day", ("callees", "abroad", "near")), ("tower_hour", ("callers", "n"))):
        assert found(tmp_path / "a.jsonl", view, *names) == found(once, view, *names)
    assert {abs(callees / 700 - 1) < 0.07 for _, callees in found(once, "day", "callees")} == {True}


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 300, 1000, 10_000, 300_000])
def test_how_near_an_estimate_is(count: int) -> None:
    """Exact to 256; three standard errors of 2.3 % beyond, over fifty sets."""
    texts = pl.Series([f"caller {n}" for n in range(count)], dtype=pl.String)
    off = []
    for salt in range(50 if count <= 10_000 else 3):
        table = SetTable()
        table.fold(pl.zeros(count, dtype=pl.Int64, eager=True).to_numpy(), hashes(texts + f"/{salt}"))
        off.append(table.sets(1).counts()[0] - count)
    if count <= MOST:
        assert off == [0.0] * len(off)
    else:
        assert max(map(abs, off)) < 4 * 0.023 * count
        assert abs(sum(off) / len(off)) < 0.023 * count


def test_the_callees_of_the_fault(offbeat: Command) -> None:
    path = DATA / "faults" / "detectors" / "callees.yaml"
    if not path.exists():
        pytest.skip("shared data is not here")
    assert offbeat("lint", path).code == 0


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("other LIKE tower", "LIKE needs a pattern in quotes"),
        ("n LIKE 'a'", "LIKE needs a text column"),
        ("prefix(other, 0) = 'a'", "prefix() is written prefix(x, n)"),
        ("prefix(other, 1.5) = 'a'", "prefix() is written prefix(x, n)"),
        ("prefix(n, 2) = 'a'", "prefix() needs a text column"),
        ("prefix(other, 2) > 'a'", "text is compared only by"),
        ("prefix(other, 2)", "a condition is needed"),
        ("other LIKE 'a' ESCAPE 'b'", "cannot be read at 'ESCAPE'"),
        ("key = 5", "text column is compared with texts in quotes"),
        ("other IN ('a', 1)", "text column is compared with texts in quotes"),
    ],
)
def test_what_is_no_expression(offbeat: Command, tmp_path: Path, expression: str, said: str) -> None:
    text = "name: p\nsource: {key: k, time: t, columns: {other: text, tower: text, n: float}}\n"
    (tmp_path / "p.yaml").write_text(f'{text}views: {{v: {{detectors: {{d: {{type: rule, when: "{expression}"}}}}}}}}\n')
    assert said in offbeat.refused("lint", tmp_path / "p.yaml")


def test_distinct_values_are_not_for_early_alerts(offbeat: Command, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(PIPELINE.replace("when: callees >= 0", "early: true, when: callees > 5"))
    assert "estimated for more than 256 values" in offbeat.refused("lint", tmp_path / "p.yaml")


def test_rows_are_chosen_by_texts(offbeat: Command, tmp_path: Path) -> None:
    """In the source's condition, too; the key is not known there."""
    (tmp_path / "p.yaml").write_text(PIPELINE.replace("source:\n", "source:\n  where: \"tower LIKE 't%' AND prefix(tower, 2) <> 't2'\"\n"))
    frame = calls(500)
    done = offbeat("run", tmp_path / "p.yaml", write(tmp_path / "a.csv", frame), "--json")
    assert json.loads(done.out)["filtered"] == frame.filter(~pl.col("tower").is_in(["t1", "t10"])).height > 100
    (tmp_path / "q.yaml").write_text(PIPELINE.replace("source:\n", "source:\n  where: \"key LIKE 't%'\"\n"))
    assert "unknown column 'key'" in offbeat.refused("lint", tmp_path / "q.yaml")
