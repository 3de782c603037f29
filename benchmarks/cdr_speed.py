"""System B on 30 M call records: offbeat beside a hand-written DuckDB script and PySpark `local[2]`, same files, same answers.

Each run is a process, timed from its start to its end; of PySpark's the start of the session is left out and reported apart. offbeat
runs the shipped pipeline with nothing in it but what the peers do as well (`cdr_process.SYSTEM_B`), and writes its alerts. The peers write
customer-days with any flag, also those that only a region's flag is on. `--forest` adds the forest of PySpark, for its time alone.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from shutil import rmtree
from statistics import median

from benchmarks.cdr_answers import our_answers, peer_answers, same_answers
from benchmarks.cdr_process import Ran, generate, judge, run, system_b
from benchmarks.measure import alternate, table
from benchmarks.results import record

_OURS, _DUCKDB, _SPARK = "offbeat", "DuckDB by hand", "PySpark local[2]"


class Side:
    """One of the programs, run again and again into the same place."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.runs: list[Ran] = []

    def peer(self, module: str, source: Path, *more: str) -> None:
        """Run a module of the benchmarks."""
        rmtree(self.out, ignore_errors=True)
        self.runs.append(run(sys.executable, "-m", module, source, self.out, *more))

    def ours(self, pipeline: Path, source: Path) -> None:
        """Run the command."""
        for old in self.out.parent.glob(f"{self.out.name}*"):
            old.unlink()
        self.runs.append(judge(pipeline, [source], self.out))


def steps_table(runs: list[Ran]) -> str:
    """Markdown: least seconds of each of DuckDB's steps."""
    lines = ["| step of the DuckDB script | least s |", "|---|---:|"]
    lines += [f"| {step} | {min(ran.out['steps'][step] for ran in runs):.2f} |" for step in runs[0].out["steps"]]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=30_000_000)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--data", type=Path, help="records that are there already, made with the sizes above")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--spark-rounds", type=int, default=1, help="0 leaves PySpark out")
    parser.add_argument("--forest", action="store_true", help="let PySpark score every customer-day with a forest too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cdr_speed_") as scratch:
        place = Path(scratch)
        source = options.data or place / "records"
        if options.data is None:
            generate(source, rows=options.rows, days=options.days, customers=options.customers)
        pipeline = system_b(place / "system_b.yaml")
        sides = {_OURS: Side(place / "alerts.parquet"), _DUCKDB: Side(place / "duckdb"), _SPARK: Side(place / "spark")}
        jobs = {
            _OURS: lambda: sides[_OURS].ours(pipeline, source),
            _DUCKDB: lambda: sides[_DUCKDB].peer("benchmarks.cdr_duckdb", source),
        }
        times = alternate(jobs, options.rounds)
        answers = {_OURS: our_answers(sides[_OURS].out), _DUCKDB: peer_answers(sides[_DUCKDB].out)}
        if options.spark_rounds:
            spark = {_SPARK: lambda: sides[_SPARK].peer("benchmarks.cdr_spark", source, *(["--forest"] if options.forest else []))}
            alternate(spark, options.spark_rounds, warm_up=0)
            times[_SPARK] = [ran.out["seconds"] for ran in sides[_SPARK].runs]
            answers[_SPARK] = peer_answers(sides[_SPARK].out)
        same = same_answers(answers)
        rows = sides[_OURS].runs[-1].out["rows_in"]
    middle = {name: median(spent) for name, spent in times.items()}
    peaks = {name: max(ran.peak_mib for ran in sides[name].runs) for name in (_OURS, _DUCKDB)}
    cpu = {name: min(ran.cpu for ran in sides[name].runs) for name in (_OURS, _DUCKDB)}
    body = f"{rows:,} rows. {same}\n\n{table(times, _DUCKDB, rows)}\n\n"
    body += f"offbeat takes **{middle[_OURS] / middle[_DUCKDB]:.2f} times** what DuckDB takes (owed: at most 1.5)"
    if options.spark_rounds:
        start = min(ran.out["start"] for ran in sides[_SPARK].runs)
        body += f" and is **{middle[_SPARK] / middle[_OURS]:.1f} times** as fast as PySpark (owed: 25), "
        body += f"whose start, {start:.1f} s, is not counted"
        if options.forest:
            body += f" (its forest took {min(ran.out['forest'] for ran in sides[_SPARK].runs):.1f} s more)"
    body += f". Peak memory: offbeat {peaks[_OURS]:,.0f} MiB, DuckDB {peaks[_DUCKDB]:,.0f} MiB; least seconds of CPU on all cores: "
    body += f"{cpu[_OURS]:.1f} and {cpu[_DUCKDB]:.1f}.\n\n{steps_table(sides[_DUCKDB].runs)}"
    sys.stdout.write(record("Call records beside DuckDB and PySpark", body, "polars", "duckdb", "pyspark", "numba"))


if __name__ == "__main__":
    main()
