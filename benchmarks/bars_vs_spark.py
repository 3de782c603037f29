"""A1 and A2 on 25 symbols and 3 years of minute bars: offbeat beside PySpark `local[2]`, same files, same answers.

Spark reads the CSV files with a given schema and time format, applies the row rules, takes range windows per symbol and writes the alerts
as Parquet. Its session is started before the clock; the start is reported apart. Tried, and no faster: a typed time column with
`timestampFormat`, both rules in one pass with `explode`, 25 shuffle partitions.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import polars as pl

from benchmarks.answers import expected_alerts
from benchmarks.make_bars import BUILD, make_bars
from benchmarks.measure import Job, alternate, table
from benchmarks.ours import alerts_of, run_ours
from benchmarks.results import record

_SCHEMA = "timestamp STRING, open DOUBLE, high DOUBLE, low DOUBLE, close DOUBLE, volume DOUBLE"
_QUERY = """
WITH bar AS (
  SELECT regexp_extract(input_file_name(), '([^/_]+)__[^/]*$', 1) AS symbol,
         unix_timestamp(to_timestamp(timestamp, 'yyyy-MM-dd HH:mm:ssXXX')) AS t, close, volume
  FROM raw
  WHERE open > 0 AND high > 0 AND low > 0 AND close > 0 AND volume >= 0
    AND high >= greatest(open, close, low) AND low <= least(open, close)
), judged AS (
  SELECT symbol, t, close, volume,
         last(close) OVER (PARTITION BY symbol ORDER BY t RANGE BETWEEN 60 PRECEDING AND 1 PRECEDING) AS previous,
         sum(volume) OVER ten AS total, count(*) OVER ten AS n
  FROM bar WINDOW ten AS (PARTITION BY symbol ORDER BY t RANGE BETWEEN 600 PRECEDING AND 1 PRECEDING)
), verdict AS (
  SELECT symbol, t, close, previous, volume, CASE WHEN n >= 5 THEN total / n END AS mean_volume FROM judged
)
SELECT symbol, t, 'price_jump' AS rule, abs(close / previous - 1) AS observed, 0.005D AS threshold FROM verdict
WHERE abs(close / previous - 1) > 0.005D
UNION ALL
SELECT symbol, t, 'volume_surge', volume, 1.02D * mean_volume FROM verdict WHERE volume > 1.02D * mean_volume
"""


def start_spark() -> tuple[Any, float]:
    """A local session on two cores, and the seconds it took to start.

    Raises SystemExit, with what to install, where Java or PySpark is missing.
    """
    if shutil.which("java") is None:
        raise SystemExit("the Spark benchmark needs Java 17 or later on the PATH")
    begin = time.perf_counter()
    try:
        sql: Any = import_module("pyspark.sql")
    except ModuleNotFoundError:
        raise SystemExit("the Spark benchmark needs PySpark: pip install 'offbeat[spark]'") from None
    options = {
        "spark.driver.memory": "6g",
        "spark.sql.shuffle.partitions": "4",
        "spark.sql.adaptive.enabled": "true",
        "spark.sql.session.timeZone": "UTC",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.warehouse.dir": str(BUILD / "spark-warehouse"),
    }
    builder = sql.SparkSession.builder.master("local[2]").appName("offbeat-bench")
    for name, value in options.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    spark.range(1).count()
    return spark, time.perf_counter() - begin


def spark_job(spark: Any, folder: Path, out: Path) -> None:
    """Read, judge and write once."""
    spark.read.schema(_SCHEMA).option("header", True).csv(f"{folder}/*.csv").createOrReplaceTempView("raw")
    spark.sql(_QUERY).write.mode("overwrite").parquet(str(out))


def spark_alerts(out: Path) -> pl.DataFrame:
    """What Spark wrote, as (symbol, time, rule), sorted."""
    time_ns = (pl.col("t") * 1_000_000_000).cast(pl.Datetime("ns", "UTC"))
    return pl.read_parquet(out / "*.parquet").select("symbol", time_ns.alias("time"), "rule").sort("symbol", "time", "rule")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--symbols", type=int, default=25)
    options = parser.parse_args()
    folder, _ = make_bars(options.symbols, name="bars" if options.symbols == 25 else f"bars_{options.symbols}")
    spark, start = start_spark()
    out, mine = BUILD / "spark_alerts", BUILD / "our_alerts.parquet"
    jobs: dict[str, Job] = {"PySpark local[2]": lambda: spark_job(spark, folder, out), "offbeat": lambda: run_ours(folder, mine)}
    times = alternate(jobs, options.rounds)
    expected = expected_alerts(folder)
    rows = pl.scan_csv(folder / "*.csv").select(pl.len()).collect().item()
    if not spark_alerts(out).equals(expected):
        raise SystemExit("Spark's alerts differ from the independent computation")
    body = f"{rows:,} rows, {expected.height:,} verdicts, the same (symbol, time, rule) from all. "
    body += f"Spark's session start, {start:.1f} s, is not counted.\n\n"
    body += table(times, "PySpark local[2]", rows)
    if not alerts_of(mine).equals(expected):
        raise SystemExit("offbeat's alerts differ from the independent computation")
    ratio = median(times["PySpark local[2]"]) / median(times["offbeat"])
    body += f"\n\noffbeat is **{ratio:.1f} times** as fast as PySpark (owed: 10)."
    spark.stop()
    sys.stdout.write(record("Bars beside PySpark", body, "polars", "pyspark", "numba"))


if __name__ == "__main__":
    main()
