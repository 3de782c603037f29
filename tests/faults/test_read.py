"""Files that people have, from file to alerts and ledger: times, spellings and formats."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import databento_dbn as dbn
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command import DATA, Command, adds_up, offbeat
from databento_files import NS, T0, metadata, named, put

import offbeat as package

__all__ = ["offbeat"]

FAULTS = DATA / "faults"
TELECOM, MARKET = FAULTS / "telecom", FAULTS / "market"
pytestmark = pytest.mark.skipif(not FAULTS.is_dir(), reason="needs ../shared/data/faults")

PLAIN = """
name: plain
source: {key: k, time: {column: t, %s}, columns: {v: {type: decimal, scale: 2}, id: {type: id, required: false}} %s}
quality: {unique: [time, id]}
views: {r: {detectors: {d: {type: rule, when: v > 0}}}}
"""


def figures(offbeat: Command, *args: object) -> dict[str, Any]:
    done = offbeat("run", *args, "--json")
    assert done.code == 0, done.err
    told: dict[str, Any] = json.loads(done.out)
    assert adds_up(told)
    return told


def alerts(offbeat: Command, tmp_path: Path, *args: object) -> list[dict[str, Any]]:
    figures(offbeat, *args, "--alerts", tmp_path / "alerts.jsonl")
    return [json.loads(line) for line in (tmp_path / "alerts.jsonl").read_text().splitlines()]


def pipeline(tmp_path: Path, time: str, more: str = "") -> Path:
    path = tmp_path / "p.yaml"
    path.write_text(PLAIN % (time, more and f", {more}"))
    return path


def as_csv(path: Path, table: pl.DataFrame) -> Path:
    table.write_csv(path.with_suffix(".csv"))
    return path.with_suffix(".csv")


def as_parquet(path: Path, table: pl.DataFrame) -> Path:
    table.write_parquet(path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


def as_ndjson(path: Path, table: pl.DataFrame) -> Path:
    table.write_ndjson(path.with_suffix(".ndjson"))
    return path.with_suffix(".ndjson")


def as_arrow(path: Path, table: pl.DataFrame) -> Path:
    table.write_ipc(path.with_suffix(".arrow"), compression="zstd")
    return path.with_suffix(".arrow")


Writer = Callable[[Path, pl.DataFrame], Path]
CARRIERS: list[Writer] = [as_csv, as_parquet, as_ndjson]
carriers = pytest.mark.parametrize("write", CARRIERS, ids=["csv", "parquet", "ndjson"])


def fall_times() -> list[str]:
    """Every five minutes from 23:00 to 03:55 of the night on which Lisbon repeats 01:00 to 02:00, as a clock on the wall shows it."""
    first = 23 * 60
    shown = [*range(first, first + 180, 5), *range(first + 120, first + 300, 5)]
    return [f"2024-10-{26 + m // 1440} {m % 1440 // 60:02d}:{m % 60:02d}:00" for m in shown]


def hours(tables: Path) -> list[tuple[str, float]]:
    found = pl.read_parquet(tables / "**/*.parquet").sort("start")
    return [(str(start)[:13], n) for start, n in found.select("start", "n").iter_rows()]


@pytest.mark.parametrize("write", [as_csv, as_parquet, as_ndjson, None], ids=["csv", "parquet text", "ndjson", "parquet local"])
def test_the_hour_that_comes_twice_is_two_hours(offbeat: Command, tmp_path: Path, write: Writer | None) -> None:
    """12 calls an hour, also in both hours 01:00; in UTC there are six hours of 12."""
    table = pl.DataFrame({"src": "105", "calldate": fall_times(), "id": range(72), "billsec": 10})
    if write is None:
        write, table = as_parquet, table.with_columns(pl.col("calldate").str.to_datetime())
    path = write(tmp_path / "fall", table)
    told = figures(offbeat, TELECOM / "fall.yaml", path, "--tables", tmp_path / "T")
    assert (told["rows_in"], told["late"], told["quarantined"]) == (72, 0, {})
    assert hours(tmp_path / "T") == [(f"2024-10-{26 + h // 24} {h % 24:02d}", 12.0) for h in range(22, 28)]


def test_the_fault_of_fall(offbeat: Command, tmp_path: Path) -> None:
    told = figures(offbeat, TELECOM / "fall.yaml", TELECOM / "fall.csv", "--tables", tmp_path / "T")
    assert (told["rows_in"], told["late"]) == (72, 0)
    assert [n for _, n in hours(tmp_path / "T")] == [12.0] * 6


@pytest.mark.parametrize("file", ["instants_int64.parquet", "instants_int96.parquet"])
def test_the_old_form_of_instants_is_utc(offbeat: Command, tmp_path: Path, file: str) -> None:
    found = alerts(offbeat, tmp_path, "cdr", TELECOM / "int96" / file)
    assert [[d["name"] for d in alert["detectors"] if d["voted"]] for alert in found] == [["night_owls"]]


def test_an_instant_outside_the_range_is_a_fault_and_never_wrapped(offbeat: Command, tmp_path: Path) -> None:
    """The year 9999 of Hive's open ends would wrap into 1816; the quarantine shows what stood in the file."""
    times = pl.Series(["2024-01-01T00:00:00.000001", "9999-12-31T00:00:00.000000"]).str.to_datetime(time_unit="us")
    table = pl.DataFrame({"k": ["a", "a"], "t": times, "v": [1.0, 1.0]}).to_arrow()
    pq.write_table(table, tmp_path / "x.parquet", use_deprecated_int96_timestamps=True)
    pq.write_table(table, tmp_path / "y.parquet")
    for file in ("x.parquet", "y.parquet"):
        told = figures(offbeat, pipeline(tmp_path, "zone: UTC"), tmp_path / file, "--quarantine", tmp_path / "q.parquet")
        assert (told["scored"], told["quarantined"]) == (1, {"time": 1})
        aside = pl.read_parquet(tmp_path / "q.parquet")
        assert "9999" in aside["raw"][0], file
        assert "9999" in aside["detail"][0], file
        assert aside["detail"][0].startswith("t ")


@carriers
def test_units_are_told_apart_by_magnitude(offbeat: Command, tmp_path: Path, write: Writer) -> None:
    """One second apart, in seconds with decimals, milliseconds, microseconds and nanoseconds."""
    start = 1_652_315_869
    texts = [f"{start}.53", f"{start + 1}530", f"{start + 2}530000", f"{start + 3}530000000", f"{start + 4}.530000001"]
    path = write(tmp_path / "x", pl.DataFrame({"k": "a", "t": texts, "v": 1}))
    found = alerts(offbeat, tmp_path, pipeline(tmp_path, "format: epoch"), path)
    ends = ["530000000Z"] * 4 + ["530000001Z"]
    assert [alert["time"] for alert in found] == [f"2022-05-12T00:37:{49 + i}.{end}" for i, end in enumerate(ends)]


@pytest.mark.parametrize("kind", [pl.Float64, pl.String])
@pytest.mark.parametrize("write", [*CARRIERS, None], ids=["csv", "parquet", "ndjson", "frame"])
def test_seconds_with_decimals_are_exact_on_every_carrier(tmp_path: Path, write: Writer | None, kind: Any, offbeat: Command) -> None:
    table = pl.DataFrame({"k": ["a"], "t": pl.Series([1652315869.53]).cast(kind), "v": ["1.25"]})
    plan = pipeline(tmp_path, "format: s")
    if write is None:
        (found,) = package.run(str(plan), table).alerts.iter_rows(named=True)
        assert (found["time"].isoformat(), found["row"]["v"]) == ("2022-05-12T00:37:49.530000+00:00", 1.25)
        return
    (alert,) = alerts(offbeat, tmp_path, plan, write(tmp_path / "x", table))
    assert (alert["time"], alert["row"]["v"]) == ("2022-05-12T00:37:49.530000000Z", 1.25)


def test_klines_of_two_units(offbeat: Command) -> None:
    files = [MARKET / "klines-ms.csv", MARKET / "klines-us.csv"]
    told = figures(offbeat, MARKET / "klines.yaml", *files, "--set", "source.time.format=epoch")
    assert (told["rows_in"], told["scored"], told["quarantined"]) == (10, 10, {})


@pytest.mark.heavy
@carriers
def test_nulls_numbers_and_times_in_spellings_of_their_own(offbeat: Command, tmp_path: Path, write: Writer) -> None:
    r"""A date and a time in two columns, 1.234,50 for 1234.5, and - or \N for nothing."""
    table = pl.DataFrame(
        {
            "k": "a",
            "date": ["2024.01.02", "2024.01.02", "2024.01.02", "-"],
            "hour": ["09:15", "09:16", "09:17", "09:18"],
            "v": ["1.234,50", "12.34.567,5", "1.23,5", "2"],
            "id": ["-", r"\N", "7", "8"],
        }
    )
    time = "columns: [date, hour], format: '%Y.%m.%d %H:%M', zone: Asia/Kolkata".replace("columns", "parts")
    plan = pipeline(tmp_path, time, r"decimal: ',', thousands: '.', nulls: ['-', '\N']")
    plan.write_text(plan.read_text().replace("column: t, parts:", "columns:"))
    out = tmp_path / "q.parquet"
    found = alerts(offbeat, tmp_path, plan, write(tmp_path / "x", table), "--quarantine", out)
    assert [(alert["time"], alert["row"]["v"]) for alert in found] == [
        ("2024-01-02T03:45:00.000000000Z", 1234.5),
        ("2024-01-02T03:46:00.000000000Z", 1234567.5),
    ]
    assert pl.read_parquet(out).select("reason", "detail").rows() == [
        ("type", "v '1.23,5' is no number"),
        ("missing", "date and hour are empty"),
    ]


@pytest.mark.heavy
@pytest.mark.parametrize("file", ["nulls.csv", "nulls.parquet", "nulls.ndjson"])
def test_the_nulls_of_hive(offbeat: Command, tmp_path: Path, file: str) -> None:
    table = pl.read_csv(TELECOM / "nulls.csv", infer_schema=False)
    path = {".csv": as_csv, ".parquet": as_parquet, ".ndjson": as_ndjson}[Path(file).suffix](tmp_path / "nulls", table)
    told = figures(offbeat, "cdr", path, "--set", r"source.nulls=['\N', NULL, nan]")
    assert (told["rows_in"], told["quarantined"]) == (5, {})
    without = figures(offbeat, "cdr", path, "--quarantine", tmp_path / "q.parquet")
    assert without["quarantined"] == {"type": 3}
    details = pl.read_parquet(tmp_path / "q.parquet")["detail"].to_list()
    assert [detail.split()[0] for detail in details] == ["data_volume_mb"] * 3
    assert details[1] == "data_volume_mb 'NULL' is no number"


def test_two_columns_of_one_name(offbeat: Command, tmp_path: Path) -> None:
    assert "'Open'" in offbeat.refused("run", "bars", MARKET / "WIDE.csv")
    # Another case is another spelling of the same column; an exact one decides.
    (tmp_path / "X_.csv").write_text("timestamp,open,high,low,CLOSE,Close,volume\n2024-01-02 09:15:00,1,1,1,2,1,1\n")
    assert figures(offbeat, "bars", tmp_path / "X_.csv")["rows_in"] == 1
    pq.write_table(pa.Table.from_arrays([pa.array(["a"])] * 4, names=["k", "t", "v", "v"]), tmp_path / "x.parquet")
    assert "'v'" in offbeat.refused("run", pipeline(tmp_path, "zone: UTC"), tmp_path / "x.parquet")


@pytest.mark.parametrize(("separator", "named"), [("\t", r'separator: "\t"'), (";", "separator: ';'"), ("|", "separator: '|'")])
def test_a_header_that_is_one_field_names_the_separator(offbeat: Command, tmp_path: Path, separator: str, named: str) -> None:
    text = (MARKET / "EURUSD.csv").read_text().replace("\t", separator)
    (tmp_path / "EURUSD.csv").write_text(text)
    assert named in offbeat.refused("run", "bars", tmp_path / "EURUSD.csv")
    told = figures(offbeat, "bars", tmp_path / "EURUSD.csv", "--set", f"source.separator='{separator}'")
    assert told["rows_in"] == text.count("\n") - 1


@carriers
def test_ids_may_be_text_or_integers(offbeat: Command, tmp_path: Path, write: Writer) -> None:
    """CDR-17 twice is one record; so is 17 as text and as an integer."""
    rows = {"customer_id": "7", "timestamp": "2024-01-01T10:00:00Z", "cdr_type": "DATA", "data_volume_mb": 1.5, "wilaya_code": "16"}
    texts = pl.DataFrame({"cdr_id": ["CDR-17", "CDR-18", "CDR-17", "17", "017"]} | rows)
    told = figures(offbeat, "cdr", write(tmp_path / "text", texts))
    assert (told["rows_in"], told["duplicate"], told["quarantined"]) == (5, 1, {})
    both = [write(tmp_path / "text", texts), write(tmp_path / "integer", pl.DataFrame({"cdr_id": [17, 18]} | rows))]
    told = figures(offbeat, "cdr", *both)
    assert (told["rows_in"], told["duplicate"]) == (7, 2)


@carriers
def test_days_in_another_zone_than_times(offbeat: Command, tmp_path: Path, write: Writer) -> None:
    """Times are written in UTC without saying so; days begin at midnight in Lisbon, in summer at 23:00 UTC."""
    plan = tmp_path / "p.yaml"
    plan.write_text("""
name: zones
zone: Europe/Lisbon
source: {key: k, time: t, columns: {v: float}}
views: {d: {rollup: {key: k, size: 1d, columns: {n: count(*)}}, detectors: {any: {type: rule, when: n > 0}}}}
""")
    table = pl.DataFrame({"k": "a", "t": ["2024-07-01 22:59:59", "2024-07-01 23:00:00", "2024-07-02 22:59:59"], "v": 1.0})
    found = alerts(offbeat, tmp_path, plan, write(tmp_path / "x", table))
    assert [(alert["time"], alert["row"]["n"]) for alert in found] == [
        ("2024-06-30T23:00:00.000000000Z", 1.0),
        ("2024-07-01T23:00:00.000000000Z", 2.0),
    ]


def test_fields_inside_of_structs(offbeat: Command, tmp_path: Path) -> None:
    """As `data.price` of JSON: the same in Parquet, Arrow and frames."""
    plan = tmp_path / "p.yaml"
    plan.write_text("""
name: inside
source: {key: {column: k, headers: [data.who.name]}, time: t, columns: {v: {type: float, headers: [data.price]}}}
views: {r: {detectors: {d: {type: rule, when: v > 1}}}}
""")
    rows = [{"t": "2024-01-01", "data": {"price": price, "who": {"name": name}}} for price, name in ((1.5, "a"), (2.5, "b"), (None, "c"))]
    table = pl.DataFrame(rows)
    for write in (as_parquet, as_ndjson, as_arrow):
        found = alerts(offbeat, tmp_path, plan, write(tmp_path / "x", table))
        assert [(alert["key"], alert["row"]["v"]) for alert in found] == [("a", 1.5), ("b", 2.5)]
    assert package.run(str(plan), table).alerts["key"].to_list() == ["a", "b"]


def zipped(body: bytes) -> bytes:
    return gzip.compress(body, mtime=0)


def zstd(body: bytes) -> bytes:
    return bytes(pa.compress(body, codec="zstd", asbytes=True))


@pytest.mark.parametrize("pack", [bz2.compress, lzma.compress, zipped, zstd], ids=["bz2", "xz", "gzip", "zstd"])
@pytest.mark.parametrize("name", ["000000_0", "part.csv", "export.dat"])
def test_packings_and_formats_are_told_by_content(offbeat: Command, tmp_path: Path, name: str, pack: Callable[[bytes], bytes]) -> None:
    body = b"k,t,v\n" + b"".join(b"a,2024-01-01 00:00:%02d,%d\n" % (i, i + 1) for i in range(60))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(pack(body))
    assert figures(offbeat, pipeline(tmp_path, "zone: UTC"), tmp_path / "in")["scored"] == 60


def test_nothing_in_a_folder_is_skipped_in_silence(offbeat: Command, tmp_path: Path) -> None:
    """Read: six kinds of data, four without an ending that tells; named: each of the others."""
    place = tmp_path / "in"
    place.mkdir()
    table = pl.DataFrame({"k": ["a"], "t": ["2024-01-01"], "v": [1.5]})
    for number, write in enumerate([as_csv, as_parquet, as_ndjson, as_arrow]):
        path = write(place / f"x{number}", table.with_columns(k=pl.lit(str(number))))
        path.rename(place / f"00000{number}_0")
    as_parquet(place / "y", table)
    as_ndjson(place / "z", table.with_columns(v=2.5)).rename(place / "z.json")
    left = {"README.md": b"# Data\n", "a.pdf": b"%PDF-1.7", "_SUCCESS": b"", "b.zip": b"PK\x03\x04", "c.json": b"[1]", "e": b""}
    left["d.bin"] = b"x\0y"
    for name, body in left.items():
        (place / name).write_bytes(body)
    told = figures(offbeat, pipeline(tmp_path, "zone: UTC"), place)
    assert told["rows_in"] == 6
    (note,) = [note for note in told["notes"] if "not read" in note]
    assert note.startswith(f"{len(left)} files")
    assert all(name in note for name in left)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_file_beside_itself_packed_is_read_once(offbeat: Command, tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    """As `gzip -k` leaves it. One that only has the name of a copy, or is cut off, is a file of its own."""
    place = tmp_path / "in"
    place.mkdir()
    body = b"k,t,v\n" + b"".join(b"a,2024-01-01 00:00:%02d,%d\n" % (i, i + 1) for i in range(60))
    ending = {b"\x1f": ".gz", b"B": ".bz2", b"\xfd": ".xz"}[pack(b"")[:1]]
    (place / "x.csv").write_bytes(body)
    (place / f"x.csv{ending}").write_bytes(pack(body))
    told = figures(offbeat, pipeline(tmp_path, "zone: UTC"), place)
    assert told["rows_in"] == 60
    assert [note for note in told["notes"] if f"x.csv{ending}" in note and "not read" in note]
    (place / f"x.csv{ending}").write_bytes(pack(body + b"a,2024-01-01 00:01:00,61\n"))
    assert figures(offbeat, pipeline(tmp_path, "zone: UTC"), place)["rows_in"] == 121
    (place / f"x.csv{ending}").write_bytes(pack(body)[:-9])
    assert f"x.csv{ending}: the" in offbeat.refused("run", pipeline(tmp_path, "zone: UTC"), place)


def test_the_fault_of_skipped(offbeat: Command) -> None:
    assert figures(offbeat, TELECOM / "skip.yaml", TELECOM / "skipped")["rows_in"] == 6


@pytest.mark.parametrize("write", [*CARRIERS, as_arrow], ids=["csv", "parquet", "ndjson", "arrow"])
def test_columns_in_the_names_of_folders(offbeat: Command, tmp_path: Path, write: Writer) -> None:
    """Regions 02 and 2 are two regions; a customer's calls come from both; the same bytes in two folders are two deliveries."""
    rows = pl.DataFrame({"cdr_id": [1, 2], "customer_id": "7", "timestamp": ["2024-01-01T10:00:00Z", "2024-01-01T11:00:00Z"]})
    rows = rows.with_columns(cdr_type=pl.lit("DATA"), data_volume_mb=1.5)
    for region in ("02", "2"):
        folder = tmp_path / "in" / "day=20240101" / f"wilaya_code={region}"
        folder.mkdir(parents=True)
        write(folder / "part-0", rows)
    told = figures(offbeat, "cdr", tmp_path / "in")
    assert (told["rows_in"], told["quarantined"], told["views"]["region_hour"]["windows"]) == (4, {"conflict": 2}, 2)
    told = figures(offbeat, "cdr", tmp_path / "in", "--set", "quality.unique=[]")
    assert (told["scored"], told["views"]["region_hour"]["windows"]) == (4, 4)


@carriers
def test_a_folder_s_name_that_nothing_reads_makes_no_other_delivery(offbeat: Command, tmp_path: Path, write: Writer) -> None:
    """`day=` is no column of cdr: the same bytes under two days were delivered twice."""
    rows = pl.DataFrame({"cdr_id": [1], "customer_id": "7", "timestamp": "2024-01-01T10:00:00Z", "cdr_type": "DATA", "data_volume_mb": 1.5})
    for day in ("1", "2"):
        folder = tmp_path / "in" / f"day={day}"
        folder.mkdir(parents=True)
        write(folder / "part-0", rows)
    told = figures(offbeat, "cdr", tmp_path / "in")
    assert (told["rows_in"], told["duplicate"]) == (1, 0)
    assert any("same content" in note for note in told["notes"])


def test_the_fault_of_hive(offbeat: Command) -> None:
    told = figures(offbeat, "cdr", TELECOM / "hive")
    assert told["views"]["region_hour"]["windows"] > 0
    assert not [note for note in told["notes"] if "wilaya_code" in note]


@pytest.mark.parametrize("key", ["2", "02"])
def test_the_key_in_the_name_of_a_folder(offbeat: Command, tmp_path: Path, key: str) -> None:
    folder = tmp_path / "in" / f"k={key}"
    folder.mkdir(parents=True)
    as_csv(folder / "x", pl.DataFrame({"t": ["2024-01-01"], "v": [1.5]}))
    (alert,) = alerts(offbeat, tmp_path, pipeline(tmp_path, "zone: UTC"), tmp_path / "in")
    assert alert["key"] == key


def test_a_state_directory_among_the_files_is_no_data(offbeat: Command, tmp_path: Path) -> None:
    as_csv(tmp_path / "x", pl.DataFrame({"k": "a", "t": ["2024-01-01"], "v": [1.5]}))
    plan = pipeline(tmp_path, "zone: UTC")
    for _ in range(2):
        told = figures(offbeat, plan, tmp_path, "--state", tmp_path / "state")
        assert (told["rows_in"], told["quarantined"]) == (1, {})
    assert any("state directory" in note for note in told["notes"])


def test_one_bad_line_is_one_bad_row(offbeat: Command, tmp_path: Path) -> None:
    """NUL and bytes that are no UTF-8, on the first line of data and after many; a header that no file has is refused."""
    plan = pipeline(tmp_path, "zone: UTC")
    good = b"".join(b"a,2024-01-01 00:%02d:%02d,1\n" % divmod(i, 60) for i in range(3000))
    for bad in (b"a,2024-01-01 00:00:00,\0\n", b"a,2024-01-01 00:00:00,\xff\n"):
        for body in (bad + good, good + bad):
            (tmp_path / "x.csv").write_bytes(b"k,t,v\n" + body)
            told = figures(offbeat, plan, tmp_path / "x.csv")
            assert (told["rows_in"], told["scored"], told["quarantined"]) == (3001, 3000, {"encoding": 1})
    (tmp_path / "x.csv").write_bytes(b"k,t,v," + b"x" * 200_000 + b"\n" + good)
    assert "no header" in offbeat.refused("run", plan, tmp_path / "x.csv")


def test_names_of_columns_that_are_no_text_are_refused(offbeat: Command, tmp_path: Path) -> None:
    path = as_parquet(tmp_path / "x", pl.DataFrame({"k": "a", "t": ["2024-01-01"], "v": 1.5, "other": 1}))
    path.write_bytes(path.read_bytes().replace(b"other", b"oth\xff\xfe"))
    assert "not UTF-8" in offbeat.refused("run", pipeline(tmp_path, "zone: UTC"), path)


YFINANCE = "Price,Close,High,Low,Open,Volume\nTicker,X,X,X,X,X\nDate,,,,,\n"


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("datetime,OPEN,High,low,Close,VOLUME\n", "'datetime'"),
        ("Time,Open,High,Low,Close,Volume\n", "'Time'"),
        ("TIMESTAMP,OPEN,HIGH,LOW,CLOSE,VOLUME\n", ""),
        (YFINANCE, "'Date'"),
    ],
)
def test_bars_read_the_spellings_that_people_have(offbeat: Command, tmp_path: Path, header: str, taken: str) -> None:
    (tmp_path / "X.csv").write_text(header + "2024-01-02 09:15:00,1,1,1,1,5\n2024-01-02 09:16:00,2,2,2,2,5\n")
    told = figures(offbeat, "bars", tmp_path / "X.csv")
    assert (told["rows_in"], told["quarantined"], told["alerts"]) == (2, {}, 1)
    said = [note for note in told["notes"] if "is taken for the time" in note]
    assert len(said) == bool(taken)
    assert all(taken in note for note in said)
    assert any("Asia/Kolkata" in note for note in told["notes"])


@pytest.mark.parametrize(("zone", "share"), [("Asia/Kolkata", None), ("UTC", "55 of 100"), ("Asia/Dubai", None)])
def test_bars_outside_of_sessions_are_said(offbeat: Command, tmp_path: Path, zone: str, share: str | None) -> None:
    """100 minutes from 09:15: in India all are in the session (to 15:30), in Dubai (from 10:45 IST), too; in UTC (14:45) 45 of them."""
    rows = "".join(f"2024-01-02 {9 + (15 + i) // 60:02d}:{(15 + i) % 60:02d}:00,1,1,1,1,5\n" for i in range(100))
    (tmp_path / "X.csv").write_text("timestamp,open,high,low,close,volume\n" + rows)
    told = figures(offbeat, "bars", tmp_path / "X.csv", "--set", f"source.time.zone={zone}")
    said = [note for note in told["notes"] if "outside the sessions" in note]
    assert bool(said) == (share is not None)
    assert all("55 of 100 bars (55%)" in note and "XBOM" in note for note in said)


def test_several_tickers_side_by_side_are_refused(offbeat: Command, tmp_path: Path) -> None:
    (tmp_path / "X.csv").write_text("Price,Close,Close,High,Low,Open,Volume\nTicker,X,Y,X,X,X,X\nDate,,,,,,\n2024-01-02,1,2,1,1,1,5\n")
    assert "'Close'" in offbeat.refused("run", "bars", tmp_path / "X.csv")


def test_a_zone_that_is_said_or_not(offbeat: Command, tmp_path: Path) -> None:
    for text, said in (("2024-01-01 00:00:00", True), ("2024-01-01T00:00:00Z", False), ("2024-01-01T00:00:00+05:30", False)):
        for write in CARRIERS:
            path = write(tmp_path / "x", pl.DataFrame({"k": "a", "t": [text], "v": 1}))
            told = figures(offbeat, pipeline(tmp_path, "zone: Asia/Tokyo"), path)
            assert any("Asia/Tokyo" in note for note in told["notes"]) == said


TRADES_HEAD = "ts_recv,ts_event,rtype,publisher_id,instrument_id,action,side,depth,price,size,flags,ts_in_delta,sequence,symbol"


def test_prices_of_zero_and_below_are_real(offbeat: Command) -> None:
    told = figures(offbeat, "trades", MARKET / "negative.csv")
    assert (told["rows_in"], told["warming_up"], told["quarantined"]) == (8, 8, {})


def test_trades_go_by_the_time_of_receipt(offbeat: Command, tmp_path: Path) -> None:
    """Events of two venues come in the order of receipt and not in that of the venues; without ts_recv the venue's time is taken."""
    second = "2025-03-03T15:00:0%d.000000000Z"
    rows = [f"{second % (i + 1)},{second % (9 - i)},0,1,7,T,A,0,1.5,1,0,0,{i},X" for i in range(5)]
    (tmp_path / "x.csv").write_text("\n".join([TRADES_HEAD, *rows]) + "\n")
    told = figures(offbeat, "trades", tmp_path / "x.csv")
    assert (told["warming_up"], told["late"]) == (5, 0)
    table = pl.read_csv(tmp_path / "x.csv", infer_schema=False).drop("ts_recv")
    told = figures(offbeat, "trades", as_ndjson(tmp_path / "y", table))
    assert (told["warming_up"], told["late"]) == (1, 4)
    told = figures(offbeat, "trades", as_parquet(tmp_path / "y", table))
    assert (told["warming_up"], told["late"]) == (1, 4)
    assert any("'ts_event' is taken for the time" in note for note in told["notes"])


@pytest.mark.parametrize("price", ["9223372036854775807", "9223372036.854775807", "9223372036.854776", "nan", "NaN", ""])
@carriers
def test_a_price_that_is_undefined_is_null_however_it_is_spelt(offbeat: Command, tmp_path: Path, write: Writer, price: str) -> None:
    rows = [f"2025-03-03T15:00:0{i}.000000000Z,,0,1,7,T,A,0,{p},1,0,0,{i},X" for i, p in enumerate(["1.5", price, "-1.5"])]
    (tmp_path / "a.csv").write_text("\n".join([TRADES_HEAD, *rows]) + "\n")
    path = write(tmp_path / "x", pl.read_csv(tmp_path / "a.csv", infer_schema=False))
    told = figures(offbeat, "trades", path)
    assert (told["rows_in"], told["warming_up"], told["quarantined"]) == (3, 2, {"missing": 1})


@pytest.mark.parametrize("price", [float("nan"), 9223372036.854776])
def test_a_price_of_a_data_frame_that_is_undefined(price: float) -> None:
    times = pl.Series(["2025-03-03T15:00:00Z", "2025-03-03T15:00:01Z"]).str.to_datetime(time_unit="ns", time_zone="UTC")
    frame = pl.DataFrame({"ts_recv": times, "symbol": "X", "price": [1.5, price], "size": 1, "side": "A", "flags": 0})
    frame = frame.with_columns(sequence=pl.Series([1, 2]), publisher_id=1)
    assert package.run("trades", frame).ledger["quarantined"] == {"missing": 1}


@pytest.mark.parametrize("schema", ["tbbo", "mbp-1"])
def test_dbn_with_quotes_gives_its_trades(offbeat: Command, tmp_path: Path, schema: str) -> None:
    """Of three records two are trades; the quotes behind each are not read."""
    records = []
    for i, action in enumerate("TAT"):
        fields: dict[str, Any] = {"publisher_id": 8, "instrument_id": 2, "price": 49 * NS, "size": 1, "depth": 0, "flags": 0}
        fields |= {"ts_event": T0 + i, "ts_recv": T0 + i, "action": dbn.Action.from_str(action), "side": dbn.Side.ASK}
        records.append(bytes(dbn.MBP1Msg(**fields, sequence=i)))
    head = metadata(named("AIG", 2), schema=dbn.Schema.from_str(schema))
    told = figures(offbeat, "trades", put(tmp_path / "x.dbn", head, *records))
    assert (told["rows_in"], told["warming_up"], told["filtered"]) == (3, 2, 1)
