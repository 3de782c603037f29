"""How fast 1.7 M alerts leave: built, written by the sinks, and beside it pyarrow writing the same table from memory with its defaults.

Run: python benchmarks/alerts_out.py [ALERTS]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from offbeat.core.evidence import Evidence, WindowSpan
from offbeat.core.out_of_range import OutOfRange
from offbeat.decide.block import AlertBlock
from offbeat.io.contract import Sink
from offbeat.io.write.alert_table import alert_table
from offbeat.io.write.provenance import open_provenance, provenance_table
from offbeat.io.write.sinks import open_sink

BLOCK = 120_000
"""Alerts in one batch of 500,000 rows of minute bars."""


def bars(m: int, seed: int) -> AlertBlock:
    """M alerts of two rules over 25 symbols."""
    random = np.random.default_rng(seed)
    at = (1_500_000_000 + np.arange(m) * 60) * 10**9

    def detector(name: str, minutes: int) -> Evidence:
        values = [np.round(random.random(m) * 1000, 2) for _ in range(3)]
        window = WindowSpan(at - minutes * 60 * 10**9, at, np.full(m, minutes))
        return Evidence(
            name, "rule", random.random(m), random.random(m) > 0.5, np.full(m, np.nan), values[0], values[1], values[2], (name,),
            random.random((1, m)), OutOfRange.none(m), (), np.zeros(m, np.int64), window,
        )

    key = np.sort(random.integers(0, 25, m)).astype(np.int32)
    prices = {name: np.round(random.random(m) * 1000, 2) for name in ("open", "high", "low", "close")}
    return AlertBlock(
        view="bar",
        ids=random.integers(0, 256, (m, 16), dtype=np.uint8),
        revision=np.ones(m, np.int64),
        status=np.full(m, 2, np.int8),
        key=key,
        keys=pl.Series([f"SYM{i}" for i in range(25)]),
        time_ns=at,
        severity=random.random(m),
        level=random.integers(0, 4, m).astype(np.int8),
        levels=("critical", "high", "medium", "low"),
        votes=np.ones(m, np.int32),
        voters=np.full(m, 2, np.int32),
        detectors=(detector("price_jump", 1), detector("volume_surge", 10)),
        row=pl.DataFrame(prices | {"volume": random.integers(0, 10**5, m)}),
        window=WindowSpan(at - 600 * 10**9, at, np.full(m, 10)),
        statistics=("previous_close", "mean_volume"),
        values=np.round(random.random((2, m)) * 1000, 2),
        files=key,
        rows=np.arange(m),
    )


def table(block: AlertBlock) -> pa.Table:
    """The block as records."""
    return alert_table(block, pipeline="bars", plan_hash="0" * 32, version="0.0.0", lean=True)


def seconds(sink: Sink, tables: list[pa.Table]) -> float:
    """Time to write and close."""
    start = time.perf_counter()
    for each in tables:
        sink.write(each)
    sink.close(True)
    return time.perf_counter() - start


def main() -> None:
    """Measure each way three times and print the best."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_700_000
    blocks = [bars(min(BLOCK, count - start), start) for start in range(0, count, BLOCK)]
    best: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(3):
            start = time.perf_counter()
            tables = [table(block) for block in blocks]
            taken = {"build": time.perf_counter() - start}
            taken["parquet sink"] = seconds(open_sink(f"{folder}/a.parquet", schema=tables[0].schema), tables)
            whole = pa.concat_tables(tables)
            start = time.perf_counter()
            pq.write_table(whole, f"{folder}/b.parquet")
            taken["pyarrow defaults"] = time.perf_counter() - start
            taken["jsonl sink"] = seconds(open_sink(f"{folder}/a.jsonl"), tables)
            origins = [provenance_table(block, [f"SYM{i}.csv" for i in range(25)]) for block in blocks]
            taken["provenance sink"] = seconds(open_provenance(f"{folder}/a.jsonl"), origins)
            best = {name: min(value, best.get(name, value)) for name, value in taken.items()}
        sizes = {p.name: p.stat().st_size / 1e6 for p in sorted(Path(folder).iterdir())}
    print(f"{count:,} alerts: " + ", ".join(f"{name} {value:.2f} s" for name, value in best.items()))
    print(", ".join(f"{name} {size:,.0f} MB" for name, size in sizes.items()))


if __name__ == "__main__":
    main()
