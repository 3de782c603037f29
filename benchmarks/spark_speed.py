"""Spark with our fold: trades and bars out of a topic by Structured Streaming, and call records in a batch beside plain PySpark.

Streaming is warm: the session has judged a smaller topic before, so that kernels are there and Python workers run. What counts is a query
from its start to its end. The local engine has the same lines as a file, for what Spark adds. The batch takes turns with
`cdr_spark` on the same files; customer-days and region-hours must be the same, and the start of neither session is counted.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from shutil import rmtree
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.cdr_answers import our_answers, peer_answers, same_answers
from benchmarks.cdr_process import generate, judge, run, system_b
from benchmarks.decode import json_lines
from benchmarks.kafka_speed import create, fill
from benchmarks.measure import table
from benchmarks.results import record
from offbeat.engines.spark.session import DEFAULTS
from offbeat.engines.spark.stream import SparkStream
from offbeat.io.kafka.address import KafkaAddress
from offbeat.spec.load import load_plan

sys.path.insert(0, str(Path(__file__).parents[1] / "deploy" / "kafka"))
from broker import running

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

JARS = Path(__file__).parents[1] / "build" / "spark" / "libs"
FIELDS = {"trades": b'"symbol":"', "bars": b'"key":"'}
FEW = {
    "trades": list[str](),
    "bars": ["bar.volume_surge.when=volume > 50 * mean_volume", "bar.price_jump.when=abs(close / previous_close - 1) > 0.02"],
}
"""At most 1 % of rows give an alert."""
OWED = {"trades": 50_000, "bars": 100_000}


def rows(pipeline: str, count: int) -> list[tuple[bytes, bytes]]:
    """(key, value) of so many real rows; each time round their keys have other names, so that times of a key rise."""
    body, field = json_lines(pipeline).splitlines(), FIELDS[pipeline]
    body = list(dict.fromkeys(body))
    out: list[tuple[bytes, bytes]] = []
    for turn in range(-(-count // len(body))):
        for line in body[: count - len(out)]:
            begin = line.index(field) + len(field)
            key = line[begin : line.index(b'"', begin)]
            own = key + b"-" + str(turn).encode()
            out.append((own, line[:begin] + own + line[begin + len(key) :]))
    return out


def spark_session() -> SparkSession:
    """Two cores and the connector."""
    from pyspark.sql import SparkSession  # noqa: PLC0415 - an extra

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    jars = ",".join(map(str, sorted(JARS.glob("*.jar"))))
    if not jars:
        raise SystemExit("the connector is not there: make spark-install")
    builder = SparkSession.builder.master("local[2]").config("spark.jars", jars).config("spark.driver.memory", "2g")
    for name, value in {**DEFAULTS, "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}.items():
        builder = builder.config(name, value)
    made = builder.getOrCreate()
    made.sparkContext.setLogLevel("OFF")
    return made


def stream(spark: SparkSession, bootstrap: str, pipeline: str, some: list[tuple[bytes, bytes]], place: Path) -> tuple[float, int]:
    """Seconds of a query over a topic of these rows, and its alerts."""
    topic = f"{pipeline}{len(some)}-{time.monotonic_ns()}"
    create(bootstrap, topic)
    fill(bootstrap, topic, some)
    plan, state = load_plan(pipeline, FEW[pipeline]), place / topic
    query = SparkStream(
        spark, plan, KafkaAddress(bootstrap, topic, {}), state=state, alerts=[str(place / f"{topic}.parquet")], until_end=True
    )
    began = time.perf_counter()
    done = query.run()
    seconds = time.perf_counter() - began
    if done.ledger.rows_in != len(some):
        raise SystemExit(f"{len(some):,} rows were sent, and {done.ledger.rows_in:,} judged")
    return seconds, done.alerts


def local(pipeline: str, some: list[tuple[bytes, bytes]], place: Path) -> tuple[float, int]:
    """Seconds and alerts of the local engine on the same rows."""
    file = place / f"{pipeline}.ndjson"
    file.write_bytes(b"\n".join(value for _, value in some) + b"\n")
    words = [word for override in FEW[pipeline] for word in ("--set", override)]
    ran = judge(pipeline, [file], place / f"{pipeline}-local.parquet", *words)
    return float(ran.out["seconds"]), int(ran.out["alerts"])


def streaming(count: int, rounds: int) -> str:
    """Markdown: rows a second of both pipelines, beside the local engine."""
    lines = ["| | rows | alerts | rows/s | owed | local engine, rows/s | times |", "|---|---:|---:|---:|---:|---:|---:|"]
    spark = spark_session()
    with tempfile.TemporaryDirectory(prefix="spark_speed_") as scratch, running() as cluster:
        place = Path(scratch)
        for pipeline, owed in OWED.items():
            some = rows(pipeline, count)
            stream(spark, cluster.bootstrap, pipeline, some[: max(count // 10, 1_000)], place)
            runs = [stream(spark, cluster.bootstrap, pipeline, some, place) for _ in range(rounds)]
            middle, alerts = median(seconds for seconds, _ in runs), runs[0][1]
            alone, _ = local(pipeline, some, place)
            figures = f"{count:,} | {alerts:,} | {count / middle:,.0f} | {owed:,} | {count / alone:,.0f} | {middle / alone:.1f}"
            lines.append(f"| {pipeline} | {figures} |")
    spark.stop()
    return "\n".join(lines)


def batch(count: int, rounds: int) -> str:
    """Markdown: call records, offbeat on Spark beside plain PySpark, forest and all."""
    ours, plain = "offbeat, --engine spark", "plain PySpark"
    times: dict[str, list[float]] = {ours: [], plain: []}
    forest = 0.0
    with tempfile.TemporaryDirectory(prefix="spark_speed_") as scratch:
        place = Path(scratch)
        source, pipeline, alerts = place / "records", system_b(place / "system_b.yaml"), place / "alerts.parquet"
        generate(source, rows=count, days=90, customers=max(count // 300, 100))
        for number in range(rounds + 1):
            rmtree(alerts, ignore_errors=True)
            ran = judge(pipeline, [source], alerts, "--engine", "spark", "--master", "local[2]", "--workers", 4)
            if number:  # the first one is not counted
                times[ours].append(float(ran.out["seconds"]))
        for _ in range(rounds):
            rmtree(place / "plain", ignore_errors=True)
            other = run(sys.executable, "-m", "benchmarks.cdr_spark", source, place / "plain", "--forest").out
            times[plain].append(other["seconds"] + other["forest"])
            forest = other["forest"]
        same = same_answers({ours: our_answers(alerts / "part-*.parquet"), plain: peer_answers(place / "plain")})
    ratio = median(times[plain]) / median(times[ours])
    text = f"{count:,} call records. {same}\n\n{table(times, plain, count)}\n\n"
    return text + f"offbeat on Spark is **{ratio:.2f} times** as fast (owed: 1); of the other, {forest:.1f} s are its forest."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of each topic")
    parser.add_argument("--records", type=int, default=30_000_000, help="call records")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dry", action="store_true", help="print, and leave RESULTS.md alone")
    options = parser.parse_args()
    body = f"{streaming(options.rows, options.rounds)}\n\n{batch(options.records, options.rounds)}"
    sys.stdout.write(body + "\n" if options.dry else record("Spark", body, "polars", "pyspark", "numba"))


if __name__ == "__main__":
    main()
