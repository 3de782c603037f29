"""What a trained key of `trades` with full history costs: memory, bytes of a snapshot, time to restore it [R35].

Run: python -m benchmarks.key_memory [KEYS…]
"""

from __future__ import annotations

import ctypes
import gc
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.measure import alone
from benchmarks.results import record
from benchmarks.state_size import _resident_mib
from benchmarks.trades_speed import chunks_of
from offbeat.core.chunk import Chunk
from offbeat.evaluate.generate_trades import generate_trades
from offbeat.fold.fold import Fold
from offbeat.spec.load import load_plan

ROWS = 3100
"""Trades a key: the history is full after 2,752, and a threshold's live scores 2,000 after the first training, at 999 at the latest."""
SYMBOLS = 20
"""Made-up symbols whose trades the keys have in common; models differ all the same, as they are drawn anew for each key."""
_BATCH = 10_000
_BLOCK = 4096


@cache
def _symbols() -> tuple[Chunk, list[tuple[pl.DataFrame, np.ndarray]]]:
    """A chunk as it is read, and the rows and times of each symbol."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trades.csv"
        generate_trades(path, Path(folder) / "labels.parquet", rows=(ROWS + 400) * SYMBOLS, symbols=SYMBOLS, seed=1)
        chunks = chunks_of(path)
    frame, keys = pl.concat([chunk.frame for chunk in chunks]), pl.concat([chunk.keys for chunk in chunks if chunk.keys is not None])
    time_ns = np.concatenate([chunk.time_ns for chunk in chunks])
    own = [np.flatnonzero((keys == name).to_numpy())[:ROWS] for name in keys.unique().sort().to_list()]
    return chunks[0], [(frame[rows], time_ns[rows]) for rows in own if len(rows) == ROWS]


def batches(keys: int, rows: int = ROWS) -> Iterator[Chunk]:
    """Trades of so many keys that take turns, `rows` each."""
    like, symbols = _symbols()
    frame, time_ns = pl.concat([own for own, _ in symbols]), np.concatenate([times for _, times in symbols])
    names = pl.Series([f"S{i:05}" for i in range(keys)])
    first = np.arange(keys) % len(symbols) * ROWS
    turn = max(_BATCH // keys, 1)
    for at in range(0, rows, turn):
        n = min(turn, rows - at)
        index = (first[None, :] + at + np.arange(n)[:, None]).reshape(-1)
        key = names.gather(np.tile(np.arange(keys), n))
        faults = np.zeros(len(index), np.int8)
        yield replace(like, frame=frame[index], keys=key, time_ns=time_ns[index], faults=faults, first_row=1, rows=None, files=None)


def filled(keys: int) -> Fold:
    """A fold in which so many keys have full history."""
    fold = Fold(load_plan("trades"))
    fold.assign(0)
    for chunk in batches(keys):
        fold.feed(0, fold.prepare(0, chunk))
    return fold


def array_bytes(owner: object) -> dict[str, int]:
    """By name, the bytes in use of all arrays below an object of ours: its memory pages in which anything stands.

    A pool is longer than what is used of it; the system gives the rest no memory.
    """
    found: dict[str, int] = {}
    seen: set[int] = set()

    def walk(value: object, name: str) -> None:
        if id(value) in seen:
            return
        seen.add(id(value))
        if isinstance(value, np.ndarray):
            if value.base is None and value.flags.c_contiguous and not value.dtype.hasobject:
                data = value.reshape(-1).view(np.uint8)
                whole = len(data) // _BLOCK * _BLOCK
                used = int(data[:whole].reshape(-1, _BLOCK).any(axis=1).sum()) * _BLOCK
                found[name] = found.get(name, 0) + used + len(data) - whole
        elif isinstance(value, dict):
            for each in value.values():
                walk(each, name)
        elif isinstance(value, list | tuple):
            for each in value:
                walk(each, name)
        elif type(value).__module__.startswith("offbeat"):
            for field in (*getattr(value, "__dict__", {}), *getattr(type(value), "__slots__", ())):
                walk(getattr(value, field, None), f"{name}.{field}")

    walk(owner, "")
    return found


def measure(keys: int) -> str:
    """One line of the table, from a process of its own."""
    Fold(load_plan("trades")).assign(0, filled(3).snapshot(0))  # the kernels are compiled and loaded
    before = _resident_mib()
    fold = filled(keys)
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # what the allocator keeps of freed batches is not the keys'
    resident = (_resident_mib() - before) * 2**20 / keys
    arrays = sum(array_bytes(fold).values()) / keys
    snapshot = fold.snapshot(0)
    size = len(snapshot) / keys
    del fold
    again = Fold(load_plan("trades"))
    start = time.process_time()
    again.assign(0, snapshot)
    restored = (time.process_time() - start) * 1e3 / keys
    return f"| {keys:,} | {resident / 1e3:,.0f} | {arrays / 1e3:,.0f} | {size / 1e3:,.0f} | {restored:.2f} |"


def main() -> None:
    """Measure and record; with one number of keys only print its line."""
    if len(sys.argv) == 2:
        print(measure(int(sys.argv[1])))
        return
    lines = [alone("benchmarks.key_memory", str(keys)).strip() for keys in (1_000, 10_000)]
    head = "| keys | resident kB a key | of them arrays kB | snapshot kB a key | restore ms a key (CPU) |\n|---:|---:|---:|---:|---:|"
    about = f"Keys of `trades`, {ROWS:,} made-up trades each, in turns; owed: ≤ 300 kB and ≤ 0.5 ms [R35]."
    print(record("Memory of a trained key", "\n".join([about, "", head, *lines]), "numpy", "numba"))


if __name__ == "__main__":
    main()
