"""A worker as a member of a group: settings, what brokers say that is no record, and what it does when a transaction is lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from offbeat.errors import UserError
from offbeat.io.kafka.address import KafkaAddress
from offbeat.io.kafka.outbox import LostTransactionError, Outbox
from offbeat.io.kafka.refusals import LASTING, refused

_PROTOCOL = "group.protocol"
_CLASSIC: dict[str, Any] = {
    _PROTOCOL: "classic",
    "partition.assignment.strategy": "cooperative-sticky",
    "session.timeout.ms": 10_000,
}
_TRIES = 10
"""Transactions lost in a row after which it is not the brokers' bad hour."""
_AGAIN_SECONDS = 1.0
"""Before another try where a transaction was lost."""
POLL_SECONDS = 0.1
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


class Stay(Protocol):
    """From joining the group to leaving it, or to a lost transaction."""

    commits: int

    def run(self) -> bool:
        """True where the end was reached, False where the worker was asked to stop."""

    def drop(self) -> None:
        """Let go of everything, and leave the rest to the next stay."""


def stay(
    join: Callable[[], Stay], source: KafkaAddress, stop: Event, lost: Callable[[LostTransactionError], None] = lambda _: None
) -> bool:
    """What the stay that no lost transaction ends gives; False where asked to stop before. lost: is told of each of the others.

    Raises UserError where no transaction goes through, or the brokers refuse.
    """
    try:
        return _stay(join, source, stop, lost)
    except KafkaException as error:
        raise refused(str(source), error.args[0]) from error


def _stay(join: Callable[[], Stay], source: KafkaAddress, stop: Event, lost: Callable[[LostTransactionError], None]) -> bool:
    tries = 0
    while not stop.is_set():
        here = join()
        try:
            return here.run()
        except LostTransactionError as error:
            # Nothing of it took place, or it all did: the committed offsets will say.
            here.drop()
            tries = 0 if here.commits else tries + 1
            if tries == _TRIES:
                raise UserError(f"{source}: no transaction goes through, the last one because: {error}") from error
            lost(error)
            stop.wait(_AGAIN_SECONDS)
        except BaseException:
            here.drop()
            raise
    return False


def commit(outbox: Outbox, consumer: Consumer, as_member: str | None, offsets: Sequence[TopicPartition]) -> None:
    """End the transaction with the places of partitions that the group gave to `as_member`. Raises LostTransactionError."""
    group = consumer.consumer_group_metadata()
    # The client may have joined again by itself, as another member: what that one is given is not what was folded here.
    if offsets and consumer.memberid() != as_member:
        raise given_away()
    outbox.commit(offsets, group)


def given_away() -> LostTransactionError:
    """The error for what belongs to partitions that are another worker's by now."""
    return LostTransactionError("the group gave the partitions to another worker")
