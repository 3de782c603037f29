"""A batch on Spark: files by path or a table in, alerts out, nothing of their rows through the driver."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from offbeat.core.ledger import Ledger
from offbeat.core.plan import Plan
from offbeat.engines.as_of_day import dated
from offbeat.engines.file_faults import pair_words
from offbeat.engines.late_words import late_words
from offbeat.engines.quality_gate import below
from offbeat.engines.remarks import outside_sessions, remarks
from offbeat.engines.run_result import Run
from offbeat.engines.sharding import shards_of
from offbeat.engines.spark import tasks
from offbeat.engines.spark.cancelling import Cancelling
from offbeat.engines.spark.catalogue import AlertTable
from offbeat.engines.spark.job import Job, Unit
from offbeat.engines.spark.parts import Outputs, write_records
from offbeat.engines.spark.rows import frame_of
from offbeat.engines.spark.session import ours
from offbeat.engines.spark.told import Told
from offbeat.errors import UserError
from offbeat.fold.as_of import left_out
from offbeat.fold.spread import merges
from offbeat.io.read.file_source import FileSource
from offbeat.io.read.frame import FrameSource
from offbeat.io.read.readers import zone_note

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_ROWS = "bucket int, unit int, seq int, data binary"
_RECORDS = "part int, source int, kind string, data binary"
_TASKS = 4
"""Tasks that read, by bucket: small files share one."""
_ABOUT = "file int, print string, first bigint, last bigint"


def job_of_files(spark: SparkSession, plan: Plan, source: FileSource, buckets: int) -> Job:
    """A batch over files. What their order depends on is found out by tasks; `source` gets it, and its notes."""
    if source.live:
        raise UserError("standard input cannot be read by a cluster: name files, or a topic")
    paths = [str(Path(path).resolve()) for path in source.files]
    whole = Job(plan, buckets, merges(plan, buckets), units=[Unit((path,), (n,)) for n, path in enumerate(paths)])
    if len(set(source.keys)) < len(paths):
        # Files of one key, or of any: which comes first, and which is there twice.
        found = per_number(spark, len(paths), _TASKS * buckets).mapInArrow(tasks.about_files(whole), _ABOUT)
        for row in asked(found):
            source.learn(row["file"], (row["print"], row["first"], row["last"]))
    keys = source.keys
    units = [Unit(tuple(paths[i] for i in unit), unit, _bucket(keys[unit[0]], buckets)) for unit in source.units()]
    names = [name.encode("utf-8", "backslashreplace").decode() for name in source.files]
    return replace(whole, units=units, files=names, headers=list(source.headers))


@dataclass(frozen=True, slots=True)
class Table:
    """A table as a source. What differs from files: it has no order of its own, and nothing to be said of it."""

    name: str
    rows: DataFrame
    notes: Sequence[str] = ()

    @property
    def files(self) -> list[str]:
        """Its name, as the only one."""
        return [self.name]

    def close(self) -> None:
        """Nothing is held open."""


def of_table(plan: Plan, table: DataFrame) -> Plan:
    """The plan for the rows of a table. Raises UserError where their columns are not those of the plan, or its day is not given."""
    from pyspark.sql.pandas.types import to_arrow_schema  # noqa: PLC0415 - slow to import

    check_as_of(plan)
    FrameSource(plan.source, to_arrow_schema(table.schema, timezone="UTC").empty_table())  # says what is wrong with the columns
    return replace(plan, source=replace(plan.source, sort=False))


def check_as_of(plan: Plan) -> None:
    """Raise UserError where the day that is judged is that of the last row, which nobody has seen yet."""
    if plan.as_of is not None and plan.as_of.day is None:
        raise UserError("`as_of.mode: fixed` needs its day here: give `as_of.date` in the pipeline, or as an override")


def job_of_table(plan: Plan, buckets: int, name: str = "table") -> Job:
    """A batch over a table."""
    return Job(plan, buckets, merges(plan, buckets), files=(name,))


def _bucket(key: str | None, buckets: int) -> int:
    return -1 if key is None else int(shards_of(pl.Series([key]), buckets)[0])


def placed_rows(spark: SparkSession, job: Job, table: DataFrame | None = None) -> DataFrame:
    """The rows of a job's files, or of a table, each with the task of its bucket, in the order of the source."""
    if table is not None:
        rows = table.mapInArrow(tasks.read_table(job), _ROWS)
    else:
        rows = per_number(spark, len(job.units), _TASKS * job.buckets).mapInArrow(tasks.read_units(job), _ROWS)
    return rows.repartitionById(job.buckets, rows["bucket"]).sortWithinPartitions("unit", "seq")


def records(spark: SparkSession, job: Job, table: DataFrame | None = None) -> DataFrame:
    """What comes of the rows of a job's files, or of a table: see `tasks.RECORDS`."""
    if job.keyed_by_file:
        folded = per_number(spark, job.buckets, job.buckets).mapInArrow(tasks.fold_rows(job), _RECORDS)
    else:
        folded = placed_rows(spark, job, table).mapInArrow(tasks.fold_rows(job), _RECORDS)
    if not job.merges:
        return folded
    spread = folded.repartitionById(job.merges, folded["part"]).sortWithinPartitions("source")
    return spread.mapInArrow(tasks.merge_windows(job), _RECORDS)


def alerts_of(spark: SparkSession, job: Job, table: DataFrame | None = None) -> DataFrame:
    """The alerts of a job as a table of Spark's, see `tasks.columns_of`."""
    from pyspark.sql.pandas.types import from_arrow_schema  # noqa: PLC0415 - slow to import

    return records(spark, job, table).mapInArrow(tasks.alert_rows(job), from_arrow_schema(tasks.columns_of(job.plan)))


def per_number(spark: SparkSession, count: int, parts: int) -> DataFrame:
    """The numbers 0 to count - 1 in so many tasks, or one each."""
    return spark.range(0, count, 1, max(min(parts, count), 1))


def asked(frame: DataFrame) -> list[Any]:
    """A few rows. Raises UserError where a task said so."""
    from pyspark.errors import PySparkException  # noqa: PLC0415 - slow to import

    try:
        return frame.collect()
    except PySparkException as error:
        raise (ours(error) or error) from error


class SparkBatch:
    """One run of a plan over files or a table, on Spark. buckets: shards that keys are spread over."""

    def __init__(
        self,
        spark: SparkSession,
        plan: Plan,
        source: FileSource | Table,
        outputs: Outputs,
        *,
        buckets: int,
    ) -> None:
        """Raises UserError for a table that the plan cannot read, or an output that cannot be written."""
        self._spark, self._source = spark, source
        if isinstance(source, Table):
            self._plan = of_table(plan, source.rows)
        else:
            self._plan = dated(plan, source)
        names = tasks.columns_of(self._plan).names
        self._tables = [AlertTable(spark, uri, names, plan.source.time.zone) for uri in outputs.tables]
        self._buckets = buckets
        self._outputs = outputs
        self._cancelling = Cancelling(spark)

    def stop(self) -> None:
        """Ask the run to end at once; nothing of it stays."""
        self._cancelling.stop()

    def _job(self) -> tuple[Job, DataFrame | None]:
        if isinstance(self._source, Table):
            return job_of_table(self._plan, self._buckets, self._source.name), self._source.rows
        return job_of_files(self._spark, self._plan, self._source, self._buckets), None

    def run(self) -> Run:
        """Read, judge, write. Raises UserError for what a person can put right; nothing half-written stays behind."""
        from pyspark import StorageLevel  # noqa: PLC0415 - slow to import
        from pyspark.sql.pandas.types import from_arrow_schema  # noqa: PLC0415

        began = time.monotonic()
        try:
            job, table = self._job()
            job = replace(job, keep_raw=self._outputs.aside, alerts=self._outputs.alerts, outputs=self._outputs.begin())
            made = records(self._spark, job, table)
            if self._tables:
                made = made.persist(StorageLevel.DISK_ONLY)  # they are read once more
            found = asked(made.mapInArrow(write_records(job), _RECORDS))
            if self._cancelling.asked:
                raise UserError("stopped")
            for each in self._tables:
                each.write(made.mapInArrow(tasks.alert_rows(job), from_arrow_schema(tasks.columns_of(job.plan))))
            made.unpersist()
            written = [row for row in found if row["kind"] == "written"]
            self._outputs.publish([json.loads(row["data"]) for row in sorted(written, key=lambda row: int(row["source"]))])
        except Exception:
            if self._cancelling.asked:
                return Run(self._plan.name, Ledger(), 0, time.monotonic() - began, complete=False, engine="spark")
            raise
        finally:
            self._cancelling.ended()
            self._source.close()
            self._outputs.close()
        told = Told()
        for row in found:
            if row["kind"] == "told":
                told.add(Told.of(row["data"]))
        gaps = [frame_of(row["data"]) for row in found if row["kind"] == "gaps"]
        return self._report(job, told, pl.concat(gaps).sort("key") if gaps else None, time.monotonic() - began)

    def _found(self, job: Job, told: Told) -> list[str]:
        """What tasks found while they read; that times are taken for those of a zone is said of the first file alone."""
        if isinstance(self._source, Table):
            return []
        local = {zone_note(name, self._plan.source) for name in self._source.files}
        said, zoned = list[str](), False
        given = {str(Path(name).resolve()): name for name in self._source.files}
        for unit, found in sorted(told.notes):
            path = next((path for path in job.units[unit].paths if found.startswith(f"{path}:")), "")
            note = given.get(path, "") + found.removeprefix(path)
            if not (note in local and zoned):
                said.append(note)
            zoned |= note in local
        return said

    def _report(self, job: Job, told: Told, gaps: pl.DataFrame | None, seconds: float) -> Run:
        plan, ledger, names = self._plan, told.ledger, job.files
        words = late_words(dict(enumerate(names)), told.rows_of, told.late, sortable=not plan.source.sort)
        words += told.unseen_words(plan)
        words += remarks(plan.quality, ledger, told.lacking(), told.first_aside, told.unasked())
        if gaps is not None and plan.quality.calendar:
            words += outside_sessions(gaps, plan.quality.calendar, plan.source.time.zone)
        unfit = below(plan.quality.tolerate, Ledger(), ledger)
        return Run(
            plan.name,
            ledger,
            told.alerts,
            seconds,
            complete=True,
            engine="spark",
            worst=[record for _, record in told.worst],
            warnings=[*unfit, *pair_words(names, told.pairs), *told.faults.words(names, told.rows_of)],
            below_quality=bool(unfit),
            notes=[*plan.notes, *self._source.notes, *self._found(job, told), *left_out(plan, told.last_ns), *words],
            gaps=gaps,
            rows_read=ledger.rows_in,
        )
