"""What docs/spark.md says under "On any cluster", done word by word with two workers; one of them is lost in the middle."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from command import finished
from kafka_rows import Rows
from kafka_topics import Brokers
from one_spark import JARS
from pyspark.sql import SparkSession
from spark_cluster import MASTER, documented, ended, lose_an_executor, pack, submitted
from test_stream import fill, rows, written

__all__ = ["rows"]
pytestmark = pytest.mark.heavy
JOB = "from offbeat.cli.app import main\n\nmain()\n"
STREAM = """
import sys
from pathlib import Path
from pyspark.sql import SparkSession
from offbeat.engines.spark.stream import SparkStream
from offbeat.io.kafka.address import kafka_address
from offbeat.spec.load import load_plan

uri, place = sys.argv[1], Path(sys.argv[2])
spark, plan = SparkSession.builder.getOrCreate(), load_plan("trades", ["trade.vote.quorum=1"])
stream = SparkStream(
    spark, plan, kafka_address(uri), state=place / "state", alerts=[str(place / "out.parquet")], until_end=True, batch_rows=500
)
stream.run()
"""


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory, spark_session: SparkSession) -> Path:  # noqa: ARG001 - skips where there is no Java
    folder = tmp_path_factory.mktemp("packed")
    done = finished("generate", "cdr", "--out", folder / "calls", "--rows", 8_000, "--days", 40, "--customers", 40)
    assert done.code == 0, done.err
    # What is compiled here goes along.
    done = finished("run", "cdr", folder / "calls", "--alerts", folder / "local.jsonl")
    assert done.code == 0, done.err
    pack(folder)
    return folder


def _words(packed: Path, **given: str) -> list[str]:
    """The documented command with our names for what it names."""
    own = {"yarn": MASTER, "/mnt/calls": str(packed / "calls"), "64": "4", **given}
    words = documented()[1:]
    assert own.keys() <= set(words)
    return [own.get(word, word) for word in words]


def test_files(packed: Path) -> None:
    """An executor is lost when rows are on their way; the alerts are those of the local engine."""
    (packed / "job.py").write_text(JOB)
    out = packed / "out" / "alerts.parquet"
    out.parent.mkdir()
    words = _words(packed, **{"/mnt/out/alerts.parquet": str(out)})
    with submitted(packed, [*words, "--json"]) as running:
        lose_an_executor(running, lambda: any(out.parent.iterdir()))
        figures = json.loads(ended(running, packed))
    found = written(out)
    assert found == written(packed / "local.jsonl")
    assert figures["alerts"] == len(found) > 100


@pytest.mark.parametrize("rows", ["trades"], indirect=True)
@pytest.mark.skipif(not any(JARS.glob("*.jar")) and not os.environ.get("CI"), reason="no connector: make spark-install")
def test_a_topic(packed: Path, kafka: Brokers, rows: Rows) -> None:
    """Partitions of a lost executor go on elsewhere, from their snapshots."""
    topic, place = kafka.topic(3), packed / "stream"
    fill(kafka, topic, rows, 0)
    (packed / "stream.py").write_text(STREAM)
    words = _words(packed)
    words[words.index("job.py") :] = ["stream.py", kafka.uri(topic), str(place)]
    with submitted(packed, ["--jars", ",".join(map(str, JARS.glob("*.jar"))), *words]) as running:
        lose_an_executor(running, (place / "state" / "checkpoint" / "commits" / "1").exists)
        ended(running, packed)
    assert written(place / "out.parquet") == rows.wanted
