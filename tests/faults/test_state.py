"""Faults of states: files are known again however they are spelled, and a state that cannot be gone on with says so in one line with a
way on.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from command import DATA, Command, offbeat
from small_runs import csv, day, feed, here, line, ran, times

from offbeat.core.state import decode, encode
from offbeat.engines.local import LocalEngine
from offbeat.io.read.file_source import FileSource
from offbeat.spec.load import load_plan

__all__ = ["feed", "here", "offbeat"]
pytestmark = pytest.mark.usefixtures("here")


# -- files known by path and content -----------------------------------------------------------------------------------------------------


@pytest.mark.heavy
@pytest.mark.parametrize("spelled", ["in", "./in", "../{name}/in", "{absolute}", "link", "in/*.csv"])
def test_a_correction_under_another_spelling_of_the_path(offbeat: Command, here: Path, spelled: str) -> None:
    for number in range(1, 10):
        csv(f"in/d{number}.csv", *day(number, 1, 1))
    Path("link").symlink_to("in")
    assert ran(offbeat, "days.yaml", "in", "--alerts", "a.jsonl", "--state", "st")["alerts"] == 0
    csv("in/d5.csv", *day(5, 9, 9, 9))
    name = spelled.format(name=here.name, absolute=here / "in")
    figures = ran(offbeat, "days.yaml", name, "--alerts", "a.jsonl", "--state", "st")
    assert (figures["rows_in"], figures["late"]) == (19, 0)
    assert times("a.jsonl") == ["01-05T00"]


def test_size_and_time_of_change_do_not_say_that_a_file_was_read(offbeat: Command) -> None:
    paths = [csv(f"in/d{number}.csv", *day(number, 1, 1)) for number in range(1, 6)]
    ran(offbeat, "days.yaml", "in", "--alerts", "a.jsonl", "--state", "st")
    before = paths[2].stat()
    csv(paths[2], *day(3, 9, 9))
    os.utime(paths[2], ns=(before.st_atime_ns, before.st_mtime_ns))
    assert paths[2].stat().st_size == before.st_size
    ran(offbeat, "days.yaml", "in", "--alerts", "a.jsonl", "--state", "st")
    assert times("a.jsonl") == ["01-03T00"]


def test_a_file_corrected_again_while_a_correction_is_worked_in() -> None:
    plan = load_plan("days.yaml")

    def run(stop: int = 0) -> Any:
        engine = LocalEngine(plan, FileSource(plan.source, ["in"]), alerts=["a.jsonl"], state=Path("st"), commit_seconds=0.0)
        seen = iter(range(1, 1000))
        return engine.run(lambda _: engine.stop() if next(seen) == stop else None)

    for number in range(1, 11):
        csv(f"in/d{number:02d}.csv", *day(number, 1, 1))
    run()
    csv("in/d03.csv", *day(3, 9, 9))
    assert not run(2).complete
    csv("in/d06.csv", *day(6, 9, 9))
    assert not run(3).complete
    result = run()
    assert (result.complete, result.ledger.rows_in, result.ledger.late) == (True, 20, 0)
    assert times("a.jsonl") == ["01-03T00", "01-06T00"]
    csv("in/d06.csv", *day(6, 1, 1))
    run()
    assert times("a.jsonl") == ["01-03T00"]


@pytest.mark.heavy
@pytest.mark.parametrize(("into", "ending"), [([(1, 2, 3, 4)], "csv"), ([(1, 2), (3, 4)], "parquet"), ([(2, 4), (1, 3)], "ndjson")])
@pytest.mark.parametrize("pipeline", ["p.yaml", "days.yaml"])
def test_rows_put_into_other_files_between_nights(offbeat: Command, pipeline: str, into: Sequence[Sequence[int]], ending: str) -> None:
    """The night after, nothing is new; and a correction of a later day, or of these, goes on."""
    for number in (1, 2, 3, 4):
        csv(f"in/d{number}.csv", *day(number, 1, 0.5 * number))
    args = [pipeline, "in", "--alerts", "a.jsonl", "--state", "st"]
    first = ran(offbeat, *args)
    frames = {n: pl.read_csv(f"in/d{n}.csv") for n in (1, 2, 3, 4)}
    for path in Path("in").iterdir():
        path.unlink()
    for name, group in enumerate(into):
        frame = pl.concat([frames[n] for n in group])
        getattr(frame, f"write_{ending}")(f"in/all{name}.{ending}")
    again = ran(offbeat, *args)
    assert [again[name] for name in ("rows_in", "late", "duplicate", "alerts")] == [first["rows_in"], 0, 0, 0]
    assert [note for note in again["notes"] if "read before" in note]
    csv("in/d5.csv", *day(5, 1, 1))
    later = ran(offbeat, *args)
    assert (later["rows_in"], later["late"]) == (10, 0)
    assert not [note for note in later["notes"] if "rows of" in note or "overlaps" in note]
    if pipeline == "days.yaml":
        csv("in/d5.csv", *day(5, 9, 9))
        ran(offbeat, *args)
        assert times("a.jsonl") == ["01-05T00"]


def _ndjson(path: str, rows: Sequence[tuple[str, float]]) -> None:
    Path(path).write_bytes(b"".join(line(ts, p) for ts, p in rows))


def _parquet(path: str, rows: Sequence[tuple[str, float]]) -> None:
    pl.DataFrame({"k": ["a"] * len(rows), "ts": [ts for ts, _ in rows], "p": [p for _, p in rows]}).write_parquet(path)


def _packed(path: str, rows: Sequence[tuple[str, float]]) -> None:
    Path(path).write_bytes(gzip.compress(b"k,ts,p\n" + b"".join(f"a,{ts},{p}\n".encode() for ts, p in rows)))


WRITERS: dict[str, Callable[[str, Sequence[tuple[str, float]]], object]] = {
    "csv": lambda path, rows: csv(path, *rows),
    "ndjson": _ndjson,
    "parquet": _parquet,
    "csv.gz": _packed,
}


@pytest.mark.heavy
@pytest.mark.parametrize(("ending", "order"), [("csv", 1), ("csv", 2), ("ndjson", 2), ("parquet", 1), ("parquet", 2), ("csv.gz", 1)])
def test_a_file_that_grew_does_not_alert_again_on_its_former_last_row(offbeat: Command, ending: str, order: int) -> None:
    """Two files grow in turns: of each only what was added is read."""
    a, b = day(1, 2, 2, 2, 2), [("2024-01-01T00:30:00", 2.0), ("2024-01-01T02:30:00", 2.0)]
    write = WRITERS[ending]
    args = ["p.yaml", "in", "--alerts", "al.jsonl", "--state", "st"]
    Path("in").mkdir()
    for rows in (1, 2, 2, 3, 4):
        write(f"in/a.{ending}", a[:rows])
        if order == 2 and rows > 1:
            write(f"in/b.{ending}", b[: rows // 2])
        figures = ran(offbeat, *args)
        assert figures["late"] == 0
    assert figures["rows_in"] == (4 if order == 1 else 4 + len(b))
    assert len(times("al.jsonl")) == figures["rows_in"]
    origins = pl.read_parquet("al.jsonl.provenance.parquet/*.parquet").filter(pl.col("file").str.contains("in/a"))
    assert sorted(origins["row"]) == [1, 2, 3, 4]


# -- states ------------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def whole(offbeat: Command, here: Path) -> Path:
    """A state of three days."""
    assert here == Path.cwd()
    for number in (1, 2, 3):
        csv(f"in/d{number}.csv", *day(number, 9, 9))
    ran(offbeat, "days.yaml", "in", "--alerts", "a.jsonl", "--state", "st")
    return Path("st")


def _edit(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:

    def damage(directory: Path) -> None:
        path = directory / "state.arrow"
        arrays, document = decode(path.read_bytes(), "state")
        change(document)
        path.write_bytes(encode(arrays, document))

    return damage


def _bytes(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda directory: (directory / "state.arrow").write_bytes(change((directory / "state.arrow").read_bytes()))


def _window(change: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda directory: change(sorted((directory / "windows").iterdir())[0])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": _bytes(lambda data: data[:0]),
    "cut": _bytes(lambda data: data[: len(data) // 2]),
    "bit": _bytes(lambda data: data[:300] + bytes([data[300] ^ 4]) + data[301:]),
    "more": _bytes(lambda data: data + b"x"),
    "another file": _bytes(lambda data: b"PAR1" + data),
    "no position": _edit(lambda document: document.pop("position")),
    "no ledger of a shard": _edit(lambda document: document["shards"][0].pop("ledger")),
    "other parts": _edit(lambda document: document["shards"][0].update(keys=7)),
}


@pytest.mark.heavy
@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_state_says_so_in_one_line_and_offers_a_way_on(offbeat: Command, whole: Path, name: str) -> None:
    DAMAGES[name](whole)
    args = ["run", "days.yaml", "in", "--alerts", "a.jsonl", "--state", "st"]
    before = Path("a.jsonl").read_bytes()
    assert "--rebuild" in offbeat.refused(*args)
    assert Path("a.jsonl").read_bytes() == before
    done = offbeat(*args, "--rebuild")
    assert done.code == 0, done.err
    assert times("a.jsonl") == ["01-01T00", "01-02T00", "01-03T00"]
    assert (Path("a.jsonl.before-rebuild-1")).read_bytes() == before
    assert Path("st.before-rebuild-1").is_dir()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_bytes(lambda data: data[:-1]), "state.arrow"),
        (_window(lambda path: path.unlink()), ".windows"),
        (_window(lambda path: path.write_bytes(path.read_bytes()[:-3])), ".windows"),
        (lambda directory: (directory.parent / "a.jsonl").unlink(), "a.jsonl"),
        (lambda directory: os.truncate(directory.parent / "a.jsonl", 5), "a.jsonl"),
        (lambda directory: shutil.rmtree(directory.parent / "a.jsonl.provenance.parquet"), "a.jsonl.provenance.parquet"),
        (_edit(lambda document: document.pop("shards")), "shards"),
    ],
)
def test_a_state_can_be_checked(offbeat: Command, whole: Path, damage: Callable[[Path], object], says: str) -> None:
    assert offbeat("state", "check", "st").code == 0
    damage(whole)
    assert says in offbeat.refused("state", "check", "st")


@pytest.mark.heavy
def test_what_a_state_holds_is_shown(offbeat: Command, feed: Callable[..., None], whole: Path) -> None:
    assert whole.is_dir()
    done = offbeat("state", "show", "st", "--json")
    figures = json.loads(done.out)
    assert [figures[name] for name in ("pipeline", "rows_in", "scored", "pending", "alerts")] == ["days", 6, 6, 0, 3]
    assert figures["position"] == {"files_read": 3, "in_the_middle_of": [], "rows_of_them": 0}
    assert figures["outputs"]["a.jsonl"]["bytes"] == Path("a.jsonl").stat().st_size
    feed(line("2024-01-01", 0), line("2024-01-02"))
    ran(offbeat, "p.yaml", "-", "--alerts", "live.jsonl", "--state", "live", "--set", "quality.lateness=1h")
    out = offbeat("state", "show", "live").out
    assert "the next row to send is row 3" in out
    assert "pending:   1" in out
    assert "no such state" in offbeat.refused("state", "show", "nothing")


def test_figures_say_whose_they_are(offbeat: Command) -> None:
    csv("in/d1.csv", *day(1, 2, 2, 0))
    first = ran(offbeat, "p.yaml", "in", "--state", "st", "--alerts", "a.jsonl")
    assert first["state"] == {"rows_before": 0, "rows_in": 3, "alerts": 2}
    csv("in/d2.csv", *day(2, 2))
    second = ran(offbeat, "p.yaml", "in", "--state", "st", "--alerts", "a.jsonl")
    assert second["state"] == {"rows_before": 3, "rows_in": 4, "alerts": 3}
    assert (second["rows_in"], second["alerts"]) == (4, 1)
    assert "state" not in ran(offbeat, "p.yaml", "in")


@pytest.mark.parametrize(("name", "rows", "future"), [("late", 200, 0), ("future", 201, 1)])
@pytest.mark.parametrize("cut", [50, 199])
def test_an_empty_feed_decides_nothing(offbeat: Command, feed: Callable[..., None], name: str, rows: int, future: int, cut: int) -> None:
    """The end of standard input is a pause: what waits goes on waiting, whatever is looked at in between [R12]."""
    general = DATA / "faults/general"
    lines = (general / f"{name}.ndjson").read_bytes().splitlines(keepends=True)
    args = [general / "dev.yaml", "-", "--alerts", "a.jsonl", "--state", "st"]
    feed(b"".join(lines[:cut]))
    ran(offbeat, *args)
    feed()
    ran(offbeat, *args)
    shown = json.loads(offbeat("state", "show", "st", "--json").out)
    assert (shown["rows_in"], shown["position"]["files_read"]) == (cut, 0)
    feed(b"".join(lines[cut:]))
    figures = ran(offbeat, *args, "--final")
    assert [figures[part] for part in ("rows_in", "late", "pending")] == [rows, 0, 0]
    assert sum(figures["quarantined"].values()) == future
    assert figures["state"]["alerts"] == len(times("a.jsonl")) == 2


@pytest.mark.heavy
@pytest.mark.parametrize("stop", range(1, 7))
@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_that_is_stopped_after_any_batch_reads_each_row_once(stop: int, workers: int) -> None:
    """Batches that were under way when it was asked to stop are folded: the position is behind them."""
    for number in range(1, 7):
        csv(f"in/d{number}.csv", *day(number, 2, 2))
    plan = load_plan("p.yaml")

    def run(at: int = 0) -> Any:
        source = FileSource(plan.source, ["in"])
        engine = LocalEngine(plan, source, alerts=["a.jsonl"], state=Path("st"), workers=workers, commit_seconds=60)
        seen = iter(range(1, 1000))
        return engine.run(lambda _: engine.stop() if next(seen) == at else None)

    run(stop)
    result = run()
    assert (result.complete, result.ledger.rows_in, result.ledger.late) == (True, 12, 0)
    assert len(times("a.jsonl")) == 12
