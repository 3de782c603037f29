"""DBN files made by Databento's own library, and the real trades to make them of."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import databento_dbn as dbn
from io_plans import real_data

from offbeat.core.plan import SourcePlan
from offbeat.spec.load import load_plan

NS = 10**9
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
T0 = 1_381_132_800 * NS
"""2013-10-07T08:00:00Z."""
MONDAY = date(2013, 10, 7)
SIDES = {"A": dbn.Side.ASK, "B": dbn.Side.BID, "N": dbn.Side.NONE}


@dataclass(frozen=True)
class Interval:
    """As Databento's Metadata wants it."""

    start_date: date
    end_date: date
    symbol: str


@dataclass(frozen=True)
class Mapping:
    """As Databento's Metadata wants it."""

    raw_symbol: str
    intervals: list[Interval]


def named(symbol: str, number: int, first: date = MONDAY, days: int = 5) -> Mapping:
    return Mapping(symbol, [Interval(first, first + timedelta(days=days), str(number))])


def metadata(*mappings: Mapping, **changes: Any) -> bytes:
    values: dict[str, Any] = {
        "dataset": "XNAS.ITCH",
        "start": T0,
        "stype_in": dbn.SType.from_str("raw_symbol"),
        "stype_out": dbn.SType.from_str("instrument_id"),
        "schema": dbn.Schema.from_str("trades"),
        "mappings": list(mappings),
    }
    return bytes(dbn.Metadata(**(values | changes)))


def trade(number: int = 2, at: int = T0, price: int = 49 * NS, **changes: Any) -> bytes:
    values: dict[str, Any] = {
        "publisher_id": 8,
        "instrument_id": number,
        "ts_event": at,
        "price": price,
        "size": 100,
        "action": dbn.Action.from_str("T"),
        "side": dbn.Side.ASK,
        "depth": 0,
        "ts_recv": at,
        "flags": 0,
        "ts_in_delta": 0,
        "sequence": 1,
    }
    return bytes(dbn.TradeMsg(**(values | changes)))


def told(symbol: str, number: int, at: int = T0) -> bytes:
    """The message of the live gateway that a number stands for a symbol."""
    kind = dbn.SType.from_str("raw_symbol")
    return bytes(dbn.SymbolMappingMsg(0, number, at, kind, "ALL_SYMBOLS", kind, symbol, at, at + NS))


def transcoded(raw: bytes, encoding: str, compression: str = "none", *, pretty: bool = True, symbols: bool = True) -> bytes:
    """DBN in another encoding, by Databento's own library."""
    out = io.BytesIO()
    coder = dbn.Transcoder(
        out,
        dbn.Encoding.from_str(encoding),
        dbn.Compression.from_str(compression),
        pretty_px=pretty,
        pretty_ts=pretty,
        map_symbols=symbols and encoding != "dbn",
    )
    coder.write(raw)
    coder.finish()
    return out.getvalue()


def real_trades(count: int) -> tuple[bytes, bytes]:
    """The first AIG trades: lines of their CSV with the header, and the same as DBN, made row by row from the text."""
    with gzip.open(real_data("trades") / "AIG_2013-10-07_11.trades.csv.gz", "rt") as lines:
        text = list(itertools.islice(lines, count + 1))
    records = (
        trade(
            int(row["instrument_id"]),
            nanoseconds(row["ts_event"]),
            rint(row["price"]),
            publisher_id=int(row["publisher_id"]),
            size=int(row["size"]),
            side=SIDES[row["side"]],
            ts_recv=nanoseconds(row["ts_recv"]),
            flags=int(row["flags"]),
            sequence=int(row["sequence"]),
        )
        for row in csv.DictReader(text)
    )
    return "".join(text).encode(), b"".join([metadata(named("AIG", 2)), *records])


def rint(text: str) -> int:
    """S9 by exact arithmetic: the nearest integer to the double times 10^9."""
    return round(Fraction(float(text)) * NS)


def nanoseconds(text: str) -> int:
    whole, fraction = text.removesuffix("Z").split(".")
    since = datetime.fromisoformat(whole).replace(tzinfo=UTC) - EPOCH
    return (since.days * 86_400 + since.seconds) * NS + int(fraction.ljust(9, "0"))


def trades_plan(**changes: Any) -> SourcePlan:
    """The source of the shipped pipeline."""
    source = load_plan("trades").source
    return SourcePlan(**{name: changes.get(name, getattr(source, name)) for name in source.__slots__})


def put(path: Path, *parts: bytes) -> Path:
    path.write_bytes(b"".join(parts))
    return path
