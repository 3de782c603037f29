"""Databento's trades as CSV, Parquet and JSON lines, in each of its spellings, and what a user may get wrong."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from command import Command, offbeat
from databento_files import NS, T0, metadata, named, put, trade, trades_plan, transcoded
from io_plans import read, source

from offbeat.errors import UserError
from offbeat.io.read.layout import MissingColumnError

__all__ = ["offbeat"]
RAW = metadata(named("AIG", 2)) + b"".join(
    trade(at=T0 + i, price=49 * NS + 10_000_000 * i, sequence=i, ts_recv=T0 + i + 5, flags=128) for i in range(5)
)
EXPECTED = [("AIG", T0 + i + 5, "", 49 * NS + 10_000_000 * i, 100, "T", "A", 128, i, 8) for i in range(5)]
PRETTY, BARE = transcoded(RAW, "csv"), transcoded(RAW, "csv", pretty=False)


def values(path: Path) -> list[tuple[object, ...]]:
    return [(*row[:3], *row[5:-1]) for row in read(source(trades_plan(), path))]


def test_csv_says_itself_how_it_is_spelt(tmp_path: Path) -> None:
    assert b",49.010000000," in PRETTY
    assert b",49010000000," in BARE
    assert values(put(tmp_path / "pretty.csv", PRETTY)) == EXPECTED
    assert values(put(tmp_path / "bare.csv", BARE)) == EXPECTED
    # One time spelt otherwise than the rest of its file is no time.
    mixed = PRETTY.replace(b"2013-10-07T08:00:00.000000006Z", b"1381132800000000006")
    assert [row[2] for row in values(put(tmp_path / "mixed.csv", mixed))] == ["", "time", "", "", ""]


def test_whole_prices_in_dollars_are_no_counts(tmp_path: Path) -> None:
    body = PRETTY
    for i in range(5):
        body = body.replace(f",49.0{i}0000000,".encode(), f",{49 + i},".encode())
    assert [row[3] for row in values(put(tmp_path / "x.csv", body))] == [(49 + i) * NS for i in range(5)]


def test_negative_and_zero_counts(tmp_path: Path) -> None:
    rows = [trade(at=T0 + i, price=price, sequence=i) for i, price in enumerate([0, -250_000_000, 1])]
    raw = metadata(named("AIG", 2)) + b"".join(rows)
    for pretty in (True, False):
        path = put(tmp_path / f"{pretty}.csv", transcoded(raw, "csv", pretty=pretty))
        assert [row[3] for row in values(path)] == [0, -250_000_000, 1]


@pytest.mark.parametrize("prices", ["float", "fixed", "decimal"])
@pytest.mark.parametrize("pretty_ts", [True, False])
def test_parquet_as_databento_writes_it(tmp_path: Path, prices: str, pretty_ts: bool) -> None:
    frame = pl.read_csv(BARE)
    if prices != "fixed":
        kind = pl.Float64 if prices == "float" else pl.Decimal(38, 9)
        frame = frame.with_columns(price=(pl.col("price") / 10**9).cast(kind))
    if pretty_ts:
        frame = frame.with_columns(pl.col("ts_event", "ts_recv").cast(pl.Datetime("ns", "UTC")))
    frame.write_parquet(tmp_path / "x.parquet")
    assert values(tmp_path / "x.parquet") == EXPECTED
    if prices == "fixed":
        frame.with_columns(price=pl.lit(2**63 - 1)).write_parquet(tmp_path / "u.parquet")
        assert {(row[2], row[3]) for row in values(tmp_path / "u.parquet")} == {("missing", None)}


def test_a_file_without_symbols(offbeat: Command, tmp_path: Path) -> None:
    without = b"".join(line.rsplit(b",", 1)[0] + b"\n" for line in BARE.splitlines())
    path = put(tmp_path / "x.csv", without)
    said = offbeat.refused("run", "trades", path)
    assert "map_symbols=True" in said
    assert "--set source.key=instrument_id" in said
    done = offbeat("run", "trades", path, "--set", "source.key=instrument_id", "--json")
    assert json.loads(done.out)["warming_up"] == 5
    put(tmp_path / "y.csv", PRETTY.replace(b"sequence", b"seq"))
    with pytest.raises(MissingColumnError, match="'sequence' is missing"):
        source(trades_plan(), tmp_path / "y.csv")


def test_other_wrong_headers(offbeat: Command, tmp_path: Path) -> None:
    headless = put(tmp_path / "h.csv", *PRETTY.splitlines(keepends=True)[1:])
    assert "'ts_recv' or 'ts_event' is missing" in offbeat.refused("run", "trades", headless)
    bars = put(tmp_path / "A_x.csv", b"timestamp,open,high,low,close,volume\n2022-01-03T09:15:00Z,1,1,1,1,1\n")
    assert "'ts_recv' or 'ts_event' is missing" in offbeat.refused("run", "trades", bars)
    semicolons = put(tmp_path / "s.csv", PRETTY.replace(b",", b";"))
    assert "separator: ';'" in offbeat.refused("run", "trades", semicolons)
    assert "no such file" in offbeat.refused("run", "trades", tmp_path / "nothing.dbn")
    assert "; expected .csv" in offbeat.refused("run", "trades", put(tmp_path / "x.dat", b"PK\x03\x04"))


def test_databento_s_own_json_is_named_as_such(offbeat: Command, tmp_path: Path) -> None:
    path = put(tmp_path / "x.ndjson", transcoded(RAW, "json"))
    assert "`hd`" in offbeat.refused("run", "trades", path)


def test_an_empty_csv_has_no_rows(tmp_path: Path) -> None:
    s = source(trades_plan(), put(tmp_path / "x.csv", b""))
    assert list(s.chunks(None)) == []
    assert s.notes == [f"{tmp_path / 'x.csv'}: no rows"]


def test_counts_need_a_column_of_nine_decimals(tmp_path: Path) -> None:
    price = tuple(type(c)("price", "float") for c in trades_plan().columns[:1])
    with pytest.raises(UserError, match="counts of 1e-9"):
        source(trades_plan(columns=price, order=""), put(tmp_path / "x.csv", BARE))
    s = source(trades_plan(columns=price, order=""), put(tmp_path / "y.csv", PRETTY))
    assert [row[5] for row in read(s)] == [49.0, 49.01, 49.02, 49.03, 49.04]
