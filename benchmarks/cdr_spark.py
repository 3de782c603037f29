"""System B in PySpark `local[2]`: the peer that `cdr_speed` measures offbeat against.

`python -m benchmarks.cdr_spark SOURCE OUT [--forest]` reads SOURCE/day=*/part-*.parquet and writes OUT/customer_days/day=*/*.parquet
(customer-days with any flag) and OUT/region_hours; it prints one JSON object: seconds of the session's start, and of all after it.

Volumes are summed as integers of 1e-6 MB, as ours are; distinct hours are a bit_or; one shuffle for the customer-days, one for their
windows; flagged region-hours are broadcast. `--forest` adds the original's third step: scikit-learn's isolation forest, fitted on 10,000
customer-days, but applied to every one of them (that sample was all that the original scored), in pandas batches.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

_HOUR = "cast(mod(unix_micros(timestamp) div 3600000000 + 1, 24) AS int)"  # Algiers is an hour ahead of UTC all year
_RECORDS = """
SELECT customer_id, datediff(day, DATE'2024-01-01') AS day, {hour_of} AS hour, wilaya_code AS region, cdr_type = 'DATA' AS data,
  cast(rint(data_volume_mb * 1e6) AS bigint) AS volume
FROM source
"""
_REGION_HOURS = """
SELECT day, region, hour, volume, mean, std, volume > mean + 3 * std AS upper
FROM (SELECT *, count(*) OVER w AS n, avg(volume) OVER w AS mean, stddev_samp(volume) OVER w AS std
      FROM (SELECT day, region, hour, sum(volume) AS volume FROM record GROUP BY day, region, hour)
      WINDOW w AS (PARTITION BY region, hour ORDER BY day RANGE BETWEEN 27 PRECEDING AND 1 PRECEDING))
WHERE n >= 2 AND (volume > mean + 3 * std OR volume < mean - 3 * std)
"""
_CUSTOMER_DAYS = """
WITH customer_day AS (
  SELECT customer_id, day, nullif(count_if(data), 0) AS sessions, sum(CASE WHEN data THEN volume END) AS total,
    max(CASE WHEN data THEN volume END) AS most, bit_count(bit_or(CASE WHEN data THEN shiftleft(1, hour) END)) AS hours,
    count(*) AS records, count_if(hour BETWEEN 2 AND 5) AS night, count_if(hour >= 20) AS evening,
    max(volume) AS top, sum(volume) AS volume, count(volume) AS volumes
  FROM record GROUP BY customer_id, day
), judged AS (
  SELECT customer_id, day, sessions, total, most, hours, records, night, evening,
    count(sessions) OVER past >= 14 AND sessions IS NOT NULL AS known,
    coalesce(abs(sessions - avg(sessions) OVER past) / nullif(stddev_samp(sessions) OVER past, 0), 0) AS z_sessions,
    coalesce(abs(total - avg(total) OVER past) / nullif(stddev_samp(total) OVER past, 0), 0) AS z_total,
    coalesce(abs(most - avg(most) OVER past) / nullif(stddev_samp(most) OVER past, 0), 0) AS z_most,
    night > 10 AS night_owls, top * volumes > 5 * volume AND night <= 10 AS spike_ratio
  FROM customer_day WINDOW past AS (PARTITION BY customer_id ORDER BY day RANGE BETWEEN UNBOUNDED PRECEDING AND 7 PRECEDING)
), scored AS (
  SELECT customer_id, day, sessions, total, most, hours, records, night, evening, if(known, z_sessions, NULL) AS z_sessions,
    if(known, z_total, NULL) AS z_total, if(known, z_most, NULL) AS z_most,
    coalesce(known AND greatest(z_sessions, z_total, z_most) > 3, false) AS zscore, night_owls, coalesce(spike_ratio, false) AS spike_ratio
  FROM judged
), active AS (
  SELECT /*+ BROADCAST(flag) */ DISTINCT customer_id, day FROM record JOIN flag USING (day, region, hour)
)
SELECT scored.*, active.customer_id IS NOT NULL AS region FROM scored LEFT JOIN active USING (customer_id, day)
WHERE zscore OR night_owls OR spike_ratio OR active.customer_id IS NOT NULL
"""


def start_spark(scratch: Path) -> Any:
    """A local session on two cores.

    Raises SystemExit, with what to install, where Java or PySpark is missing.
    """
    if shutil.which("java") is None:
        raise SystemExit("the Spark benchmark needs Java 17 or later on the PATH")
    try:
        sql: Any = import_module("pyspark.sql")
    except ModuleNotFoundError:
        raise SystemExit("the Spark benchmark needs PySpark: pip install 'offbeat[spark]'") from None
    options = {
        "spark.driver.memory": "8g",
        "spark.sql.shuffle.partitions": "8",
        "spark.sql.adaptive.enabled": "true",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.session.timeZone": "UTC",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.local.dir": str(scratch / "local"),
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
    }
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = sql.SparkSession.builder.master("local[2]").appName("offbeat-bench")
    for name, value in options.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    spark.range(1).count()
    return spark


def system_b(spark: Any, source: Path, out: Path) -> None:
    """Region-hours, then customer-days, read, judged and written."""
    spark.read.parquet(str(source)).createOrReplaceTempView("source")
    spark.sql(_RECORDS.format(hour_of=_HOUR)).createOrReplaceTempView("record")
    flags = spark.sql(_REGION_HOURS).persist()
    flags.write.mode("overwrite").parquet(str(out / "region_hours"))
    flags.createOrReplaceTempView("flag")
    spark.sql(_CUSTOMER_DAYS).write.mode("overwrite").partitionBy("day").parquet(str(out / "customer_days"))
    flags.unpersist()


def forest(spark: Any, out: Path) -> None:
    """Every customer-day with data, scored by a forest that was fitted on 10,000 of them."""
    numpy, pandas, ensemble = (import_module(name) for name in ("numpy", "pandas", "sklearn.ensemble"))
    features = ["sessions", "total", "most"]
    days = spark.sql("""
      SELECT customer_id, day, double(count(*)) AS sessions, double(sum(volume)) AS total, double(max(volume)) AS most
      FROM record WHERE data GROUP BY customer_id, day""").persist()
    sample = days.select(*features).sample(fraction=min(1.0, 2e4 / days.count()), seed=1).limit(10_000).toPandas().to_numpy()
    mean, spread = sample.mean(axis=0), sample.std(axis=0)
    model = ensemble.IsolationForest(contamination=0.05, random_state=1).fit((sample - mean) / spread)

    def score(batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            scaled = (numpy.asarray(batch[features]) - mean) / spread
            scores = -model.score_samples(scaled)
            yield pandas.DataFrame({"customer_id": batch["customer_id"], "day": batch["day"], "score": scores})

    scored = days.mapInPandas(score, "customer_id long, day int, score double")
    scored.where(f"score > {-model.offset_}").write.mode("overwrite").parquet(str(out / "forest"))
    days.unpersist()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--forest", action="store_true")
    options = parser.parse_args()
    begin = time.perf_counter()
    spark = start_spark(options.out)
    started = time.perf_counter()
    system_b(spark, options.source, options.out)
    times = {"start": started - begin, "seconds": time.perf_counter() - started}
    if options.forest:
        started = time.perf_counter()
        forest(spark, options.out)
        times["forest"] = time.perf_counter() - started
    spark.stop()
    sys.stdout.write(json.dumps(times))


if __name__ == "__main__":
    main()
