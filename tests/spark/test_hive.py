"""Tables of Hive: rows out of one, alerts into another, a partition a day."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import Command, finished, offbeat
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it
from test_engines_equal import FIGURES, _told, ordered, read

__all__ = ["offbeat"]


@pytest.mark.heavy
def test_out_of_one_table_into_another(offbeat: Command, spark: SparkSession, tmp_path: Path) -> None:
    """The alerts of the local engine; a second run replaces its own days, and no other."""
    calls = tmp_path / "calls"
    done = finished("generate", "cdr", "--out", calls, "--rows", 8_000, "--days", 40, "--customers", 40)
    assert done.code == 0, done.err
    done = finished("run", "cdr", calls, "--alerts", tmp_path / "local.jsonl", "--json")
    assert done.code == 0, done.err
    wanted = [_told(alert) for alert in read(tmp_path / "local.jsonl")]
    figures = {name: json.loads(done.out)[name] for name in FIGURES}
    spark.sql("CREATE DATABASE telecom")
    spark.read.parquet(str(calls)).write.saveAsTable("telecom.calls")
    command = ["run", "cdr", "hive://telecom.calls", "--engine", "spark", "--workers", 2, "--alerts", "hive://telecom.alerts", "--json"]
    for others in (0, 1):
        done = offbeat(*command)
        assert done.code == 0, done.err
        assert {name: json.loads(done.out)[name] for name in FIGURES} == figures
        table = spark.table("telecom.alerts")
        found = table.where("day > '2000-01-01'").drop("day").toArrow().to_pylist()
        assert ordered([_told(alert) for alert in found]) == wanted
        assert table.where("day < '2000-01-01'").count() == others
        if not others:
            old = table.limit(1).withColumn("day", F.lit("1999-12-31").cast("date")).localCheckpoint()
            old.write.insertInto("telecom.alerts")
    # In the zone of the pipeline an hour after UTC's, a day begins at 23:00.
    first = (
        spark.table("telecom.alerts").where("time LIKE '%T23:00:00%' AND day > '2000-01-01'").selectExpr("min(time)", "min(day)").first()
    )
    assert first is not None
    assert str(first[0])[:10] < str(first[1])
    spark.sql("CREATE TABLE telecom.other (alert_id string)")
    said = offbeat("run", "cdr", "hive://telecom.calls", "--engine", "spark", "--alerts", "hive://telecom.other")
    assert (said.code, "it has other columns than these alerts" in said.err) == (2, True), said.err


@pytest.mark.usefixtures("spark")
def test_no_such_table(offbeat: Command) -> None:
    assert "there is no table none.calls" in offbeat.refused("run", "cdr", "hive://none.calls", "--engine", "spark")
    assert "expected hive://DATABASE.TABLE" in offbeat.refused("run", "cdr", "hive://a-b/c", "--engine", "spark")
    assert "are for --engine spark" in offbeat.refused("run", "cdr", "hive://a.b")
    assert "is read alone" in offbeat.refused("run", "cdr", "hive://a.b", "x.csv", "--engine", "spark")


@pytest.mark.heavy
def test_no_metastore(spark: SparkSession, tmp_path: Path) -> None:  # noqa: ARG001 - skips where there is no Java
    """A process of its own, as the session of the tests has one."""
    settings = ["spark.hadoop.hive.metastore.uris thrift://127.0.0.1:1", "spark.hadoop.hive.metastore.failure.retries 0"]
    settings += ["spark.hadoop.hive.metastore.connect.retries 1", f"spark.sql.warehouse.dir {tmp_path}"]
    (tmp_path / "spark-defaults.conf").write_text("\n".join(settings) + "\n")
    words = ["run", "cdr", "hive://telecom.calls", "--engine", "spark", "--master", "local[1]"]
    done = finished(*words, env={"SPARK_CONF_DIR": str(tmp_path)}, cwd=tmp_path)
    assert done.code == 2, done.err
    assert "the metastore cannot be asked" in done.err.splitlines()[-1]
    assert "check hive.metastore.uris" in done.err.splitlines()[-1]
