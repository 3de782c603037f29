"""What is asked of brokers: again while one takes over from another, and records as they are there."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from offbeat.io.kafka.refusals import refused

T = TypeVar("T")
SECONDS = 20.0
_PAUSE_SECONDS = 0.2
_AT_ONCE = 10_000
"""Records of a poll at most, unless told otherwise."""
_MOVING = frozenset(
    {
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._WAIT_COORD,
        KafkaError._DESTROY_BROKER,
    }
)
"""A broker takes over a group or a partition from one that went away; the client does not say of all of them that one may ask again."""


def again(call: Callable[[], T], seconds: float, *, also: frozenset[int] = frozenset(), pause: float = 0.0) -> T:
    """What a call gives, which is made again for so many seconds where its error says that it may be, or is one of `also`."""
    until = time.monotonic() + seconds
    while True:
        try:
            return call()
        except KafkaException as error:
            cause: KafkaError = error.args[0]
            if not (cause.retriable() or cause.code() in also) or time.monotonic() > until:
                raise
            time.sleep(pause)


def patiently(ask: Callable[[], T], what: str) -> T:
    """An answer of the brokers, asked for again while one of them takes over from another. Raises UserError where none comes in time."""
    try:
        return again(ask, SECONDS, also=_MOVING, pause=_PAUSE_SECONDS)
    except KafkaException as error:
        raise refused(what, error.args[0]) from error


def bounds(consumer: Consumer, partition: TopicPartition) -> tuple[int, int]:
    """Offsets of a partition's first record and behind its last one. Raises UserError where no broker says so in time."""
    low, high = patiently(lambda: consumer.get_watermark_offsets(partition, SECONDS), _place(partition))
    return int(low), int(high)


def committed(consumer: Consumer, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
    """Where the consumer's group is. Raises UserError where no broker says so in time."""
    if not partitions:  # a rebalance that gives this worker nothing new
        return []
    found = patiently(lambda: consumer.committed(list(partitions), SECONDS), f"the committed offsets of {partitions[0].topic}")
    for partition in found:
        if partition.error is not None:
            raise refused(_place(partition), partition.error)
    return found


def _place(partition: TopicPartition) -> str:
    return f"{partition.topic}, partition {partition.partition}"


def polled(consumer: Consumer, seconds: float, most: int = _AT_ONCE) -> list[Message]:
    """What is there of records, at most so many; where nothing is, what comes first in so many seconds."""
    # `consume` waits until it has as many as it may have: one is waited for, the others are taken as they are there.
    first = consumer.poll(seconds)
    return [] if first is None else [first, *consumer.consume(most - 1, 0)]
