"""The whole ensemble of `trades` on real trades: beside scikit-learn's loop, in small batches, one row at a time, over 10,000 symbols."""

from __future__ import annotations

import argparse
import gzip
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl

import offbeat
from benchmarks.make_bars import BUILD
from benchmarks.results import record
from benchmarks.sklearn_loop import run as sklearn_loop
from offbeat.core.chunk import Chunk
from offbeat.evaluate.generate_trades import generate_trades
from offbeat.features.windows import WindowFold
from offbeat.fold.fold import Fold
from offbeat.fold.row_columns import Columns
from offbeat.io.read.open_source import open_source
from offbeat.spec.load import load_plan

TRADES = Path(__file__).parents[2] / "shared/data/trades"
AIG = TRADES / "AIG_2013-10-07_11.trades.csv.gz"
WARM, MEASURED = 3000, 1000
"""Trades of the scikit-learn loop before and under the clock: two trainings fall into 1,000 trades, as in every other 1,000."""


def unpacked() -> Path:
    """AIG's trades as plain CSV: what is measured is not gzip."""
    path = BUILD / "trades" / AIG.name.removesuffix(".gz")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.decompress(AIG.read_bytes()))
    return path


def whole_run(source: Path) -> tuple[float, int]:
    """Seconds of one run from CSV to Parquet, and rows."""
    out = source.with_suffix(".alerts.parquet")
    out.unlink(missing_ok=True)
    start = time.perf_counter()
    result = offbeat.run("trades", str(source), alerts=[str(out)])
    return time.perf_counter() - start, int(result.ledger["rows_in"])


def chunks_of(source: Path) -> list[Chunk]:
    """The parsed rows."""
    return list(open_source(load_plan("trades").source, [str(source)]).chunks(None))


def cut(chunk: Chunk, begin: int, end: int) -> Chunk:
    """Some rows of a chunk without gaps."""
    keys = None if chunk.keys is None else chunk.keys[begin:end]
    return replace(
        chunk, frame=chunk.frame[begin:end], keys=keys, time_ns=chunk.time_ns[begin:end], faults=chunk.faults[begin:end],
        first_row=chunk.first_row + begin, rows=None, files=None,
    )  # fmt: skip


def one_shard(pipeline: str) -> Fold:
    """A fold with an empty shard 0."""
    fold = Fold(load_plan(pipeline))
    fold.assign(0)
    return fold


def batches(chunks: list[Chunk], size: int, rows: int) -> list[float]:
    """Seconds of each batch of `size` rows, over the first `rows`."""
    fold = one_shard("trades")
    times: list[float] = []
    done = 0
    for chunk in chunks:
        for begin in range(0, chunk.frame.height, size):
            if done >= rows:
                return times
            part = cut(chunk, begin, min(begin + size, chunk.frame.height))
            start = time.perf_counter()
            fold.feed(0, fold.prepare(0, part))
            times.append(time.perf_counter() - start)
            done += size
    return times


def interleaved(chunks: list[Chunk], symbols: int, size: int, rows: int) -> tuple[float, Fold]:
    """Rows a second over `rows` rows of `symbols` symbols that take turns, in batches of `size`; and the fold.

    Every symbol has AIG's trades, each a little further on than the symbol before.
    """
    frame = pl.concat([chunk.frame for chunk in chunks])
    time_ns = np.concatenate([chunk.time_ns for chunk in chunks])
    names = pl.Series([f"S{i:05d}" for i in range(symbols)])
    fold = one_shard("trades")
    total = 0.0
    per_symbol = rows // symbols
    turn = max(size // symbols, 1)
    for at in range(0, per_symbol, turn):
        n = min(turn, per_symbol - at)
        base = np.arange(symbols) * 7 % (len(time_ns) - per_symbol)
        index = (base[None, :] + at + np.arange(n)[:, None]).reshape(-1)
        keys = names.gather(np.tile(np.arange(symbols), n))
        whole = replace(chunks[0], frame=frame[index], keys=keys, time_ns=time_ns[index], faults=np.zeros(len(index), np.int8), first_row=1)
        for begin in range(0, len(index), size):
            part = cut(whole, begin, min(begin + size, len(index)))
            start = time.perf_counter()
            fold.feed(0, fold.prepare(0, part))
            total += time.perf_counter() - start
    return per_symbol * symbols / total, fold


def same_features(source: Path, loop: np.ndarray) -> float:
    """Greatest relative difference of our features from the loop's."""
    plan = load_plan("trades")
    rows = len(loop) + 99
    chunks = chunks_of(source)
    frame = pl.concat([chunk.frame for chunk in chunks])[:rows]
    times = np.concatenate([chunk.time_ns for chunk in chunks])[:rows]
    columns = Columns(plan)
    numbers, integers, _, _ = columns.read(frame, lambda: pl.Series([], dtype=pl.String))
    fold = WindowFold(plan.views[0].windows[0], columns.numbers, columns.fixed)
    found = fold.fold(np.zeros(rows, np.int32), times, numbers, integers, 1).features[:, 99:].T
    both_null = np.isnan(found) & np.isnan(loop)
    difference = np.abs(found - loop) / np.maximum(np.abs(loop), 1e-12)
    return float(np.where(both_null, 0.0, difference).max())


def loop_rate(source: Path) -> tuple[float, float]:
    """Trades a second of the scikit-learn loop, and the greatest relative difference of our features from its own."""
    trades = pl.read_csv(source, n_rows=WARM + MEASURED).with_columns(
        pl.col("ts_event").str.to_datetime(time_unit="ns", time_zone="UTC").dt.epoch("ns").alias("time_ns"), pl.col("price").round(9)
    )
    rate, features = sklearn_loop(trades.with_columns(pl.col("size").cast(pl.Float64)), WARM, MEASURED)
    return rate, same_features(source, features)


def ensemble_table(rounds: int) -> str:
    """The whole run on one core beside the loop."""
    source = unpacked()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    whole_run(source)
    runs = [whole_run(source) for _ in range(rounds)]
    rows = runs[0][1]
    ours = rows / median(seconds for seconds, _ in runs)
    best = rows / min(seconds for seconds, _ in runs)
    theirs, difference = loop_rate(source)
    assert difference < 1e-9, difference
    return (
        f"CSV of {rows:,} real trades to alerts in Parquet, one core, {rounds} runs; the loop over {MEASURED:,} trades in steady state.\n\n"
        "| | trades/s | owed |\n|---|---:|---:|\n"
        f"| offbeat, whole ensemble (median) | {ours:,.0f} | ≥ 250,000 |\n| offbeat (best run) | {best:,.0f} | |\n"
        f"| scikit-learn, trade by trade | {theirs:,.0f} | |\n| ratio of the medians | {ours / theirs:,.0f} | ≥ 4,000 |\n\n"
        f"Same answers: the 18 features of {WARM + MEASURED - 99:,} trades differ by at most {difference:.1e} relative. Scores are "
        "compared in \"Forests on ADBench\", \"Robust covariance on ADBench\" and the tests.\n"
    )


def live_table() -> str:
    """Small batches and single rows."""
    chunks = chunks_of(unpacked())
    batches(chunks, 500, 5_000)
    whole = batches(chunks, 50_000, 200_000)
    twenty = batches(chunks, 20, 60_000)[50:]
    single = np.sort(np.array(batches(chunks, 1, 20_000)[500:])) * 1e3
    every = 500
    trainings = len(single) // every
    quiet, training = single[:-trainings], single[-trainings:]
    fast, slow = 200_000 / sum(whole), 20 / float(np.mean(twenty))
    return (
        "Parsed rows in, verdicts out, one process, one core.\n\n| | figure | owed |\n|---|---:|---:|\n"
        f"| batches of 50,000 rows | {fast:,.0f} rows/s | |\n| batches of 20 rows | {slow:,.0f} rows/s | |\n"
        f"| share of the former | {slow / fast:.0%} | ≥ 50 % |\n"
        f"| a single row, p50 / p99 without training | {np.percentile(quiet, 50):.2f} / {np.percentile(quiet, 99):.2f} ms | < 1 ms |\n"
        f"| a single row with training (1 of {every}), median / p99 | {np.percentile(training, 50):.2f} / "
        f"{np.percentile(training, 99):.2f} ms | < 10 ms |\n"
    )


def bytes_a_key(symbols: int = 300) -> float:
    """Size of a snapshot in which every key has a full history of its own."""
    path = BUILD / "trades" / "state.csv"
    if not path.exists():
        generate_trades(path, path.with_suffix(".labels.parquet"), rows=3500 * symbols, symbols=symbols, seed=1)
    fold = one_shard("trades")
    for chunk in chunks_of(path):
        fold.feed(0, fold.prepare(0, chunk))
    return len(fold.snapshot(0)) / symbols


def symbols_table(symbols: int, rows_a_symbol: int) -> str:
    """Many symbols that take turns, and their state."""
    chunks = chunks_of(unpacked())
    one, _ = interleaved(chunks, 1, 50_000, 200_000)
    lines = []
    for size, rows in ((500_000, rows_a_symbol * symbols), (1_000, rows_a_symbol * symbols)):
        rate, shard = interleaved(chunks, symbols, size, rows)
        lines.append(f"| {symbols:,} symbols, batches of {size:,} | {rate:,.0f} | {one / rate:.1f} | {'≤ 2' if size > 1000 else '≤ 5'} |")
        del shard
    kept = bytes_a_key()
    return (
        f"Rows of AIG for every symbol, {rows_a_symbol:,} each, in turns.\n\n| | rows/s | times slower than one symbol | owed |\n"
        f"|---|---:|---:|---:|\n| one symbol, batches of 50,000 | {one:,.0f} | 1.0 | |\n" + "\n".join(lines) + "\n\n"
        f"Snapshot with full history: {kept / 1e3:.0f} kB a key (300 made-up symbols of their own, 3,500 trades each), so "
        f"{kept / 1e2:,.0f} MB for 10,000 keys; owed: < 1,000 MB.\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--symbols", type=int, default=10_000)
    parser.add_argument("--rows-a-symbol", type=int, default=1_200)
    options = parser.parse_args()
    packages = ("numpy", "numba", "polars", "scikit-learn")
    sys.stdout.write(record("Trades: the ensemble", ensemble_table(options.rounds), *packages))
    sys.stdout.write(record("Trades: live", live_table(), *packages))
    sys.stdout.write(record("Trades: many symbols", symbols_table(options.symbols, options.rows_a_symbol), *packages))


if __name__ == "__main__":
    main()
