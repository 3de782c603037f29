"""Offbeat inside a job on Spark: rows in, alerts out, as tables of Spark's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offbeat.engines.cadence import with_cadence
from offbeat.engines.spark.session import check_installed, session
from offbeat.io.read.file_source import FileSource
from offbeat.spec.load import load_plan

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["alerts"]


def alerts(source: Any, pipeline: Any, *, buckets: int | None = None, overrides: Sequence[str] = ()) -> DataFrame:
    """The alerts on rows of a batch, one row each, with the fields of every alert; times are text in RFC 3339 with nine digits.

    source: a table (`DataFrame`), or a path, folder or glob, or a list of these, which all workers must see under the same name. Rows of
    a table are taken in order of their time, then of the order column, then of all else they hold, as a table has no order of its own.
    pipeline: as for `offbeat.run`. buckets: shards that keys are spread over, each folded by one task (default: Spark's default
    parallelism); the alerts are the same for any number. overrides: as `--set`.

    Nothing is read before the result is asked for, except what the order of files depends on.

    Raises SpecError for a wrong pipeline and UserError for a source that cannot be used, or a Spark that is missing or of another version.
    """
    check_installed()
    from pyspark.sql import DataFrame  # noqa: PLC0415 - an extra

    from offbeat.engines.spark.batch import alerts_of, check_as_of, job_of_files, job_of_table, of_table  # noqa: PLC0415

    plan = load_plan(pipeline, overrides)
    spark = session()
    count = buckets or spark.sparkContext.defaultParallelism
    if isinstance(source, DataFrame):
        return alerts_of(spark, job_of_table(of_table(plan, source), count), source)
    paths = [source] if isinstance(source, str | Path) else list(source)
    files = FileSource(plan.source, [str(path) for path in paths])
    plan = with_cadence(plan, lambda known: load_plan(pipeline, (*overrides, known)), files, None)
    check_as_of(plan)
    return alerts_of(spark, job_of_files(spark, plan, files, count))
