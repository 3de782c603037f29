"""One stay of a worker in its group."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import chain

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from offbeat.core.ledger import Ledger
from offbeat.engines.kafka.job import Status, Work
from offbeat.engines.kafka.key_check import KeyCheck
from offbeat.engines.kafka.membership import POLL_SECONDS, check_error, commit, ending, given_away, member, standing_name
from offbeat.engines.kafka.output import KafkaOutput
from offbeat.engines.kafka.places import Place, grown
from offbeat.engines.kafka.run_end import RunEnd
from offbeat.engines.kafka.shards import MergeShard, RowShard, Shard, end_record, model_ages, parts_of, unseen_in
from offbeat.engines.kafka.side_outputs import SideOutputs
from offbeat.engines.kafka.topics import committed_places, partials_name, places
from offbeat.engines.late_words import late_words
from offbeat.engines.quality_gate import below
from offbeat.engines.remarks import remarks
from offbeat.engines.run_result import Progress
from offbeat.engines.snapshots import Snapshots
from offbeat.errors import UserError
from offbeat.fold.late_files import Lateness
from offbeat.fold.shard import Output
from offbeat.io.kafka.asking import bounds, polled
from offbeat.io.kafka.outbox import Outbox
from offbeat.io.kafka.payloads import Payloads, Records

_AT_ONCE = 10_000
"""Records of a poll at most."""
_BEHIND_COMMIT_SECONDS = 0.25
"""How long a transaction is open while records are waiting; else each poll is committed."""
_STOP_SECONDS = 8.0
"""What is left of ten seconds for snapshots when the worker is asked to stop."""
_TELL_SECONDS = 0.2
"""Between two looks at the ledger for the progress and the metrics."""


class Session:
    """From joining the group to leaving it, or to a lost transaction."""

    def __init__(self, work: Work, progress: Callable[[Progress], None] | None) -> None:
        self._work, self._job, self._plan = work, work.job, work.plan
        self._topic, self._merge_topic = work.topic, work.merge_topic
        self._topics = {topic.name: topic for topic in (self._topic, self._merge_topic) if topic is not None}
        self._progress = progress
        self._shards: dict[tuple[str, int], Shard] = {}
        self._payloads = Payloads(self._plan.source, work.job.payload, work.job.schemas)
        self._keys = KeyCheck(self._topic)
        self._moved = False
        """Whether places have changed that are to be committed, though nothing was read."""
        self._failed: BaseException | None = None
        self._member: str | None = None
        """As which member of the group this worker was given its shards."""
        self._committed_at = time.monotonic()
        self._run_end = RunEnd(work.job, work.topic)
        self._leaving = False
        self._state = work.job.state / work.job.group
        self.commits = 0
        self._first_aside: str | None = None
        self._side: SideOutputs | None = None
        job = work.job
        name = standing_name(job.instance, work.topic.id)
        self._outbox = Outbox(job.source, f"{job.group}:{name}")  # no group has a colon: the name is nobody else's
        self._output = KafkaOutput(self._plan, self._outbox, job.alerts.topic if job.alerts else None, job.dead_letters, self._topic.name)
        self._consumer = member(job.source, job.group, name, self._said)

    def run(self) -> bool:
        """True where the end that the job names was reached."""
        if self._job.outputs:
            known = [committed_places(self._consumer, topic, self._job.group).values() for topic in self._topics.values()]
            self._side = SideOutputs(self._work, chain.from_iterable(known))
        self._consumer.subscribe(list(self._topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)
        while not self._work.stop.is_set():
            messages = self._poll()
            self._take(messages)
            behind = len(messages) >= _AT_ONCE
            if not behind or time.monotonic() - self._committed_at >= _BEHIND_COMMIT_SECONDS:
                self._commit()
            self._tell_now_and_then()
            self._run_end.look(self._consumer, self._shards)
            if self._finished():
                self._leave()
                return True
        self._leave()
        return False

    # -- what comes -----------------------------------------------------------------------------------------------------------

    def _poll(self) -> list[Message]:
        messages = polled(self._consumer, POLL_SECONDS, _AT_ONCE)
        if self._failed is not None:
            raise self._failed
        return messages

    def _take(self, messages: Iterable[Message]) -> None:
        rows: dict[int, list[Message]] = {}
        reached = []
        for message in messages:
            error = message.error()
            if error is not None:
                reached += self._error(message, error)
                continue
            shard = self._shards.get((str(message.topic()), int(message.partition() or 0)))
            offset = int(message.offset() or 0)
            if shard is None or offset < shard.next:
                continue  # of a partition that was lost while the poll was under way
            if self._run_end.reached(shard, message):
                reached.append(shard)
            elif isinstance(shard, MergeShard):
                self._merge(shard, offset, message)
            else:
                rows.setdefault(shard.number, []).append(message)
        if rows:
            for records in self._payloads.read(rows):
                shard = self._shards[self._topic.name, records.partition]
                if isinstance(shard, RowShard):
                    self._fold(shard, records)
        for shard in self._shards.values():
            if shard in reached or (shard.until is not None and shard.next >= shard.until) or self._run_end.all_told(shard, self._shards):
                self._end(shard)

    def _fold(self, shard: RowShard, records: Records) -> None:
        self._keys.check(shard, records)
        for low, high, passed_ns in records.pieces(shard.stops()):
            if high > low:
                self._deliver(shard, shard.feed(records.chunk(low, high, shard.number), records.later(low, high)), records)
                shard.next = int(records.offsets[high - 1]) + 1
                shard.arrive()
            if passed_ns is not None:
                self._deliver(shard, shard.punctuate(passed_ns), records)
                shard.next = int(records.offsets[high]) + 1
                shard.arrive()
        self._work.result.rows_read += len(records)

    def _merge(self, shard: MergeShard, offset: int, message: Message) -> None:
        headers = {str(name): bytes(value) for name, value in list(message.headers() or []) if isinstance(value, bytes)}
        where = f"{partials_name(self._job.group)}, offset {offset}"
        self._deliver(shard, shard.feed(message.value(), headers, where), None)
        shard.next = offset + 1
        shard.arrive()

    def _error(self, message: Message, error: KafkaError) -> list[Shard]:
        """What came instead of a record; gives the shard that has reached where the run ends, if it has."""
        if error.code() == KafkaError._PARTITION_EOF:
            shard = self._shards.get((str(message.topic()), int(message.partition() or 0)))
            at = int(message.offset() or 0)
            return [shard] if shard is not None and shard.until is not None and at >= shard.until else []
        check_error(message, error, self._job.source, self._job.group)
        return []

    def _said(self, error: KafkaError) -> None:
        """What a connection tells while others may still work."""
        self._failed = ending(error, self._job.source, self._job.group, self._job.instance) or self._failed

    def _end(self, shard: Shard) -> None:
        if shard.ended or shard.silent:
            return
        shard.ended = self._moved = True
        self._deliver(shard, shard.end(), None)
        shard.place.end_at(shard.next)
        if self._merge_topic is not None and isinstance(shard, RowShard):
            self._tell_merge(shard)
            value, headers = end_record(shard.number, max(shard.next, shard.until or 0), shard.place.epoch)
            self._outbox.send(self._merge_topic.name, None, value, headers)

    def _finished(self) -> bool:
        if not (self._job.until_end or self._job.until_ns is not None) or not self._shards:
            return False
        return all(shard.ended for shard in self._shards.values())

    # -- what goes ------------------------------------------------------------------------------------------------------------

    def _deliver(self, shard: Shard, out: Output, records: Records | None) -> None:
        if shard.silent:
            return
        for block in out.alerts:
            self._work.worst.add(block)
            self._work.result.alerts += len(block)
            table = self._output.send(block)
            if self._side is not None:
                self._side.deliver(block)
            if self._work.watch is not None:
                self._work.watch(table)
        for aside in out.quarantined:
            if self._first_aside is None:
                where = f"{self._topic.name}, partition {aside.files[0]}, offset {aside.rows[0]}"
                told = aside.details[0] if aside.details and aside.details[0] else aside.raw[0][:100]
                self._first_aside = f"{where} ({aside.reasons[0]}): {told}"
            self._output.put_aside(aside, records)

    def _tell_merge(self, shard: RowShard) -> None:
        told = shard.partials()
        if told is not None and self._merge_topic is not None:
            for value, headers in parts_of(told, shard.number, shard.place.epoch):
                self._outbox.send(self._merge_topic.name, None, value, headers)

    def _commit(self) -> None:
        shards = [shard for shard in self._shards.values() if not shard.silent]
        moved = [shard for shard in shards if shard.next != shard.place.offset]
        if not moved and not self._moved and not self._outbox.dirty:
            self._committed_at = time.monotonic()
            return
        for shard in moved:
            if isinstance(shard, RowShard):
                self._tell_merge(shard)
        for shard in shards:
            shard.place.offset = shard.next
        marks = self._side.commit() if self._side is not None else {}
        for shard in self._shards.values():
            shard.place.outputs |= marks
        told = [(place, shard.place) for place, shard in self._shards.items() if marks or not shard.silent]
        offsets = [TopicPartition(*place, known.offset, known.text()) for place, known in told]
        commit(self._outbox, self._consumer, self._member, offsets)
        if self._side is not None and marks:
            self._side.stored()
        self._moved = False
        self.commits += bool(moved)
        self._committed_at = time.monotonic()
        for place, shard in self._shards.items():
            if shard.snapshot_due():
                self._keep(place, shard)

    def _keep(self, place: tuple[str, int], shard: Shard) -> None:
        """Keep a snapshot; everything up to it is committed."""
        kept, before = self._snapshots(place), shard.snapshot_at
        kept.put(shard.next, self._plan.state_hash, shard.snapshot())
        kept.forget(before)  # the one before stays, should this one be damaged

    def _snapshots(self, place: tuple[str, int]) -> Snapshots:
        topic, number = place
        return Snapshots(self._state, self._topics[topic].id, number)

    def _tell_now_and_then(self) -> None:
        if time.monotonic() - self._work.status.at >= _TELL_SECONDS:
            self._tell()

    def _tell(self) -> None:
        total = Ledger()
        for shard in self._shards.values():
            total.add(shard.ledger)
        self._work.result.ledger = total
        lags = {}
        for (topic, number), shard in self._shards.items():
            _, high = self._consumer.get_watermark_offsets(TopicPartition(topic, number), cached=True)
            lags[topic, number] = max(high - shard.next, 0)
        self._work.status = Status(time.monotonic(), total, self._work.result.alerts, lags, model_ages(self._shards.values()))
        if self._progress is not None:
            self._progress(Progress(total.rows_in, self._work.result.alerts, 0, None, sum(lags.values())))

    # -- who owns what --------------------------------------------------------------------------------------------------------

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._member = consumer.memberid()
        try:
            strange = {partition.topic for partition in partitions} - set(self._topics)
            if strange:
                raise UserError(f"group {self._job.group!r} reads {', '.join(sorted(strange))}, too, at this time; name another --group")
            for topic in self._topics.values():
                numbers = [partition.partition for partition in partitions if partition.topic == topic.name]
                if max(numbers, default=0) >= topic.partitions:  # it has grown since this worker began
                    raise grown(topic.name, max(numbers) + 1, topic.partitions)
            known = places(consumer, partitions, self._job.group, self._job.begin, self._plan, list(self._topics.values()))
            starts = []
            for partition, place in zip(partitions, known, strict=True):
                shard = self._restored(partition, place)
                self._run_end.begin(consumer, shard)
                self._shards[partition.topic, partition.partition] = shard
                starts.append(TopicPartition(partition.topic, partition.partition, shard.next))
            consumer.incremental_assign(starts)
            if any(place.new for place in known) or (self._side is not None and self._side.joined):
                self._moved = True  # where a new group, or an output, begins is committed before anything comes of it
                self._commit()
        except BaseException as error:
            self._failed = error

    def _restored(self, partition: TopicPartition, place: Place) -> Shard:
        """A shard with the newest snapshot that can be read; without one, all records since the group began are folded again."""
        kept = self._snapshots((partition.topic, partition.partition))
        if place.new and kept.hashes():
            raise UserError(
                f"{partition.topic}, partition {partition.partition}: the brokers have forgotten how far group {self._job.group!r} was "
                "(they do after a week without a worker, by default), and there are snapshots of it: what it sent would be sent again; "
                "name a new --group to begin anew"
            )
        upto, problems = place.offset, list[str]()
        while (found := kept.newest(upto, self._plan.state_hash)) is not None:
            at, data = found
            try:
                return self._shard(partition, place, at, data)
            except UserError as error:
                problems.append(str(error))
                upto = at - 1
        low = bounds(self._consumer, partition)[0]
        if low > place.first:
            why = f"; {problems[0]}" if problems else ""
            raise UserError(
                f"{partition.topic}, partition {partition.partition}: no snapshot of group {self._job.group!r} in {self._job.state}, and "
                f"the first {low - place.first:,} records that its state is made of are gone from the topic{why}; give it the folder of "
                "snapshots that it had, or name a new --group"
            )
        return self._shard(partition, place, place.first, None)

    def _shard(self, partition: TopicPartition, place: Place, at: int, data: bytes | None) -> Shard:
        if self._merge_topic is not None and partition.topic == self._merge_topic.name:
            return MergeShard(self._plan, self._topic.partitions, place, at, data)
        return RowShard(self._plan, partition.partition, place, at, data)

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        try:
            if not self._leaving:
                self._commit()
                for partition in partitions:
                    place = partition.topic, partition.partition
                    shard = self._shards.pop(place, None)
                    if shard is not None and not shard.silent and shard.next > shard.snapshot_at and shard.work_seconds > 0:
                        self._keep(place, shard)
            consumer.incremental_unassign(partitions)
        except BaseException as error:
            self._failed = error

    def _lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # They may be another worker's by now: what is not committed is not ours to send.
        for partition in partitions:
            self._shards.pop((partition.topic, partition.partition), None)
        if self._outbox.dirty:
            self._failed = given_away()
        with suppress(KafkaException):
            consumer.incremental_unassign(partitions)

    # -- the end --------------------------------------------------------------------------------------------------------------

    def _leave(self) -> None:
        """Commit, keep snapshots as far as time allows, and let go of everything."""
        self._commit()
        self._tell()
        self._work.words = self._remarks()
        until = time.monotonic() + _STOP_SECONDS
        for place, shard in self._shards.items():
            if not shard.silent and shard.next > shard.snapshot_at and time.monotonic() < until:
                self._keep(place, shard)
        if self._side is not None:
            self._work.words += self._side.notes()
            self._side.close(complete=True)
        self._leaving = True
        self._consumer.close()

    def _remarks(self) -> list[str]:
        shards = [shard for shard in self._shards.values() if isinstance(shard, RowShard)]
        most = max(shards, key=lambda shard: shard.ledger.rows_in, default=None)
        if most is None:
            return []
        unanswered = [shard.unanswered() for shard in shards]
        late = Lateness()
        for shard in shards:
            for of in shard.late_files().values():
                late.add(of)
        ledger = self._work.result.ledger
        if self._job.until_end or self._job.until_ns is not None:
            self._judge_quality(shards)
        # Rows of other workers may have what no row here had.
        unseen = unseen_in(shards) if len(shards) == self._topic.partitions else []
        return (
            unseen
            + late_words({0: self._topic.name}, {0: ledger.rows_in}, {0: late} if late.rows else {}, sortable=False)
            + remarks(self._plan.quality, ledger, most.untrained(), self._first_aside, unanswered[0] if all(unanswered) else "")
        )

    def _judge_quality(self, shards: Sequence[RowShard]) -> None:
        before, after = Ledger(), Ledger()
        for shard in shards:
            before.add(shard.before)
            after.add(shard.ledger)
        unfit = below(self._plan.quality.tolerate, before, after)
        self._work.result.below_quality, self._work.result.warnings = bool(unfit), unfit

    def drop(self) -> None:
        """Let go of everything, and leave the rest to the next start."""
        self._leaving = True
        self._outbox.abort()
        if self._side is not None:
            self._side.close(complete=False)
        with suppress(KafkaException, RuntimeError):
            self._consumer.close()
