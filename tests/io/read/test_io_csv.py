"""CSV against Python's own csv module, float and Decimal."""

from __future__ import annotations

import csv
import gzip
import io
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from io_plans import keyed, plan, read, real_data, source

from offbeat.core.plan import Column, TimePlan
from offbeat.errors import UserError

HEAD = "k,t,x,n,s,b\n"
T = "2022-02-21T09:15:00Z"
NS = 1_645_434_900_000_000_000


def rows(tmp_path: Path, body: str | bytes, **options: object) -> list[tuple[object, ...]]:
    file = tmp_path / "in.csv"
    file.write_bytes(HEAD.encode() + (body if isinstance(body, bytes) else body.encode()))
    return read(source(keyed(), file, **options))


def test_a_good_row(tmp_path: Path) -> None:
    assert rows(tmp_path, f"a,{T},1.5,2.25,hi,true\n") == [("a", NS, "", "in.csv", 1, 1.5, 225, "hi", True, f"a,{T},1.5,2.25,hi,true")]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (f"a,{T},1,2,s,1", ""),
        (f"a,{T},1", ""),
        (f"a,{T}, 1.5 , 2 ,s, TRUE ", ""),
        (f"a,{T},1,2,s,1,", ""),
        (f"a,{T},NaN,,,", ""),
        (f"a,{T},-inf,,,", ""),
        (f"a,{T},1e400,,,", ""),
        (f"a,{T},1,2,s,1,,9", "ragged"),
        (f"a,{T},1,2,s,1,9", "ragged"),
        (f"a,{T},1,2,s,1,,", "ragged"),
        (f'a,{T},1,2,"s,1', "ragged"),
        (f"a,{T},,x,s,1,9", "ragged"),
        (f"a,{T},,2,s,1", "missing"),
        (f"a,{T}", "missing"),
        (f",{T},1", "missing"),
        ("a,,1", "missing"),
        ("a,bad,,x", "missing"),
        (f"a,{T},abc", "type"),
        (f"a,{T},1_0", "type"),
        (f"a,{T},0x10", "type"),
        (f"a,{T},1e", "type"),
        (f"a,{T},.", "type"),
        (f"a,{T},1,abc", "type"),
        (f"a,{T},1,NaN", "type"),
        (f"a,{T},1,99999999999999999999", "precision"),
        (f"a,{T},1,2,s,maybe", "type"),
        ("a,bad,abc", "type"),
        ("a,bad,1", "time"),
        ("a,2022-02-30,1", "time"),
    ],
)
def test_faults(tmp_path: Path, line: str, fault: str) -> None:
    (row,) = rows(tmp_path, line + "\n")
    assert (row[2], row[4], row[-1]) == (fault, 1, line)


def test_bytes_that_are_not_utf8_cost_one_row_each(tmp_path: Path) -> None:
    body = f"a,{T},1\nb\xff,{T},2\nc,{T},3\n\xff\xfe\nd,{T},4,5,\xe9\n".encode("latin-1") + f"é,{T},5\n".encode()
    got = rows(tmp_path, body)
    assert [r[2] for r in got] == ["", "encoding", "", "encoding", "encoding", ""]
    assert [r[0] for r in got][::2] == ["a", "c", None]
    assert got[5][0] == "é"
    assert got[1][-1] == f"b\ufffd,{T},2"


def test_blank_lines_are_no_rows_and_line_ends_may_be_crlf(tmp_path: Path) -> None:
    got = rows(tmp_path, f"\r\na,{T},1\r\n\r\n  \r\nb,{T},2\r\n\n")
    assert [(r[0], r[4], r[-1]) for r in got] == [("a", 1, f"a,{T},1"), ("b", 2, f"b,{T},2")]


def test_quotes(tmp_path: Path) -> None:
    body = f'"a","{T}","1.5","2","x ""y"", z",1\n"b\nb",{T},2,,"two\nlines",\nc,{T},3,,x""y,\n'
    got = rows(tmp_path, body)
    assert [(r[0], r[5], r[7]) for r in got] == [("a", 1.5, 'x "y", z'), ("b\nb", 2.0, "two\nlines"), ("c", 3.0, 'x""y')]


def test_a_stray_quote_costs_one_line(tmp_path: Path) -> None:
    body = f'a,{T},1\n"b,{T},2\n' + f"c,{T},3\n" * 4000
    for block in (1000, 1 << 20):
        got = rows(tmp_path, body, block=block)
        assert [r[2] for r in got] == ["", "ragged", *[""] * 4000]
        assert got[1][-1] == f'"b,{T},2'


def test_no_line_end_at_the_end_and_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "in.csv"
    file.write_bytes(b"\xef\xbb\xbf" + HEAD.encode() + f"a,{T},1".encode())
    s = source(keyed(), file)
    assert [r[:3] for r in read(s)] == [("a", NS, "")]
    assert s.headers == [HEAD.strip()]


def test_without_a_header(tmp_path: Path) -> None:
    file = tmp_path / "in.csv"
    file.write_text(f"\n{T};7;a\n", encoding="utf-8")
    p = keyed(header=False, names=("t", "x", "k"), separator=";")
    assert [r[:6] for r in read(source(p, file))] == [("a", NS, "", "in.csv", 1, 7.0)]


def test_spellings_and_the_own_name_first(tmp_path: Path) -> None:
    file = tmp_path / "A_1.csv"
    file.write_text("Datetime,Open,open,high,low,close,Volume\n2022-02-21 14:45:00,1,2,3,4,5,6\n", encoding="utf-8")
    assert [r[:-1] for r in read(source(plan(), file))] == [("A", NS, "", "A_1.csv", 1, 2.0, 3.0, 4.0, 5.0, 6)]


numbers = st.one_of(
    st.floats(allow_nan=False).map(repr),
    st.decimals(allow_nan=False, allow_infinity=False, places=12).map(str),
    st.from_regex(r"[+-]?[0-9]{1,25}(\.[0-9]{0,25})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.from_regex(r"\.[0-9]{1,5}", fullmatch=True),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(numbers, min_size=1, max_size=30))
def test_floats_are_the_nearest_doubles(tmp_path: Path, values: list[str]) -> None:
    values = [v for v in values if v.isascii()] or ["1"]
    got = rows(tmp_path, "".join(f"a,{T},{v}\n" for v in values))
    assert [r[5].hex() if isinstance(r[5], float) else None for r in got] == [float(v).hex() for v in values]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(numbers, min_size=1, max_size=30))
def test_fixed_point(tmp_path: Path, values: list[str]) -> None:
    values = [v for v in values if v.isascii()] or ["1"]
    got = rows(tmp_path, "".join(f"a,{T},1,{v}\n" for v in values))
    for text, row in zip(values, got, strict=True):
        if not Decimal(text).is_finite():
            assert (row[6], row[2]) == (None, "type"), text
            continue
        exact = Decimal(text).scaleb(2)
        whole, held = round(exact), True
        if exact != whole and abs(exact) < 2**53:
            product = float(text) * 100.0
            whole = round(product)
            held = abs(product - whole) <= 1e-6 + abs(whole) / 2**50
        elif exact != whole:
            held = len(Decimal(text).as_tuple().digits) <= 17 or abs(exact - whole) <= Decimal("1e-6")
        held = held and -(2**63) < whole < 2**63
        assert row[6] == (whole if held else None), text
        assert row[2] == ("" if held else "precision"), text


cell = st.text(alphabet='ab,"\n é€x1 ', max_size=6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.text(alphabet="abc", min_size=1, max_size=3), cell), max_size=25), st.integers(1, 200), st.booleans())
def test_any_block_size_gives_the_rows_of_pythons_csv_module(
    tmp_path: Path, cells: list[tuple[str, str]], block: int, windows: bool
) -> None:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n" if windows else "\n")
    for key, text in cells:
        writer.writerow([key, T, "1", "", text, ""])
    expected = [(key, text or None) for key, text in cells]
    got = rows(tmp_path, out.getvalue(), block=block)
    assert [(r[0], r[7]) for r in got] == expected
    assert [r[4] for r in got] == list(range(1, len(cells) + 1))
    again = [r for line in got for r in csv.reader(io.StringIO(str(line[-1]), newline=""))]
    assert [(r[0], r[4] or None) for r in again] == expected


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(alphabet='a1,"\n\r é', max_size=80), st.integers(1, 40))
def test_any_block_size_gives_the_same_rows_of_rubbish(tmp_path: Path, text: str, block: int) -> None:
    assert rows(tmp_path, text, block=block) == rows(tmp_path, text)


def test_packed_files(tmp_path: Path) -> None:
    body = (HEAD + f"a,{T},1\n" * 1000).encode()
    (tmp_path / "g.csv.gz").write_bytes(gzip.compress(body))
    (tmp_path / "z.csv.zst").write_bytes(pa.compress(body + b"b,2022-02-21,2\n", codec="zstd", asbytes=True))
    s = source(keyed(), tmp_path, block=5000)
    got = read(s)
    assert len(got) == 2001
    assert s.done_bytes() == s.size_bytes()


@pytest.mark.parametrize("name", ["x.csv.gz", "x.csv.zst"])
def test_a_broken_packed_file(tmp_path: Path, name: str) -> None:
    body = (HEAD + "".join(f"a,{T},{i}\n" for i in range(200_000))).encode()
    packed = gzip.compress(body) if name.endswith("gz") else pa.compress(body, codec="zstd", asbytes=True)
    (tmp_path / name).write_bytes(packed[: len(packed) // 2])
    with pytest.raises(UserError, match=rf"{name}: the (gzip|zstd) stream is .*; fetch the file again"):
        read(source(keyed(), tmp_path / name))
    (tmp_path / name).write_bytes(HEAD.encode())
    assert read(source(keyed(), tmp_path / name)) == []  # not packed at all: its first bytes tell, not its name


@pytest.mark.parametrize(
    ("content", "message"),
    ids=repr,
    argvalues=[
        (b"PAR1abc", r"in\.csv: not a complete Parquet file"),
        (b"k,t\0,x\n", r"in\.csv: this is a binary file \(it has NUL bytes\)"),
        ("k,t,x\n".encode("utf-16"), r"in\.csv: this is UTF-16 text; save it as UTF-8"),
        (b"k,t,x\ra,b,c\r", r"in\.csv: lines end with a bare carriage return"),
        (b"k,t\xff,x\n", r"in\.csv: the header is not UTF-8"),
        (b"k;t;x\n", r"in\.csv: the time column 't' is missing; the file has 'k;t;x'; set the source's `separator: ';'`"),
        (b"k\tt\tx\n", r"in\.csv: the time column 't' is missing; .*; set the source's `separator: \"\\t\"`"),
        (b"k,t,y\n", r"in\.csv: the column 'x' is missing; the file has 'k', 't', 'y'; add its spelling to the column's `headers`"),
        (b"k,tt,x\n", r"in\.csv: the time column 't' is missing; .* did you mean 'tt'\? Add it to the column's `headers`"),
        (b"key,t,x\n", r"in\.csv: the key column 'k' is missing"),
        (b"ann,2024-01-01 10:00:00,7.5\n", r"in\.csv: the time column 't' is missing; .*; if its first line is data, .* `header: false`"),
    ],
)
def test_files_that_are_no_csv_or_lack_a_column(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "in.csv").write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        source(keyed(), tmp_path / "in.csv")
    assert "\n" not in str(caught.value)


def test_empty_and_header_only_files_are_fine(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_bytes(b"")
        (tmp_path / f"h{name}").write_bytes(HEAD.encode())
    s = source(keyed(), tmp_path)
    assert read(s) == []
    assert all("delivered" not in note for note in s.notes)
    assert any("a.csv: no rows" in note for note in s.notes)


@pytest.mark.parametrize(
    ("unit", "text"), [("s", "1645434900"), ("s", "1645434900.0"), ("ms", "1645434900000"), ("us", "1645434900000000")]
)
def test_epochs(tmp_path: Path, unit: str, text: str) -> None:
    (tmp_path / "in.csv").write_text(f"k,t,x\na,{text},1\na,soon,1\na,,1\n", encoding="utf-8")
    got = read(source(keyed(time=TimePlan(("t",), unit, "UTC")), tmp_path / "in.csv"))
    assert [r[1:3] for r in got] == [(NS, ""), (None, "time"), (None, "missing")]


@pytest.mark.parametrize("folder", ["bars", "bars_5min"])
def test_real_bars(folder: str) -> None:
    place = real_data(folder)
    got = read(source(plan(), place))
    expected: list[tuple[object, ...]] = []
    for path in sorted(place.glob("*.csv")):
        with path.open(newline="", encoding="utf-8") as lines:
            for i, line in enumerate(csv.DictReader(lines), 1):
                by_name = {(name or "").lower(): value for name, value in line.items() if isinstance(name, str)}
                if not by_name.get("close"):
                    expected.append((path.name, i, None, None))
                    continue
                at = datetime.fromisoformat(by_name.get("datetime") or by_name["timestamp"])
                whole = int(at.astimezone(UTC).timestamp()) * 1_000_000_000
                expected.append(
                    (path.name, i, whole, tuple(float(by_name[c] or "nan") for c in ("open", "high", "low", "close", "volume")))
                )
    assert [(r[3], r[4], r[1], None if r[2] else (*r[5:9], float(r[9]))) for r in got] == expected


def test_real_ticks() -> None:
    place = real_data("ticks_dirty")
    columns = (Column("last_price", "float"), Column("cumulative_day_volume", "decimal"))
    names = ("instrument_token", "timestamp", "last_price", "cumulative_day_volume")
    p = plan(header=False, names=names, key_column=("instrument_token",), key_pattern="", columns=columns)
    for path in sorted(place.glob("*.csv.gz")):
        got = read(source(p, path))
        with gzip.open(path, "rt", newline="") as lines:
            expected = list(csv.reader(lines))
        assert [(r[0], r[5], r[6]) for r in got] == [(e[0], float(e[2]), int(e[3])) for e in expected]
        assert [r[2] for r in got] == [""] * len(expected)
