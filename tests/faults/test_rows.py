"""Faults found in files of strangers: which rows count as rows of a pipeline, and which of them are the same row."""

from __future__ import annotations

import gzip
import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from command import BARS, DATA, Command, adds_up, offbeat, process

import offbeat as package
from offbeat.io.read.alert_files import latest, read_alerts

__all__ = ["offbeat"]

FAULTS = DATA / "faults"
pytestmark = pytest.mark.skipif(not FAULTS.is_dir(), reason="no shared data")


def report(offbeat: Command, *args: object, code: int = 0) -> dict[str, Any]:
    """The object of `--json`; every row is accounted for."""
    done = offbeat("run", *args, "--json")
    assert done.code == code, done
    figures: dict[str, Any] = json.loads(done.out)
    assert adds_up(figures)
    return figures


def said(figures: dict[str, Any], *words: str) -> bool:
    """Whether one of the notes has all these words."""
    return any(all(word in note for word in words) for note in figures["notes"])


# -- R1: rows that are not of this pipeline -----------------------------------------------------------------------------------

BOOK = """
name: book
source:
  key: symbol
  time: t
  where: action = 'T'
  columns: {action: {type: text, required: false}, price: float, size: {type: decimal}}
quality:
  rules: {price: price > 0}
  max_jump: 1d
views: {v: {detectors: {big: {type: rule, when: size >= 100}}}}
"""
HEADER = "symbol,t,action,price,size\n"
LINES = (
    "A,2024-03-01T10:00:00Z,T,10,100",  # a trade, 100: alert
    "A,2024-03-01T10:00:01Z,A,10,900",  # an order
    "A,2024-03-09T10:00:00Z,C,10,900",  # an order, more than max_jump ahead: neither a candidate nor a watermark
    "A,2024-03-01T10:00:02Z,T,10,5",
    "A,nonsense,M,-3,many",  # wrong everywhere, and not a trade
    ",2024-03-01T10:00:03Z,A,10,900",  # no key, and not a trade
    "A,2024-03-01T10:00:04Z,,10,200",  # nothing in the column of the condition: kept. Alert
    "A,2024-03-01T10:00:05Z,T,-1,100",  # a trade, its price wrong
    "A,2024-03-01T10:00:06Z,T,10,x",  # a trade, its size no number
)
RIGHT = {"rows_in": 9, "scored": 3, "filtered": 4, "late": 0, "duplicate": 0, "quarantined": {"price": 1, "type": 1}, "alerts": 2}


def _csv(folder: Path) -> Path:
    path = folder / "book.csv"
    path.write_text(HEADER + "\n".join(LINES) + "\n")
    return path


def _packed(folder: Path) -> Path:
    path = folder / "book.csv.gz"
    path.write_bytes(gzip.compress((HEADER + "\n".join(LINES) + "\n").encode()))
    return path


def _ndjson(folder: Path) -> Path:
    path = folder / "book.ndjson"
    names = HEADER.strip().split(",")
    records = [dict(zip(names, line.split(","), strict=True)) for line in LINES]
    path.write_text("".join(json.dumps({name: value for name, value in r.items() if value}) + "\n" for r in records))
    return path


@pytest.mark.parametrize("write", [_csv, _packed, _ndjson])
def test_rows_that_are_filtered(tmp_path: Path, offbeat: Command, write: Callable[[Path], Path]) -> None:
    """The condition is asked first, of the row as it came: whatever else is wrong with a filtered row does not matter."""
    (tmp_path / "book.yaml").write_text(BOOK)
    figures = report(offbeat, tmp_path / "book.yaml", write(tmp_path))
    assert {name: figures[name] for name in RIGHT} == RIGHT


def test_filtered_rows_of_typed_tables(tmp_path: Path, offbeat: Command) -> None:
    """Parquet files and tables in memory; text cannot stand in their number columns, so `size` is null where it was no number."""
    (tmp_path / "book.yaml").write_text(BOOK)
    rows = [line.split(",") for line in LINES]
    table = pl.DataFrame(rows, schema=HEADER.strip().split(","), orient="row").with_columns(pl.col(pl.String).replace("", None))
    table = table.with_columns(pl.col("price").cast(pl.Float64), pl.col("size").cast(pl.Int64, strict=False))
    table.write_parquet(tmp_path / "book.parquet")
    right = RIGHT | {"quarantined": {"price": 1, "missing": 1}}
    figures = report(offbeat, tmp_path / "book.yaml", tmp_path / "book.parquet")
    assert {name: figures[name] for name in right} == right
    ledger = package.run(str(tmp_path / "book.yaml"), table).ledger
    assert {name: ledger[name] for name in right if name != "alerts"} == {name: right[name] for name in right if name != "alerts"}


@pytest.mark.parametrize("ending", ["csv", "ndjson"])
def test_a_column_that_is_not_there_filters_nothing(tmp_path: Path, offbeat: Command, ending: str) -> None:
    (tmp_path / "book.yaml").write_text(BOOK)
    path = tmp_path / f"plain.{ending}"
    rows = [{"symbol": "A", "t": f"2024-03-01T10:00:0{n}Z", "price": 10, "size": n} for n in range(5)]
    pl.DataFrame(rows).write_csv(path) if ending == "csv" else pl.DataFrame(rows).write_ndjson(path)
    figures = report(offbeat, tmp_path / "book.yaml", path)
    assert (figures["scored"], figures["filtered"]) == (5, 0)
    assert said(figures, "source.where", "action = 'T'", "all rows")


def test_a_filtered_row_does_not_move_rows_of_other_files(tmp_path: Path, offbeat: Command) -> None:
    """Files whose times overlap are merged by the time of the next row of each; a later order in one must not hold its trades up."""
    (tmp_path / "book.yaml").write_text(BOOK)
    first = ("A,2024-03-01T10:00:00Z,T,10,1", "A,2024-03-01T10:00:30Z,A,10,900", "A,2024-03-01T10:00:01Z,T,10,2")
    second = ("A,2024-03-01T10:00:02Z,T,10,3", "A,2024-03-01T10:00:03Z,T,10,4")
    for name, lines in (("a", first), ("b", second)):
        (tmp_path / f"{name}.csv").write_text(HEADER + "\n".join(lines) + "\n")
    figures = report(offbeat, tmp_path / "book.yaml", tmp_path / "a.csv", tmp_path / "b.csv")
    assert (figures["scored"], figures["filtered"], figures["late"]) == (4, 1, 0)


def test_filtered_rows_and_a_state(tmp_path: Path, offbeat: Command) -> None:
    """The ledger of a state goes on counting them."""
    (tmp_path / "book.yaml").write_text(BOOK)
    for name, lines in (("a", LINES[:5]), ("b", LINES[5:])):
        (tmp_path / f"{name}.csv").write_text(HEADER + "\n".join(lines) + "\n")
    book, state = tmp_path / "book.yaml", tmp_path / "state"
    report(offbeat, book, tmp_path / "a.csv", "--state", state)
    figures = report(offbeat, book, tmp_path / "a.csv", tmp_path / "b.csv", "--state", state)
    assert {name: figures[name] for name in RIGHT if name != "alerts"} == {name: RIGHT[name] for name in RIGHT if name != "alerts"}


def test_order_book_files_have_no_trades(offbeat: Command, tmp_path: Path) -> None:
    """mbp1.csv: 166 orders and cancellations; the same as Parquet and JSON lines."""
    table = pl.read_csv(FAULTS / "market" / "mbp1.csv", infer_schema_length=None)
    table.write_parquet(tmp_path / "mbp1.parquet")
    table.write_ndjson(tmp_path / "mbp1.ndjson")
    for path in (FAULTS / "market" / "mbp1.csv", tmp_path / "mbp1.parquet", tmp_path / "mbp1.ndjson"):
        figures = report(offbeat, "trades", path)
        assert (figures["rows_in"], figures["filtered"], figures["scored"], figures["alerts"]) == (166, 166, 0, 0)


# -- R2: trades of one time and sequence --------------------------------------------------------------------------------------


def test_a_sweep_is_several_trades(offbeat: Command) -> None:
    figures = report(offbeat, "trades", FAULTS / "market" / "sweep_cme.csv")
    assert (figures["warming_up"], figures["duplicate"], figures["quarantined"]) == (6, 0, {})


def test_trades_delivered_twice_are_known_by_content(offbeat: Command, tmp_path: Path) -> None:
    """The same file under two names, in one run and in the next one: read once, and said."""
    sweep = (FAULTS / "market" / "sweep_cme.csv").read_bytes()
    for name in ("one", "two", "three"):
        (tmp_path / f"{name}.csv").write_bytes(sweep)
    figures = report(offbeat, "trades", tmp_path / "one.csv", tmp_path / "two.csv", "--state", tmp_path / "state")
    assert (figures["rows_in"], figures["late"]) == (6, 0)
    assert said(figures, "two.csv", "same content as", "one.csv")
    figures = report(offbeat, "trades", tmp_path, "--state", tmp_path / "state")
    assert (figures["rows_in"], figures["late"]) == (6, 0)
    assert said(figures, "three.csv", "same content as", "one.csv")


def alerts(path: Path) -> pl.DataFrame:
    """The alerts of a file, one row each."""
    return latest(read_alerts(path))


# -- R4, R5, R8: bars as people have them -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "right"),
    [
        ("BTCINR.csv", {"alerts": 26, "quarantined": {}}),  # 26 by SQL on the volumes of the file
        ("ADJUSTED.csv", {"quarantined": {}}),  # high is one last bit below close
        ("classes", {"quarantined": {}, "alerts": 0}),  # BRK.A and BRK.B are two keys
    ],
)
def test_bars_of_strangers(offbeat: Command, source: str, right: dict[str, Any]) -> None:
    figures = report(offbeat, "bars", FAULTS / "market" / source)
    assert {name: figures[name] for name in right} == right


def _jump(at: str) -> str:
    """Two minutes with a price jump of 10 % in the second."""
    return f"{BARS}{at} 10:00,1,1,1,1,0\n{at} 10:01,1,1.1,1,1.1,0\n"


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("INFY.csv", "INFY"),
        ("INFY_minute.csv", "INFY"),
        ("AARTIIND__EQ__NSE__NSE__MINUTE.csv", "AARTIIND"),
        ("BRK.A.csv", "BRK.A"),
        ("BRK.B.csv.gz", "BRK.B"),
        ("TCS.NS_1m.csv", "TCS.NS"),
        ("TCS.BO.CSV", "TCS.BO"),
        ("M&M-FIN.EQ.txt", "M&M-FIN.EQ"),
    ],
)
def test_keys_of_file_names_keep_their_dots(tmp_path: Path, offbeat: Command, name: str, key: str) -> None:
    text = _jump("2024-03-01").encode()
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    report(offbeat, "bars", tmp_path / name, "--alerts", tmp_path / "a.jsonl")
    assert alerts(tmp_path / "a.jsonl")["key"].to_list() == [key]


@pytest.mark.heavy
@pytest.mark.parametrize("factor", [1.0, 1e-3, 1e9])
@pytest.mark.parametrize(("off", "wrong"), [(0.0, {}), (1e-12, {}), (0.9e-9, {}), (1.1e-9, {"high": 1}), (1e-6, {"high": 1})])
def test_a_billionth_is_no_mistake(tmp_path: Path, offbeat: Command, factor: float, off: float, wrong: dict[str, int]) -> None:
    close = 123.45 * factor
    (tmp_path / "A.csv").write_text(f"{BARS}2024-03-01 10:00,{close!r},{close * (1 - off)!r},{close!r},{close!r},0\n")
    assert report(offbeat, "bars", tmp_path / "A.csv", code=0)["quarantined"] == wrong


# -- R6: which of several versions --------------------------------------------------------------------------------------------

FEED = """
name: feed
source: {key: k, time: t, columns: {v: float}}
quality: {unique: [time], keep: KEEP, max_jump: 1d}
views: {v: {detectors: {high: {type: rule, when: v > 5}}}}
"""
VERSIONS = (
    ("A", "10:00", 9.0),  # the key's first row is a candidate, and is replaced as one
    ("A", "10:00", 1.0),
    ("A", "10:01", 1.0),
    ("B", "10:00", 9.0),
    ("A", "10:01", 9.0),  # replaces 1.0: alert
    ("A", "10:01", 9.0),  # the same again
    ("A", "10:02", 9.0),
    ("A", "10:01", 2.0),  # too late: a later row has come
    ("A", "10:02", 3.0),  # replaces 9.0
)
LAST = {"scored": 4, "duplicate": 4, "quarantined": {"conflict": 1}, "alerts": 2}  # A 10:01, B 10:00
FIRST = {"scored": 4, "duplicate": 0, "quarantined": {"conflict": 5}, "alerts": 3}  # A 10:00, A 10:02, B 10:00


def _lines(rows: Sequence[tuple[str, str, float]]) -> str:
    return "".join(json.dumps({"k": k, "t": f"2024-03-01T{t}:00Z", "v": v}) + "\n" for k, t, v in rows)


@pytest.mark.parametrize(("keep", "right"), [("last", LAST), ("first", FIRST)])
def test_which_version_counts(tmp_path: Path, offbeat: Command, keep: str, right: dict[str, Any]) -> None:
    (tmp_path / "feed.yaml").write_text(FEED.replace("KEEP", keep))
    (tmp_path / "feed.ndjson").write_text(_lines(VERSIONS))
    figures = report(offbeat, tmp_path / "feed.yaml", tmp_path / "feed.ndjson")
    assert {name: figures[name] for name in right} == right
    assert said(figures, "quality.keep=last") == (keep == "first")


@pytest.mark.heavy
@pytest.mark.parametrize("after", [1, 5, 7])
def test_versions_on_both_sides_of_a_pause(tmp_path: Path, after: int) -> None:
    """A feed that pauses anywhere: a row goes on waiting for its last version."""
    (tmp_path / "feed.yaml").write_text(FEED.replace("KEEP", "last"))
    begun = ("run", tmp_path / "feed.yaml", "-", "--state", tmp_path / "state", "--alerts", tmp_path / "a.jsonl", "--json")
    parts = (VERSIONS[:after], VERSIONS[after:])
    for rows, more in zip(parts, ((), ("--final",)), strict=True):
        running = process(*begun, *more, stdin=subprocess.PIPE)
        out, err = running.communicate(_lines(rows), timeout=300)
        assert running.returncode == 0, err
    figures = json.loads(out)
    assert {name: figures[name] for name in LAST if name != "alerts"} == {name: LAST[name] for name in LAST if name != "alerts"}
    assert alerts(tmp_path / "a.jsonl").height == 2


def test_an_unfinished_bar_is_replaced_before_it_is_scored(offbeat: Command) -> None:
    partial = FAULTS / "market" / "PARTIAL.csv"
    figures = report(offbeat, "bars", partial, "--set", "quality.keep=last")
    assert (figures["alerts"], figures["quarantined"], figures["duplicate"]) == (0, {}, 1)
    assert said(report(offbeat, "bars", partial), "1 row is another version", "quality.keep=last")


def test_keeping_the_last_needs_a_time(tmp_path: Path, offbeat: Command) -> None:
    (tmp_path / "feed.yaml").write_text(FEED.replace("KEEP", "last").replace("[time]", "[v]"))
    assert "quality.keep" in offbeat.refused("lint", tmp_path / "feed.yaml")


# -- R18: rows from the future ------------------------------------------------------------------------------------------------

CLOCK = """
name: clock
source: {key: k, time: t, columns: {v: float}}
quality: {max_jump: 2d}
views: {v: {detectors: {high: {type: rule, when: v > 5}}}}
"""


def _day(folder: Path, day: int, *, skewed: bool = False) -> str:
    """Three rows of a day; of the second day the clock of the first row is ten days ahead."""
    times = [f"2024-03-{day + (10 if skewed and not n else 0):02}T1{n}:00:00Z" for n in range(3)]
    text = "k,t,v\n" + "".join(f"A,{t},1\n" for t in times)
    (folder / f"d{day:02}.csv").write_text(text)
    return text.split("\n", 1)[1]


def test_a_clock_ahead_in_one_of_many_files(tmp_path: Path, offbeat: Command) -> None:
    """Files that its time makes overlap, and the same rows from one file: one row from the future, none late."""
    (tmp_path / "clock.yaml").write_text(CLOCK)
    folder = tmp_path / "days"
    folder.mkdir()
    whole = "k,t,v\n" + "".join(_day(folder, day, skewed=day == 2) for day in range(1, 16))
    (tmp_path / "whole.csv").write_text(whole)
    for source in (folder, tmp_path / "whole.csv"):
        figures = report(offbeat, tmp_path / "clock.yaml", source)
        assert (figures["scored"], figures["late"], figures["quarantined"]) == (44, 0, {"future": 1})


def test_lateness_above_max_jump_is_warned_of(offbeat: Command) -> None:
    done = offbeat("lint", FAULTS / "telecom" / "lateness_over_jump.yaml")
    assert done.code == 0
    assert any("max_jump" in line and "lateness" in line for line in done.err.splitlines())


# -- R21: the quality of the input --------------------------------------------------------------------------------------------

GATE = """
name: gate
source: {key: k, time: t, columns: {v: float}}
quality:
  rules: {v: v >= 0}
  tolerate: {quarantined: 10 %, late: 20%}
views: {v: {detectors: {high: {type: rule, when: v > 5}}}}
"""


def _gate_rows(unfit: int, late: int) -> str:
    """Twenty rows, of which so many are unfit and so many late."""
    values = [-1 if n < unfit else 9 for n in range(20)]
    minutes = [n if n < 20 - late else 0 for n in range(20)]
    return "k,t,v\n" + "".join(f"A,2024-03-01T10:{m:02}:00Z,{v}\n" for m, v in zip(minutes, values, strict=True))


@pytest.mark.heavy
@pytest.mark.parametrize(("unfit", "late", "code"), [(0, 0, 0), (2, 4, 0), (3, 0, 3), (0, 5, 3), (20, 0, 3)])
def test_input_that_is_worse_than_tolerated(tmp_path: Path, offbeat: Command, unfit: int, late: int, code: int) -> None:
    """10 % of twenty rows are two, 20 % are four. Alerts are written in any case."""
    (tmp_path / "gate.yaml").write_text(GATE)
    (tmp_path / "x.csv").write_text(_gate_rows(unfit, late))
    figures = report(offbeat, tmp_path / "gate.yaml", tmp_path / "x.csv", "--alerts", tmp_path / "a.jsonl", code=code)
    assert said(figures, "quality.tolerate") == (code == 3)
    assert (figures["quarantined"].get("v", 0), figures["late"], figures["alerts"]) == (unfit, late, 20 - unfit - late)
    if figures["alerts"]:
        assert alerts(tmp_path / "a.jsonl").height == figures["alerts"]


@pytest.mark.heavy
def test_the_quality_of_a_night_is_its_own(tmp_path: Path, offbeat: Command) -> None:
    """Good nights before do not make up for a bad one, nor does a bad one spoil those after it."""
    (tmp_path / "gate.yaml").write_text(GATE)
    for night, unfit in enumerate((0, 0, 5, 0)):
        (tmp_path / f"{night}.csv").write_text(_gate_rows(unfit, 0).replace("03-01", f"03-0{night + 1}"))
        job = (tmp_path / "gate.yaml", *(tmp_path / f"{n}.csv" for n in range(night + 1)), "--state", tmp_path / "state")
        report(offbeat, *job, code=3 if unfit else 0)


@pytest.mark.parametrize("wrong", ["5", "120 %", "-1 %", "some"])
def test_a_share_is_a_percentage(tmp_path: Path, offbeat: Command, wrong: str) -> None:
    (tmp_path / "gate.yaml").write_text(GATE.replace("10 %", f"'{wrong}'"))
    assert "quality.tolerate.quarantined" in offbeat.refused("lint", tmp_path / "gate.yaml")


def test_what_is_mostly_wrong_stands_at_the_top(tmp_path: Path, offbeat: Command) -> None:
    """A reason that takes more than half of a file; of a good file beside it nothing is said."""
    (tmp_path / "gate.yaml").write_text(GATE)
    (tmp_path / "bad.csv").write_text(_gate_rows(11, 0))
    (tmp_path / "good.csv").write_text(_gate_rows(9, 0).replace("03-01", "03-02"))
    done = offbeat("run", tmp_path / "gate.yaml", tmp_path / "bad.csv", tmp_path / "good.csv")
    first = done.out.splitlines()[:4]
    assert any("bad.csv: 11 of 20 rows" in line and "`v`" in line for line in first), done.out
    assert "good.csv" not in done.out


@pytest.mark.heavy
def test_two_files_of_one_key(tmp_path: Path, offbeat: Command) -> None:
    """As share classes were before keys kept their dots: named at the top with both files."""
    for name, price in (("BRK.A", 600000), ("BRK.B", 400)):
        (tmp_path / f"{name}.csv").write_text(BARS + "".join(f"2024-03-01 10:{m:02},{price},{price},{price},{price},0\n" for m in range(5)))
    both = (tmp_path / "BRK.A.csv", tmp_path / "BRK.B.csv")
    figures = report(offbeat, "bars", *both, "--set", "source.key={file: '^(?P<key>[^.]+)'}")
    assert figures["quarantined"] == {"conflict": 5}
    assert all(word in figures["notes"][0] for word in ("BRK.A.csv", "BRK.B.csv", "key BRK"))
    assert not said(report(offbeat, "bars", *both), "BRK.A.csv", "BRK.B.csv")


# -- R18: as of which day -----------------------------------------------------------------------------------------------------

BATCH = """
name: batch
source:
  key: k
  time: {column: t, zone: Africa/Algiers}
  where: kind = 'call'
  columns: {v: {type: decimal}, kind: {type: text, required: false}}
quality: {max_jump: 60d, not_after: '2024-06-01'}
views:
  day:
    rollup: {key: k, size: 1d, columns: {n: count(*), total: sum(v)}}
    windows: {past: {over: all, lag: 1d, min_rows: 3, features: {usual: mean(n)}}}
    detectors: {many: {type: rule, when: n > usual, expected: usual}}
as_of: fixed
"""


def _batch(strays: Sequence[tuple[str, str]]) -> pl.DataFrame:
    """Ten days of 200 calls, of which the last has 300; and strays, of which one row is 0.5 % of a median day."""
    calls = [(day, n) for day in range(1, 11) for n in range(300 if day == 10 else 200)]
    rows = [("A", f"2024-03-{day:02}T{10 + n // 60}:{n % 60:02}:00Z", 1, "call") for day, n in calls]
    rows += [("A", t, 1, kind) for t, kind in strays]
    return pl.DataFrame(rows, schema=["k", "t", "v", "kind"], orient="row")


@pytest.mark.heavy
@pytest.mark.parametrize(
    "strays",
    [
        [],
        [("2024-03-11T08:00:00Z", "call")],  # 1 row of 200: 0.5 %
        [("2024-03-12T08:00:00Z", "call")],
        [("2024-03-11T08:00:00Z", "note")] * 50,  # not rows of this pipeline
        [("2024-07-01T08:00:00Z", "call")] * 50,  # quarantined as not_after
    ],
)
@pytest.mark.parametrize("ending", ["csv", "parquet", "ndjson"])
def test_a_stray_row_does_not_shift_the_day(tmp_path: Path, offbeat: Command, strays: list[tuple[str, str]], ending: str) -> None:
    (tmp_path / "batch.yaml").write_text(BATCH)
    path = tmp_path / f"calls.{ending}"
    table = _batch(strays)
    write: dict[str, Callable[[Path], object]] = {"csv": table.write_csv, "parquet": table.write_parquet, "ndjson": table.write_ndjson}
    write[ending](path)
    figures = report(offbeat, tmp_path / "batch.yaml", path, "--alerts", tmp_path / "a.jsonl")
    assert said(figures, "as of 2024-03-11", "2024-03-10", "300 rows")
    assert alerts(tmp_path / "a.jsonl")["time"].dt.strftime("%F").to_list() == ["2024-03-09"]  # 23:00Z: midnight of the 10th in Algiers
    later = sum(kind == "call" and t < "2024-06" for t, kind in strays)
    assert said(figures, f"{later} rows of later days") == bool(later)


def test_days_with_rows_enough_are_the_last(tmp_path: Path, offbeat: Command) -> None:
    """Two rows are 1 % of 200: then that day is scored."""
    (tmp_path / "batch.yaml").write_text(BATCH)
    _batch([("2024-03-11T08:00:00Z", "call"), ("2024-03-11T09:00:00Z", "call")]).write_csv(tmp_path / "calls.csv")
    assert said(report(offbeat, tmp_path / "batch.yaml", tmp_path / "calls.csv"), "as of 2024-03-12", "2024-03-11", "2 rows")


@pytest.mark.parametrize("name", ["symbol", "key"])
def test_a_condition_on_the_key(offbeat: Command, tmp_path: Path, name: str) -> None:
    """What is asked before a row has a key needs the key's column as a column, and that is said."""
    (tmp_path / "a.csv").write_text("symbol,t,x\nA,2024-01-01 00:00:00,1\nB,2024-01-01 00:00:00,1\n")
    text = "name: p\nsource: {key: symbol, time: {column: t, zone: UTC}, columns: {COLUMNS}, where: \"NAME = 'A'\"}\n"
    text += "views: {v: {detectors: {r: {type: rule, when: x > 0}}}}\n"
    (tmp_path / "p.yaml").write_text(text.replace("COLUMNS", "x: float").replace("NAME", name))
    assert "`symbol: text`" in offbeat.refused("run", tmp_path / "p.yaml", tmp_path / "a.csv")
    (tmp_path / "p.yaml").write_text(text.replace("COLUMNS", "x: float, symbol: text").replace("NAME", "symbol"))
    done = offbeat("run", tmp_path / "p.yaml", tmp_path / "a.csv", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert (told["scored"], told["filtered"]) == (1, 1)
