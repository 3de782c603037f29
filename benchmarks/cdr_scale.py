"""System B at its own size: 768,359,379 call records of 520,000 customers and 91 days, judged once; then a day more on top of many days.

The records, about 8 GB, are made in a folder of their own below --scratch (default: where temporary files go) and removed again. The
shipped pipeline runs as it is. For the second part the same days are given in steps to one state: 1, 10, 30, 60 and 90 days, and each time
the one day that follows, which is measured.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

from benchmarks.cdr_process import Ran, generate, judge
from benchmarks.plot import Panel, write_svg
from benchmarks.results import RESULTS, record

PLOT = RESULTS.parent / "cdr_days.svg"
_OWED_SECONDS, _OWED_MIB, _OWED_RATIO = 300, 8 * 1024, 20


@dataclass(frozen=True, slots=True)
class Step:
    """One more day on top of others."""

    kept: int
    """Days before it."""
    rows: int
    """Records of it."""
    ran: Ran
    state_mib: float


def size_mib(folder: Path) -> float:
    """Of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20


def one_more_day(days: Sequence[Path], kept: Sequence[int], place: Path, tables: Path | None) -> list[Step]:
    """Give all days to one state, in order; the steps in which one day came on top of `kept` days."""
    state, alerts = place / "state", place / "daily.parquet"
    more = ["--state", state, *(["--tables", tables] if tables else [])]
    done, rows, steps = 0, 0, []
    for before in kept:
        if before > done:
            rows = judge("cdr", days[done:before], alerts, *more).out["rows_in"]
        os.sync()  # a night's run does not wait for what another one has just written
        ran = judge("cdr", [days[before]], alerts, *more)
        steps.append(Step(before, ran.out["rows_in"] - rows, ran, size_mib(state)))  # with a state, rows_in counts on
        done, rows = before + 1, ran.out["rows_in"]
    return steps


def whole_text(ran: Ran, made: float, gigabytes: float, alerts_mib: float) -> str:
    """Markdown on the run of everything."""
    rows = ran.out["rows_in"]
    views = ", ".join(f"{view['windows']:,} windows of `{name}`" for name, view in ran.out["views"].items())
    return f"""{rows:,} records in {gigabytes:.1f} GB of Parquet (made in {made:.0f} s), the shipped pipeline `cdr`: {views}.

| | figure | owed at 768 M |
|---|---:|---:|
| seconds, from the start of the process to its end | {ran.seconds:.1f} | < {_OWED_SECONDS} |
| rows/s | {rows / ran.seconds:,.0f} | |
| peak memory, MiB | {ran.peak_mib:,.0f} | < {_OWED_MIB:,} |
| alerts | {ran.out["alerts"]:,} in {alerts_mib:,.0f} MiB | |
"""


def steps_text(steps: Sequence[Step], whole: Ran) -> str:
    """Markdown on the days that came on top."""
    last = steps[-1]
    lines = ["| days kept | records of the day | s | records/s | peak MiB | state MiB |", "|---:|---:|---:|---:|---:|---:|"]
    for step in steps:
        seconds, peak = step.ran.seconds, step.ran.peak_mib
        lines.append(f"| {step.kept} | {step.rows:,} | {seconds:.2f} | {step.rows / seconds:,.0f} | {peak:,.0f} | {step.state_mib:,.0f} |")
    table = "\n".join(lines)
    return f"""![seconds for one more day]({PLOT.name})

{table}

The day on top of {last.kept} is **{whole.seconds / last.ran.seconds:.1f} times** as fast as the run of all days (owed: {_OWED_RATIO})."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=768_359_379)
    parser.add_argument("--days", type=int, default=91)
    parser.add_argument("--customers", type=int, default=520_000)
    parser.add_argument("--kept", type=int, nargs="*", default=[1, 10, 30, 60, 90], help="days below the one more; none: no second part")
    parser.add_argument("--scratch", type=Path, help="where the records are made; about 11 bytes each")
    parser.add_argument("--data", type=Path, help="records that are there already")
    parser.add_argument("--keep", action="store_true", help="leave the records and all outputs")
    parser.add_argument("--tables", action="store_true", help="write the tables too")
    options = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="cdr_scale_", dir=options.scratch))
    try:
        source = options.data or place / "records"
        made = 0.0 if options.data else generate(source, rows=options.rows, days=options.days, customers=options.customers)
        days = sorted(source.glob("day=*"))
        alerts = place / "alerts.parquet"
        judge("cdr", days[:1], place / "warm.parquet", "--state", place / "warm")  # compiles what is not compiled yet
        whole = judge("cdr", [source], alerts, *(["--tables", place / "tables"] if options.tables else []))
        body = whole_text(whole, made, size_mib(source) * 2**20 / 1e9, alerts.stat().st_size / 2**20)
        sys.stdout.write(record("Call records at full size", body, "polars", "numba"))
        kept = [n for n in options.kept if n < len(days)]
        if kept:
            steps = one_more_day(days, kept, place, place / "daily_tables" if options.tables else None)
            panels = [
                Panel("one more day: seconds", "days kept", kept, [step.ran.seconds for step in steps], " s"),
                Panel("one more day: records/s", "days kept", kept, [step.rows / step.ran.seconds for step in steps], ""),
            ]
            write_svg(PLOT, panels)
            sys.stdout.write(record("Call records: one more day", steps_text(steps, whole), "polars", "numba"))
    finally:
        if options.keep:
            sys.stdout.write(f"left in {place}\n")
        else:
            rmtree(place)


if __name__ == "__main__":
    main()
