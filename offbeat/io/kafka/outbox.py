"""What a worker sends: records of one or more topics, in one transaction with the offsets of the rows that they came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from offbeat.errors import UserError
from offbeat.io.kafka.address import KafkaAddress
from offbeat.io.kafka.asking import again
from offbeat.io.kafka.refusals import refused

TRANSACTION_MS = 10_000
"""A dead worker's open transaction holds up readers no longer than this."""
ANY = -1
"""The partition of the record's key."""
_START_SECONDS = 60.0
_GRACE = 5.0
"""Seconds beyond its own timeout after which a call is taken for one that never comes back."""
_WAIT = 0.05


class LostTransactionError(Exception):
    """The transaction did not take place, or nobody can say whether it did: go back to what is committed, with a new outbox."""


class Outbox:
    """A transactional producer. Only one of a `transactional_id` lives: a new one ends the transaction of the one before, and fences it.

    Raises LostTransactionError where a transaction fails: this object is then of no more use.
    """

    def __init__(self, address: KafkaAddress, transactional_id: str, *, linger_ms: int = 1, transaction_ms: int | None = None) -> None:
        """Raises UserError where the brokers cannot be used."""
        self._open = False
        self._producer = Producer(
            address.client(
                {
                    "transactional.id": transactional_id,
                    "transaction.timeout.ms": transaction_ms or TRANSACTION_MS,
                    "retry.backoff.ms": 2,
                    "linger.ms": linger_ms,
                    "compression.type": "lz4",
                    "message.max.bytes": 32 << 20,
                }
            )
        )
        try:
            again(lambda: self._producer.init_transactions(10), _START_SECONDS)
        except KafkaException as error:
            raise refused(str(address), _cause(error)) from error

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] | None = None,
        *,
        partition: int = ANY,
        time_ms: int = 0,
    ) -> None:
        """Send a record; it is there for others from the next `commit`.

        partition: by default that of its key. time_ms: the record's timestamp, by default now.
        """
        self._begin()
        while True:
            try:
                self._producer.produce(topic, value, key, partition, timestamp=time_ms, headers=list(headers) if headers else None)
                break
            except BufferError:
                self._producer.poll(_WAIT)  # the local queue is full
            except KafkaException as error:
                if _cause(error).code() == KafkaError.MSG_SIZE_TOO_LARGE:
                    raise UserError(f"a record of {len(value or b''):,} bytes is larger than the topic {topic} takes") from error
                raise LostTransactionError(str(_cause(error))) from error

    def commit(self, offsets: Sequence[TopicPartition], group: Any) -> None:
        """End the transaction: all records since the last one, and the places of the group, hold together from now on.

        group: `Consumer.consumer_group_metadata()`, so that a worker whose partitions were given to another one is refused.
        """
        self._begin()
        try:
            if offsets:
                self._retried(lambda: self._producer.send_offsets_to_transaction(list(offsets), group, TRANSACTION_MS / 1000))
            self._retried(self._producer.commit_transaction)
        except KafkaException as error:
            raise LostTransactionError(str(_cause(error))) from error
        self._open = False

    def abort(self) -> None:
        """Take back what was sent since the last commit, as far as that can be said at all."""
        if self._open:
            with suppress(KafkaException):  # then it ends by its timeout, or by the next one of this name
                self._producer.abort_transaction(5)
            self._open = False

    @property
    def dirty(self) -> bool:
        """Whether something was sent that is not committed."""
        return self._open

    def _begin(self) -> None:
        if self._open:
            return
        try:
            self._producer.begin_transaction()
        except KafkaException as error:
            raise LostTransactionError(str(_cause(error))) from error
        self._open = True

    def _retried(self, call: Callable[[], None]) -> None:
        """A call whose error says that it may simply be made again."""
        again(lambda: self._watched(call), TRANSACTION_MS / 1000)

    def _watched(self, call: Callable[[], None]) -> None:
        """A call that has a timeout of its own, but may not keep it: where the broker that coordinates a group goes away, librdkafka (2.16)
        now and then never comes back from `send_offsets_to_transaction`. Such a producer is left to itself, and the next one fences it.
        """
        ended: SimpleQueue[BaseException | None] = SimpleQueue()

        def run() -> None:
            try:
                call()
            except BaseException as error:
                ended.put(error)
            else:
                ended.put(None)

        Thread(target=run, name="transaction", daemon=True).start()
        try:
            error = ended.get(timeout=TRANSACTION_MS / 1000 + _GRACE)
        except Empty:
            self._open = False  # the thread keeps the producer: taking it down would wait for the call
            raise LostTransactionError("the client does not come back from the brokers") from None
        if error is not None:
            raise error


def _cause(error: KafkaException) -> KafkaError:
    cause: KafkaError = error.args[0]
    return cause
