"""A micro-batch of a topic in Spark's Python workers: a shard a partition, from its snapshot or from where this process left it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from offbeat.core.batch import I64
from offbeat.core.plan import Plan
from offbeat.core.state import decode, encode
from offbeat.decide.block import AlertBlock
from offbeat.engines.delivery import Worst, table_of
from offbeat.engines.kafka.places import misplaced
from offbeat.engines.snapshots import Snapshots
from offbeat.engines.spark.tasks import Batches, Task, arrow_batch, schema_of, this_task
from offbeat.engines.spark.told import Told
from offbeat.errors import UserError
from offbeat.fold.fold import Fold
from offbeat.fold.shard import Output
from offbeat.io.kafka.payloads import Records, punctuated_ns
from offbeat.io.read.decoder import Decoder
from offbeat.io.write.schema_union import plan_schema
from offbeat.io.write.sinks import open_sink

TOLD = schema_of(partition=pa.int32(), data=pa.binary())
"""Of each partition with records in a batch, what became of them."""


@dataclass(frozen=True, slots=True)
class TopicJob:
    """What the tasks of a query are told."""

    plan: Plan
    topic: str
    topic_id: str
    partitions: int
    shards: Path
    """Folder of snapshots."""
    alerts: tuple[Path, ...]
    """Folders of parts."""


@dataclass(slots=True)
class _Shard:
    """A partition as this process left it."""

    at: int
    """It has all batches before this one."""
    fold: Fold
    next: int
    """Offset of the first record that it has not."""


_LEFT: dict[tuple[str, str, int], _Shard] = {}
"""By folder of snapshots, topic id and partition: what the next batch may go on with, if it comes to this process."""


def part_name(batch: int, partition: int) -> str:
    """A batch that is done again writes the same parts again."""
    return f"part-batch{batch:09d}-{partition:05d}.parquet"


def fold_batch(job: TopicJob, batch: int, known: dict[int, int]) -> Task:
    """Records of some partitions (partition, offset, key, value). known: of each partition, at which batch its newest snapshot must be."""

    def run(batches: Batches) -> Batches:
        arrived = list(batches)
        if not arrived:
            return
        rows = pa.Table.from_batches(arrived).sort_by([("partition", "ascending"), ("offset", "ascending")])
        partitions = rows.column("partition").to_numpy()
        for number in np.unique(partitions).tolist():
            begin, end = np.searchsorted(partitions, [number, number + 1]).tolist()
            told = _fold(job, batch, number, rows.slice(begin, end - begin), known.get(number))
            yield arrow_batch(TOLD, [number], [told.as_json()])

    return run


def _fold(job: TopicJob, batch: int, number: int, rows: pa.Table, known: int | None) -> Told:
    kept = Snapshots(job.shards, job.topic_id, number)
    shard = _taken(job, batch, number, kept, known)
    worst, told, blocks = Worst(), Told(), list[AlertBlock]()
    for part in rows.combine_chunks().to_batches():
        records = _records(job, number, part)
        if len(records) and records.offsets[0] < shard.next:
            raise UserError(f"{job.topic}, partition {number}: offset {records.offsets[0]:,} comes again after {shard.next - 1:,}")
        for low, high, passed_ns in records.pieces([]):
            outputs = list[Output]()
            if high > low:
                outputs.append(shard.fold.feed(number, shard.fold.prepare(number, records.chunk(low, high, number))))
            if passed_ns is not None:
                outputs.append(shard.fold.punctuate(number, passed_ns))
            for out in outputs:
                told.note(out, worst)
                blocks += out.alerts
        shard.next = int(records.offsets[-1]) + 1
        told.rows_of[number] += len(records)
    # First what comes of the rows, then what says that they are done; both are the same when the batch is done again.
    for folder in job.alerts:
        _write(job.plan, folder / part_name(batch, number), blocks)
    arrays, document = shard.fold.state(number)
    kept.put(batch + 1, job.plan.state_hash, encode(arrays, {"next": shard.next, "shard": document}))
    kept.forget(shard.at)  # what this batch began with stays, for should it have to be done again
    shard.at = batch + 1
    _LEFT[str(job.shards), job.topic_id, number] = shard
    told.close(job.plan, shard.fold, number, worst)
    return told


def _taken(job: TopicJob, batch: int, number: int, kept: Snapshots, known: int | None) -> _Shard:
    """The shard as it was before a batch."""
    left = _LEFT.pop((str(job.shards), job.topic_id, number), None)  # it is gone if this attempt fails
    at = kept.place(batch, job.plan.state_hash)
    where = f"{job.topic}, partition {number}"
    if at is None and (others := kept.hashes()):
        raise UserError(
            f"{where}: its state is of a pipeline with another key, order, windows or training ({min(others)[:8]}, not "
            f"{job.plan.state_hash[:8]}); change it back, or name a new --state"
        )
    if known is not None and at != known:
        raise UserError(f"{where}: its snapshot in {job.shards} is gone; restore it, or name a new --state and other outputs")
    if left is not None and left.at == at:
        return left
    fold = Fold(job.plan, live=True)
    fold.assign(number)
    if at is None:
        return _Shard(0, fold, 0)
    found = kept.newest(batch, job.plan.state_hash)
    arrays, document = decode(found[1] if found is not None else b"", f"snapshot of {where}")
    fold.restore(number, arrays, document["shard"])
    return _Shard(at, fold, document["next"])


def _records(job: TopicJob, number: int, batch: pa.RecordBatch) -> Records:
    values: Any = batch.column("value").cast(pa.binary())
    n = len(values)
    _, offsets, data = values.buffers()
    places = np.frombuffer(offsets, np.int32)[values.offset : values.offset + n + 1].astype(np.int64)
    begins, ends = places[:-1].copy(), places[1:].copy()
    tombs = values.is_null().to_numpy(zero_copy_only=False)
    begins[tombs], ends[tombs] = -1, -1
    parsed = Decoder(job.plan.source).decode(data if data is not None else b"", begins, ends)
    odd = np.flatnonzero(parsed.faults).tolist()
    passed = [(i, time_ns) for i in odd if (time_ns := punctuated_ns(values[i].as_py())) is not None]
    at: I64 = batch.column("offset").to_numpy().astype(np.int64)
    if job.partitions > 1 and parsed.keys is not None:
        _check_keys(job, number, at, batch.column("key"), parsed.keys.cast(pl.String))
    return Records(number, (), at, parsed, 0, passed)


def _check_keys(job: TopicJob, number: int, offsets: I64, given: pa.Array[Any], keys: pl.Series) -> None:
    """Raises UserError for the first record that is not under the key of its row: rows of a key would come out of order."""
    own = pl.Series(given.cast(pa.binary())).cast(pl.Binary)
    wrong = (keys.is_not_null() & own.ne_missing(keys.cast(pl.Binary))).to_numpy()
    if wrong.any():
        i = int(wrong.argmax())
        raise misplaced(job.topic, number, int(offsets[i]), own[i], keys[i])


def _write(plan: Plan, path: Path, blocks: list[AlertBlock]) -> None:
    """The part of a batch; without alerts there is none."""
    if not sum(map(len, blocks)):
        return
    attempt = path.with_name(f".{path.stem}.{this_task().taskAttemptId()}.parquet")
    sink = open_sink(str(attempt), schema=plan_schema(plan))
    try:
        for block in blocks:
            sink.write(table_of(plan, block))
        sink.close(complete=True)
        attempt.replace(path)
    finally:
        sink.close(complete=False)
        with suppress(FileNotFoundError):
            attempt.unlink()
