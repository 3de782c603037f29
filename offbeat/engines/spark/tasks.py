"""What runs in Spark's Python workers: reading by path, the fold of a bucket, and merges. Arrow in, Arrow out."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark import TaskContext

from offbeat.core.chunk import Chunk
from offbeat.core.plan import Plan
from offbeat.decide.block import AlertBlock
from offbeat.engines.delivery import Worst, table_of
from offbeat.engines.file_manifest import rows_by_file
from offbeat.engines.sharding import cut
from offbeat.engines.spark.job import Job, Unit
from offbeat.engines.spark.rows import chunk_of, frame_bytes, frame_of, in_order, packed
from offbeat.engines.spark.told import Told
from offbeat.errors import UserError
from offbeat.fold.fold import Fold
from offbeat.fold.merge_fold import MergeFold
from offbeat.fold.shard import Output
from offbeat.fold.spread import spread
from offbeat.fold.wire import pack, unpack
from offbeat.io.read.file_source import FileSource
from offbeat.io.read.frame import FrameSource
from offbeat.io.write.arrow_arrays import fields_of, whole
from offbeat.io.write.provenance import provenance_table
from offbeat.io.write.quarantine import quarantine_table
from offbeat.io.write.rfc_3339 import spelled
from offbeat.io.write.schema_union import fitted, plan_schema

Batches = Iterator[pa.RecordBatch]
Task = Callable[[Batches], Batches]
Notes = list[tuple[int, str]]
"""What was found while units were read, by their numbers."""


def this_task() -> TaskContext:
    """The task of Spark that this runs in."""
    context = TaskContext.get()
    if context is None:
        raise ValueError("this runs in a task of Spark")
    return context


def schema_of(**columns: pa.DataType) -> pa.Schema:
    """Columns of these types."""
    return pa.schema(list(columns.items()))


ROWS = schema_of(bucket=pa.int32(), unit=pa.int32(), seq=pa.int32(), data=pa.binary())
"""Rows of a bucket: what `packed` made, with its place in the order of the source."""
RECORDS = schema_of(part=pa.int32(), source=pa.int32(), kind=pa.string(), data=pa.binary())
"""What came of rows. kind: alerts, origins, aside (Arrow streams); partials, for merge number `part`; told; gaps."""
ABOUT = schema_of(file=pa.int32(), print=pa.string(), first=pa.int64(), last=pa.int64())
_TABLE_ROWS = 1 << 16
"""Alerts that are gathered before they are sent on."""


def about_files(job: Job) -> Task:
    """Of each file (one number a row) what the order of reading depends on."""

    def run(batches: Batches) -> Batches:
        for number in numbers_in(batches):
            unit = job.units[number]
            (name, first, last), *_ = FileSource(job.plan.source, unit.paths).about()
            yield arrow_batch(ABOUT, [unit.numbers[0]], [name], [first], [last])

    return run


def read_units(job: Job) -> Task:
    """Of each unit (one number a row) its rows, by bucket."""

    def run(batches: Batches) -> Batches:
        for number in numbers_in(batches):
            unit = job.units[number]
            notes = list[str]()
            for seq, chunk in enumerate(_chunks(job, unit, notes)):
                for bucket, part in cut(chunk, job.buckets):
                    yield arrow_batch(ROWS, [bucket], [number], [seq], [packed(part, unit.numbers, raw=job.keep_raw)])
            if notes:
                yield arrow_batch(ROWS, [0], [number], [-1], [json.dumps(notes).encode()])

    return run


def read_table(job: Job) -> Task:
    """Rows of a table, by bucket."""

    def run(batches: Batches) -> Batches:
        for seq, batch in enumerate(batches):
            for chunk in FrameSource(job.plan.source, pa.Table.from_batches([batch])).chunks(None):
                for bucket, part in cut(chunk, job.buckets):
                    yield arrow_batch(ROWS, [bucket], [0], [seq], [packed(part, [0], raw=job.keep_raw)])

    return run


def fold_rows(job: Job) -> Task:
    """The rows of one bucket, in order; or the numbers of buckets whose files are read here."""

    def run(batches: Batches) -> Batches:
        if job.keyed_by_file:
            for bucket in numbers_in(batches):
                yield from _fold(job, bucket, partial(_of_bucket, job, bucket))
            return
        yield from _fold(job, this_task().partitionId(), partial(arrived, job, batches))

    return run


def merge_windows(job: Job) -> Task:
    """Records of one part: partials are merged and judged, whatever else there is goes on."""

    def run(batches: Batches) -> Batches:
        merge, gather, told = MergeFold(job.plan, job.buckets, live=False), _Gather(job), Told()
        for batch in batches:
            kinds = batch.column("kind").to_pylist()
            for row, kind in enumerate(kinds):
                if kind == "partials":
                    merge.feed(batch.column("data")[row].as_py())
                else:
                    yield batch.slice(row, 1)
        out = merge.end()
        told.note(out, gather.worst)
        yield from gather.take(out)
        yield from gather.rest()
        told.ledger, told.worst = merge.ledger, gather.worst.ranked(job.plan)
        yield _record("told", told.as_json())

    return run


def alert_rows(job: Job) -> Task:
    """The alerts among records, in the columns of `columns_of`."""
    wanted = columns_of(job.plan)

    def run(batches: Batches) -> Batches:
        for batch in batches:
            for row, kind in enumerate(batch.column("kind").to_pylist()):
                if kind == "alerts":
                    table = table_in(batch.column("data")[row].as_py())
                    texts = pa.Table.from_arrays([spelled(whole(column)) for column in table.columns], table.column_names)
                    yield from fitted(texts, wanted).to_batches()

    return run


def columns_of(plan: Plan) -> pa.Schema:
    """The alert's columns in types that Spark has: times are text with nine digits of the second, as in JSON lines."""
    return pa.schema([pa.field(field.name, _plain(field.type)) for field in plan_schema(plan)])


def _plain(kind: Any) -> pa.DataType:
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, _plain(field.type)) for field in fields_of(kind)])
    if pa.types.is_list(kind):
        return pa.list_(_plain(kind.value_type))
    textual = pa.types.is_timestamp(kind) or pa.types.is_dictionary(kind) or pa.types.is_null(kind)
    return pa.string() if textual else kind


def numbers_in(batches: Batches) -> Iterator[int]:
    """The numbers that a task was given, one a row."""
    for batch in batches:
        numbers: list[Any] = batch.column(0).to_pylist()
        yield from numbers


def _chunks(job: Job, unit: Unit, notes: list[str]) -> Iterator[Chunk]:
    """The rows of a unit. notes: gets what was found while they were read; what files' names and headers say the driver knows."""
    source = FileSource(job.plan.source, unit.paths)
    known = len(source.notes)
    try:
        yield from source.chunks(None)
    finally:
        source.close()
    notes += source.notes[known:]


def _renumbered(chunk: Chunk, unit: Unit) -> Chunk:
    numbers = np.array(unit.numbers, np.int32)
    return replace(chunk, file=unit.numbers[chunk.file], files=None if chunk.files is None else numbers[chunk.files])


def _of_bucket(job: Job, bucket: int, notes: Notes) -> Iterator[Chunk]:
    """Rows of a bucket's own files."""
    for number, unit in enumerate(job.units):
        if unit.bucket == bucket:
            said = list[str]()
            yield from (_renumbered(chunk, unit) for chunk in _chunks(job, unit, said))
            notes += [(number, note) for note in said]


def arrived(job: Job, batches: Batches, notes: Notes) -> Iterator[Chunk]:
    """Chunks of this bucket in their order."""
    known = []
    for batch in batches:
        for unit, seq, data in zip(*(batch.column(name).to_pylist() for name in ("unit", "seq", "data")), strict=True):
            if seq < 0:
                notes += [(unit, note) for note in json.loads(data)]
            elif job.unordered:
                known.append(frame_of(data))
            else:
                yield chunk_of(frame_of(data), job.plan.source)
    if known:
        yield chunk_of(in_order(known, job.plan.source), job.plan.source)


def _fold(job: Job, bucket: int, chunks: Callable[[Notes], Iterator[Chunk]]) -> Batches:
    fold, gather, told = Fold(job.plan, remote=job.merges > 0), _Gather(job), Told()
    fold.assign(bucket)
    for chunk in chunks(told.notes):
        told.rows_of.update(rows_by_file(chunk))
        out = fold.feed(bucket, fold.prepare(bucket, chunk))
        told.note(out, gather.worst)
        yield from gather.take(out)
    out = fold.end()
    told.note(out, gather.worst)
    yield from gather.take(out)
    yield from gather.rest()
    if job.merges:
        for number, delta in spread(job.plan, unpack(fold.partials(bucket)), job.merges):
            yield _record("partials", pack(delta), part=number, source=bucket)
    told.close(job.plan, fold, bucket, gather.worst)
    part = bucket % max(job.merges, 1)
    yield _record("told", told.as_json(), part=part, source=bucket)
    gaps = fold.gaps()
    if gaps is not None:
        yield _record("gaps", frame_bytes(gaps), part=part, source=bucket)


class _Gather:
    """Alerts and rows set aside, gathered so that they are not sent on one by one."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.worst = Worst()
        self._waiting: dict[tuple[str, str], list[pa.Table]] = {}
        """By kind and view, as views differ in columns."""

    def take(self, out: Output) -> Batches:
        """Take what came of rows; gives what is enough to be sent on."""
        for block in out.alerts:
            yield from self._take_alerts(block)
        if self._job.wants("aside"):
            for rows in out.quarantined:
                yield from self._add("aside", "", quarantine_table(rows, self._job.files, self._job.headers))

    def _take_alerts(self, block: AlertBlock) -> Batches:
        if self._job.alerts:
            yield from self._add("alerts", block.view, table_of(self._job.plan, block))
        if self._job.wants("origins"):
            yield from self._add("origins", "", provenance_table(block, self._job.files))

    def _add(self, kind: str, view: str, table: pa.Table) -> Batches:
        waiting = self._waiting.setdefault((kind, view), [])
        waiting.append(table)
        if sum(each.num_rows for each in waiting) >= _TABLE_ROWS:
            yield self._send(kind, view)

    def _send(self, kind: str, view: str) -> pa.RecordBatch:
        return _record(kind, stream_of(pa.concat_tables(self._waiting.pop((kind, view)))))

    def rest(self) -> Batches:
        """What is left."""
        for kind, view in list(self._waiting):
            yield self._send(kind, view)


def stream_of(table: pa.Table) -> bytes:
    """A table as an Arrow stream."""
    out = io.BytesIO()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


def table_in(data: bytes) -> pa.Table:
    """What `stream_of` was given."""
    with pa.ipc.open_stream(data) as reader:
        table = reader.read_all()
    if not isinstance(table, pa.Table):
        raise UserError("a record between tasks is damaged")
    return table


def _record(kind: str, data: bytes, part: int = 0, source: int = 0) -> pa.RecordBatch:
    return arrow_batch(RECORDS, [part], [source], [kind], [data])


def arrow_batch(schema: pa.Schema, *columns: list[object]) -> pa.RecordBatch:
    """A batch of these columns."""
    return pa.RecordBatch.from_arrays([pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)], schema=schema)
