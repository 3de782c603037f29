"""Topics of the suite's broker: filled with rows, read back as a consumer of committed records sees them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

_BUSY = {KafkaError._TIMED_OUT, KafkaError._WAIT_COORD, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.NOT_COORDINATOR}
"""A broker that is just starting, or moving a group."""


@dataclass(frozen=True)
class Brokers:
    """A cluster under test."""

    bootstrap: str
    copies: int = 1

    def uri(self, topic: str) -> str:
        return f"kafka://{self.bootstrap}/{topic}"

    def topic(self, partitions: int = 1, **settings: str) -> str:
        """A new topic; its name is nobody else's."""
        name = f"t{uuid.uuid4().hex[:12]}"
        own = {key.replace("_", "."): value for key, value in settings.items()}
        admin = self.admin()
        admin.create_topics([NewTopic(name, partitions, self.copies, config=own)])[name].result(60)
        return name

    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

    def fill(self, topic: str, rows: Iterable[bytes], field: str | None) -> None:
        """Send JSON rows under the key that stands in one of their fields."""
        # Idempotent: a retry of another producer may change the order of records.
        producer = Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 5, "log_level": 0, "enable.idempotence": True})
        for row in rows:
            producer.produce(topic, row, None if field is None else str(json.loads(row)[field]))
            producer.poll(0)
        assert producer.flush(60) == 0

    def read(self, topic: str) -> list[Message]:
        """All committed records, by partition."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "reader",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "log_level": 0,
            }
        )
        try:
            known = consumer.list_topics(topic, 30).topics[topic].partitions
            consumer.assign([TopicPartition(topic, number, 0) for number in known])
            out, open_ones = list[Message](), set(known)
            while open_ones:
                message = consumer.poll(30)
                assert message is not None, "the broker says nothing for 30 s"
                error = message.error()
                if error is None:
                    out.append(message)
                else:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    open_ones.discard(message.partition() or 0)
            return out
        finally:
            consumer.close()

    def behind(self, group: str, topic: str) -> int | None:
        """Records that a group has not committed; None before it has committed anything."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": group, "enable.auto.commit": False, "log_level": 0})
        try:
            known = [TopicPartition(topic, number) for number in consumer.list_topics(topic, 30).topics[topic].partitions]
            try:
                places = consumer.committed(known, 30)
            except KafkaException as error:
                if error.args[0].code() in _BUSY:
                    return None
                raise
            if all(place.offset < 0 for place in places):
                return None
            return sum(consumer.get_watermark_offsets(place, 30)[1] - max(place.offset, 0) for place in places)
        finally:
            consumer.close()

    def alerts(self, topic: str) -> list[dict[str, Any]]:
        """The alerts of a topic."""
        return [json.loads(message.value() or b"") for message in self.read(topic)]


def latest(alerts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each alert the record that counts, by alert_id; retracted ones left out."""
    rank = {"early": 0, "provisional": 1, "final": 2, "retracted": 3}
    best: dict[str, dict[str, Any]] = {}
    for alert in alerts:
        known = best.get(alert["alert_id"])
        if known is None or (alert["revision"], rank[alert["status"]]) >= (known["revision"], rank[known["status"]]):
            best[alert["alert_id"]] = alert
    return [best[name] for name in sorted(best) if best[name]["status"] != "retracted"]
