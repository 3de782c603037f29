"""Alerts in a topic: those that are there, and those that come."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from offbeat.errors import UserError
from offbeat.io.kafka.address import KafkaAddress
from offbeat.io.kafka.asking import polled
from offbeat.io.kafka.refusals import LASTING, refused

_SECONDS = 20.0
_WAIT = 0.2
_LOOK_SECONDS = 5.0
"""After so long without a record it is time to ask whether the brokers are still there: one that is stopped closes no connection."""
_LOST = frozenset({KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT})


class AlertReader:
    """Reads committed records from the beginning of a topic. Raises UserError where there is none, or the brokers do not answer."""

    def __init__(self, address: KafkaAddress) -> None:
        self._address = address
        self._said: list[KafkaError] = []
        self._consumer = Consumer(
            address.client(
                {
                    "group.id": f"offbeat-alerts-{uuid.uuid4().hex}",
                    "enable.auto.commit": False,
                    "auto.offset.reset": "earliest",
                    "isolation.level": "read_committed",
                    "enable.partition.eof": True,
                    "fetch.queue.backoff.ms": 10,
                    "reconnect.backoff.max.ms": 1_000,
                    "error_cb": self._said.append,
                }
            )
        )
        try:
            known = self._consumer.list_topics(address.topic, _SECONDS).topics[address.topic]
        except KafkaException as error:
            self._consumer.poll(0)
            lasting = next((said for said in self._said if said.code() in LASTING), None)
            raise refused(str(address), lasting or error.args[0]) from error
        if known.error is not None or not known.partitions:
            raise UserError(f"no alerts at {address}: there is no topic {address.topic!r}")
        self._open = set(known.partitions)
        self._consumer.assign([TopicPartition(address.topic, number, 0) for number in known.partitions])

    def there(self) -> bytes:
        """The alerts up to the end that each partition has now, as JSON lines."""
        lines = []
        while self._open:
            messages = polled(self._consumer, _SECONDS)
            if not messages:  # where there is nothing to read, a broker says that
                raise UserError(f"{self._address}: no broker answers")
            lines += [line for line in self._values(messages) if line]
        return b"".join(line + b"\n" for line in lines)

    def follow(self, patience: float | None = None) -> Iterator[list[dict[str, Any]]]:
        """After `there`: alerts as they come; without end, an empty list now and then.

        patience: raise UserError when no broker has answered for so many seconds; by default they are waited for.
        """
        asked = time.monotonic()
        while True:
            messages = polled(self._consumer, _WAIT)
            lost = any(said.code() in _LOST for said in self._said)
            if messages:
                asked = time.monotonic()
            elif patience is not None and (lost or time.monotonic() - asked >= _LOOK_SECONDS):
                self._require_broker(patience)
                asked = time.monotonic()
            self._said.clear()
            yield [json.loads(line) for line in self._values(messages)]

    def _require_broker(self, seconds: float) -> None:
        try:
            self._consumer.list_topics(self._address.topic, seconds)
        except KafkaException as error:
            raise refused(str(self._address), error.args[0]) from error

    def _values(self, messages: Iterable[Message]) -> list[bytes]:
        return [value for message in messages if (value := self._value(message)) is not None]

    def _value(self, message: Message) -> bytes | None:
        error = message.error()
        if error is None:
            return message.value()
        if error.code() == KafkaError._PARTITION_EOF:
            self._open.discard(message.partition() or 0)
        elif error.fatal() or not error.retriable():
            raise refused(str(self._address), error)
        return None

    def close(self) -> None:
        """Let go of the brokers."""
        self._consumer.close()
