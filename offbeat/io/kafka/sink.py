"""Alerts of files and standard input as records of a topic, each once for readers of committed records."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pyarrow as pa
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from offbeat.core.chunk import Position
from offbeat.errors import UserError
from offbeat.io.kafka.address import KafkaAddress
from offbeat.io.kafka.asking import bounds, polled
from offbeat.io.kafka.outbox import LostTransactionError, Outbox
from offbeat.io.kafka.refusals import refused
from offbeat.io.write.jsonl_sink import json_lines

_SECONDS = 30.0
_BOUNDED_MS = 900_000
"""A run without a state commits once, at its end: brokers allow transactions of a quarter of an hour."""

_Mark = tuple[str, int, str]


class KafkaSink:
    """A `Sink`. `position` = {"ends": {partition: offset}} says where the topic ended at the last stored commit: what stands behind it was
    committed by a run that died before it stored more, and is not sent again.

    Raises UserError where the topic is not there, or the brokers refuse.
    """

    def __init__(self, address: KafkaAddress, position: Position | None, *, bounded: bool) -> None:
        self._address = address
        self._consumer = Consumer(
            address.client(
                {
                    "group.id": f"offbeat-sink-{uuid4().hex}",
                    "enable.auto.commit": False,
                    "isolation.level": "read_committed",
                    "enable.partition.eof": True,
                }
            )
        )
        self._partitions = self._known_partitions()
        self._sent = self._behind({int(number): int(at) for number, at in position["ends"].items()}) if position else set[_Mark]()
        self._outbox = Outbox(address, f"offbeat-sink-{uuid4().hex}", linger_ms=5, transaction_ms=_BOUNDED_MS if bounded else None)
        self._bounded = bounded

    def write(self, alerts: pa.Table) -> None:
        """Send alerts, each under its key; they are there from the next `commit`."""
        columns = [alerts[name].cast(pa.string()).to_pylist() for name in ("alert_id", "status", "key")]
        revisions = alerts["revision"].to_pylist()
        lines = json_lines(alerts).split(b"\n")
        try:
            for alert_id, status, key, revision, line in zip(*columns, revisions, lines, strict=False):
                if self._sent and (alert_id, revision, status) in self._sent:
                    self._sent.discard((alert_id, revision, status))
                    continue
                self._outbox.send(self._address.topic, key.encode("utf-8", "surrogatepass"), line)
        except LostTransactionError as error:
            raise self._lost(error) from error

    def commit(self) -> Position:
        """Make everything sent so far visible; where the topic ends then."""
        if self._bounded:
            return {}
        try:
            if self._outbox.dirty:
                self._outbox.commit([], None)
        except LostTransactionError as error:
            raise self._lost(error) from error
        ends = {str(number): bounds(self._consumer, TopicPartition(self._address.topic, number))[1] for number in self._partitions}
        return {"ends": ends}

    def close(self, complete: bool) -> None:
        """Commit what is left, or take it back."""
        try:
            if complete and self._outbox.dirty:
                self._outbox.commit([], None)
            else:
                self._outbox.abort()
        except LostTransactionError as error:
            raise self._lost(error) from error
        finally:
            self._consumer.close()

    def _known_partitions(self) -> list[int]:
        try:
            found = self._consumer.list_topics(self._address.topic, _SECONDS).topics[self._address.topic]
        except KafkaException as error:
            raise refused(str(self._address), error.args[0]) from error
        if found.error is not None or not found.partitions:
            raise UserError(f"{self._address}: there is no topic {self._address.topic!r}; create it, or check its name")
        return list(found.partitions)

    def _behind(self, ends: dict[int, int]) -> set[_Mark]:
        """What is committed behind some places."""
        marks: set[_Mark] = set()
        waiting = set(self._partitions)
        self._consumer.assign([TopicPartition(self._address.topic, number, ends.get(number, 0)) for number in self._partitions])
        while waiting:
            for message in self._polled():
                error = message.error()
                if error is None:
                    alert: dict[str, Any] = json.loads(message.value() or b"{}")
                    marks.add((alert["alert_id"], alert["revision"], alert["status"]))
                elif error.code() == KafkaError._PARTITION_EOF:
                    waiting.discard(message.partition() or 0)
                elif not error.retriable():
                    raise refused(str(self._address), error)
        self._consumer.unassign()
        return marks

    def _polled(self) -> list[Message]:
        messages = polled(self._consumer, _SECONDS)
        if not messages:
            raise UserError(f"{self._address}: no broker answers")
        return messages

    def _lost(self, error: LostTransactionError) -> UserError:
        return UserError(
            f"{self._address}: the alerts since the last commit could not be sent ({error}); what was committed before is there"
        )
