"""Tables of Spark's catalogue, such as Hive's: rows come from them, and alerts go into them, a partition a day."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from offbeat.engines.spark import HIVE
from offbeat.engines.spark.session import first_line
from offbeat.errors import UserError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_NAME = re.compile(r"\w+(\.\w+){0,2}")
_DAY = "day"
_MODE = "spark.sql.sources.partitionOverwriteMode"
_CATALOGUE = "spark.sql.catalogImplementation"


def table_name(uri: str) -> str:
    """The name behind `hive://`. Raises UserError for one that no table can have."""
    name = uri.removeprefix(HIVE)
    if not _NAME.fullmatch(name):
        raise UserError(f"{uri}: expected {HIVE}DATABASE.TABLE")
    return name


def open_table(spark: SparkSession, uri: str) -> DataFrame:
    """The rows of a table. Raises UserError where there is none, or nobody who knows."""
    name = table_name(uri)
    if not _exists(spark, uri):
        raise UserError(f"{uri}: there is no table {name}; `SHOW TABLES` of Spark SQL lists those that are there")
    return spark.table(name)


def _exists(spark: SparkSession, uri: str) -> bool:
    if spark.conf.get(_CATALOGUE) != "hive":
        raise UserError(f"{uri}: the session that is there does not know Hive; begin it with enableHiveSupport(), or set {_CATALOGUE}=hive")
    try:
        return spark.catalog.tableExists(table_name(uri))
    except Exception as error:
        # Hive's own errors have no base of ours; the first line of theirs says what is wrong.
        raise UserError(f"{uri}: the metastore cannot be asked ({first_line(error)}); check hive.metastore.uris") from error


class AlertTable:
    """A table of alerts with a partition a day in the pipeline's zone. Raises UserError where it is there and has other columns."""

    def __init__(self, spark: SparkSession, uri: str, columns: list[str], zone: str) -> None:
        """columns: of the alerts."""
        self._spark, self._name, self._zone = spark, table_name(uri), zone
        self._there = spark.table(self._name).columns if _exists(spark, uri) else None
        wanted = {*columns, _DAY}
        if self._there is not None and {name.lower() for name in self._there} != {name.lower() for name in wanted}:
            other = sorted(wanted.symmetric_difference(self._there))
            raise UserError(f"{uri}: it has other columns than these alerts: {', '.join(other)}; name another table")

    def write(self, alerts: DataFrame) -> None:
        """Put alerts there: the days that they are of are replaced, all others stay."""
        day = f"to_date(convert_timezone('UTC', '{self._zone}', cast(substring(time, 1, 19) AS timestamp_ntz)))"
        dated = alerts.selectExpr("*", f"{day} AS {_DAY}")
        if self._there is None:
            dated.write.format("parquet").partitionBy(_DAY).saveAsTable(self._name)
            return
        before = self._spark.conf.get(_MODE)
        self._spark.conf.set(_MODE, "dynamic")
        try:
            dated.select(*self._there).write.mode("overwrite").insertInto(self._name)
        finally:
            self._spark.conf.set(_MODE, before or "static")
