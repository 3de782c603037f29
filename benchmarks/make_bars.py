"""Makes the bars of the benchmarks: 25 symbols, 3 years of minute bars (6.9 M rows), out of the one real file.

The real file's whole sessions (147 days, 21 weeks) are repeated in steps of 21 weeks, so every bar keeps its weekday and time of day; each
symbol has its own price level, rounded to the tick of 0.05. Volumes are left as they are. The same command makes the same bytes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import polars as pl

ROOT = Path(__file__).parents[1]
REAL = ROOT.parent / "shared" / "data" / "bars" / "AARTIIND__EQ__NSE__NSE__MINUTE.csv"
BUILD = ROOT / "build" / "bench"
TIME_FORMAT = "%Y-%m-%d %H:%M:%S%:z"
_INDIA = timezone(timedelta(hours=5, minutes=30))
_STEP = timedelta(days=147)
_END_OF_REAL = datetime(2017, 5, 29, tzinfo=_INDIA)  # its last day is cut off
_END = datetime(2020, 1, 2, tzinfo=_INDIA)
_FACTORS = tuple(0.25 * 1.17**i for i in range(25))


def real_sessions() -> pl.DataFrame:
    """The valid bars of the real file's whole days, with `time` as an instant in microseconds.

    Raises SystemExit where the real file is absent.
    """
    if not REAL.exists():
        raise SystemExit(f"benchmarks on bars need the real file {REAL.name} in ../shared/data/bars")
    bars = pl.read_csv(REAL, truncate_ragged_lines=True).drop_nulls("open")
    bars = bars.with_columns(time=pl.col("timestamp").str.to_datetime(TIME_FORMAT, time_unit="us", time_zone="UTC")).drop("timestamp")
    good = (pl.col("high") >= pl.max_horizontal("open", "close", "low")) & (pl.col("low") <= pl.min_horizontal("open", "close"))
    return bars.filter(good, pl.col("time") < _END_OF_REAL, pl.min_horizontal("open", "high", "low", "close") > 0)


def symbol_bars(base: pl.DataFrame, number: int, rows: int | None = None) -> pl.DataFrame:
    """Three years of bars of symbol `number` (or the first `rows` of as many years as that takes), ordered by `time`."""
    factor = _FACTORS[number % len(_FACTORS)]
    steps = 8 if rows is None else -(-rows // base.height)
    prices = ((pl.col(name) * factor * 20).round().clip(1) / 20 for name in ("open", "high", "low", "close"))
    scaled = base.select("time", *prices, "volume")
    bars = pl.concat([scaled.with_columns(pl.col("time") + _STEP * step) for step in range(steps)])
    return bars.filter(pl.col("time") < _END) if rows is None else bars.head(rows)


def write_symbol(bars: pl.DataFrame, name: str, csv: Path | None, parquet: Path | None) -> None:
    """Write one symbol in the real file's CSV format, and as Parquet with the time as an instant."""
    if csv is not None:
        local = pl.col("time").dt.convert_time_zone("Asia/Kolkata").dt.strftime("%Y-%m-%d %H:%M:%S+05:30").alias("timestamp")
        bars.select(local, "open", "high", "low", "close", "volume").write_csv(csv / f"{name}__EQ__NSE__NSE__MINUTE.csv")
    if parquet is not None:
        columns = bars.select(pl.col("time").alias("timestamp"), "open", "high", "low", "close", "volume")
        columns.write_parquet(parquet / f"{name}__EQ__NSE__NSE__MINUTE.parquet")


def make_bars(symbols: int = 25, rows: int | None = None, name: str = "bars") -> tuple[Path, Path]:
    """Folders of CSV and of Parquet files under build/bench, made unless they are there with the same parameters.

    `rows` is the number of rows a symbol, or None for three years.
    """
    csv, parquet, made = BUILD / name, BUILD / f"{name}_parquet", BUILD / f"{name}.json"
    parameters = json.dumps({"symbols": symbols, "rows": rows, "version": 1})
    if made.exists() and made.read_text(encoding="utf-8") == parameters:
        return csv, parquet
    base = real_sessions()
    for folder in (csv, parquet):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    for number in range(symbols):
        write_symbol(symbol_bars(base, number, rows), f"SYM{number:05d}", csv, parquet)
    made.write_text(parameters, encoding="utf-8")
    return csv, parquet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=25)
    parser.add_argument("--rows", type=int, default=None, help="rows a symbol (default: three years)")
    options = parser.parse_args()
    csv, parquet = make_bars(options.symbols, options.rows)
    for folder in (csv, parquet):
        sys.stdout.write(f"{folder.relative_to(ROOT)}: {sum(f.stat().st_size for f in folder.iterdir()) / 1e6:.0f} MB\n")


if __name__ == "__main__":
    main()
