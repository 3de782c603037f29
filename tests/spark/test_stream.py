"""A topic by Structured Streaming: the alerts of the local engine, whatever dies on the way, and one line for what cannot be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from command import DATA, Command, finished, offbeat
from kafka_rows import Rows
from kafka_topics import Brokers
from one_spark import JARS
from pyspark.sql import SparkSession
from test_engines_equal import _told

from offbeat.engines.run_result import Run
from offbeat.engines.spark.stream import SparkStream
from offbeat.errors import UserError
from offbeat.io.kafka.address import kafka_address
from offbeat.io.read.alert_files import read_alerts
from offbeat.io.write.jsonl_sink import json_lines
from offbeat.spec.load import load_plan

__all__ = ["offbeat"]
PARTITIONS = 3
LOOSE = {"trades": ["trade.vote.quorum=1"], "bars": list[str]()}
"""Settings with which there is something to compare."""
pytestmark = pytest.mark.skipif(
    not any(JARS.glob("spark-sql-kafka-*.jar")) and not os.environ.get("CI"), reason="no connector: make spark-install"
)


@pytest.fixture(scope="module", params=["trades", "bars"])
def rows(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """What the local engine says of them while more may come."""
    pipeline: str = request.param
    base = tmp_path_factory.mktemp(pipeline)
    source = DATA / "trades"
    if pipeline == "bars":
        source = base / "source"
        done = finished("generate", "bars", "--out", source, "--symbols", 6, "--days", 2)
        assert done.code == 0, done.err
    done = finished("replay", source, base / "all.ndjson", "--pipeline", pipeline, "--speed", "max")
    assert done.code == 0, done.err
    lines = (base / "all.ndjson").read_bytes().splitlines()[:4_000]
    lines[50:50] = [b"no json", b'{"offbeat.punctuation": "2001-01-01T00:00:00Z"}']
    # A punctuation is for workers on a topic: standard input has none.
    (base / "rows.ndjson").write_bytes(b"\n".join(line for line in lines if b"punctuation" not in line) + b"\n")
    with (base / "rows.ndjson").open() as stdin:
        words = ["--alerts", base / "local.jsonl", "--state", base / "state", "--continues", "--json"]
        loose = [word for override in LOOSE[pipeline] for word in ("--set", override)]
        done = finished("run", pipeline, "-", *loose, *words, stdin=stdin)
    assert done.code == 0, done.err
    alerts = written(base / "local.jsonl")
    assert len(alerts) > 20, "too few alerts: nothing is compared"
    return Rows(pipeline, {"trades": "symbol", "bars": "key"}[pipeline], lines, alerts, json.loads(done.out))


def written(place: Path) -> list[Any]:
    """The alerts of an output, by their ids."""
    found = [_told(json.loads(line)) for line in json_lines(read_alerts(place).to_arrow()).splitlines()]
    return sorted(found, key=lambda alert: str(alert["alert_id"]))


def fill(kafka: Brokers, topic: str, rows: Rows, begin: int, end: int | None = None) -> None:
    """Rows under their keys; what is no row goes wherever."""
    from confluent_kafka import Producer  # noqa: PLC0415

    producer = Producer({"bootstrap.servers": kafka.bootstrap, "linger.ms": 5, "log_level": 0, "enable.idempotence": True})
    for line in rows.lines[begin:end]:
        field = json.loads(line).get(rows.field) if line.startswith(b'{"') else None
        producer.produce(topic, line, field)
        producer.poll(0)
    assert producer.flush(60) == 0


def stream(spark: SparkSession, kafka: Brokers, topic: str, pipeline: str, place: Path, batch_rows: int = 700, buckets: int = 0) -> Run:
    return SparkStream(
        spark,
        load_plan(pipeline, LOOSE[pipeline]),
        kafka_address(kafka.uri(topic)),
        state=place / "state",
        alerts=[str(place / "out.parquet")],
        until_end=True,
        batch_rows=batch_rows,
        buckets=buckets,
    ).run()


def test_a_topic_in_two_goes(spark: SparkSession, kafka: Brokers, rows: Rows, tmp_path: Path) -> None:
    """Many small batches, a stop and a start, and then the last batch once more, as after a crash before its commit."""
    topic = kafka.topic(PARTITIONS)
    fill(kafka, topic, rows, 0, 1_500)
    assert stream(spark, kafka, topic, rows.pipeline, tmp_path).complete
    fill(kafka, topic, rows, 1_500)
    done = stream(spark, kafka, topic, rows.pipeline, tmp_path)
    found = written(tmp_path / "out.parquet")
    assert [alert["alert_id"] for alert in found] == [alert["alert_id"] for alert in rows.wanted]
    for ours, theirs in zip(found, rows.wanted, strict=True):
        assert ours == theirs
    figures = done.ledger.as_dict()
    names = ("rows_in", "scored", "warming_up", "late", "duplicate", "filtered", "pending", "quarantined")
    assert {name: figures[name] for name in names} == {name: rows.figures[name] for name in names}
    commits = tmp_path / "state" / "checkpoint" / "commits"
    last = max(int(path.name) for path in commits.iterdir() if path.name.isdigit())
    assert last > 3
    parts = {path.name: path.read_bytes() for path in (tmp_path / "out.parquet").iterdir()}
    for path in commits.glob(f"*{last}*"):
        path.unlink()
    assert stream(spark, kafka, topic, rows.pipeline, tmp_path).ledger.as_dict() == figures
    assert {path.name: path.read_bytes() for path in (tmp_path / "out.parquet").iterdir()} == parts


DRIVER = """
import sys
from pathlib import Path
from pyspark.sql import SparkSession
from offbeat.engines.spark.stream import SparkStream
from offbeat.io.kafka.address import kafka_address
from offbeat.spec.load import load_plan

jars, uri, pipeline, place = sys.argv[1:]
builder = SparkSession.builder.master("local[2]").config("spark.jars", jars).config("spark.ui.enabled", "false")
spark = builder.config("spark.driver.memory", "1g").getOrCreate()
print(spark.sparkContext._gateway.proc.pid, flush=True)
place = Path(place)
plan, address = load_plan(pipeline, ["trade.vote.quorum=1"]), kafka_address(uri)
SparkStream(spark, plan, address, state=place / "state", alerts=[str(place / "out.parquet")], until_end=True, batch_rows=400).run()
print("done", flush=True)
"""


@pytest.mark.heavy
def test_the_driver_dies(spark: SparkSession, kafka: Brokers, rows: Rows, tmp_path: Path) -> None:
    """Killed in mid-stream: Java dies with it, and the next start goes on; each alert is there once."""
    if rows.pipeline != "trades":
        pytest.skip("once is enough: state of every kind is in trades")
    topic = kafka.topic(PARTITIONS)
    fill(kafka, topic, rows, 0)
    jars = ",".join(map(str, JARS.glob("*.jar")))
    words = [sys.executable, "-c", DRIVER, jars, kafka.uri(topic), rows.pipeline, str(tmp_path)]
    env = {**os.environ, "PYSPARK_PYTHON": sys.executable}
    driver = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env)
    assert driver.stdout is not None
    java = int(driver.stdout.readline())
    commits, until = tmp_path / "state" / "checkpoint" / "commits", time.monotonic() + 120
    while not (commits / "3").exists():
        assert time.monotonic() < until
        assert driver.poll() is None, "it was to be killed in mid-stream"
        time.sleep(0.02)
    driver.kill()
    assert driver.wait() == -signal.SIGKILL
    driver.stdout.close()
    until = time.monotonic() + 30
    while Path(f"/proc/{java}").exists() and "Z" not in Path(f"/proc/{java}/stat").read_text().split()[2]:
        assert time.monotonic() < until, "Java outlives its driver"
        time.sleep(0.1)
    before = json.loads((tmp_path / "state" / "places.json").read_bytes())
    assert sum(ledger["rows_in"] for ledger in before["ledgers"].values()) < len(rows.lines) - 1
    stream(spark, kafka, topic, rows.pipeline, tmp_path)
    assert written(tmp_path / "out.parquet") == rows.wanted


def test_what_is_gone_is_said(spark: SparkSession, kafka: Brokers, rows: Rows, tmp_path: Path) -> None:
    """Snapshots that are lost, a pipeline with other windows, an output of something else: one line, and nothing is guessed."""
    if rows.pipeline != "trades":
        pytest.skip("once is enough")
    topic, other = kafka.topic(PARTITIONS), kafka.topic(PARTITIONS)
    fill(kafka, topic, rows, 0, 300)
    stream(spark, kafka, topic, rows.pipeline, tmp_path)
    fill(kafka, topic, rows, 300, 600)
    address, state = kafka_address(kafka.uri(topic)), tmp_path / "state"
    changed = load_plan("trades", ["trade.forest.train_on=1000"])
    with pytest.raises(UserError, match="another key, order, windows or training"):
        SparkStream(spark, changed, address, state=state, until_end=True).run()
    with pytest.raises(UserError, match="made anew"):
        SparkStream(spark, load_plan("trades"), kafka_address(kafka.uri(other)), state=state, until_end=True)
    (tmp_path / "mine.parquet").mkdir()
    (tmp_path / "mine.parquet" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="knows nothing of"):
        SparkStream(spark, load_plan("trades"), address, state=tmp_path / "new", alerts=[str(tmp_path / "mine.parquet")])
    for path in (state / "shards").rglob("*.arrow"):
        path.unlink()
    with pytest.raises(UserError, match=r"its snapshot in .* is gone"):
        stream(spark, kafka, topic, rows.pipeline, tmp_path)


def test_a_topic_under_other_keys(spark: SparkSession, kafka: Brokers, rows: Rows, tmp_path: Path) -> None:
    """Refused, unless rows are to be sent to the shard of their key first: then the rows of a key are merged by the records' times."""
    from confluent_kafka import Producer  # noqa: PLC0415

    if rows.pipeline != "bars":
        pytest.skip("trades have several rows in one millisecond, which nobody could order")
    topic, lines = kafka.topic(PARTITIONS), [line for line in rows.lines if line.startswith(b'{"') and b"punctuation" not in line]
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0, "enable.idempotence": True})
    for begin, end in ((0, 1_500), (1_500, None)):
        for line in lines[begin:end]:
            time_text = json.loads(line)["timestamp"]
            moment = int(datetime.fromisoformat(time_text).timestamp() * 1000)
            producer.produce(topic, line, time_text, timestamp=moment)
            producer.poll(0)
        assert producer.flush(60) == 0
        done = stream(spark, kafka, topic, "bars", tmp_path, 100_000, 4)
    assert written(tmp_path / "out.parquet") == rows.wanted
    assert done.ledger.rows_in == len(lines)
    with pytest.raises(UserError, match="the query began with --workers 4"):
        stream(spark, kafka, topic, "bars", tmp_path)
    with pytest.raises(UserError, match=r"send the records under the pipeline's key, or give --workers N"):
        stream(spark, kafka, topic, "bars", tmp_path / "other")


@pytest.mark.parametrize(
    ("pipeline", "words", "said"),
    [
        ("trades", [], "needs --state DIR"),
        ("trades", ["--state", "s", "--alerts", "a.jsonl"], "writes folders of parts"),
        ("trades", ["--state", "s", "--group", "g"], "all options for a topic but --until"),
        ("trades", ["--state", "s", "--until", "2024-01-01T00:00:00Z"], "expected end"),
    ],
)
def test_a_topic_otherwise(
    offbeat: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pipeline: str, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in offbeat.refused("run", pipeline, "kafka://127.0.0.1:1/t", "--engine", "spark", *words)


@pytest.mark.heavy
def test_no_connector(kafka: Brokers, tmp_path: Path) -> None:
    """A process of its own, as the session of the tests has one."""
    topic = kafka.topic()
    words = ["--engine", "spark", "--master", "local[1]", "--state", tmp_path / "state", "--until", "end"]
    done = finished("run", "trades", kafka.uri(topic), *words)
    assert done.code == 2
    assert "--packages org.apache.spark:spark-sql-kafka-0-10_2.13:4.2.0" in done.err.splitlines()[-1]
