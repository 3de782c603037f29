"""What the state of many keys costs: memory in the fold, bytes and seconds of a snapshot, seconds to take it over.

Run: python -m benchmarks.state_size [KEYS]
"""

from __future__ import annotations

import ctypes
import gc
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.measure import alone, own_peak_mib
from benchmarks.results import record
from offbeat.core.chunk import Chunk
from offbeat.core.plan import Plan
from offbeat.engines.checkpoint import Checkpoint
from offbeat.fold.fold import Fold
from offbeat.spec.load import load_plan, load_text

TEN_ROWS = """
name: ten_rows
source:
  key: {column: key}
  time: {column: time}
  columns:
    x: {type: float}
quality: {max_jump: 10000d}
views:
  row:
    windows:
      ten: {over: 10 rows, min_rows: 1, features: {m: mean(x), s: stddev(x), top: max(x)}}
    detectors:
      far: {type: rule, when: x > m + 9 * s AND x > top}
"""
JOBS = {"bars": (100_000, 30), "ten_rows": (1_000_000, 12)}
"""Keys, and rows of each: the windows are full."""
PART = 250_000


def _plan(name: str) -> Plan:
    return load_plan("bars") if name == "bars" else load_text(TEN_ROWS, name).plan


def _chunk(name: str, keys: pl.Series, minute: int) -> Chunk:
    """A row of each of these keys."""
    n = len(keys)
    x = 100.0 + np.arange(n) % 7 + minute % 3
    ones = {"open": x, "high": x, "low": x, "close": x, "volume": np.full(n, 10 + minute % 3)} if name == "bars" else {"x": x}
    return Chunk(
        frame=pl.DataFrame(ones),
        key=None,
        keys=keys,
        time_ns=np.full(n, (1_609_732_800 + 60 * minute) * 10**9),
        faults=np.zeros(n, np.int8),
        file=0,
        first_row=1,
        rows=None,
        files=None,
        raw=lambda index: [""] * len(index),
        position={},
    )


def _resident_mib() -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the kernel does not report VmRSS")


def _feed(plan: Plan, name: str, count: int, rows: int) -> Fold:
    fold = Fold(plan)
    fold.assign(0)
    keys = pl.Series("key", [f"KEY{i:07}" for i in range(count)])
    for minute in range(rows):
        for at in range(0, count, PART):
            fold.feed(0, fold.prepare(0, _chunk(name, keys[at : at + PART], minute)))
    return fold


def measure(name: str, count: int) -> str:
    """One line of the table, from a process of its own."""
    plan, rows = _plan(name), JOBS[name][1]
    _feed(plan, name, 10, 2)  # the kernels are compiled and loaded
    before = _resident_mib()
    fold = _feed(plan, name, count, rows)
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # what the allocator keeps of freed batches is not the state's
    held, peak = _resident_mib() - before, own_peak_mib()
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Checkpoint(Path(folder), plan)
        start = time.perf_counter()
        arrays, document = fold.state(0)
        checkpoint.save(arrays, document)
        saved = time.perf_counter() - start
        size = (Path(folder) / "state.arrow").stat().st_size
        state = sum(array.nbytes for array in arrays.values())
        peak_saving = own_peak_mib()
        del arrays, document
        start = time.perf_counter()
        kept = checkpoint.load()
        assert kept is not None
        again = Fold(plan)
        again.assign(0)
        again.restore(0, *kept)
        taken = time.perf_counter() - start
        checkpoint.close()
    assert again.ledger.rows_in == count * rows
    figures = (held, peak, peak_saving, size / 2**20, size / count, state / count)
    cells = [f"{count:,} keys, `{name}`", *(f"{figure:,.0f}" for figure in figures), f"{saved:.2f}", f"{taken:.2f}"]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure and record; with arguments NAME KEYS only print one line."""
    if len(sys.argv) > 2:
        print(measure(sys.argv[1], int(sys.argv[2])))
        return
    lines = [alone("benchmarks.state_size", name, str(count)).strip() for name, (count, _) in JOBS.items()]
    head = "| | fold MiB | peak MiB | peak while saving MiB | snapshot MiB | bytes a key | of them arrays | save s | load s |"
    body = "\n".join([head, "|---|" + "---:|" * 8, *lines])
    about = (
        "State of many keys with full windows: resident memory that they hold, keys' names included, the process's peak, and the"
        " snapshot, written with fsync and taken over by a new shard. `ten_rows`: mean, stddev and max of the last 10 rows."
    )
    print(record("State of many keys", f"{about}\n\n{body}", "numpy", "pyarrow", "polars"))


if __name__ == "__main__":
    main()
