"""What a batch on Spark does with odd rows and files, with outputs, and with what it cannot do: as the local engine, or one clear line."""

from __future__ import annotations

import json
import stat
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pyspark
import pytest
from command import Command, offbeat
from pyspark.sql import SparkSession

from offbeat.engines.spark.batch import SparkBatch
from offbeat.engines.spark.parts import Outputs
from offbeat.engines.spark.session import ours
from offbeat.errors import UserError
from offbeat.io.read.alert_files import read_alerts
from offbeat.io.read.file_source import FileSource
from offbeat.spark import alerts
from offbeat.spec.load import load_plan

__all__ = ["offbeat"]
PIPELINE = """
name: odd
source: {key: who, time: {column: at, zone: UTC}, columns: {id: {type: decimal, scale: 0}, mb: {type: decimal, scale: 2}, place: text}}
quality: {unique: [time, id], rules: {volume: mb >= 0}, lateness: 30m, max_jump: 2d}
views:
  row:
    windows: {w: {over: 3 rows, features: {m: mean(mb)}}}
    detectors: {high: {type: rule, when: mb > 2 * m, expected: m}}
  place:
    rollup: {key: place, size: 1h, fill: zero, columns: {total: sum(mb), n: count(*), elsewhere: sum(place = 'P0')}}
    windows: {past: {over: 6h, min_rows: 1, features: {usual: mean(total)}}}
    detectors: {much: {type: rule, when: total > 1.5 * usual}, other: {type: rule, when: elsewhere > 0}}
  who:
    rollup: {key: who, size: 1h, columns: {n: count(*)}}
    windows: {past: {over: 6h, min_rows: 1, features: {usual: mean(n)}}}
    detectors: {gone: {type: absence, min_history: 2, limit: 0.5}}
"""
HEADER = "at,who,id,mb,place\n"
FIGURES = ("rows_in", "scored", "warming_up", "late", "duplicate", "filtered", "pending", "quarantined", "views", "alerts", "notes")


def _rows(first: int, last: int, step: int = 1) -> list[str]:
    """One key has half of all rows; places and volumes come and go."""
    made = []
    for i in range(first, last, step):
        who = "busy" if i % 2 else f"k{i % 12}"
        if who == "k4" and i > 300:
            continue  # it falls silent
        mb = i * 7 % 11 + (40 if i % 97 == 0 else 0)
        made.append(f"2024-01-0{1 + i // 360}T{i // 15 % 24:02}:{i % 15 * 4:02}:00Z,{who},{i},{mb},p{i % 3}")
    return made


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two files of overlapping times, one of them twice, another without rows; with faults, late rows, duplicates and conflicts."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd.yaml").write_text(PIPELINE)
    source = tmp_path / "source"
    source.mkdir()
    odd = [*_rows(0, 700, 2), "x,k1,5,1,p1", "2024-01-02T00:00:00Z,k1,7,much,p1", "2024-01-02T00:00:00Z,,8,1,p1"]
    odd += ["2024-01-02T00:00:00Z,k1,9,-1,p1", "2031-01-01T00:00:00Z,k2,1000,1,p1", "2024-01-01T01:00:00Z,k2,1,1,p1"]
    odd += [_rows(698, 699)[0], "2024-01-02T22:32:00Z,k2,698,99,p2"]
    (source / "a.csv").write_text(HEADER + "\n".join(odd) + "\n")
    (source / "b.csv").write_text(HEADER + "\n".join(_rows(1, 700, 2)) + "\n")
    (source / "c.csv").write_text((source / "a.csv").read_text())
    (source / "d.csv").write_text(HEADER)
    return tmp_path


def _figures(out: str) -> dict[str, object]:
    figures = json.loads(out)
    return {name: figures[name] for name in FIGURES}


def _quarantine(path: Path) -> list[dict[str, object]]:
    columns = ["file", "row", "reason", "key", "time", "raw", "header", "detail"]
    rows = pl.read_parquet(path).with_columns(pl.col(pl.Categorical).cast(pl.String))
    return rows.select(columns).sort("file", "row", "reason").to_dicts()


@pytest.mark.usefixtures("spark")
def test_odd_rows_and_files(offbeat: Command, here: Path) -> None:
    """Overlapping files are merged, one that is there twice counts once, faults go to the quarantine with their text: as everywhere."""
    said = []
    for name, words in (("local", []), ("spark", ["--engine", "spark", "--workers", 3])):
        own = ["--alerts", here / f"{name}.jsonl", "--quarantine", here / f"{name}.parquet", "--json"]
        done = offbeat("run", "odd.yaml", "source", *own, *words)
        assert done.code == 0, done.err
        said.append(_figures(done.out))
    assert said[1] == said[0]
    assert "no row has place = 'P0'" in str(said[0]["notes"])
    quarantined = said[0]["quarantined"]
    assert isinstance(quarantined, dict)
    assert set(quarantined) == {"conflict", "future", "missing", "time", "type", "volume"}
    assert (said[0]["late"], said[0]["duplicate"]) == (1, 1)
    found = [sorted((here / f"{name}.jsonl").read_bytes().splitlines()) for name in ("local", "spark")]
    assert found[0] == found[1]
    assert {json.loads(line)["view"] for line in found[0]} == {"row", "place", "who"}
    assert _quarantine(here / "local.parquet") == _quarantine(here / "spark.parquet")
    origins = [pl.read_parquet(here / f"{name}.jsonl.provenance.parquet").sort("alert_id", "row") for name in ("local", "spark")]
    assert origins[0].to_dicts() == origins[1].to_dicts()


@pytest.mark.usefixtures("spark")
def test_outputs(offbeat: Command, here: Path) -> None:
    """Parquet is a folder of parts, which the next batch replaces; what else is there is not touched, and nothing half-written stays."""
    command = ["run", "odd.yaml", "source/b.csv", "--engine", "spark", "--workers", 2, "--alerts", "out.parquet"]
    before = sorted(path.name for path in here.iterdir())
    for _ in range(2):
        done = offbeat(*command, "--alerts", "out.jsonl", "--json")
        assert done.code == 0, done.err
        count = json.loads(done.out)["alerts"]
        assert read_alerts("out.parquet").height == len((here / "out.jsonl").read_bytes().splitlines()) == count > 0
    outputs = ["out.jsonl", "out.jsonl.provenance.parquet", "out.parquet", "out.parquet.provenance.parquet"]
    assert sorted(path.name for path in here.iterdir()) == sorted([*before, *outputs])
    assert "worst" not in offbeat("explain", "worst", "--alerts", "out.parquet", "--pipeline", "odd.yaml").err
    (here / "out.parquet" / "mine.txt").write_text("mine")
    assert "holds something else" in offbeat.refused(*command)
    (here / "out.parquet" / "mine.txt").unlink()
    # A task that fails says so in its own words, and leaves nothing.
    (here / "bad.csv.gz").write_bytes(b"\x1f\x8b\x08\x00" + b"\x00" * 40)
    kept = sorted(path.name for path in here.iterdir())
    said = offbeat("run", "odd.yaml", "bad.csv.gz", "--engine", "spark", "--alerts", "new.jsonl")
    assert said.code == 2, said
    assert "bad.csv.gz" in said.err.splitlines()[-1]
    assert sorted(path.name for path in here.iterdir()) == kept


def test_a_batch_that_is_stopped(spark: SparkSession, here: Path) -> None:
    """Whenever it is asked to stop, nothing of it stays, and the session goes on."""
    plan = load_plan(here / "odd.yaml")
    before = sorted(path.name for path in here.iterdir())
    source = FileSource(plan.source, ["source"])
    batch = SparkBatch(spark, plan, source, Outputs(source.files, ["out.jsonl", "out.parquet"], None), buckets=2)
    batch.stop()
    assert not batch.run().complete
    assert sorted(path.name for path in here.iterdir()) == before
    assert spark.range(3).count() == 3


def test_a_table_of_no_rows(spark: SparkSession, here: Path) -> None:
    table = spark.createDataFrame([], "at string, who string, id bigint, mb double, place string")
    assert alerts(table, here / "odd.yaml", buckets=3).count() == 0


def test_a_table_without_a_column(spark: SparkSession, here: Path) -> None:
    """Said in one line, before anything is read."""
    table = spark.createDataFrame([("2024-01-01", "k")], "at string, who string")
    with pytest.raises(UserError, match="column 'id' is missing"):
        alerts(table, here / "odd.yaml")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--tables", "t"], "--tables is not for --engine spark"),
        (["--state", "s"], "--state is not for --engine spark"),
        (["--append"], "--append is not for --engine spark"),
        (["-"], "standard input cannot be read by a cluster"),
        (["--alerts", "kafka://h:1/t"], "writes FILE.jsonl, FILE.parquet and hive://"),
        (["--alerts", "source/a.csv.jsonl", "--quarantine", "source/b.csv"], "the quarantine is a Parquet file"),
    ],
)
@pytest.mark.usefixtures("here")
def test_what_it_does_not_do(offbeat: Command, words: Sequence[str], said: str) -> None:
    assert said in offbeat.refused("run", "odd.yaml", *(["source"] if "-" not in words else []), "--engine", "spark", *words)


@pytest.mark.usefixtures("here")
def test_master_without_spark(offbeat: Command) -> None:
    assert "--master is for --engine spark" in offbeat.refused("run", "odd.yaml", "source", "--master", "local[2]")


@pytest.mark.usefixtures("here")
def test_no_java(offbeat: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No Java on the PATH, none where JAVA_HOME says, one that is too old, and one that is none."""
    command = ["run", "odd.yaml", "source", "--engine", "spark"]
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "no `java` on the PATH" in offbeat.refused(*command)
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert f"JAVA_HOME is {tmp_path}, and there is no bin/java in it" in offbeat.refused(*command)
    for version, said in (("11.0.2", "is of version 11"), ("1.8.0_392", "is of version 8")):
        java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2019-01-15' >&2\n")
        java.chmod(stat.S_IRWXU)
        assert said in offbeat.refused(*command)
    java.write_text("#!/bin/sh\necho no >&2\n")
    assert "-version` says 'no'" in offbeat.refused(*command)


@pytest.mark.usefixtures("here")
def test_another_version_of_spark(offbeat: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyspark, "__version__", "3.5.1")
    assert "PySpark is of version 3.5.1; this offbeat runs on 4.2" in offbeat.refused("run", "odd.yaml", "source", "--engine", "spark")


def test_what_workers_lack_is_said() -> None:
    """The words are PySpark's own."""
    lacking = "An exception was thrown from the Python worker:\nTraceback:\nModuleNotFoundError: No module named 'numpy'\n"
    for text, said in ((lacking, "has no module 'numpy'"), ("[PYTHON_VERSION_MISMATCH] Python in worker has 3.9", "is of another version")):
        found = ours(RuntimeError(text))
        assert said in str(found)
        assert "spark.pyspark.python" in str(found)
    assert ours(RuntimeError("java.lang.OutOfMemoryError: Java heap space")) is None
