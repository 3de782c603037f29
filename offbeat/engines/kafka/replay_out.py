"""A replay into a topic: keyed records with their event times, and punctuation in every partition."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import numpy as np
import polars as pl
from confluent_kafka import Consumer, TopicPartition

from offbeat.core.batch import EVER, I64, NULL_INT
from offbeat.engines.kafka.topics import Cluster, check_group
from offbeat.engines.replay import Stretch
from offbeat.errors import UserError
from offbeat.io.kafka.address import KafkaAddress
from offbeat.io.kafka.asking import committed
from offbeat.io.kafka.outbox import LostTransactionError, Outbox
from offbeat.io.kafka.payloads import punctuation
from offbeat.io.write.row_json import iso_time

PARTITIONS = 4
"""Of a topic that is not there yet."""
UNBOUNDED = {"retention.ms": "-1"}
"""Brokers go by the records' own timestamps, which are event times: rows of last year would be gone in minutes."""
_NS_A_MS = 1_000_000


class TopicWriter:
    """Writes stretches of rows to a topic, each in a transaction: a reader of committed records sees each row once.

    name: of a replay that can be continued: how many rows were sent is committed with them, as an offset of a group of that name.
    """

    def __init__(
        self,
        address: KafkaAddress,
        name: str | None,
        every_ns: int,
        *,
        say: Callable[[str], None],
        record: Callable[[bytes], bytes] | None = None,
    ) -> None:
        """every_ns: how often event time is told by punctuation. say: takes remarks. record: how a row's JSON is spelled in the topic.

        Raises UserError where the brokers cannot be used.
        """
        self._say, self._record = say, record
        self._address, self._every_ns, self._name = address, every_ns, name
        cluster = Cluster(address)
        self._topic = cluster.create(address.topic, PARTITIONS, UNBOUNDED)
        self._kept_ms = _kept_ms(cluster, self._topic.name)
        self._group: str | None = None
        self._consumer: Consumer | None = None
        self.sent = 0
        """Rows of this replay that are in the topic."""
        self._told = NULL_INT
        self._digest = blake2b(digest_size=16).hexdigest() * 2
        """Of the rows that are in the topic, as a replay before this one noted it."""
        self._keys, self._times = blake2b(digest_size=16), blake2b(digest_size=16)
        self._seen = 0
        if name is not None:
            check_group(name)
            self._group = f"offbeat-replay.{name}.{self._topic.id}"
            self._consumer = Consumer(address.client({"group.id": self._group, "enable.auto.commit": False}))
        self._outbox = Outbox(address, self._group or f"offbeat-replay.{uuid.uuid4().hex}", linger_ms=5)
        if self._consumer is not None:
            known = committed(self._consumer, [TopicPartition(self._topic.name, 0)])[0]
            if known.offset >= 0:
                kept = json.loads(known.metadata or "{}")
                self.sent, self._told = int(known.offset), int(kept.get("told", NULL_INT))
                self._digest = kept["rows"]

    def skip(self, keys: pl.Series, time_ns: I64) -> None:
        """Take note of rows that are in the topic already. Raises UserError where they are not those that were sent."""
        self._note(keys, time_ns)
        if self._seen == self.sent:
            self.require_all()

    def require_all(self) -> None:
        """Raise UserError where the rows that were skipped are not those that were sent."""
        if self._group is not None and (self._seen < self.sent or self._digest != self._rows()):
            raise UserError(
                f"{self._address}: {self.sent:,} rows were sent under --resume {self._name}, and the source does not begin with them: "
                "it is another one, or files have come or gone; name the source it had, or another --resume"
            )

    def _note(self, keys: pl.Series, time_ns: I64) -> None:
        self._keys.update("".join(f"{key}\n" for key in keys.to_list()).encode("utf-8", "surrogatepass"))
        self._times.update(np.ascontiguousarray(time_ns, "<i8").tobytes())
        self._seen += len(time_ns)

    def _rows(self) -> str:
        return self._keys.hexdigest() + self._times.hexdigest()

    def _warn(self, time_ns: int) -> None:
        """Say it where brokers will remove rows as soon as they look: they go by the age of records' timestamps."""
        if self._kept_ms is not None and time_ns // _NS_A_MS < time.time() * 1000 - self._kept_ms:
            self._say(
                f"{self._address}: brokers remove records by the age of their timestamps, which are the rows' own times: these are older "
                "than the topic's retention.ms, and may soon be gone; set it to -1"
            )
        self._kept_ms = None

    def write(self, rows: Stretch) -> None:
        """Send rows, and what time has passed. Raises UserError where they cannot be sent."""
        self._warn(int(rows.time_ns[0]))
        try:
            begin = 0
            for end, key, time_ns in zip(rows.ends.tolist(), rows.keys.to_list(), rows.time_ns.tolist(), strict=True):
                value = bytes(rows.text[begin : end - 1])
                if self._record is not None:
                    value = self._record(value)
                self._outbox.send(self._topic.name, key.encode("utf-8", "surrogatepass"), value, time_ms=max(time_ns // _NS_A_MS, 0))
                begin = end
            self._tell(rows)
            self.sent += len(rows.ends)
            if self._group is not None:
                self._note(rows.keys, rows.time_ns)
                self._digest = self._rows()
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
        at = TopicPartition(self._topic.name, 0, self.sent, json.dumps({"told": self._told, "rows": self._digest}))
        group: Any = self._consumer.consumer_group_metadata()
        self._outbox.commit([at], group)

    def close(self) -> None:
        """Let go of the brokers."""
        self._outbox.abort()
        if self._consumer is not None:
            self._consumer.close()


def _kept_ms(cluster: Cluster, topic: str) -> int | None:
    """How old records get by their own timestamps; None where brokers keep all, or go by when they came."""
    kept = cluster.setting(topic, "retention.ms")
    own = cluster.setting(topic, "message.timestamp.type") == "CreateTime" and "delete" in cluster.setting(topic, "cleanup.policy")
    return int(kept) if own and kept.isdigit() else None
