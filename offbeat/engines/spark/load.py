"""Rows of files into a topic, by the tasks of a cluster: each row once, and the rows of a key in the order in which a run reads them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from offbeat.core.batch import NULL_INT
from offbeat.core.chunk import Chunk
from offbeat.core.plan import Plan, SourcePlan
from offbeat.engines.kafka.replay_out import PARTITIONS, UNBOUNDED, TopicWriter
from offbeat.engines.kafka.topics import Cluster
from offbeat.engines.replay import replay
from offbeat.engines.spark.batch import asked, job_of_files, per_number, placed_rows
from offbeat.engines.spark.job import Job
from offbeat.engines.spark.tasks import Batches, Task, arrived, arrow_batch, numbers_in, schema_of, this_task
from offbeat.io.kafka.address import KafkaAddress, secrets
from offbeat.io.read.by_time import ByTime, Timed
from offbeat.io.read.file_source import FileSource
from offbeat.quality.row_filter import RowFilter

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_SENT = schema_of(rows=pa.int64(), left_out=pa.int64(), notes=pa.string())
_SENT_TYPES = "rows bigint, left_out bigint, notes string"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What became of the rows of a load."""

    rows: int
    """In the topic, with those that an earlier try of the same name sent."""
    left_out: int
    """Filtered out by the pipeline, or unreadable."""
    notes: list[str]


@dataclass(frozen=True, slots=True)
class _Target:
    """Where tasks send their rows."""

    address: KafkaAddress
    name: str
    """Of the load: a task that is done again goes on where the one before it stopped."""
    secrets: dict[str, str]
    """Of the connection, by environment variable: the workers do not have the driver's environment."""


def load(spark: SparkSession, plan: Plan, source: FileSource, address: KafkaAddress, name: str) -> Loaded:
    """Send all readable rows of `source` to a topic, which is made where there is none, under the pipeline's key.

    As many tasks as the topic has partitions share the keys. name: of the load; the same one again goes on where it stopped.

    Raises UserError, one line, for what a person can put right.
    """
    topic = Cluster(address).create(address.topic, PARTITIONS, UNBOUNDED)
    job = job_of_files(spark, plan, source, topic.partitions)
    task = _send(job, _Target(address, name, secrets()))
    rows = per_number(spark, job.buckets, job.buckets) if job.keyed_by_file else placed_rows(spark, job)
    found = asked(rows.mapInArrow(task, _SENT_TYPES))
    notes = dict.fromkeys(note for row in found for note in json.loads(row["notes"]))
    return Loaded(sum(row["rows"] for row in found), sum(row["left_out"] for row in found), list(notes))


def _send(job: Job, target: _Target) -> Task:
    """Send the rows of one bucket, which arrive in their order, or of the buckets whose files are read here."""

    def run(batches: Batches) -> Batches:
        os.environ.update(target.secrets)
        if not job.keyed_by_file:
            usable = _Usable(job.plan.source, arrived(job, batches, []))
            yield _sent(job, target, this_task().partitionId(), usable)
            return
        for bucket in numbers_in(batches):
            paths = [path for unit in job.units if unit.bucket == bucket for path in unit.paths]
            if paths:
                source = FileSource(job.plan.source, paths)
                try:
                    yield _sent(job, target, bucket, source.in_order_of_time())
                finally:
                    source.close()

    return run


class _Usable:
    """The rows of chunks that a replay sends; `left_out` counts the others."""

    def __init__(self, plan: SourcePlan, chunks: Iterator[Chunk]) -> None:
        self._chunks = chunks
        self._where = None if plan.where is None else RowFilter(plan.where, plan.columns)
        self.left_out = 0

    def __iter__(self) -> Iterator[Timed]:
        for chunk in self._chunks:
            usable = (chunk.faults == 0) & (chunk.time_ns != NULL_INT)
            rejected = self._where.rejected(chunk.frame, chunk.faults) if self._where is not None else None
            if rejected is not None:
                usable &= ~rejected
            index = np.flatnonzero(usable)
            self.left_out += len(usable) - len(index)
            if len(index) and chunk.keys is not None:
                times = chunk.time_ns[index]
                yield Timed(chunk.frame[index], chunk.keys.gather(index), times, times)


def _sent(job: Job, target: _Target, bucket: int, rows: ByTime | _Usable) -> pa.RecordBatch:
    notes = list[str]()
    writer = TopicWriter(target.address, f"{target.name}.{bucket}", 0, say=notes.append)
    try:
        replay(rows, job.plan.source, writer.write, None, lambda _: None, skip=writer.sent, skipped=writer.skip)
        writer.require_all()
    finally:
        writer.close()
    return arrow_batch(_SENT, [writer.sent], [rows.left_out], [json.dumps(notes)])
