"""Tables of a run: values worked out by hand, what is refused and replaced, late files, dimensions."""

from __future__ import annotations

import random
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from command import Command, offbeat
from fenced import blocks
from folders import DOCS
from table_files import DAY, SCHEMA, read, some, written

from offbeat import UserError, run
from offbeat.io.write.tables.open import open_tables
from offbeat.spec.document import read_document
from offbeat.spec.lint import lint
from offbeat.spec.load import load_plan

__all__ = ["offbeat"]
PIPELINE: dict[str, Any] = {
    "name": "calls",
    "source": {
        "key": "who",
        "time": {"column": "at", "zone": "Asia/Tokyo"},
        "columns": {"mb": {"type": "decimal", "scale": 0}, "region": "text"},
    },
    "views": {
        "day": {
            "rollup": {"key": "who", "size": "1d", "columns": {"mb": "sum(mb)"}},
            "windows": {"before": {"over": "1 rows", "features": {"last": "last(mb)"}}},
            "detectors": {"more": {"type": "rule", "when": "mb > last"}},
        },
        "hour": {
            "rollup": {"key": "region", "size": "1h", "columns": {"mb": "sum(mb)"}, "fill": "none"},
            "detectors": {"much": {"type": "rule", "when": "mb > 100"}, "few": {"type": "rule", "when": "mb < 2"}},
        },
    },
    "tables": {
        "days": {"view": "day", "columns": ["mb", "last", "more.voted", "severity", "hour.much", "hour"]},
        "flagged": {"view": "day", "where": ["more", "hour"], "columns": ["mb", "alert"]},
        "hours": {"view": "hour"},
    },
}


ROW_VIEW: dict[str, Any] = {
    "name": "b",
    "source": {"key": "k", "time": "t", "columns": {"x": "float"}},
    "views": {"v": {"detectors": {"high": {"type": "rule", "when": "x > 1"}}}},
}


def rows(*lines: tuple[str, str, int, str | None]) -> pl.DataFrame:
    return pl.DataFrame(lines, schema=["who", "at", "mb", "region"], orient="row")


@pytest.fixture(params=["", "delta:"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"{request.param}{tmp_path / 'out'}"


def test_rows_worked_out_by_hand(uri: str) -> None:
    # Tokyo is nine hours ahead: the first row of a lies on the 1st, all others on the 2nd of March.
    table = rows(
        ("a", "2024-03-01T10:00:00Z", 5, "north"), ("a", "2024-03-01T15:30:00Z", 6, "north"), ("b", "2024-03-01T15:40:00Z", 99, "north"),
        ("b", "2024-03-01T20:00:00Z", 1, "south"), ("c", "2024-03-01T21:00:00Z", 7, "south"),
    )  # fmt: skip
    run(PIPELINE, table, tables=uri)
    at = {hour: datetime(2024, 3, 1, hour, tzinfo=UTC) for hour in (15, 20)}
    much = {"region": "north", "start": at[15], "much": True, "few": False}
    few = {"region": "south", "start": at[20], "much": False, "few": True}
    first, second = {"start": datetime(2024, 2, 29, 15, tzinfo=UTC), "day": DAY}, {"start": at[15], "day": date(2024, 3, 2)}
    silent = {"last": None, "more_voted": None, "severity": None}
    louder = {"last": 5.0, "more_voted": True, "severity": pytest.approx(1 / 6)}
    assert written(uri, "days") == [
        {"who": "a", **first, "mb": 5.0, **silent, "hour_much": False, "hour": []},
        {"who": "a", **second, "mb": 6.0, **louder, "hour_much": True, "hour": [much]},
        {"who": "b", **second, "mb": 100.0, **silent, "hour_much": True, "hour": [much, few]},
        {"who": "c", **second, "mb": 7.0, **silent, "hour_much": False, "hour": []},
    ]
    assert written(uri, "flagged") == [
        {"who": "a", **second, "mb": 6.0, "alert": True},
        {"who": "b", **second, "mb": 100.0, "alert": False},
    ]
    hours = read(uri, "hours")
    assert set(hours.columns) == {"region", "start", "day", "mb", "much_score", "much_voted", "few_score", "few_voted"}
    assert hours.filter(pl.col("much_voted") | pl.col("few_voted")).height == 2
    assert hours.height == 4


def test_an_hour_over_midnight_counts_to_the_day_in_which_it_ends(tmp_path: Path) -> None:
    # Midnight of Kolkata is 18:30 UTC, hours are those of UTC.
    table = rows(
        ("a", "2024-03-01T17:40:00Z", 200, "n"), ("a", "2024-03-01T18:10:00Z", 200, "n"), ("a", "2024-03-01T18:40:00Z", 5, "n"),
        ("b", "2024-03-01T18:20:00Z", 5, "n"),
    )  # fmt: skip
    run(PIPELINE, table, tables=tmp_path / "out", overrides=["source.time.zone=Asia/Kolkata"])
    listed = {(row["who"], row["day"].day): [flag["start"].hour for flag in row["hour"]] for row in written(tmp_path / "out", "days")}
    assert listed == {("a", 1): [17], ("a", 2): [18], ("b", 1): []}


def test_a_day_is_replaced_also_by_nothing(uri: str) -> None:
    for lines, day in ((some(3), DAY), (some(5), date(2024, 3, 2)), (some(2, "b"), DAY), (some(0), date(2024, 3, 2))):
        sink = open_tables(uri, {"t": SCHEMA})
        sink.write("t", day, lines)
        sink.close()
    assert written(uri, "t") == [
        {"key": "b", "start": datetime(2024, 3, 1, tzinfo=UTC), "n": 0.0, "day": DAY},
        {"key": "b", "start": datetime(2024, 3, 1, tzinfo=UTC), "n": None, "day": DAY},
    ]


@pytest.mark.heavy
@pytest.mark.parametrize("zone", ["Asia/Tokyo", "Asia/Kolkata"])
def test_a_late_file_and_further_days_leave_what_one_run_leaves(uri: str, tmp_path: Path, zone: str) -> None:
    pipeline = {**PIPELINE, "source": {**PIPELINE["source"], "time": {"column": "at", "zone": zone}}}
    # The late file holds the day of somebody who is seen on no other, and whose calls make hours of a region loud, for all who were there.
    paths = []
    for number, (day, people) in enumerate([(1, "abc"), (2, "abc"), (3, "abc"), (5, "abc"), (2, "d")]):
        lines = [
            (who, f"2024-03-{day:02d}T{hour:02d}:00:00Z", (7 * day + 3 * hour + 11 * i) % 29 + 40 * (who == "d"), ("n", "s")[hour % 2])
            for hour in range(24)
            for i, who in enumerate(people)
        ]
        paths.append(tmp_path / f"rows-{number}.parquet")
        rows(*lines).write_parquet(paths[-1])
    whole, before = f"{uri}-whole", f"{uri}-before"
    run(pipeline, paths, tables=whole)
    run(pipeline, paths[:-1], tables=before)
    for last in range(1, len(paths) + 1):
        run(pipeline, paths[:last], tables=uri, state=tmp_path / "state")
    assert written(whole, "flagged") != written(before, "flagged")
    for table in PIPELINE["tables"]:
        assert written(uri, table) == written(whole, table)
        assert written(uri, table)


def test_any_number_of_workers_writes_the_same(tmp_path: Path) -> None:
    """Each caller was in up to five regions in any order, all of them loud at some hours: a row lists them by time, then name."""
    chance, regions = random.Random(4), ["west", "east", "north", "South", "Ödland"]
    calls = [
        (f"c{chance.randrange(9)}", f"2024-03-{day:02d}T{hour:02d}:{minute:02d}:00Z", chance.randrange(60), chance.choice(regions))
        for day in (1, 2, 3) for hour in range(24) for minute in range(20)
    ]  # fmt: skip
    rows(*calls).write_parquet(tmp_path / "rows.parquet")
    found = []
    for workers in (1, 2, 3):
        out = tmp_path / str(workers)
        run(PIPELINE, tmp_path / "rows.parquet", tables=out, workers=workers)
        found.append({table: written(out, table) for table in PIPELINE["tables"]})
    # Tokyo's 1st of March is the UTC day before from 15 h on.
    lists = {(row["who"], row["day"]): [(flag["start"], flag["region"]) for flag in row["hour"]] for row in found[0]["days"]}
    wanted: dict[tuple[str, date], set[tuple[datetime, str]]] = {}
    loud: dict[tuple[datetime, str], int] = {}
    for who, at, mb, region in calls:
        start = datetime.fromisoformat(at).replace(minute=0)
        wanted.setdefault((who, (start + timedelta(hours=9)).date()), set()).add((start, region))
        loud[start, region] = loud.get((start, region), 0) + mb
    assert lists == {key: sorted(hour for hour in hours if loud[hour] > 100 or loud[hour] < 2) for key, hours in wanted.items()}
    assert any(len({start for start, _ in hours}) < len(hours) for hours in lists.values()), "some hours of several regions"
    assert found[1] == found[0]
    assert found[2] == found[0]


def test_a_state_without_links_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    rows(("a", "2024-03-01T10:00:00Z", 5, "north")).write_parquet(path)
    run(PIPELINE, path, state=tmp_path / "state")
    with pytest.raises(UserError, match="without these tables"):
        run(PIPELINE, path, state=tmp_path / "state", tables=tmp_path / "out")


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_dimension_is_joined(tmp_path: Path, suffix: str) -> None:
    people = pl.DataFrame({"id": ["c", "a"], "age": [30, 40], "note": ["x", None]})
    path = tmp_path / f"people{suffix}"
    if suffix == ".csv":
        people.write_csv(path)
    else:
        people.write_parquet(path)
    source = rows(("a", "2024-03-01T10:00:00Z", 5, "n"), ("b", "2024-03-01T10:00:00Z", 5, "n"), ("c", "2024-03-02T10:00:00Z", 5, "n"))
    change = ["tables.days.dimension.key=id", f"tables.days.dimension.source={path}"]
    run(PIPELINE, source, tables=tmp_path / "out", overrides=change)
    joined = [(row["who"], row["age"], row["note"]) for row in written(tmp_path / "out", "days")]
    assert joined == [("a", 40, None), ("b", None, None), ("c", 30, "x")]


@pytest.mark.parametrize(
    ("frame", "change", "said"),
    [
        (None, [], "--set tables.days.dimension.source=FILE"),
        ({"who": ["a"], "x": [1]}, ["tables.days.dimension.columns=[y]"], "has no column 'y'; it has who, x"),
        ({"id": ["a"], "x": [1]}, [], "has no column 'who'"),
        ({"who": ["a", "a"], "x": [1, 2]}, [], "has 'a' twice as who"),
        ({"who": ["a"], "mb": [1]}, [], "a column 'mb'; list the `columns`"),
    ],
)
def test_dimensions_that_cannot_be_joined(tmp_path: Path, frame: dict[str, Any] | None, change: list[str], said: str) -> None:
    path = tmp_path / "people.csv"
    if frame is not None:
        pl.DataFrame(frame).write_csv(path)
    with pytest.raises(UserError) as caught:
        run(
            PIPELINE,
            rows(("a", "2024-03-01T10:00:00Z", 5, "n")),
            tables=tmp_path / "out",
            overrides=["tables.days.dimension.key=who", f"tables.days.dimension.source={path}", *change],
        )
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("tables.days.view=dya", "tables.days.view: unknown view 'dya'; did you mean 'day'?"),
        ("tables.days.columns=[mb, lats]", "tables.days.columns.1: unknown name 'lats'; did you mean 'last'?"),
        ("tables.days.columns=[mb, mb]", "'mb' would be called 'mb'"),
        ("tables.days.columns=[hour.mucho]", "unknown name 'hour.mucho'; did you mean 'hour.much'?"),
        ("tables.hours.columns=[day]", "unknown name 'day'"),  # a day does not lie within an hour
        ("tables.days.where=mor", "unknown name 'mor'; did you mean 'more'?"),
        ("tables.days.where=more.score", "unknown name 'more.score'; did you mean 'more.scored'?"),
        ("tables.days.where=7", "expected a list, got 7"),
        ("tables.days.dimension.source=x.csv", "missing key 'key'"),
        ("tables.days.clumns=[mb]", "did you mean 'columns'?"),
    ],
)
def test_mistakes_are_named(change: str, said: str) -> None:
    (problem,) = lint(PIPELINE, [change]).problems
    assert said in problem


def test_a_table_needs_a_rollup() -> None:
    (problem,) = lint({**ROW_VIEW, "tables": {"t": {"view": "v"}}}).problems
    assert "tables.t.view: view 'v' has no rollup" in problem


def test_a_pipeline_without_tables_writes_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="pipeline b has no tables"):
        run(ROW_VIEW, pl.DataFrame({"k": ["a"], "t": ["2024-03-01T10:00:00Z"], "x": [1.0]}), tables=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_tables_decide_nothing() -> None:
    with_tables, without = load_plan(PIPELINE), load_plan({**PIPELINE, "tables": {}})
    assert (with_tables.plan_hash, with_tables.state_hash) == (without.plan_hash, without.state_hash)


def test_features_that_only_a_table_reads_are_used() -> None:
    assert lint(PIPELINE).warnings == []
    columns = {"days": {"view": "day", "columns": ["mb"]}}
    views = {**PIPELINE["views"], "day": {**PIPELINE["views"]["day"], "detectors": {"more": {"type": "rule", "when": "mb > 1"}}}}
    assert "no detector uses feature 'last'" in lint({**PIPELINE, "views": views, "tables": columns}).warnings[0]
    assert lint({**PIPELINE, "views": views}).warnings == []


@pytest.mark.parametrize("scheme", ["", "delta:"])
def test_folders_that_cannot_be_written(tmp_path: Path, scheme: str, offbeat: Command) -> None:
    def refused(name: str) -> str:
        return offbeat.refused("run", "cdr", tmp_path / "none.parquet", "--tables", f"{scheme}{name}")

    pl.DataFrame({"customer_id": [1], "timestamp": ["2024-03-01T00:00:00Z"], "cdr_id": [1], "cdr_type": ["DATA"]}).write_parquet(
        tmp_path / "none.parquet"
    )
    (tmp_path / "file").write_text("precious")
    assert "name a folder" in refused(str(tmp_path / "file"))
    assert "name a folder" in refused(str(tmp_path / "file" / "x"))
    assert "s3://" in refused("s3://bucket/x")
    assert "cannot write /proc/x" in refused("/proc/x")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "zscores").write_text("precious")
    assert "there is a file of that name" in refused(str(tmp_path / "out"))
    assert (tmp_path / "out" / "zscores").read_text() == (tmp_path / "file").read_text() == "precious"
    assert "same folder twice" in offbeat.refused("run", "cdr", "x", "--tables", "a", "--tables", "delta:a/")


def test_a_table_of_another_kind_or_shape_is_left_alone(tmp_path: Path) -> None:
    kinds = [str(tmp_path / "p"), f"delta:{tmp_path / 'd'}"]
    for kind in kinds:
        sink = open_tables(kind, {"t": SCHEMA})
        sink.write("t", DAY, some(2))
        with pytest.raises(UserError, match="another run is writing there"):
            open_tables(kind, {"t": SCHEMA})
        sink.close()
        with pytest.raises(UserError, match=r"other columns \(n\)"):
            open_tables(kind, {"t": SCHEMA.remove(2)})
        with pytest.raises(UserError, match="of other types"):
            open_tables(kind, {"t": SCHEMA.set(2, pa.field("n", pa.string()))})
    with pytest.raises(UserError, match="nor a Delta table"):
        open_tables(f"delta:{tmp_path / 'p'}", {"t": SCHEMA})
    with pytest.raises(UserError, match="is a Delta table"):
        open_tables(str(tmp_path / "d"), {"t": SCHEMA})
    assert [len(written(kind, "t")) for kind in kinds] == [2, 2]


def test_deltalake_is_imported_only_for_delta_tables() -> None:
    program = "import sys, offbeat.engines.local; print('offbeat.io.write.tables.delta' in sys.modules, 'deltalake' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["True", "False"]


@pytest.mark.heavy
def test_the_page_shows_what_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offbeat: Command) -> None:
    monkeypatch.chdir(tmp_path)
    page = DOCS / "tables-out.md"
    pl.DataFrame({"customer_id": ["1"], "segment": ["x"]}).write_parquet("customers.parquet")
    for line in "".join(blocks(page, "sh")).splitlines():
        done = offbeat(*line.partition("#")[0].split()[1:])
        assert done.code == 0, done.err
    assert "segment" in read(tmp_path / "joined", "consolidated").columns
    (snippet,) = blocks(page, "python")
    shown = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, check=True).stdout
    assert "unlike_themselves" in shown
    assert "2024" in shown
    (declared,) = blocks(page, "yaml")
    cdr = read_document(files("offbeat.pipelines").joinpath("cdr.yaml").read_text()).value
    assert lint({**cdr, **read_document(declared).value}).problems == []
