"""A micro-batch of a topic in Spark's Python workers: a shard a partition, from its snapshot or from where this process left it.

Where the topic is not keyed by the pipeline's key, rows are sent to the shard of their key first, and a shard is a bucket of keys.

Windows on other keys leave the shards as exact partial sums, a record a batch, and one more shard merges and judges them [R31].
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from offbeat.core.batch import I64, NULL_INT
from offbeat.core.plan import Plan
from offbeat.core.state import Arrays, Document, decode, encode
from offbeat.decide.block import AlertBlock
from offbeat.engines.delivery import Worst, table_of
from offbeat.engines.kafka.places import misplaced
from offbeat.engines.sharding import shards_of
from offbeat.engines.snapshots import Snapshots
from offbeat.engines.spark.tasks import Batches, Task, arrow_batch, schema_of, this_task
from offbeat.engines.spark.told import Told
from offbeat.errors import UserError
from offbeat.fold.fold import Fold
from offbeat.fold.merge_fold import MergeFold
from offbeat.fold.shard import Output
from offbeat.io.kafka.payloads import Records, punctuated_ns
from offbeat.io.read.ambiguous_times import follow
from offbeat.io.read.decoder import Decoder
from offbeat.io.write.schema_union import plan_schema
from offbeat.io.write.sinks import open_sink

TOLD = schema_of(shard=pa.int32(), kind=pa.string(), data=pa.binary())
"""Of each shard with records in a batch, what became of them (told), and for the merge what came to windows (partials)."""


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
    buckets: int = 0
    """Shards that keys are spread over; 0 where a partition is a shard."""

    @property
    def count(self) -> int:
        """How many shards there are."""
        return self.buckets or self.partitions

    def name(self, shard: int) -> str:
        """What a shard is called."""
        return f"{self.topic}, {'bucket' if self.buckets else 'partition'} {shard}"

    @property
    def merged(self) -> bool:
        """Whether some view is on another key."""
        return any(view.rollup is not None for view in self.plan.views)

    @property
    def merge(self) -> int:
        """The number of the shard that merges."""
        return self.count


@dataclass(slots=True)
class _Shard:
    """A partition, or a bucket of keys, as this process left it."""

    at: int
    """It has all batches before this one."""
    fold: Fold
    next: dict[int, int] = field(default_factory=dict)
    """By partition, the offset of the first record that it has not."""
    floors: dict[int, int] = field(default_factory=dict)
    """By partition, the time that was said to have passed."""
    row_before_ns: int = NULL_INT
    """Time of the last row, by which times that come twice are told apart [R17]."""


_LEFT: dict[tuple[str, str, int], _Shard] = {}
"""By folder of snapshots, topic id and partition: what the next batch may go on with, if it comes to this process."""
_MERGES: dict[tuple[str, str], tuple[int, MergeFold]] = {}
"""As `_LEFT`, with the batch that the merge has not yet."""


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
        if job.buckets:
            number = this_task().partitionId()
            yield from _fold(job, batch, number, rows.take(_merged(rows)), known.get(number))
            return
        partitions = rows.column("partition").to_numpy()
        for number in np.unique(partitions).tolist():
            begin, end = np.searchsorted(partitions, [number, number + 1]).tolist()
            yield from _fold(job, batch, number, rows.slice(begin, end - begin), known.get(number))

    return run


def place_records(job: TopicJob) -> Task:
    """Records (partition, offset, key, value, time), each with the bucket of its row's key; a punctuation goes to all buckets."""

    def run(batches: Batches) -> Batches:
        for batch in batches:
            records = _records(job, 0, batch)
            keys = records.parsed.keys
            buckets = np.zeros(len(records), np.int64) if keys is None else shards_of(keys.cast(pl.String).fill_null(""), job.buckets)
            passed = np.array([i for i, _ in records.passed], np.int64)
            kept = np.setdiff1d(np.arange(len(records)), passed)
            index = np.concatenate([kept, np.repeat(passed, job.buckets)])
            to = np.concatenate([buckets[kept], np.tile(np.arange(job.buckets), len(passed))])
            if len(index):
                columns = [pa.array(to.astype(np.int32)), *(column.take(pa.array(index)) for column in batch.columns)]
                yield pa.RecordBatch.from_arrays(columns, ["bucket", *batch.schema.names])

    return run


def _merged(rows: pa.Table) -> I64:
    """Rows of several partitions, in the order of each, as an order of all: by the newest timestamp that their partition has come to.

    So one that is read faster than another does not run ahead in time, where its records have the times of their rows.
    """
    partitions, offsets = rows.column("partition").to_numpy(), rows.column("offset").to_numpy()
    heads: I64 = rows.column("time").to_numpy().copy()
    for begin, end in pairwise([0, *(np.flatnonzero(np.diff(partitions)) + 1).tolist(), len(heads)]):
        heads[begin:end] = np.maximum.accumulate(heads[begin:end])
    return np.lexsort((offsets, partitions, heads))


def merge_batch(job: TopicJob, batch: int, known: int | None) -> Task:
    """What all shards tell of a batch, in one task: partials are merged and judged, the rest goes on. known: as for `fold_batch`."""

    def run(batches: Batches) -> Batches:
        partials: list[tuple[Any, Any]] = []
        for arrived in batches:
            for row, kind in enumerate(arrived["kind"].to_pylist()):
                if kind == "partials":
                    partials.append((arrived["shard"][row].as_py(), arrived["data"][row].as_py()))
                else:
                    yield arrived.slice(row, 1)
        if partials:
            yield _merge(job, batch, [data for _, data in sorted(partials)], known)

    return run


def _merge(job: TopicJob, batch: int, partials: list[bytes], known: int | None) -> pa.RecordBatch:
    kept = Snapshots(job.shards, job.topic_id, job.merge)
    at = _place(job, batch, kept, known, f"{job.topic}, merge")
    left, merge = _MERGES.pop((str(job.shards), job.topic_id), (None, None))  # it is gone if this attempt fails
    if merge is None or left != at:
        merge = MergeFold(job.plan, job.count)
        if at is not None:
            merge.restore(*_kept(kept, batch, job, "the merge"))
    worst, told, blocks = Worst(), Told(), list[AlertBlock]()
    for record in partials:
        out = merge.feed(record)
        told.note(out, worst)
        blocks += out.alerts
    for folder in job.alerts:
        _write(job.plan, folder / part_name(batch, job.merge), blocks)
    arrays, document = merge.state()
    kept.put(batch + 1, job.plan.state_hash, encode(arrays, document))
    kept.forget(at or 0)
    _MERGES[str(job.shards), job.topic_id] = batch + 1, merge
    told.ledger, told.worst = merge.ledger, worst.ranked(job.plan)
    return arrow_batch(TOLD, [job.merge], ["told"], [told.as_json()])


def _fold(job: TopicJob, batch: int, number: int, rows: pa.Table, known: int | None) -> Batches:
    kept = Snapshots(job.shards, job.topic_id, number)
    shard = _taken(job, batch, number, kept, known)
    worst, told, blocks = Worst(), Told(), list[AlertBlock]()
    sources = 1 if not job.buckets else job.partitions
    for part in rows.combine_chunks().to_batches():
        records = _records(job, number, part)
        partitions = part.column("partition").to_numpy()
        _check_new(job, shard, partitions, records.offsets)
        for low, high, passed_ns in records.pieces([]):
            outputs = list[Output]()
            if high > low:
                chunk = records.chunk(low, high, number)
                if job.buckets:
                    chunk = replace(chunk, files=partitions[low:high].astype(np.int32))
                shard.row_before_ns = follow(chunk.time_ns, records.later(low, high), shard.row_before_ns)
                outputs.append(shard.fold.feed(number, shard.fold.prepare(number, chunk)))
            if passed_ns is not None:
                shard.floors[int(partitions[high])] = passed_ns
                if len(shard.floors) == sources:
                    outputs.append(shard.fold.punctuate(number, min(shard.floors.values())))
            for out in outputs:
                told.note(out, worst)
                blocks += out.alerts
        told.rows_of[number] += len(records)
    # First what comes of the rows, then what says that they are done; both are the same when the batch is done again.
    for folder in job.alerts:
        _write(job.plan, folder / part_name(batch, number), blocks)
    partials = shard.fold.partials(number) if job.merged else b""  # before the state, which has them no more
    arrays, document = shard.fold.state(number)
    places = {"next": sorted(shard.next.items()), "floors": sorted(shard.floors.items())}
    own = places | {"row_before_ns": shard.row_before_ns, "shard": document}
    kept.put(batch + 1, job.plan.state_hash, encode(arrays, own))
    kept.forget(shard.at)  # what this batch began with stays, for should it have to be done again
    shard.at = batch + 1
    _LEFT[str(job.shards), job.topic_id, number] = shard
    told.close(job.plan, shard.fold, number, worst)
    yield arrow_batch(TOLD, [number], ["told"], [told.as_json()])
    if partials:
        yield arrow_batch(TOLD, [number], ["partials"], [partials])


def _place(job: TopicJob, batch: int, kept: Snapshots, known: int | None, where: str) -> int | None:
    """At which batch the snapshot is that a batch begins with. Raises UserError where that is not the one it was."""
    at = kept.place(batch, job.plan.state_hash)
    if at is None and (others := kept.hashes()):
        raise UserError(
            f"{where}: its state is of a pipeline with another key, order, windows or training ({min(others)[:8]}, not "
            f"{job.plan.state_hash[:8]}); change it back, or name a new --state"
        )
    if known is not None and at != known:
        raise UserError(f"{where}: its snapshot in {job.shards} is gone; restore it, or name a new --state and other outputs")
    return at


def _kept(kept: Snapshots, batch: int, job: TopicJob, what: str) -> tuple[Arrays, Document]:
    found = kept.newest(batch, job.plan.state_hash)
    return decode(found[1] if found is not None else b"", f"snapshot of {what}")


def _taken(job: TopicJob, batch: int, number: int, kept: Snapshots, known: int | None) -> _Shard:
    """The shard as it was before a batch."""
    left = _LEFT.pop((str(job.shards), job.topic_id, number), None)  # it is gone if this attempt fails
    where = job.name(number)
    at = _place(job, batch, kept, known, where)
    if left is not None and left.at == at:
        return left
    fold = Fold(job.plan, live=True, remote=job.merged)
    fold.assign(number)
    if at is None:
        return _Shard(0, fold)
    arrays, document = _kept(kept, batch, job, where)
    fold.restore(number, arrays, document["shard"])
    return _Shard(at, fold, dict(document["next"]), dict(document["floors"]), document["row_before_ns"])


def _check_new(job: TopicJob, shard: _Shard, partitions: I64, offsets: I64) -> None:
    """Note how far each partition is. Raises UserError where records come again."""
    for partition in np.unique(partitions).tolist():
        own = offsets[partitions == partition]
        known = shard.next.get(partition, 0)
        if own[0] < known:
            raise UserError(f"{job.topic}, partition {partition}: offset {own[0]:,} comes again after {known - 1:,}")
        shard.next[partition] = int(own[-1]) + 1


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
    if job.partitions > 1 and not job.buckets and parsed.keys is not None:
        _check_keys(job, number, at, batch.column("key"), parsed.keys.cast(pl.String))
    return Records(number, (), at, parsed, 0, passed)


def _check_keys(job: TopicJob, number: int, offsets: I64, given: pa.Array[Any], keys: pl.Series) -> None:
    """Raises UserError for the first record that is not under the key of its row: rows of a key would come out of order."""
    own = pl.Series(given.cast(pa.binary())).cast(pl.Binary)
    wrong = (keys.is_not_null() & own.ne_missing(keys.cast(pl.Binary))).to_numpy()
    if wrong.any():
        i = int(wrong.argmax())
        again = ", or give --workers N and name a new --state: rows are then sent to one of N shards by their key"
        raise misplaced(job.topic, number, int(offsets[i]), own[i], keys[i], or_else=again)


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
