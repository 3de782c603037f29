"""JSON lines from memory to typed columns: offbeat's decoder, Polars' `read_ndjson`, and msgspec row by row, over trades and bars."""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import polars as pl

from benchmarks.make_bars import BUILD
from benchmarks.results import record
from offbeat.core.plan import SourcePlan
from offbeat.io.read.csv import BLOCK
from offbeat.io.read.decoder import Decoder
from offbeat.io.read.lines import blocks_of_lines, find_lines
from offbeat.io.read.parse_columns import Parsed
from offbeat.spec.load import load_plan

DATA = Path(__file__).parents[2] / "shared/data"
OFFBEAT = Path(sys.executable).with_name("offbeat")
KEY = {"trades": "symbol", "bars": "key"}
LEAST_ROWS = 250_000
_ISO = "%Y-%m-%dT%H:%M:%S%.9fZ"


def json_lines(pipeline: str) -> bytes:
    """The real rows as `offbeat replay` writes them, over and over until there are enough."""
    path = BUILD / "decode" / f"{pipeline}.ndjson"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        arguments = ["replay", str(DATA / pipeline), str(path), "--pipeline", pipeline, "--speed", "max"]
        subprocess.run([str(OFFBEAT), *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    body = path.read_bytes()
    return body * -(-LEAST_ROWS // body.count(b"\n"))


@dataclass(frozen=True)
class Case:
    """One input, and the three that read it."""

    plan: SourcePlan
    key: str
    body: bytes

    def offbeat(self) -> list[Parsed]:
        decoder = Decoder(self.plan)
        return [decoder.decode(block, *find_lines(block)) for block, _ in blocks_of_lines(io.BytesIO(self.body).read, BLOCK)]

    def types(self) -> dict[str, Any]:
        """The fields and their types, for Polars."""
        time_and_key: dict[str, Any] = {self.plan.time.headers[0]: pl.String, self.key: pl.String}
        whole = {c.name: pl.Int64 if c.kind == "decimal" and c.scale == 0 else pl.Float64 for c in self.plan.columns if c.kind != "text"}
        return time_and_key | {c.name: whole.get(c.name, pl.String) for c in self.plan.columns}

    def typed(self, frame: pl.DataFrame) -> pl.DataFrame:
        """What the plan asks for: times as instants, decimals as integers."""
        when = self.plan.time.headers[0]
        decimals = [(pl.col(c.name) * 10.0**c.scale).round().cast(pl.Int64) for c in self.plan.columns if c.kind == "decimal" and c.scale]
        return frame.with_columns(pl.col(when).str.to_datetime(_ISO, time_unit="ns"), *decimals)

    def polars(self) -> pl.DataFrame:
        return self.typed(pl.read_ndjson(self.body, schema=self.types()))

    def msgspec(self) -> pl.DataFrame:
        python = {pl.String: str, pl.Int64: int, pl.Float64: float}
        types = self.types()
        row = msgspec.defstruct("Row", [(name, python[kind]) for name, kind in types.items()], gc=False)
        decode = msgspec.json.Decoder(row).decode
        rows = [decode(line) for line in self.body.split(b"\n") if line]
        columns = zip(types, zip(*map(msgspec.structs.astuple, rows), strict=True), strict=True)
        return self.typed(pl.DataFrame([pl.Series(name, values, types[name]) for name, values in columns]))

    def same(self) -> int:
        """Rows, once all three are known to give the same."""
        when = self.plan.time.headers[0]
        ours = pl.concat(
            pl.DataFrame([pl.Series(when, parsed.time_ns).cast(pl.Datetime("ns")), parsed.keys.alias(self.key), *parsed.frame])
            for parsed in self.offbeat()
            if parsed.keys is not None and not parsed.faults.any()
        )
        for name, other in (("Polars", self.polars()), ("msgspec", self.msgspec())):
            if not ours.equals(other):
                raise SystemExit(f"{name} reads other values")
        return len(ours)


def measured(jobs: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, tuple[float, float]]:
    """Median seconds on the wall and of CPU of each job; the jobs take turns."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            wall, cpu = time.perf_counter(), time.process_time()
            job()
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {name: (median(w for w, _ in of), median(c for _, c in of)) for name, of in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    lines = ["| | rows | bytes a row | µs a row | µs of CPU a row | CPU ratio |", "|---|---:|---:|---:|---:|---:|"]
    for pipeline, key in KEY.items():
        if not (DATA / pipeline).exists():
            raise SystemExit(f"needs the real data in ../shared/data/{pipeline}")
        case = Case(load_plan(pipeline).source, key, json_lines(pipeline))
        rows = case.same()
        jobs = {"offbeat": case.offbeat, "Polars `read_ndjson`": case.polars, "msgspec, row by row": case.msgspec}
        found = measured(jobs, options.rounds)
        for name, (wall, cpu) in found.items():
            shown = f"{wall / rows * 1e6:.2f} | {cpu / rows * 1e6:.2f} | {cpu / found['offbeat'][1]:.1f}"
            lines.append(f"| {pipeline}: {name} | {rows:,} | {len(case.body) / rows:.0f} | {shown} |")
    body = (
        "JSON lines in memory to columns with times in nanoseconds and prices as exact integers; every value is the same from all three. "
        "offbeat also finds what is wrong with each line and keeps its place. It runs on one thread, Polars on all cores.\n\n"
        + "\n".join(lines)
    )
    sys.stdout.write(record("Decoding JSON", body, "polars", "msgspec", "numba"))


if __name__ == "__main__":
    main()
