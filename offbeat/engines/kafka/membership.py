"""A worker as a member of a group: settings, and what brokers say that is no record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer, KafkaError, Message

from offbeat.errors import UserError
from offbeat.io.kafka.address import KafkaAddress
from offbeat.io.kafka.refusals import LASTING, refused

_PROTOCOL = "group.protocol"
_CLASSIC: dict[str, Any] = {
    _PROTOCOL: "classic",
    "partition.assignment.strategy": "cooperative-sticky",
    "session.timeout.ms": 10_000,
}
_GONE = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION})


def standing_name(instance: str, topic_id: str) -> str:
    """A worker's name as a member and as a producer. With the topic's id in it: under the mere name brokers would give a worker that comes
    soon after one on another topic what that one had.
    """
    return f"{instance}.{topic_id}"


def member(address: KafkaAddress, group: str, instance: str, said: Callable[[KafkaError], None]) -> Consumer:
    """A consumer that reads committed records in a group, and commits nothing by itself. said: takes what a connection tells.

    With `group.protocol=consumer` (KIP-848) in the address brokers set timeouts, and a worker that died is waited for: under a name of its
    own a new one would be refused until then.
    """
    new = address.settings.get(_PROTOCOL) == "consumer"
    own = {} if new else {**_CLASSIC, "group.instance.id": instance}
    return Consumer(
        address.client(
            {
                **own,
                "group.id": group,
                "client.id": f"offbeat-{instance}",
                "max.poll.interval.ms": 600_000,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "topic.metadata.refresh.interval.ms": 30_000,  # so soon it is seen that a topic has grown
                "fetch.queue.backoff.ms": 10,
                "queued.max.messages.kbytes": 65_536,
                "error_cb": said,
            }
        )
    )


def ending(error: KafkaError, address: KafkaAddress, group: str, instance: str) -> UserError | None:
    """Whether what a connection tells, while others may still work, is the end of the worker."""
    if error.code() in LASTING:
        return refused(str(address), error)
    if error.code() == KafkaError._FATAL or error.fatal():
        if "instance" in error.str().lower():
            return UserError(f"group {group!r}: another worker runs under the name {instance!r}; name this one with --instance")
        return UserError(f"{address}: {error.str()}")
    return None


def check_error(message: Message, error: KafkaError, address: KafkaAddress, group: str) -> None:
    """Raise UserError where what came instead of a record does not pass by itself."""
    if error.code() in {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}:
        raise UserError(
            f"{address}, partition {message.partition()}: records that group {group!r} has not read are gone "
            f"({error.str()}); what is there can be read from the beginning under a new --group"
        )
    if error.code() in _GONE:
        raise UserError(f"{address}: the topic is gone; create it again, and name a new --group to read it")
    if error.fatal() or not error.retriable():
        raise refused(str(address), error)
