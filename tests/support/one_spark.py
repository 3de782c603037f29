"""One session of Spark for all its tests; without Java they are skipped, in CI they fail."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from folders import ROOT

from offbeat.engines.spark.session import DEFAULTS, check_java
from offbeat.errors import UserError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

JARS = ROOT / "build" / "spark" / "libs"
SETTINGS = {
    **DEFAULTS,
    "spark.driver.memory": "1g",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.shuffle.partitions": "2",
}


def hive_settings(folder: Path) -> dict[str, str]:
    """Hive's own metastore, in a folder; it is made when a table is first asked for."""
    return {
        "spark.sql.catalogImplementation": "hive",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.hadoop.javax.jdo.option.ConnectionURL": f"jdbc:derby:;databaseName={folder / 'metastore'};create=true",
        "spark.driver.extraJavaOptions": f"-Dderby.stream.error.file={folder / 'derby.log'}",
    }


def quiet() -> None:
    """PySpark says at each job that it does not know this version of pandas yet, through which no row of ours goes."""
    warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)


def _why_not() -> str | None:
    try:
        check_java()
    except UserError as error:
        return str(error)
    return None


@pytest.fixture
def spark(spark_session: SparkSession) -> SparkSession:
    quiet()  # pytest begins each test with its own filters
    return spark_session


@pytest.fixture(scope="session")
def spark_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    why = _why_not()
    if why is not None:
        assert not os.environ.get("CI"), f"CI must have Spark: {why}"
        pytest.skip(why)
    with warnings.catch_warnings():
        quiet()
        from pyspark.sql import SparkSession  # noqa: PLC0415 - other tests need none of it

        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        builder = SparkSession.builder.master("local[2]").appName("tests")
        for name, value in (SETTINGS | hive_settings(tmp_path_factory.mktemp("hive"))).items():
            builder = builder.config(name, value)
        jars = ",".join(map(str, sorted(JARS.glob("*.jar"))))
        if jars:
            builder = builder.config("spark.jars", jars)
        made = builder.getOrCreate()
    made.sparkContext.setLogLevel("OFF")
    yield made
    made.stop()
