"""Where a run ends that does not go on for ever."""

from __future__ import annotations

import time
from collections.abc import Mapping

from confluent_kafka import Consumer, Message, TopicPartition

from offbeat.engines.kafka.job import Job
from offbeat.engines.kafka.shards import MergeShard, RowShard, Shard
from offbeat.engines.kafka.topics import Topic, at_time
from offbeat.io.kafka.asking import bounds

_LOOK_SECONDS = 1.0
"""Between two questions where records up to a time end that has not come yet."""


class RunEnd:
    """Says of each partition before which offset the run ends in it.

    At the end that the topic has when the partition comes to this worker; or at the first record whose timestamp is not before a time. If
    there is none yet and the time is still to come, the run goes on until there is one, or until the time has come.
    """

    def __init__(self, job: Job, topic: Topic) -> None:
        self._asked = job.until_end or job.until_ns is not None
        self._until_ns, self._topic = job.until_ns, topic
        self._ends: dict[int, int] = {}
        self._merges = False
        self._next = 0.0

    def begin(self, consumer: Consumer, shard: Shard) -> None:
        """A shard has come to this worker."""
        if not self._asked:
            return
        if isinstance(shard, RowShard):
            shard.until = self._of(consumer, shard.number)
        else:
            self._merges = True
            self._look(consumer)

    def look(self, consumer: Consumer, shards: Mapping[tuple[str, int], Shard]) -> None:
        """Ask again, now and then, where an end was not known."""
        if self._until_ns is None or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _LOOK_SECONDS
        if time.time_ns() >= self._until_ns:
            for shard in shards.values():
                if isinstance(shard, RowShard) and shard.until is None:
                    shard.until = self._of(consumer, shard.number)
        if self._merges and len(self._ends) < self._topic.partitions:
            self._look(consumer)

    def reached(self, shard: Shard, message: Message) -> bool:
        """Whether a record lies behind the end."""
        offset = int(message.offset() or 0)
        waits = self._until_ns is not None and shard.until is None and isinstance(shard, RowShard)
        if waits and message.timestamp()[1] * 1_000_000 >= (self._until_ns or 0):
            shard.until = offset
        return shard.until is not None and offset >= shard.until

    def all_told(self, shard: Shard, shards: Mapping[tuple[str, int], Shard]) -> bool:
        """Whether a merge has heard of the end of each partition: where this worker ends it, or else where it was when the merge came."""
        if not isinstance(shard, MergeShard) or not self._ends:
            return False
        own = {each.number: each.until for each in shards.values() if isinstance(each, RowShard) and each.until is not None}
        ends = self._ends | own
        return len(ends) == self._topic.partitions and shard.has_all(ends)

    def _look(self, consumer: Consumer) -> None:
        for number in range(self._topic.partitions):
            if number not in self._ends and (at := self._of(consumer, number)) is not None:
                self._ends[number] = at

    def _of(self, consumer: Consumer, number: int) -> int | None:
        partition = TopicPartition(self._topic.name, number)
        if self._until_ns is not None:
            found = at_time(consumer, partition, self._until_ns)
            if found is not None or time.time_ns() < self._until_ns:
                return found
        return bounds(consumer, partition)[1]
