"""Parquet, NDJSON and tables in memory: the same rows as CSV, and clear errors."""

from __future__ import annotations

import io
import json
import os
import sys
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from io_plans import keyed, plan, read, real_data, source

from offbeat.core.plan import Column, TimePlan
from offbeat.errors import UserError
from offbeat.io.read import parquet
from offbeat.io.read.file_source import FileSource
from offbeat.io.read.frame import FrameSource

NS = 1_645_434_900_000_000_000
AT = datetime(2022, 2, 21, 9, 15, tzinfo=UTC)


def table(**changes: Any) -> dict[str, Any]:
    base = {
        "k": ["a", "b", "c"],
        "t": [AT, AT + timedelta(seconds=1), None],
        "x": [1.5, None, 3.0],
        "n": [2.25, 1.0, None],
        "s": ["u", "", None],
    }
    return base | {"b": [True, False, None]} | changes


def both(tmp_path: Path, columns: dict[str, Any], **changes: Any) -> list[tuple[Any, ...]]:
    """Rows of the table from Parquet and from memory, which must agree."""
    frame = pl.DataFrame(columns)
    frame.write_parquet(tmp_path / "in.parquet", row_group_size=2)
    file = read(source(keyed(**changes), tmp_path / "in.parquet"))
    memory = read(FrameSource(keyed(**changes), frame, name="in.parquet", rows=2))
    assert file == memory
    return file


def test_rows_and_faults(tmp_path: Path) -> None:
    got = both(tmp_path, table())
    assert [r[:-1] for r in got] == [
        ("a", NS, "", "in.parquet", 1, 1.5, 225, "u", True),
        ("b", NS + 10**9, "missing", "in.parquet", 2, None, 100, None, False),
        ("c", None, "missing", "in.parquet", 3, 3.0, None, None, None),
    ]
    assert json.loads(got[0][-1])["x"] == 1.5


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_timestamp_types(tmp_path: Path, unit: Any, zone: str | None) -> None:
    local = pl.Series("t", [datetime(2022, 2, 21, 9, 15)]).cast(pl.Datetime(unit))
    times = local if zone is None else local.dt.replace_time_zone(zone)
    got = both(tmp_path, {"k": ["a"], "t": times, "x": [1]}, time=TimePlan(("t",), "auto", "Asia/Kolkata"))
    hours = {None: 5.5, "UTC": 0.0, "America/New_York": -5.0}[zone]
    assert got[0][1] == NS - int(hours * 3600) * 10**9


def test_dates_texts_and_epochs(tmp_path: Path) -> None:
    day = NS // (86_400 * 10**9) * 86_400 * 10**9
    assert both(tmp_path, {"k": ["a"], "t": [date(2022, 2, 21)], "x": [1]})[0][1] == day
    got = both(tmp_path, {"k": [7, 8, 9], "t": ["2022-02-21 09:15:00", "no", None], "x": [1, 2, 3]})
    assert [r[:3] for r in got] == [(7, NS, ""), (8, None, "time"), (9, None, "missing")]
    for unit, values in {"s": [NS // 10**9, 2**60], "ns": [NS, 5], "ms": [NS / 10**6, 1e300], "us": ["1645434900000000", "1e300"]}.items():
        got = both(tmp_path, {"k": ["a", "a"], "t": values, "x": [1, 1]}, time=TimePlan(("t",), unit, "UTC"))
        assert got[0][1] == NS
        assert got[1][2] == ("" if unit == "ns" else "time")
    with pytest.raises(UserError, match=r"in\.parquet: the time column 't' is Int64; .*`time: \{format: epoch\}`"):
        both(tmp_path, {"k": ["a"], "t": [NS], "x": [1]})


def test_dates_that_nanoseconds_do_not_reach(tmp_path: Path) -> None:
    got = both(tmp_path, table(t=[date(9999, 12, 31), date(2262, 4, 1), date(1, 1, 1)]))
    assert [r[2] for r in got] == ["time", "missing", "time"]


def test_an_empty_text_is_no_time_in_any_format(tmp_path: Path) -> None:
    for form in ("auto", "s", "%Y"):
        got = both(tmp_path, table(t=["", "", None]), time=TimePlan(("t",), form, "UTC"))
        assert {r[2] for r in got} == {"missing"}, form


def test_texts_that_a_file_keeps_in_a_dictionary(tmp_path: Path) -> None:
    """Other words in other row groups, which are read into one batch; null and the empty text are the same."""
    words = [["u", None, "", "ü"], ["a word of more than twelve bytes", "u", "w", None]]
    texts = [words[row >= 1000][row % 4] for row in range(2000)]
    n = len(texts)
    columns = table(k=["a"] * n, t=[AT] * n, x=[1.0] * n, n=[1.0] * n, s=texts, b=[True] * n)
    path = tmp_path / "in.parquet"
    pl.DataFrame(columns).write_parquet(path, row_group_size=1000, use_pyarrow=True)
    footer = pq.ParquetFile(path).metadata.row_group(1).column(4)
    assert footer.path_in_schema == "s"
    assert footer.has_dictionary_page
    assert footer.total_uncompressed_size < 4000, "places in a dictionary, not words"
    assert [row[-3] for row in read(source(keyed(), path))] == [text or None for text in texts]


def test_keys_beyond_signed_integers(tmp_path: Path) -> None:
    got = both(tmp_path, table(k=pl.Series([2**64 - 1, 2**63, 7], dtype=pl.UInt64)))
    assert [r[0] for r in got] == [str(2**64 - 1), str(2**63), "7"]


def test_text_with_line_ends_of_its_own_stays_one_row() -> None:
    text = "a\u2028b\u0085c\nd\x0be"
    chunk = next(iter(FrameSource(keyed(), pl.DataFrame(table(s=[text, text, text]))).chunks(None)))
    raw = chunk.raw(np.arange(3))
    assert [json.loads(line)["s"] for line in raw] == [text] * 3


def test_a_key_as_integers_in_one_file_and_as_text_in_the_other(tmp_path: Path) -> None:
    times = [AT + timedelta(seconds=i) for i in range(3)]
    pl.DataFrame(table(k=[1, 1, 1], t=times)).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame(table(k=["1", "1", "1"], t=times)).write_parquet(tmp_path / "b.parquet")
    got = read(source(keyed(), tmp_path))
    assert [(str(r[0]), r[4]) for r in got] == [("1", 1), ("1", 1), ("1", 2), ("1", 2), ("1", 3), ("1", 3)]


def test_columns_that_mean_different_things_in_different_files(tmp_path: Path) -> None:
    """Algiers is an hour ahead of UTC: the time without a zone is an hour earlier than the same digits in UTC."""
    algiers = keyed(time=TimePlan(("t",), "auto", "Africa/Algiers"))
    there = datetime(2024, 3, 1, 12)
    a, b, c, d, e = (tmp_path / f"{name}.parquet" for name in "abcde")
    pl.DataFrame({"k": [7], "t": [there.replace(tzinfo=UTC)], "x": [1.0], "s": ["u"]}).write_parquet(a)
    pl.DataFrame({"k": ["007"], "t": [there], "x": [1.0], "s": ["v"]}).write_parquet(b)
    absent = ": no column "
    mixed = source(algiers, a, b)
    assert [(str(row[0]), row[1]) for row in read(mixed)] == [("007", 1_709_290_800 * 10**9), ("7", 1_709_294_400 * 10**9)]
    zone, keys = (note for note in mixed.notes if absent not in note and "`time.zone`" not in note)
    assert zone.startswith(f"{b}: column 't' ")
    assert f" {a}; " in zone
    assert zone.endswith(" Africa/Algiers")
    assert keys.startswith(f"{b}: column 'k' is text")
    assert f" {a}; " in keys
    pl.DataFrame({"k": ["7"], "t": [there.date()], "x": [1.0], "s": [3]}).write_parquet(c)
    several = source(algiers, b, c, a)
    notes = [note for note in several.notes if absent not in note]
    assert [note.split(": column ")[0] for note in notes] == [f"{b} and 1 more"] * 3
    for note, column, other in zip(notes, "tks", (a, a, c), strict=True):
        assert f": column '{column}' " in note
        assert f" {other}; " in note
    # Texts say themselves whether they have a zone; a column of nulls has no values.
    pl.DataFrame({"k": ["7"], "t": ["2024-03-01"], "x": [1.0]}).write_parquet(d)
    pl.DataFrame({"k": ["7"], "t": [there], "x": [1.0], "s": [None]}).write_parquet(e)
    for alike in ((b, d, e), (c, e), (b,)):
        notes = source(algiers, *alike).notes
        assert [note for note in notes if absent not in note] == []


def test_fixed_point_of_integers_decimals_and_doubles(tmp_path: Path) -> None:
    base = {"k": ["a"] * 3, "t": [AT] * 3, "x": [1.0] * 3}
    assert [r[6] for r in both(tmp_path, base | {"n": [5, -(2**62), None]})] == [500, None, None]
    assert [r[2] for r in both(tmp_path, base | {"n": [5, -(2**62), None]})] == ["", "precision", ""]
    decimals = pl.Series([Decimal("1.23"), Decimal("-0.01"), None], dtype=pl.Decimal(20, 4))
    assert [r[6] for r in both(tmp_path, base | {"n": decimals})] == [123, -1, None]
    doubles = both(tmp_path, base | {"n": [0.12, float("nan"), 1e300]})
    assert [(r[6], r[2]) for r in doubles] == [(12, ""), (None, "type"), (None, "precision")]
    assert [r[2] for r in both(tmp_path, base | {"n": [0.125, 0.1 + 0.2, 1e-9]})] == ["precision", "", ""]


def test_csv_where_json_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "in.ndjson"
    path.write_bytes(b'\xef\xbb\xbfk,"t",x\r\na,2024-01-01,1\r\n')
    with pytest.raises(UserError, match=r"in\.ndjson: expected JSON lines, .* CSV"):
        read(source(keyed(), path))
    path.write_text('{"k": "a", "z": ["u", "t", "v"]}\nk,t\n')
    assert [r[2] for r in read(source(keyed(), path))] == ["missing", "type"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": [AT] * 3}, r"column 'x' is Datetime\(.*\), .* a number; .* as numbers$"),
        ({"s": [1.5, 2.5, 3.5]}, r"in\.parquet: column 's' is Float64, .* text; .* as text$"),
        ({"b": [1, 2, 3]}, r"in\.parquet: column 'b' is Int64, .* true or false; .* as Booleans$"),
        ({"k": [1.5, 2.5, 3.5]}, r"in\.parquet: the key column 'k' is Float64, .* text or a whole number"),
        ({"t": [True, False, None]}, r"in\.parquet: the time column 't' is Boolean, .* a time"),
    ],
)
def test_columns_of_a_wrong_type(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        both(tmp_path, table(**changes))


def test_missing_columns_and_broken_files(tmp_path: Path) -> None:
    file = tmp_path / "in.parquet"
    pl.DataFrame({"k": ["a"], "t": [AT]}).write_parquet(file)
    with pytest.raises(UserError, match=r"in\.parquet: the column 'x' is missing; the file has 'k', 't'"):
        source(keyed(), file)
    pl.DataFrame(table()).write_parquet(file)
    content = file.read_bytes()
    for broken in (content[: len(content) // 2], content[:3], b"", b"text", b"text" * 20):
        file.write_bytes(broken)
        with pytest.raises(UserError, match=r"in\.parquet: not a complete Parquet file") as caught:
            source(keyed(), file)
        assert "\n" not in str(caught.value)
    assert "magic" not in str(caught.value)
    file.write_bytes(content[:4] + b"\xff" * 200 + content[204:])
    with pytest.raises(UserError, match=r"in\.parquet: damaged after row 0"):
        read(source(keyed(), file))


def test_parquet_restart_and_order_over_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, first in {"b.parquet": 0, "a.parquet": 500}.items():
        times = [AT + timedelta(seconds=first + i) for i in range(300)]
        pl.DataFrame({"k": ["a"] * 300, "t": times, "x": np.arange(300.0)}).write_parquet(tmp_path / name, row_group_size=70)
    monkeypatch.setattr(parquet, "ROWS", 50)
    s = source(keyed(), tmp_path)
    chunks = list(s.chunks(None))
    assert [Path(s.files[c.file]).name for c in chunks] == ["b.parquet"] * (len(chunks) // 2) + ["a.parquet"] * (len(chunks) // 2)
    done = 0
    for chunk in chunks:
        again = source(keyed(), tmp_path)
        rest = [v for c in again.chunks(chunk.position) for v in c.frame["x"]]
        done += len(chunk.time_ns)
        assert rest == [float(i % 300) for i in range(done, 600)]


@pytest.mark.parametrize("kind", ["polars", "lazy", "arrow", "pandas", "indexed", "dict"])
def test_tables_in_memory(kind: str) -> None:
    frame = pl.DataFrame(table())
    pandas = pd.DataFrame(table())
    makers: dict[str, Callable[[], Any]] = {
        "polars": lambda: frame,
        "lazy": frame.lazy,
        "arrow": frame.to_arrow,
        "pandas": lambda: pandas,
        "indexed": lambda: pandas.set_index("t"),
        "dict": table,
    }
    made = makers[kind]()
    got, expected = [r[:7] for r in read(FrameSource(keyed(), made))], [r[:7] for r in read(FrameSource(keyed(), frame))]
    if kind in ("pandas", "indexed"):
        # pandas has no null in a column of doubles: what it has is NaN, which is no missing value but no number either.
        assert np.isnan(got[1][5])
        assert (got[1][2], expected[1][2]) == ("", "missing")
        got[1] = expected[1]
    assert got == expected


def test_a_table_without_a_key_column_has_the_key_of_its_name() -> None:
    p = plan(columns=(Column("x", "float"),))
    times = pd.date_range("2022-01-01", periods=2, tz="UTC")
    assert [r[0] for r in read(FrameSource(p, pd.DataFrame({"Date": times, "x": [1, 2]}), name="ACME"))] == ["ACME", "ACME"]
    assert [r[0] for r in read(FrameSource(p, {"symbol": ["A", "B"], "Date": list(times), "x": [1, 2]}))] == ["A", "B"]
    with pytest.raises(UserError, match=r"a source must be a path or a table .* not int"):
        FrameSource(p, 5)


def test_ndjson_files(tmp_path: Path) -> None:
    good = {"k": "a", "t": "2022-02-21T09:15:00Z", "x": 1.5, "n": 2.25, "s": "hi", "b": True, "other": {"deep": [1]}}
    lines = [
        json.dumps(good),
        json.dumps({"x": 2, "k": 'q"é\n', "t": "2022-02-21T09:15:00Z", "s": "a\\b"}),
        "{not json",
        "[1, 2]",
        '{"k": "a", "t": "2022-02-21T09:15:00Z", "x": null}',
        '{"k": "a", "t": "2022-02-21T09:15:00Z", "x": "abc"}',
        '{"k": "a", "t": "later", "x": 1}',
        "",
        '{"k":"a","t":"2022-02-21T09:15:00Z","x":NaN}',
        '{"k":"a","t":"2022-02-21T09:15:00Z","x":[1]}',
        '{"k":"a","t":"2022-02-21T09:15:00Z","x":1} trailing',
        '{ "k" : "a" , "t" : "2022-02-21T09:15:00Z" , "x" : 90071992547409930e-1 , "n" : 90071992547409.93 }',
    ]
    (tmp_path / "in.jsonl").write_bytes("\n".join(lines).encode() + b'\n{"k":"\xff","t":"2022-02-21T09:15:00Z","x":1}\n')
    got = read(source(keyed(), tmp_path / "in.jsonl"))
    assert [r[2] for r in got] == ["", "", "type", "type", "missing", "type", "time", "", "type", "type", "", "encoding"]
    assert got[0][5:] == (1.5, 225, "hi", True, lines[0])
    assert (got[1][0], got[1][5], got[1][7]) == ('q"é\n', 2.0, "a\\b")
    assert (got[10][5], got[10][6]) == (9007199254740993.0, 9007199254740993)
    assert [r[4] for r in got] == list(range(1, 13))


@pytest.mark.parametrize("name", ["x", 'a "quoted" name'])
def test_ndjson_lines_do_not_disturb_each_other(tmp_path: Path, name: str) -> None:
    """A line that is refused, or that only Python's own parser takes, between lines that are well."""
    well = json.dumps({"k": "a", "t": "2022-02-21T09:15:00Z", name: 1})
    others = {
        '"N":01': "type",
        '"N":[1]': "type",
        '"N":1,"other":1-2': "type",
        '"N":"1.5"': "",
        '"N":null,"N":2': "",
        '"X":2': "",
        '"N":null,"X":2': "missing",
        '"N":-Infinity': "",
        '"N":1,"s":"\\ud800"': "",
        '"N":1,"s":"\\u00e9\\ud83d\\ude00\\\\"': "",
    }
    lines = [well]
    for text in others:
        lines += [well[: -len(json.dumps({name: 1})) + 1] + text.replace('"N"', json.dumps(name)) + "}", " \t", well]
    (tmp_path / "in.ndjson").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    base = keyed()
    changed = keyed(columns=(Column(name, "float", headers=("X",)), *base.columns[1:]))
    got = read(source(changed, tmp_path / "in.ndjson"))
    assert [r[-1] for r in got] == [line for line in lines if line.strip()]
    assert {(r[2], r[5]) for r in got[::2]} == {("", 1.0)}
    assert [r[2] for r in got[1::2]] == list(others.values())
    assert [r[5] for r in got[7::2]] == [1.5, 2.0, 2.0, None, -np.inf, 1.0, 1.0]
    assert [r[7] for r in got[-4::2]] == ["?", "é😀\\"]


values = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**15), 10**15), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=5)
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.dictionaries(st.sampled_from(["k", "t", "x", "s", "é"]), values), max_size=10),
    st.booleans(),
    st.integers(1, 99),
    st.booleans(),
)
def test_ndjson_against_pythons_json(tmp_path: Path, objects: list[dict[str, Any]], ascii_only: bool, block: int, tight: bool) -> None:
    separators = (",", ":") if tight else None
    body = "".join(json.dumps(o, ensure_ascii=ascii_only, separators=separators) + "\n" for o in objects)
    (tmp_path / "in.ndjson").write_text(body, encoding="utf-8", errors="surrogatepass", newline="")
    got = read(FileSource(keyed(), [str(tmp_path / "in.ndjson")], block=block))
    assert len(got) == len(objects)
    for row, given_ in zip(got, objects, strict=True):
        x = given_.get("x")
        if isinstance(x, int | float) and not isinstance(x, bool):
            assert row[5] == float(x)
        elif x is None:
            assert row[5] is None
        s = given_.get("s")
        if isinstance(s, str):
            assert row[7] == (s or None)


def test_standard_input_hands_rows_over_as_they_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    line = b'{"k":"a","t":"2022-02-21T09:15:00Z","x":1}\n'
    with os.fdopen(reading, "rb") as stdin, os.fdopen(writing, "wb", buffering=0) as feed:
        stdin_text = io.TextIOWrapper(stdin)
        monkeypatch.setattr(sys, "stdin", stdin_text)
        s = source(keyed(), "-")
        steps = s.chunks(None)
        feed.write(line * 2 + line[:10])
        assert len(next(steps).time_ns) == 2
        feed.write(line[10:])
        chunk = next(steps)
        assert (len(chunk.time_ns), chunk.first_row) == (1, 3)
        threading.Timer(0.05, feed.close).start()
        assert list(steps) == []
        assert s.size_bytes() is None
        stdin_text.detach()


def test_standard_input_of_a_pipeline_with_the_key_in_the_file_name(monkeypatch: pytest.MonkeyPatch) -> None:
    body = b'{"symbol":"ACME","Date":"2022-02-21T14:45:00","x":1}\n'
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(body)))
    got = read(source(plan(columns=(Column("x", "float"),)), "-"))
    assert [r[:3] for r in got] == [("ACME", NS, "")]


def test_the_real_bars_are_the_same_from_every_format(tmp_path: Path) -> None:
    (csv,) = real_data("bars").glob("*.csv")
    frame = pl.read_csv(csv, ignore_errors=True, truncate_ragged_lines=True).filter(pl.col("close").is_not_null())
    frame.write_parquet(tmp_path / f"{csv.stem}.parquet")
    frame.write_ndjson(tmp_path / f"{csv.stem}.ndjson")
    expected = [(r[0], r[1], r[2], *r[5:-1]) for r in read(source(plan(), csv))][:-1]
    for ending in ("parquet", "ndjson"):
        assert [(r[0], r[1], r[2], *r[5:-1]) for r in read(source(plan(), tmp_path / f"{csv.stem}.{ending}"))] == expected
    assert [(r[1], r[2], *r[5:-1]) for r in read(FrameSource(plan(), pa.table(frame.to_arrow())))] == [r[1:] for r in expected]
