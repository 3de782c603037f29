"""The bars pipeline beside a bare read: 25 symbols and 3 years of minute bars, CSV and Parquet.

The peer is what nobody can avoid: Polars reads the same files, the time column parsed by an explicit format, and writes the same alerts,
which it is handed ready in memory, to Parquet. Several ways of reading are tried first; the fastest one is the peer.
"""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import Literal

import polars as pl

from benchmarks.answers import expected_alerts
from benchmarks.make_bars import BUILD, TIME_FORMAT, make_bars
from benchmarks.measure import Job, alone, alternate, own_peak_mib, table
from benchmarks.ours import alerts_of, bars, run_ours
from benchmarks.results import record
from offbeat.engines.local import LocalEngine
from offbeat.io.read.open_source import open_source
from offbeat.spec.load import load_plan
from offbeat.spec.models import PipelineSpec

_NUMBERS: dict[str, pl.DataType] = {name: pl.Float64() for name in ("open", "high", "low", "close", "volume")}
_TEXT: dict[str, pl.DataType] = {"timestamp": pl.String(), **_NUMBERS}


def _any_offset() -> pl.Expr:
    return pl.col("timestamp").str.to_datetime(TIME_FORMAT, time_unit="ns", time_zone="UTC")


def _this_offset() -> pl.Expr:
    """Several times as fast, and right only for files whose every time ends in +05:30."""
    return pl.col("timestamp").str.to_datetime("%Y-%m-%d %H:%M:%S+05:30", time_unit="ns") - pl.duration(hours=5, minutes=30)


def csv_any_offset(folder: Path) -> int:
    """One lazy scan over all files, the offset parsed."""
    return pl.scan_csv(folder / "*.csv", schema_overrides=_TEXT).with_columns(_any_offset()).collect().height


def csv_this_offset(folder: Path) -> int:
    """One lazy scan over all files, the offset written into the format."""
    return pl.scan_csv(folder / "*.csv", schema_overrides=_TEXT).with_columns(_this_offset()).collect().height


def csv_this_offset_streaming(folder: Path) -> int:
    """The same on the streaming engine."""
    return pl.scan_csv(folder / "*.csv", schema_overrides=_TEXT).with_columns(_this_offset()).collect(engine="streaming").height


def csv_this_offset_by_file(folder: Path) -> int:
    """Eagerly, file by file."""
    return sum(pl.read_csv(f, schema_overrides=_TEXT).with_columns(_this_offset()).height for f in sorted(folder.iterdir()))


def parquet_by_file(folder: Path) -> int:
    """Eagerly, file by file."""
    return sum(pl.read_parquet(f).height for f in sorted(folder.iterdir()))


def parquet_scan(folder: Path) -> int:
    """One lazy scan over all files, collected whole."""
    return pl.scan_parquet(folder / "*.parquet").collect().height


READERS = {
    "csv": (csv_any_offset, csv_this_offset, csv_this_offset_streaming, csv_this_offset_by_file),
    "parquet": (parquet_by_file, parquet_scan),
}


def fastest_reader(kind: str, folder: Path) -> tuple[str, Job, dict[str, float]]:
    """The way to read with the least median of three turns; its job, and the medians of all."""
    jobs: dict[str, Job] = {reader.__name__: partial(reader, folder) for reader in READERS[kind]}
    times = alternate(jobs, 3)
    best = min(times, key=lambda name: median(times[name]))
    return best, jobs[best], {name: median(spent) for name, spent in times.items()}


def read_and_write(read: Job, alerts: pl.DataFrame, out: Path) -> None:
    """The peer: the bare read, and the alerts from memory to Parquet."""
    read()
    alerts.write_parquet(out)


def cpu_seconds(job: Job) -> float:
    """Seconds of CPU of all threads during one call."""
    start = time.process_time()
    job()
    return time.process_time() - start


def cpu_parts(folder: Path, pipeline: PipelineSpec, out: Path) -> dict[str, float]:
    """Where a run's seconds of CPU go, by leaving out one part after the other."""
    plan = load_plan(pipeline)
    read = cpu_seconds(lambda: sum(chunk.frame.height for chunk in open_source(plan.source, [str(folder)]).chunks(None)))
    judged = cpu_seconds(lambda: LocalEngine(plan, open_source(plan.source, [str(folder)])).run())
    whole = cpu_seconds(lambda: run_ours(folder, out, pipeline))
    return {"reading": read, "judging": judged - read, "writing": whole - judged}


def compare(kind: Literal["csv", "parquet"], folder: Path, rounds: int) -> str:
    """The section's part for one kind of file. Raises SystemExit where the answers differ."""
    mine, theirs = BUILD / f"our_alerts_{kind}.parquet", BUILD / f"peer_alerts_{kind}.parquet"
    rows = pl.scan_parquet(BUILD / "bars_parquet" / "*.parquet").select(pl.len()).collect().item()
    best, read, reads = fastest_reader(kind, folder)
    pipeline = bars(kind)
    run_ours(folder, mine, pipeline)
    expected = expected_alerts(folder)
    if not alerts_of(mine).equals(expected):
        raise SystemExit(f"{kind}: offbeat's alerts differ from the independent computation")
    alerts = pl.read_parquet(mine)
    peer = f"Polars reads ({best}) and writes the alerts"
    times = alternate({peer: partial(read_and_write, read, alerts, theirs), "offbeat": partial(run_ours, folder, mine, pipeline)}, rounds)
    alone_peak = float(alone("benchmarks.bars_vs_polars", "--kind", kind, "--peak", str(folder)))
    ours = median(times["offbeat"])
    ratio = ours / median(times[peer])
    fair = ""
    if kind == "csv":
        # The fastest peer has the offset of these very files in its format; any other would stop it.
        any_offset = median(times[peer]) - reads[best] + reads["csv_any_offset"]
        fair = f" Beside a read that takes any offset, as ours does ({any_offset:.2f} s with writing): {ours / any_offset:.2f} times."
    parts = cpu_parts(folder, pipeline, mine)
    return (
        f"### {kind}\n\n{rows:,} rows, {alerts.height:,} alerts with {expected.height:,} votes: the same (symbol, time, rule) as an "
        f"independent computation in Polars. Bare reads: {', '.join(f'{name} {spent:.2f} s' for name, spent in reads.items())}.\n\n"
        f"{table(times, peer, rows)}\n\noffbeat takes **{ratio:.2f} times** the bare read and write (owed for CSV: at most 1.5).{fair} "
        f"Seconds of CPU: the peer {cpu_seconds(partial(read_and_write, read, alerts, theirs)):.1f}; offbeat "
        f"{', '.join(f'{name} {spent:.1f}' for name, spent in parts.items())}, on two cores. "
        f"Peak memory of offbeat in a process of its own: {alone_peak:,.0f} MiB (owed: below 2,048)."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kind", choices=("csv", "parquet", "both"), default="both")
    parser.add_argument("--peak", type=Path, help="only run offbeat on this folder and print the peak memory in MiB")
    options = parser.parse_args()
    if options.peak:
        run_ours(options.peak, BUILD / "peak_alerts.parquet", bars(options.kind))
        sys.stdout.write(f"{own_peak_mib()}\n")
        return
    csv, parquet = make_bars()
    folders = {"csv": csv, "parquet": parquet}
    kinds: tuple[Literal["csv", "parquet"], ...] = ("csv", "parquet") if options.kind == "both" else (options.kind,)
    parts = [compare(kind, folders[kind], options.rounds) for kind in kinds]
    sys.stdout.write(record("Bars beside a bare read", "\n\n".join(parts), "polars", "pyarrow", "numba"))


if __name__ == "__main__":
    main()
