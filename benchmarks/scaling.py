"""Whether speed and memory stay flat: bars from 1 M to 10 M rows, and 2 M rows spread over 1 to 100,000 keys.

Every point is a process of its own, so that its peak memory is its own; a short run before the clock starts loads the compiled kernels.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from benchmarks.make_bars import BUILD, make_bars, real_sessions, symbol_bars
from benchmarks.measure import alone, own_peak_mib, seconds
from benchmarks.ours import bars, run_ours
from benchmarks.plot import Panel, write_svg
from benchmarks.results import RESULTS, record

_KEYED_ROWS = 2_000_000
PLOT = RESULTS.parent / "scaling.svg"


def keyed_file(keys: int, rows: int = _KEYED_ROWS) -> Path:
    """One CSV with a symbol column: every minute has a bar of every key, in order of time."""
    file = BUILD / f"keyed_{keys}_{rows}.csv"
    if file.exists():
        return file
    each = rows // keys
    base = symbol_bars(real_sessions(), 0, each).with_row_index("minute")
    names = pl.DataFrame({"symbol": [f"K{i}" for i in range(keys)], "factor": [1 + i % 97 for i in range(keys)]})
    part = file.with_suffix(".part")
    prices = ((pl.col(name) * pl.col("factor")).round(2).alias(name) for name in ("open", "high", "low", "close"))
    local = pl.col("time").dt.convert_time_zone("Asia/Kolkata").dt.strftime("%Y-%m-%d %H:%M:%S+05:30").alias("timestamp")
    table = base.lazy().join(names.lazy(), how="cross", maintain_order="left_right").select("symbol", local, *prices, "volume")
    table.collect().write_csv(part)
    return part.rename(file)


def point(source: Path, key_column: str | None) -> dict[str, float]:
    """Rows a second and peak MiB of one run in this process."""
    pipeline = bars("csv", key_column)
    first = source if source.is_file() else min(source.iterdir())
    sample = BUILD / "warm" / ("keyed.csv" if key_column else first.name)
    sample.parent.mkdir(parents=True, exist_ok=True)
    with first.open(encoding="utf-8") as lines, sample.open("w", encoding="utf-8") as out:
        out.writelines(line for _, line in zip(range(2000), lines, strict=False))
    run_ours(sample, BUILD / "warm.parquet", pipeline)
    result: list[object] = []
    spent = seconds(lambda: result.append(run_ours(source, BUILD / "scaling.parquet", pipeline)))
    rows = pl.scan_csv(source if source.is_file() else source / "*.csv").select(pl.len()).collect().item()
    return {"rows": rows, "seconds": spent, "rate": rows / spent, "peak": own_peak_mib()}


def measured(source: Path, key_column: str | None, repeat: int) -> dict[str, float]:
    """The fastest of `repeat` processes."""
    arguments = ["--point", str(source), *(["--key-column", key_column] if key_column else [])]
    points: list[dict[str, float]] = [json.loads(alone("benchmarks.scaling", *arguments)) for _ in range(repeat)]
    return min(points, key=lambda p: p["seconds"])


def rows_table(title: str, sizes: Sequence[int], points: Sequence[dict[str, float]]) -> str:
    """Markdown of one series."""
    lines = [f"| {title} | rows/s | peak MiB |", "|---:|---:|---:|"]
    lines += [f"| {size:,} | {p['rate']:,.0f} | {p['peak']:,.0f} |" for size, p in zip(sizes, points, strict=True)]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--millions", type=int, nargs="*", default=[1, 2, 5, 10])
    parser.add_argument("--keys", type=int, nargs="*", default=[1, 10, 100, 1_000, 10_000, 100_000])
    parser.add_argument("--keep", action="store_true", help="leave the generated files in build/bench")
    parser.add_argument("--point", type=Path, help="measure one source in this process and print it as JSON")
    parser.add_argument("--key-column")
    options = parser.parse_args()
    if options.point:
        sys.stdout.write(json.dumps(point(options.point, options.key_column)))
        return
    by_rows, by_keys = [], []
    for millions in options.millions:
        folder, parquet = make_bars(25, millions * 40_000, f"scale_{millions}m")
        shutil.rmtree(parquet, ignore_errors=True)
        by_rows.append(measured(folder, None, options.repeat))
        if not options.keep:
            shutil.rmtree(folder)
            (BUILD / f"scale_{millions}m.json").unlink()
    for keys in options.keys:
        file = keyed_file(keys)
        by_keys.append(measured(file, "symbol", options.repeat))
        if not options.keep:
            file.unlink()
    sizes = [m * 1_000_000 for m in options.millions]
    panels = [
        Panel("rows/s against rows (25 keys)", "rows", sizes, [p["rate"] for p in by_rows], ""),
        Panel("peak memory against rows", "rows", sizes, [p["peak"] for p in by_rows], " MiB"),
        Panel("rows/s against keys (2 M rows)", "keys", options.keys, [p["rate"] for p in by_keys], ""),
        Panel("peak memory against keys", "keys", options.keys, [p["peak"] for p in by_keys], " MiB"),
    ]
    write_svg(PLOT, panels)
    body = f"![rows/s and peak memory]({PLOT.name})\n\n{rows_table('rows', sizes, by_rows)}\n\n{rows_table('keys', options.keys, by_keys)}"
    sys.stdout.write(record("Scaling of bars", body, "polars", "numba"))


if __name__ == "__main__":
    main()
