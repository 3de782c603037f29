"""Labels whose from and to are dates mean local days of the pipeline's zone."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from command import Command, offbeat

from offbeat.errors import UserError
from offbeat.evaluate.labels import read_labels

__all__ = ["offbeat"]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "begin", "end", "from_", "to"),
    [
        ("UTC", "2024-03-01", "2024-03-02", "2024-03-01T00:00:00", "2024-03-03T00:00:00"),
        ("Asia/Kolkata", "2024-03-01", "2024-03-01", "2024-02-29T18:30:00", "2024-03-01T18:30:00"),
        # New York's clock goes forward on 10 March and back on 3 November.
        ("America/New_York", "2024-03-10", "2024-03-10", "2024-03-10T05:00:00", "2024-03-11T04:00:00"),
        ("America/New_York", "2024-11-03", "2024-11-03", "2024-11-03T04:00:00", "2024-11-04T05:00:00"),
        # Beirut's day of 31 March has no midnight: it begins at 01:00, as 22:00 UTC.
        ("Asia/Beirut", "2024-03-31", "2024-03-31", "2024-03-30T22:00:00", "2024-03-31T21:00:00"),
    ],
)
@pytest.mark.parametrize("form", ["csv", "text", "date", "mixed"])
def test_a_date_is_a_local_day(tmp_path: Path, zone: str, begin: str, end: str, from_: str, to: str, form: str) -> None:
    texts = {"key": ["a", "b"], "kind": ["x", "x"], "from": [begin] * 2, "to": [end] * 2}
    frame = pl.DataFrame(texts)
    if form == "date":
        frame = frame.with_columns(pl.col("from", "to").str.to_date())
    if form == "mixed":
        frame = frame.with_columns(pl.when(pl.col("key") == "b").then(pl.lit("2020-01-01T00:00:00Z")).otherwise("from").alias("from"))
    path = tmp_path / ("l.csv" if form == "csv" else "l.parquet")
    frame.write_csv(path) if form == "csv" else frame.write_parquet(path)
    event = read_labels(path, zone).events.row(0, named=True)
    assert (event["from"], event["to"]) == (utc(from_), utc(to) - timedelta(microseconds=1))
    exact = read_labels(path, zone).events["to"].to_physical()[0]
    assert exact == int(utc(to).timestamp()) * 10**9 - 1


def test_a_day_of_points(tmp_path: Path) -> None:
    frame = pl.DataFrame({"key": ["a"] * 3, "time": [date(2024, 3, d) for d in (1, 2, 3)], "label": [0, 1, 1]})
    frame.write_parquet(tmp_path / "l.parquet")
    event = read_labels(tmp_path / "l.parquet", "Africa/Algiers").events.row(0, named=True)
    assert (event["from"], event["to"]) == (utc("2024-03-01T23:00:00"), utc("2024-03-02T23:00:00"))


@pytest.mark.parametrize("wrong", ["2024-02-30", "2024-3", "01/03/2024", "9999-01-01"])
def test_what_is_no_date(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "l.csv").write_text(f"key,kind,from,to\na,x,2024-03-01,2024-03-01\na,x,{wrong},2024-03-02\n")
    with pytest.raises(UserError, match="row 2: from is"):
        read_labels(tmp_path / "l.csv", "UTC")


def test_evaluated_in_the_zone_of_the_pipeline(offbeat: Command, tmp_path: Path) -> None:
    """A customer's day of 2 March in Algiers, labelled by its date, is found; by UTC's days it would be the wrong one."""
    (tmp_path / "p.yaml").write_text(
        "name: p\nsource: {key: c, time: {column: t, zone: Africa/Algiers}, columns: {v: {type: decimal, scale: 0}}}\n"
        "views: {day: {rollup: {key: c, size: 1d, columns: {n: count(*)}}, detectors: {much: {type: rule, when: n > 5}}}}\n"
    )
    rows = [f"a,2024-03-0{d} 12:{m:02}:00,1" for d in (1, 2, 3) for m in range(9 if d == 2 else 2)]
    (tmp_path / "a.csv").write_text("c,t,v\n" + "\n".join(rows) + "\n")
    (tmp_path / "labels.csv").write_text("key,kind,from,to\na,many,2024-03-02,2024-03-02\n")
    assert offbeat("run", tmp_path / "p.yaml", tmp_path / "a.csv", "--alerts", tmp_path / "a.jsonl").code == 0
    done = offbeat("evaluate", tmp_path / "a.jsonl", tmp_path / "labels.csv", "--pipeline", tmp_path / "p.yaml", "--json")
    assert done.code == 0, done.err
    figures: dict[str, Any] = json.loads(done.out)
    assert '"recall": 1.0' in json.dumps(figures)
