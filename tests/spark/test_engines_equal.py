"""Law 4: the same rows and pipeline give the same alerts on every engine, field by field. A gap is an xfail with its reason."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from command import DATA, Command, finished, offbeat
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it

from offbeat.spark import alerts

__all__ = ["offbeat"]
FIGURES = ("rows_in", "scored", "warming_up", "late", "duplicate", "filtered", "pending", "quarantined", "views", "alerts", "notes")
Alerts = list[dict[str, Any]]
LOOSE = {"trades": ["trade.vote.quorum=1"], "bars": ["quality.cadence=5m"], "cdr": list[str]()}
"""Settings with which there is something to compare."""


@dataclass(frozen=True)
class Rows:
    """Files of a shipped pipeline, and what the local engine says of them."""

    pipeline: str
    folder: Path
    alerts: Alerts
    figures: dict[str, Any]


@pytest.fixture(scope="module", params=["bars", "trades", "cdr"])
def rows(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Rows:
    pipeline: str = request.param
    base = tmp_path_factory.mktemp(pipeline)
    folder = base / "source"
    if pipeline == "bars":
        folder.mkdir()
        for name in ("TATACHEM.NS.csv", "BAJFINANCE.NS.csv", "SUNPHARMA.NS.csv"):
            (folder / name).write_bytes((DATA / "bars_5min" / name).read_bytes())
    elif pipeline == "trades":
        folder.mkdir()
        for name in ("AIG_2013-10-07_11.trades.csv.gz", "IBM_2013-10-07_08.trades.csv.gz"):
            _head(DATA / "trades" / name, folder / name.removesuffix(".gz"), 3_000)
    else:
        done = finished("generate", "cdr", "--out", folder, "--rows", 8_000, "--days", 40, "--customers", 40)
        assert done.code == 0, done.err
    done = finished("run", pipeline, folder, *_set(pipeline), "--alerts", base / "local.jsonl", "--json")
    assert done.code == 0, done.err
    found = read(base / "local.jsonl")
    assert len(found) > 100, "too few alerts: nothing is compared"
    return Rows(pipeline, folder, found, json.loads(done.out))


def _set(pipeline: str) -> list[str]:
    return [word for override in LOOSE[pipeline] for word in ("--set", override)]


def _head(source: Path, target: Path, count: int) -> None:
    with gzip.open(source, "rt") as lines:
        target.write_text("".join(islice(lines, count + 1)))


def read(file: Path) -> Alerts:
    return ordered([json.loads(line) for line in file.read_bytes().splitlines()])


def ordered(found: Alerts) -> Alerts:
    return sorted(found, key=lambda alert: (alert["alert_id"], alert["revision"], alert["status"]))


@pytest.mark.parametrize("buckets", [1, 3])
@pytest.mark.usefixtures("spark")
def test_files(offbeat: Command, rows: Rows, buckets: int, tmp_path: Path) -> None:
    """`--engine spark` over files: alerts, the ledger, counts by detector and notes are those of the local engine."""
    out = tmp_path / "spark.jsonl"
    words = ["--engine", "spark", "--workers", buckets, *_set(rows.pipeline)]
    done = offbeat("run", rows.pipeline, rows.folder, *words, "--alerts", out, "--json")
    assert done.code == 0, done.err
    assert read(out) == rows.alerts
    figures = json.loads(done.out)
    assert {name: figures[name] for name in FIGURES} == {name: rows.figures[name] for name in FIGURES}
    assert figures["engine"] == "spark"


def _bars(spark: SparkSession, folder: Path) -> DataFrame:
    table = spark.read.csv(str(folder), header=True)
    return table.withColumn("key", F.regexp_extract(F.input_file_name(), r"([^/]+)\.csv$", 1))


def _trades(spark: SparkSession, folder: Path) -> DataFrame:
    return spark.read.csv(str(folder), header=True)


def _cdr(spark: SparkSession, folder: Path) -> DataFrame:
    return spark.read.parquet(str(folder))


TABLES: dict[str, Callable[[SparkSession, Path], DataFrame]] = {"bars": _bars, "trades": _trades, "cdr": _cdr}


def test_table(spark: SparkSession, rows: Rows) -> None:
    """`offbeat.spark.alerts` over a table of Spark's own reader."""
    table = TABLES[rows.pipeline](spark, rows.folder)
    found = alerts(table, rows.pipeline, buckets=2, overrides=LOOSE[rows.pipeline]).toArrow().to_pylist()
    assert ordered([_told(alert) for alert in found]) == [_told(alert) for alert in rows.alerts]


@pytest.mark.usefixtures("spark")
def test_paths(rows: Rows) -> None:
    """`offbeat.spark.alerts` over files gives every field, too."""
    found = alerts(rows.folder, rows.pipeline, buckets=2, overrides=LOOSE[rows.pipeline]).toArrow().to_pylist()
    assert ordered([_told(alert) for alert in found]) == [_told(alert) for alert in rows.alerts]


def _told(value: Any) -> Any:
    """Without what is null: a table has the fields of all views, a line those of its own."""
    if isinstance(value, dict):
        return {name: _told(inner) for name, inner in value.items() if inner is not None}
    return [_told(inner) for inner in value] if isinstance(value, list) else value
