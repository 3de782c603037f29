"""DBN files: values, symbols, flags, order of blocks, and what is refused."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path

import databento_dbn as dbn
import numpy as np
import pytest
from command import Command, adds_up, offbeat
from databento_files import (
    MONDAY,
    NS,
    T0,
    Interval,
    Mapping,
    metadata,
    named,
    put,
    real_trades,
    told,
    trade,
    trades_plan,
    transcoded,
)
from io_plans import read, rows_of, source

from offbeat.errors import UserError
from offbeat.io.read.file_source import FileSource

__all__ = ["offbeat"]
DAY = 86_400 * NS


@pytest.fixture(scope="module")
def aig() -> tuple[bytes, bytes]:
    return real_trades(20_000)


def values(path: Path) -> list[tuple[object, ...]]:
    """Every row but for its file's name and its own text."""
    return [(*row[:3], *row[4:-1]) for row in read(source(trades_plan(), path))]


def judged(offbeat: Command, path: Path, out: Path) -> tuple[dict[str, object], bytes]:
    done = offbeat("run", "trades", path, "--alerts", out, "--json")
    assert done.code == 0, done.err
    figures = json.loads(done.out)
    assert adds_up(figures)
    return {k: figures[k] for k in ("rows_in", "scored", "warming_up", "late", "duplicate", "quarantined", "alerts")}, out.read_bytes()


@pytest.mark.heavy
def test_real_trades_give_the_alerts_of_their_csv_bit_for_bit(offbeat: Command, aig: tuple[bytes, bytes], tmp_path: Path) -> None:
    text, raw = aig
    csv = put(tmp_path / "AIG.csv", text)
    expected = values(csv)
    assert len(expected) == 20_000
    alerts = judged(offbeat, csv, tmp_path / "csv.jsonl")
    files = {
        "AIG.dbn": raw,
        "AIG.dbn.zst": transcoded(raw, "dbn", "zstd"),
        "AIG.dbn.gz": gzip.compress(raw),
        "pretty.csv": transcoded(raw, "csv"),
        "raw.csv.zst": transcoded(raw, "csv", "zstd", pretty=False),
    }
    for name, body in files.items():
        path = put(tmp_path / name, body)
        assert values(path) == expected, name
        if name in {"AIG.dbn", "raw.csv.zst"}:
            assert judged(offbeat, path, tmp_path / f"{name}.jsonl") == alerts, name


def test_prices_are_those_of_exact_arithmetic(aig: tuple[bytes, bytes], tmp_path: Path) -> None:
    text, raw = aig
    assert b"48.870000000000005" in text  # which a decimal of nine digits would not be
    counts = dbn.DBNDecoder()
    counts.write(raw[: 360 + 48 * 500])
    prices = [record.price for record in counts.decode() if isinstance(record, dbn.TradeMsg)]
    assert len(prices) > 400
    place = 5 + [c.name for c in trades_plan().columns].index("price")
    for name, body in {"a.csv": text, "a.dbn": raw}.items():
        assert [row[place] for row in read(source(trades_plan(), put(tmp_path / name, body)))][: len(prices)] == prices


def test_symbols_by_the_day_of_receipt(tmp_path: Path) -> None:
    first = Mapping("OLD", [Interval(MONDAY, MONDAY.replace(day=8), "2")])
    then = Mapping("NEW", [Interval(MONDAY.replace(day=8), MONDAY.replace(day=12), "2")])
    rows = [trade(2, T0), trade(3, T0 + 1), trade(2, T0 + DAY), trade(2, T0 + 2 * DAY, ts_recv=T0), trade(9, T0 + 9 * DAY)]
    rows.append(trade(2, T0 + DAY, ts_recv=dbn.UNDEF_TIMESTAMP))
    path = put(tmp_path / "x.dbn", metadata(first, then, named("IBM", 3)), *rows)
    got = read(source(trades_plan(), path))
    assert [row[0] for row in got] == ["OLD", "IBM", "NEW", "OLD", None, None]
    assert [row[2] for row in got] == ["", "", "", "", "missing", "missing"], "a number without a symbol is no key"
    assert json.loads(got[4][-1])["instrument_id"] == 9
    # Databento's own library maps the same way.
    lines = transcoded(path.read_bytes(), "csv").decode().splitlines()[1:]
    assert [line.rsplit(",", 1)[1] for line in lines] == [row[0] or "" for row in got]


def test_a_file_asked_for_by_numbers(tmp_path: Path) -> None:
    kinds = {"stype_in": dbn.SType.from_str("instrument_id"), "stype_out": dbn.SType.from_str("raw_symbol")}
    path = put(tmp_path / "x.dbn", metadata(Mapping("2", [Interval(MONDAY, MONDAY.replace(day=12), "AIG")]), **kinds), trade())
    assert read(source(trades_plan(), path))[0][0] == "AIG"
    by_number = trades_plan(key_column=("instrument_id",))
    assert read(source(by_number, path))[0][0] == 2


@pytest.mark.parametrize("sent", [False, True])
def test_a_live_recording(tmp_path: Path, sent: bool) -> None:
    """Symbols come as messages between the trades, from where they stand on; heartbeats are no rows; each record may end with ts_out."""
    more = T0.to_bytes(8, "little") if sent else b""

    def record(body: bytes) -> bytes:
        return bytes([body[0] + len(more) // 4]) + body[1:] + more

    heartbeat = bytes(dbn.SystemMsg(T0, "Heartbeat"))
    parts = [told("AIG", 2), trade(2, T0), trade(2, T0 + 1), heartbeat, told("IBM", 3), told("NEW", 2), trade(2, T0 + 2), trade(3, T0 + 3)]
    parts += [trade(7, T0 + 4), heartbeat]
    head = metadata(schema=None, stype_in=None, ts_out=sent)
    path = put(tmp_path / "live.dbn", head, *(record(part) for part in parts))
    expected = [("AIG", T0), ("AIG", T0 + 1), ("NEW", T0 + 2), ("IBM", T0 + 3), (None, T0 + 4)]
    for block in (64, 700, 1 << 20):
        s = source(trades_plan(), path, block=block)
        chunks = list(s.chunks(None))
        got = rows_of(chunks, s.files)
        assert [row[:2] for row in got] == expected
        assert [row[4] for row in got] == [1, 2, 3, 4, 5]
        for stop in range(len(chunks)):
            again = source(trades_plan(), path, block=block)
            rest = rows_of(again.chunks(json.loads(json.dumps(chunks[stop].position))), again.files)
            assert rows_of(chunks[: stop + 1], s.files) + rest == got


@pytest.mark.heavy
def test_any_block_size_and_any_restart_give_the_same_rows(aig: tuple[bytes, bytes], tmp_path: Path) -> None:
    path = put(tmp_path / "a.dbn.zst", transcoded(aig[1][: 360 + 48 * 1000], "dbn", "zstd"))
    whole = read(source(trades_plan(), path))
    for block in (50, 4799, 48 * 300):
        s = source(trades_plan(), path, block=block)
        chunks = list(s.chunks(None))
        assert rows_of(chunks, s.files) == whole
        assert all(c.time_ns.flags.writeable for c in chunks)
        middle = chunks[len(chunks) // 2]
        again = source(trades_plan(), path)
        rest = rows_of(again.chunks(middle.position), again.files)
        assert rest == whole[len(whole) - len(rest) :]
        assert rest[0][4] == middle.first_row + len(middle.time_ns)


def test_what_is_undefined(tmp_path: Path) -> None:
    rows = [trade(price=dbn.UNDEF_PRICE), trade(ts_recv=dbn.UNDEF_TIMESTAMP), trade(price=-1), trade(price=2**62)]
    raw = metadata(named("AIG", 2)) + b"".join(rows)
    got = read(source(trades_plan(), put(tmp_path / "x.dbn", raw)))
    place = 5 + [c.name for c in trades_plan().columns].index("price")
    assert [(row[2], row[place]) for row in got] == [("missing", None), ("missing", 49 * NS), ("", -1), ("", 2**62)]
    shown = [json.loads(row[-1]) for row in got]
    exact = [None, Decimal(49), Decimal("-1e-9"), Decimal("4611686018.427387904")]
    assert [None if line["price"] is None else Decimal(str(line["price"])) for line in shown] == exact
    assert (shown[0]["ts_recv"], shown[1]["ts_recv"]) == ("2013-10-07T08:00:00.000000000Z", None)
    assert set(shown[0]) == set(transcoded(raw, "csv").decode().splitlines()[0].split(","))
    counted = read(source(trades_plan(), put(tmp_path / "x.csv", transcoded(raw, "csv", pretty=False))))
    assert [row[2] for row in counted] == ["missing", "missing", "", ""]
    assert [row[place] for row in counted] == [row[place] for row in got]


def test_rules_on_sizes_and_flags(offbeat: Command, tmp_path: Path) -> None:
    """Bits 2 and 3 of the flags, whatever the others are, by databento's own constants."""
    rows = [trade(at=T0 + i, price=price, sequence=i) for i, price in enumerate([49 * NS, 0, -5])]
    rows += [trade(at=T0 + 3 + i, size=0, sequence=3 + i) for i in range(2)]
    rows += [trade(at=T0 + 10 + flags, flags=flags, sequence=flags) for flags in range(256)]
    clock = sum(bool(flags & dbn.F_BAD_TS_RECV) for flags in range(256))
    book = sum(bool(flags & dbn.F_MAYBE_BAD_BOOK) and not flags & dbn.F_BAD_TS_RECV for flags in range(256))
    path = put(tmp_path / "x.dbn", metadata(named("AIG", 2)), *rows)
    figures, _ = judged(offbeat, path, tmp_path / "out.jsonl")
    assert figures["quarantined"] == {"size": 2, "bad_ts_recv": clock, "maybe_bad_book": book}
    done = offbeat("quarantine", "export", f"{tmp_path / 'out.jsonl'}.quarantine.parquet", "--reason", "size", "--out", tmp_path / "again")
    assert done.code == 0, done.err
    again, _ = judged(offbeat, tmp_path / "again", tmp_path / "again.jsonl")
    assert again["quarantined"] == {"size": 2}, "what was set aside can be run again"


def test_what_is_refused(offbeat: Command, tmp_path: Path) -> None:
    raw = metadata(named("AIG", 2)) + trade() * 3
    zst = transcoded(raw, "dbn", "zstd")
    refused = {
        "cut.dbn": (raw[:-5], f"cut off in the record at byte {len(raw) - 48}"),
        "head.dbn": (raw[:100], "cut off in its metadata"),
        "three.dbn": (raw[:3], "cut off in its metadata"),
        "cut.dbn.zst": (zst[:-5], "cut.dbn.zst: the zstd stream is"),
        "empty.dbn": (b"", "the file is empty"),
        "other.dbn": (b"ts_recv,ts_event\n1,2\n", "this is not DBN"),
        "new.dbn": (raw[:3] + b"\x63" + raw[4:], "newer version"),
        "broken.dbn": (raw[:-48] + b"\0" * 48, f"corrupt at byte {len(raw) - 48}"),
        "quotes.dbn": (metadata(schema=dbn.Schema.from_str("mbp-10")), "schema mbp-10"),
        "mixed.dbn": (metadata(schema=None) + bytes(dbn.OHLCVMsg(33, 1, 2, T0, 1, 2, 3, 4, 5)), "(ohlcv-1m"),
    }
    for name, (body, why) in refused.items():
        assert why in offbeat.refused("run", "trades", put(tmp_path / name, body)), name
    # What a file is its first bytes tell, whatever its name.
    for name, body in {"packed.dbn": zst, "named.csv": raw, "named": zst}.items():
        assert offbeat("run", "trades", put(tmp_path / name, body)).code == 0, name
    put(tmp_path / "fine.dbn", raw)
    with pytest.raises(UserError, match="'turnover' is missing; the file has 'ts_recv'"):
        FileSource(trades_plan(key_column=("turnover",)), [str(tmp_path / "fine.dbn")])


def test_columns_of_other_types(tmp_path: Path) -> None:
    """A pipeline of one's own may read a size as a double, a letter as text, and must count prices in 1e-9."""
    columns = tuple(c for c in trades_plan().columns if c.name in {"size", "side"})
    plain = tuple(type(c)(c.name, "float") if c.name == "size" else c for c in columns)
    path = put(tmp_path / "x.dbn", metadata(named("AIG", 2)), trade(size=300))
    s = source(trades_plan(columns=plain, order=""), path)
    (chunk,) = s.chunks(None)
    assert chunk.frame.to_dict(as_series=False) == {"size": [300.0], "side": ["A"]}
    assert np.array_equal(chunk.time_ns, [T0])
    price = tuple(type(c)("price", "float") for c in columns[:1])
    with pytest.raises(UserError, match=r"declare the column as `price: \{type: decimal, scale: 9\}`"):
        source(trades_plan(columns=price, order=""), path)
