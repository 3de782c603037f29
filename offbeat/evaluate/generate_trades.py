"""Seeded trades in Databento's columns, with planted and labelled anomalies: for the demo and for quality measurements."""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from io import BufferedWriter, BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from offbeat.core.batch import F64, I64, U64
from offbeat.evaluate import trade_process as market
from offbeat.quality.sessions import day_number, sessions

TRADES: dict[str, pl.DataType] = {
    "ts_recv": pl.Datetime("ns", "UTC"),
    "ts_event": pl.Datetime("ns", "UTC"),
    "rtype": pl.UInt8(),
    "publisher_id": pl.UInt16(),
    "instrument_id": pl.UInt32(),
    "action": pl.String(),
    "side": pl.String(),
    "depth": pl.UInt8(),
    "price": pl.Float64(),
    "size": pl.UInt32(),
    "flags": pl.UInt8(),
    "ts_in_delta": pl.Int32(),
    "sequence": pl.UInt32(),
    "symbol": pl.String(),
}
"""Databento's columns of the schema `trades`. One venue; `sequence` counts all trades from 1; fills of one order share `ts_event`."""
LABELS: dict[str, pl.DataType] = {
    "key": pl.String(),
    "kind": pl.String(),
    "from": pl.Datetime("ns", "UTC"),
    "to": pl.Datetime("ns", "UTC"),
    "first_sequence": pl.UInt32(),
    "last_sequence": pl.UInt32(),
}
"""A row an anomaly: receipt times (the time that `trades` judges by) and sequences of its first and its last trade."""
SHORTEST_EVERY = 1_000
"""The starts of a symbol's anomalies are at least half of `every` trades apart, and an anomaly lasts at most 250 trades."""

_BLOCK = 250_000
_FIRST_DAY = "2021-01-01"
_A_DAY = 20_000  # trades of a symbol a day, on average, as long as the days suffice
_FEWEST_DAYS, _MOST_DAYS = 3, 250
_MOST_ROWS = 2**32 - 1
_TIME = "%Y-%m-%dT%H:%M:%S%.9fZ"
_NAMES = ("ALDER", "BIRCH", "CEDAR", "DATE", "ELM", "FIR", "GINKGO", "HAZEL", "ILEX", "JUNIPER", "LARCH", "MAPLE", "OAK", "PINE")


@dataclass(frozen=True, slots=True)
class MadeTrades:
    """What was written."""

    rows: int
    days: int
    """Sessions with at least one trade."""
    anomalies: int


def generate_trades(
    out: Path,
    labels: Path,
    *,
    rows: int,
    symbols: int,
    seed: int,
    every: int = 2_000,
    progress: Callable[[int, int], None] | None = None,
) -> MadeTrades:
    """Write `rows` trades of `symbols` made-up stocks in the order of time to `out`, and what was planted where to `labels`.

    Columns are `TRADES` and `LABELS`. The ending of `out` says how: .csv, .csv.gz, .csv.zst or .parquet; of `labels`: .csv or .parquet.
    Sessions are those of the New York exchange from 2021 on; the first symbol trades up to ten times as often as the last. One trade in
    `every` of a symbol begins an anomaly (`market.KINDS`), none within its first 2,000. Memory does not grow with `rows`. `progress` is
    told the rows and the anomalies so far.

    Raises ValueError for sizes and endings that are not possible, OSError where a file cannot be written.
    """
    check_sizes(out, labels, rows=rows, symbols=symbols, every=every)
    packing = _packing(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    labels.parent.mkdir(parents=True, exist_ok=True)
    names = pl.Series("symbol", [_NAMES[k % len(_NAMES)] + (str(k // len(_NAMES)) if k >= len(_NAMES) else "") for k in range(symbols)])
    planted: list[I64] = []
    days: set[int] = set()
    with _writing(out, packing) as write:
        for first, trades, marks in _blocks(rows, symbols, seed, every):
            write(_frame(first, trades, names))
            planted.append(marks)
            days.update(np.unique(trades[:, 1] // 86_400_000_000_000).tolist())
            if progress is not None:
                progress(first + len(trades), sum(len(m) for m in planted))
    table = _labels(np.concatenate(planted), names)
    if labels.suffix.lower() == ".csv":
        table.write_csv(labels, datetime_format=_TIME)
    else:
        table.write_parquet(labels)
    return MadeTrades(rows, len(days), table.height)


def check_sizes(out: Path, labels: Path, *, rows: int, symbols: int, every: int) -> None:
    """Raise ValueError for what `generate_trades` cannot make."""
    if not (1 <= rows <= _MOST_ROWS and symbols >= 1):
        raise ValueError(f"give at least one symbol, and 1 to {_MOST_ROWS:,} rows")
    if every < SHORTEST_EVERY:
        raise ValueError(f"an anomaly needs at least {SHORTEST_EVERY:,} trades, not {every:,}")
    if out.absolute() == labels.absolute():
        raise ValueError("trades and labels cannot be the same file")
    _packing(out)
    if labels.suffix.lower() not in {".csv", ".parquet"}:
        raise ValueError(f"labels go to a .csv or .parquet file, not {labels.name!r}")


def _blocks(rows: int, symbols: int, seed: int, every: int) -> Iterator[tuple[int, I64, I64]]:
    """Sequence before each block, its trades (n, 8) and the labels (m, 6) of the anomalies that ended in it."""
    known = sessions("XNYS")
    opens, closes = (times[known.day >= day_number(_FIRST_DAY)] for times in (known.open_ns, known.close_ns))
    random: U64 = np.random.SeedSequence(seed).generate_state(2, np.uint64).astype(np.uint64)
    real = _stocks(rows, symbols, int(random[1]))
    whole: I64 = np.zeros((symbols, market.OFFSET + 1), np.int64)
    common: I64 = np.zeros(market.COMMON, np.int64)
    common[market.DECK :] = np.arange(len(market.KINDS))
    market.start(real, whole, random, every, opens, closes)
    heap: I64 = np.argsort(whole[:, market.NOW], kind="stable").astype(np.int64)
    done = 0
    while done < rows:
        trades: I64 = np.empty((min(_BLOCK, rows - done) + market.MOST_FILLS, len(market.TRADE)), np.int64)
        marks: I64 = np.empty((len(trades) // 500 + 2 * symbols, len(market.LABEL)), np.int64)
        n, found = market.simulate(rows, every, real, whole, heap, common, random, opens, closes, trades, marks)
        if done + n == rows:
            for k in np.flatnonzero(whole[:, market.KIND] >= 0).tolist():
                market.close(k, whole, marks, found)
                found += 1
        yield done, trades[:n], marks[:found]
        done += n


def _stocks(rows: int, symbols: int, seed: int) -> F64:
    """Stocks of $8 to $400 whose trades fill a number of days that suits their mean activity; columns as in `market`."""
    days = min(max(math.ceil(rows / symbols / _A_DAY), _FEWEST_DAYS), _MOST_DAYS)
    raw = np.random.PCG64(np.random.SeedSequence(seed)).random_raw(2 * symbols)
    price, unrest = ((raw >> np.uint64(11)).astype(np.float64) / 2.0**53).reshape(2, symbols)
    share = 10.0 ** (-np.arange(symbols) / max(symbols - 1, 4))
    share /= share.sum()
    orders = rows * share / market.MEAN_FILLS / (0.97 * days)
    real: F64 = np.zeros((symbols, market.NIGHT + 1))
    daily = 0.010 + 0.015 * unrest
    real[:, market.MID] = 100.0 * 8.0 * 50.0**price
    real[:, market.SIGMA] = np.minimum(daily / np.sqrt(orders), 0.005)
    real[:, market.HALF] = np.maximum(0.5, 1.5 * real[:, market.SIGMA] * real[:, market.MID])
    real[:, market.VARIANCE] = 1.0
    real[:, market.RATE] = orders / 23_400.0
    real[:, market.SHARE] = share
    real[:, market.NIGHT] = 0.5 * daily
    return real


def _frame(first: int, trades: I64, names: pl.Series) -> pl.DataFrame:
    column = dict(zip(market.TRADE, trades.T, strict=True))
    n = len(trades)
    found: dict[str, Any] = {
        "ts_recv": column["received"],
        "ts_event": column["time"],
        "instrument_id": column["symbol"] + 1,
        "side": pl.Series(["A", "N", "B"]).gather(column["side"] + 1),
        "price": column["price"] / 100.0,
        "size": column["size"],
        "flags": column["flags"],
        "ts_in_delta": column["delta"],
        "sequence": np.arange(first + 1, first + n + 1),
        "symbol": names.gather(column["symbol"]),
    }
    same = [pl.lit(0).alias("rtype"), pl.lit(2).alias("publisher_id"), pl.lit("T").alias("action"), pl.lit(0).alias("depth")]
    return pl.DataFrame(found).with_columns(same).select(pl.col(name).cast(kind) for name, kind in TRADES.items())


def _labels(marks: I64, names: pl.Series) -> pl.DataFrame:
    column = dict(zip(market.LABEL, marks.T, strict=True))
    column["key"], column["kind"] = names.gather(column["symbol"]), pl.Series(market.KINDS).gather(column["kind"])
    return pl.DataFrame(column).select(pl.col(name).cast(kind) for name, kind in LABELS.items()).sort("from", "key")


def _packing(out: Path) -> str:
    """Format of a file by its name: '', 'gzip', 'zstd' (CSV) or 'parquet'."""
    endings = [suffix.lower() for suffix in out.suffixes]
    for wanted, packing in (([".csv"], ""), ([".csv", ".gz"], "gzip"), ([".csv", ".zst"], "zstd"), ([".parquet"], "parquet")):
        if endings[-len(wanted) :] == wanted:
            return packing
    raise ValueError(f"trades go to a .csv, .csv.gz, .csv.zst or .parquet file, not {out.name!r}")


@contextmanager
def _writing(out: Path, packing: str) -> Iterator[Callable[[pl.DataFrame], None]]:
    """A writer of blocks; the file appears when all are written."""
    part = out.with_name(f".{out.name}.part")
    try:
        with _table(part) if packing == "parquet" else _text(part, packing) as write:
            yield write
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def _table(part: Path) -> Iterator[Callable[[pl.DataFrame], None]]:
    schema = pl.DataFrame(schema=TRADES).to_arrow().schema
    with pq.ParquetWriter(part, schema, compression="zstd") as writer:
        yield lambda block: writer.write_table(block.to_arrow())


@contextmanager
def _text(part: Path, packing: str) -> Iterator[Callable[[pl.DataFrame], None]]:
    with part.open("wb") as file, _packed(file, packing) as stream:
        stream.write((",".join(TRADES) + "\n").encode())

        def write(block: pl.DataFrame) -> None:
            lines = BytesIO()
            block.write_csv(lines, include_header=False, datetime_format=_TIME)
            stream.write(lines.getbuffer())

        yield write


def _packed(file: BufferedWriter, packing: str) -> Any:
    """A stream that compresses into `file`, without a time stamp, so that equal content gives equal bytes."""
    if packing == "gzip":
        return gzip.GzipFile("", "wb", 3, file, mtime=0)
    return pa.CompressedOutputStream(file, "zstd") if packing == "zstd" else nullcontext(file)
