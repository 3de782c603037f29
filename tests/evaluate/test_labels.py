"""Labels files in both forms; what cannot be read is named with file, row, column and value."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from offbeat.errors import UserError
from offbeat.evaluate.generate_trades import generate_trades
from offbeat.evaluate.labels import EVENTS, POINTS, read_labels

SECOND = 1_000_000_000


def put(folder: Path, *lines: str, name: str = "l.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def plain(events: pl.DataFrame) -> list[tuple[str, str, int, int]]:
    assert events.schema == EVENTS
    return events.cast({"from": pl.Int64, "to": pl.Int64}).rows()


def test_every_way_to_write_a_time(tmp_path: Path) -> None:
    """1381152600 s after 1970 is 2013-10-07 13:30:00 UTC."""
    written = [
        "2013-10-07T13:30:00.000000001Z",
        "2013-10-07T13:30:00.5+00:00",
        "2013-10-07 19:00:01+05:30",
        "1381152602000000000",
        "2013-10-07 13:30:03",
        "2013-10-07T13:30:04.25",
    ]
    path = put(tmp_path, "kind,to,from,key,more", *(f"x,{text},{text},007,?" for text in written))
    base = 1_381_152_600 * SECOND
    wanted = [base + 1, base + SECOND // 2, base + SECOND, base + 2 * SECOND, base + 3 * SECOND, base + 17 * SECOND // 4]
    labels = read_labels(path)
    assert plain(labels.events) == [("007", "x", time, time) for time in wanted]
    assert labels.points is None


def test_times_without_zone_are_local(tmp_path: Path) -> None:
    path = put(tmp_path, "key,kind,from,to", "a,x,2013-10-07 19:00:00,2013-10-07T13:30:01Z")
    assert plain(read_labels(path, "Asia/Kolkata").events) == [("a", "x", 1_381_152_600 * SECOND, 1_381_152_601 * SECOND)]
    naive = datetime(2013, 10, 7, 19)
    pl.DataFrame({"key": ["a"], "kind": ["x"], "from": [naive], "to": [naive]}).write_parquet(tmp_path / "l.parquet")
    assert plain(read_labels(tmp_path / "l.parquet", "Asia/Kolkata").events) == [("a", "x", 1_381_152_600 * SECOND, 1_381_152_600 * SECOND)]


@pytest.mark.parametrize("kind", [pl.Datetime("ms", "America/New_York"), pl.Datetime("us", "UTC"), pl.Datetime("ns", "Asia/Kolkata")])
def test_parquet_types(tmp_path: Path, kind: pl.Datetime) -> None:
    when = pl.Series([datetime(2013, 10, 7, 13, 30, tzinfo=UTC)] * 2).cast(kind)
    ns = 1_381_152_600 * SECOND
    table = pl.DataFrame({"key": [2, 1], "kind": pl.Series(["y", "x"], dtype=pl.Categorical), "from": when, "to": [ns, ns]})
    table.write_parquet(tmp_path / "l.parquet")
    assert plain(read_labels(tmp_path / "l.parquet").events) == [("1", "x", ns, ns), ("2", "y", ns, ns)]


def test_sorted_by_key_and_time(tmp_path: Path) -> None:
    path = put(tmp_path, "key,kind,from,to", "b,x,5,6", "a,y,9,9", "a,x,3,30")
    assert plain(read_labels(path).events) == [("a", "x", 3, 30), ("a", "y", 9, 9), ("b", "x", 5, 6)]


def test_a_label_for_each_time(tmp_path: Path) -> None:
    """Odd neighbours are one event; the key ends it, too, and rows need not be in order."""
    lines = ["a,1,0", "a,2,1", "a,3,true", "a,4,0", "a,6,1", "b,1,1", "b,3,FALSE", "a,5,1"]
    labels = read_labels(put(tmp_path, "key,time,label", *lines))
    assert plain(labels.events) == [("a", "anomaly", 2, 3), ("a", "anomaly", 5, 6), ("b", "anomaly", 1, 1)]
    assert labels.points is not None
    assert labels.points.schema == POINTS
    assert labels.points["label"].to_list() == [False, True, True, False, True, True, True, False]
    assert labels.points["time"].cast(pl.Int64).to_list() == [1, 2, 3, 4, 5, 6, 1, 3]


def test_only_odd_times(tmp_path: Path) -> None:
    labels = read_labels(put(tmp_path, "key,time,label", "a,7,1", "a,2,1"))
    assert plain(labels.events) == [("a", "anomaly", 2, 2), ("a", "anomaly", 7, 7)]


@pytest.mark.parametrize("kind", [pl.Boolean, pl.Int8, pl.Float64])
def test_labels_of_any_type(tmp_path: Path, kind: type[pl.DataType]) -> None:
    table = pl.DataFrame({"key": ["a", "a"], "time": [1, 2], "label": pl.Series([1, 0]).cast(kind)})
    table.write_parquet(tmp_path / "l.parquet")
    assert plain(read_labels(tmp_path / "l.parquet").events) == [("a", "anomaly", 1, 1)]


def test_no_labels_at_all(tmp_path: Path) -> None:
    assert plain(read_labels(put(tmp_path, "key,kind,from,to")).events) == []
    labels = read_labels(put(tmp_path, "key,time,label"))
    assert plain(labels.events) == []
    assert labels.points is not None


@pytest.mark.parametrize("name", ["l.csv", "l.parquet"])
def test_labels_of_generated_trades(tmp_path: Path, name: str) -> None:
    made = generate_trades(tmp_path / "t.csv", tmp_path / name, rows=30_000, symbols=2, seed=1)
    events = read_labels(tmp_path / name).events
    assert events.height == made.anomalies > 5
    times = pl.read_csv(tmp_path / "t.csv")["ts_recv"].str.to_datetime("%+", time_unit="ns", time_zone="UTC")
    assert pl.concat([events["from"], events["to"]]).is_in(times.implode()).all()


def test_packed(tmp_path: Path) -> None:
    (tmp_path / "l.csv.gz").write_bytes(gzip.compress(b"key,kind,from,to\na,x,1,2\n"))
    assert plain(read_labels(tmp_path / "l.csv.gz").events) == [("a", "x", 1, 2)]


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["key,kind,from", "a,x,1"], "this one has key, kind, from"),
        (["key,kind,from,to", "a,x,1,2", "b,x,soon,9"], ", row 2: from is 'soon'; expected a time such as"),
        (["key,kind,from,to", "a,x,2300-01-01T00:00:00Z,9"], ", row 1: from is '2300-01-01T00:00:00Z'"),
        (["key,kind,from,to", "a,x,2300-01-01T00:00:00,9"], ", row 1: from is '2300-01-01T00:00:00'"),
        (["key,kind,from,to", "a,x,1,99999999999999999999"], ", row 1: to is '99999999999999999999'"),
        (["key,kind,from,to", "a,x,1,"], ", row 1: to is missing"),
        (["key,kind,from,to", ",x,1,2"], ", row 1: key is missing"),
        (["key,kind,from,to", "a,x,1,2", "a,,1,2"], ", row 2: kind is missing"),
        (["key,kind,from,to", "a,x,1,2", "a,x,4,3"], ", row 2: to is '3'; expected an end at or after the beginning, 4"),
        (["key,time,label", "a,1,0", "a,2,maybe"], ", row 2: label is 'maybe'; expected 0 or 1"),
        (["key,time,label", "a,1,2"], ", row 1: label is '2'"),
        (["key,time,label", "a,1,"], ", row 1: label is missing"),
        (["key,kind,from,to", "a,x,1,2,3"], "cannot read labels from"),
    ],
)
def test_refusals(tmp_path: Path, lines: list[str], why: str) -> None:
    path = put(tmp_path, *lines)
    with pytest.raises(UserError) as error:
        read_labels(path)
    assert why in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_hold_no_labels(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").write_bytes(b"")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and no more")
    put(tmp_path, "x", name="l.txt")
    for name, why in (
        ("gone.csv", "it does not exist"),
        ("", "it is a folder"),
        ("empty.csv", "the file is empty"),
        ("broken.parquet", "cannot read labels"),
        ("l.txt", "are read from .csv"),
    ):
        with pytest.raises(UserError, match=why) as error:
            read_labels(tmp_path / name)
        assert "\n" not in str(error.value)


def test_parquet_columns_of_another_type(tmp_path: Path) -> None:
    path = tmp_path / "l.parquet"
    fine = pl.DataFrame({"key": ["a"], "kind": ["x"], "from": [1], "to": [2]})
    fine.with_columns(pl.lit(1.5).alias("to")).write_parquet(path)
    with pytest.raises(UserError, match="column 'to' is Float64, not a time"):
        read_labels(path)
    fine.with_columns(pl.lit(1.5).alias("key")).write_parquet(path)
    with pytest.raises(UserError, match="column 'key' is Float64, not text"):
        read_labels(path)
    far = pl.Series([2**60]).cast(pl.Datetime("ms", "UTC"))
    fine.with_columns(far.alias("to")).write_parquet(path)
    with pytest.raises(UserError, match="row 1: to"):
        read_labels(path)
