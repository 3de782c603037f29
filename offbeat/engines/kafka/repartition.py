"""A topic whose records lie under another key, copied into one where they lie under the pipeline's: each record once, also after a crash.

The rows of a key keep their order where one partition has them. From several partitions they come as these are read, as nobody knows a
better order.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from offbeat.core.plan import Plan
from offbeat.engines.kafka.job import Job
from offbeat.engines.kafka.membership import POLL_SECONDS, check_error, commit, ending, given_away, member, standing_name, stay
from offbeat.engines.kafka.output import ORIGIN
from offbeat.engines.kafka.places import Place
from offbeat.engines.kafka.topics import Cluster, Topic, committed_places, look_up, places
from offbeat.errors import UserError
from offbeat.io.kafka.address import KafkaAddress
from offbeat.io.kafka.asking import bounds, polled
from offbeat.io.kafka.outbox import Outbox
from offbeat.io.kafka.payloads import Payloads, Records, punctuation
from offbeat.io.write.row_json import iso_time

_STOP_SECONDS = 8.0
_TOLD = "told"
"""In a place's `outputs`: the last punctuation of its partition."""


class Repartition:
    """One worker's share of the copying. Raises UserError for what a person can put right.

    job: of the worker that reads the copy, whose group this one's is named after. source: the topic to copy.
    """

    def __init__(self, plan: Plan, job: Job, source: KafkaAddress) -> None:
        self._plan, self._job, self._source = plan, job, source
        self._group = f"{job.group}.repartition"
        for name in (job.source.topic, job.alerts.topic if job.alerts is not None else None, job.dead_letters):
            if name == source.topic:
                raise UserError(f"cannot write to the topic {name}: this worker reads it; name another topic")
        self._topic = look_up(source)
        cluster = Cluster(source)
        kept = cluster.setting(source.topic, "retention.ms")
        self._to: Topic = cluster.create(job.source.topic, self._topic.partitions, {"retention.ms": kept} if kept else None)
        self._stop = threading.Event()
        self._failed: BaseException | None = None

    @contextmanager
    def beside(self, stop: Callable[[], None]) -> Iterator[None]:
        """While entered, copy on a thread of its own; where the job ends with the topic, copy all before. stop: ends what reads the copy
        where copying fails.
        """
        if self._job.until_end:
            self.run()
            yield
            return
        thread = threading.Thread(target=self._run_until_stopped, args=(stop,), name="offbeat-repartition", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.stop()
            thread.join(_STOP_SECONDS)
        if self._failed is not None:
            raise self._failed

    def _run_until_stopped(self, stop: Callable[[], None]) -> None:
        try:
            self.run()
        except BaseException as error:
            self._failed = error
            stop()

    def stop(self) -> None:
        """Ask it to commit and end."""
        self._stop.set()

    def run(self) -> None:
        """Copy until asked to stop, or up to the end that the topic has now where the job ends."""

        def join() -> _Copying:
            return _Copying(self._plan, self._job, self._source, self._group, self._topic, self._to, self._stop)

        stay(join, self._source, self._stop)


class _Copying:
    """From joining the group to leaving it, or to a lost transaction."""

    def __init__(self, plan: Plan, job: Job, source: KafkaAddress, group: str, topic: Topic, to: Topic, stop: threading.Event) -> None:
        self._plan, self._job, self._source, self._group = plan, job, source, group
        self._topic, self._to, self._stop = topic, to, stop
        self._payloads = Payloads(plan.source, job.payload, job.schemas)
        self._places: dict[int, Place] = {}
        self._ends: dict[int, int] = {}
        """Where the run ends, if it does."""
        self._reached: set[int] = set()
        self._floor_ns: int | None = None
        self._failed: BaseException | None = None
        self._member: str | None = None
        self.commits = 0
        name = standing_name(job.instance, topic.id)
        self._outbox = Outbox(source, f"{group}:{name}")
        self._consumer = member(source, group, name, self._said)

    def run(self) -> bool:
        self._consumer.subscribe([self._topic.name], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)
        while not self._stop.is_set() and not (self._ends and self._reached >= set(self._ends)):
            messages = polled(self._consumer, POLL_SECONDS)
            if self._failed is not None:
                raise self._failed
            self._take(messages)
            self._commit()
        self._consumer.close()
        return not self._stop.is_set()

    def drop(self) -> None:
        self._outbox.abort()
        self._places.clear()
        with suppress(KafkaException, RuntimeError):
            self._consumer.close()

    def _take(self, messages: list[Message]) -> None:
        rows: dict[int, list[Message]] = {}
        for message in messages:
            error, number, offset = message.error(), int(message.partition() or 0), int(message.offset() or 0)
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                check_error(message, error, self._source, self._group)
                continue
            if number in self._ends and offset >= self._ends[number]:
                self._reached.add(number)
            elif error is None and number in self._places and offset >= self._places[number].offset:
                rows.setdefault(number, []).append(message)
        for records in self._payloads.read(rows) if rows else []:
            self._send(records)
            place = self._places[records.partition]
            place.offset = int(records.offsets[-1]) + 1
            if place.offset >= self._ends.get(records.partition, place.offset + 1):
                self._reached.add(records.partition)

    def _send(self, records: Records) -> None:
        passed = dict(records.passed)
        for i, (message, (own, key)) in enumerate(zip(records.messages, records.keys(range(len(records))), strict=True)):
            if i in passed:
                self._pass(records.partition, passed[i])
                continue
            origin = (ORIGIN, f"{self._topic.name}/{records.partition}/{message.offset()}".encode())
            headers = [(str(name), value) for name, value in list(message.headers() or []) if isinstance(value, bytes)]
            keyed = own if key is None else key.encode("utf-8", "surrogatepass")
            self._outbox.send(self._to.name, keyed, message.value(), [*headers, origin], time_ms=max(message.timestamp()[1], 0))

    def _pass(self, number: int, time_ns: int) -> None:
        """A partition's time has passed: for the copy that of all of them has, whoever reads the others."""
        self._places[number].outputs[_TOLD] = max(time_ns, self._places[number].outputs.get(_TOLD, time_ns))
        told = {number: place.outputs.get(_TOLD) for number, place in self._places.items()}
        if len(told) < self._topic.partitions:
            others = committed_places(self._consumer, self._topic, self._group)
            told = {other: place.outputs.get(_TOLD) for other, place in others.items()} | told
        known = [each for each in told.values() if each is not None]
        if len(known) < self._topic.partitions or (self._floor_ns is not None and min(known) <= self._floor_ns):
            return
        self._floor_ns = min(known)
        for partition in range(self._to.partitions):
            record = punctuation(iso_time(self._floor_ns))
            self._outbox.send(self._to.name, None, record, partition=partition, time_ms=max(self._floor_ns // 1_000_000, 0))

    def _commit(self, *, begins: bool = False) -> None:
        if not self._outbox.dirty and not begins:
            return
        offsets = [TopicPartition(self._topic.name, number, place.offset, place.text()) for number, place in self._places.items()]
        commit(self._outbox, self._consumer, self._member, offsets)
        self.commits += 1

    def _said(self, error: KafkaError) -> None:
        self._failed = ending(error, self._source, self._group, self._job.instance) or self._failed

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._member = consumer.memberid()
        try:
            known = places(consumer, partitions, self._group, self._job.begin, self._plan, [self._topic])
            starts = []
            for partition, place in zip(partitions, known, strict=True):
                self._places[partition.partition] = place
                starts.append(TopicPartition(partition.topic, partition.partition, place.offset))
                if self._job.until_end:
                    end = self._ends[partition.partition] = bounds(consumer, partition)[1]
                    if place.offset >= end:
                        self._reached.add(partition.partition)
            consumer.incremental_assign(starts)
            if any(place.new for place in known):
                self._commit(begins=True)
        except BaseException as error:
            self._failed = error

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            if self._places:
                self._commit()
            for partition in partitions:
                self._places.pop(partition.partition, None)
                self._ends.pop(partition.partition, None)
            consumer.incremental_unassign(partitions)
        except BaseException as error:
            self._failed = error

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for partition in partitions:
            self._places.pop(partition.partition, None)
        if self._outbox.dirty:
            self._failed = given_away()
        with suppress(KafkaException):
            consumer.incremental_unassign(partitions)
