"""A replay into a topic: keyed records with their event times, and punctuation in every partition."""

from __future__ import annotations

import json
import uuid
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from offbeat.core.batch import EVER, NULL_INT
from offbeat.engines.kafka.topics import Cluster, check_group
from offbeat.engines.replay import Stretch
from offbeat.errors import UserError
from offbeat.io.kafka.address import KafkaAddress
from offbeat.io.kafka.outbox import LostTransactionError, Outbox
from offbeat.io.kafka.payloads import punctuation
from offbeat.io.write.row_json import iso_time

PARTITIONS = 4
"""Of a topic that is not there yet."""
_NS_A_MS = 1_000_000
_SECONDS = 20.0


class TopicWriter:
    """Writes stretches of rows to a topic, each in a transaction: a reader of committed records sees each row once.

    name: of a replay that can be continued: how many rows were sent is committed with them, as an offset of a group of that name.
    """

    def __init__(self, address: KafkaAddress, name: str | None, every_ns: int) -> None:
        """every_ns: how often event time is told by punctuation. Raises UserError where the brokers cannot be used."""
        self._address, self._every_ns = address, every_ns
        self._topic = Cluster(address).create(address.topic, PARTITIONS)
        self._group: str | None = None
        self._consumer: Consumer | None = None
        self.sent = 0
        """Rows of this replay that are in the topic."""
        self._told = NULL_INT
        if name is not None:
            check_group(name)
            self._group = f"offbeat-replay.{name}.{self._topic.id}"
            self._consumer = Consumer(address.client({"group.id": self._group, "enable.auto.commit": False}))
        self._outbox = Outbox(address, f"offbeat-replay.{name or uuid.uuid4().hex}", linger_ms=5)
        if self._consumer is not None:
            known = self._consumer.committed([TopicPartition(self._topic.name, 0)], _SECONDS)[0]
            if known.offset >= 0:
                kept = json.loads(known.metadata or "{}")
                self.sent, self._told = int(known.offset), int(kept.get("told", NULL_INT))

    def write(self, rows: Stretch) -> None:
        """Send rows, and what time has passed. Raises UserError where they cannot be sent."""
        try:
            begin = 0
            for end, key, time_ns in zip(rows.ends.tolist(), rows.keys.to_list(), rows.time_ns.tolist(), strict=True):
                value = bytes(rows.text[begin : end - 1])
                self._outbox.send(self._topic.name, key.encode("utf-8", "surrogatepass"), value, time_ms=max(time_ns // _NS_A_MS, 0))
                begin = end
            self._tell(rows)
            self.sent += len(rows.ends)
            self._commit()
        except LostTransactionError as error:
            again = "the same command goes on from there" if self._group is not None else "with --resume NAME it could go on from there"
            raise UserError(f"{self._address}: {self.sent:,} rows were sent when a transaction was lost ({error}); {again}") from error

    def _tell(self, rows: Stretch) -> None:
        floor_ns = int(rows.time_ns.max()) + 1 if rows.floor_ns == EVER else rows.floor_ns
        if floor_ns == NULL_INT:
            return
        mark = floor_ns if rows.floor_ns == EVER else floor_ns // self._every_ns * self._every_ns
        if mark <= self._told:
            return
        record = punctuation(iso_time(mark))
        for number in range(self._topic.partitions):
            self._outbox.send(self._topic.name, None, record, partition=number, time_ms=max(mark // _NS_A_MS, 0))
        self._told = mark

    def _commit(self) -> None:
        if self._consumer is None:
            self._outbox.commit([], None)
            return
        at = TopicPartition(self._topic.name, 0, self.sent, json.dumps({"told": self._told}))
        group: Any = self._consumer.consumer_group_metadata()
        self._outbox.commit([at], group)

    def close(self) -> None:
        """Let go of the brokers."""
        self._outbox.abort()
        if self._consumer is not None:
            self._consumer.close()
