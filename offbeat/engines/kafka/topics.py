"""Topics as a worker finds them, and where a group stands in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from importlib import import_module
from typing import Any
from uuid import uuid4

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from offbeat.core.plan import Plan
from offbeat.engines.kafka.places import Place, check, place_of
from offbeat.errors import UserError
from offbeat.io.kafka.address import KafkaAddress
from offbeat.io.kafka.asking import SECONDS, bounds, committed, patiently
from offbeat.io.kafka.refusals import LASTING, refused

_admin: Any = import_module("confluent_kafka.admin")
_URL_SAFE = str.maketrans("+/", "-_")
"""Kafka's own spelling of ids, which can be names of folders."""
_GROUP = re.compile(r"[A-Za-z0-9._-]{1,200}")


class Start(Enum):
    """Where a group begins that has read nothing yet."""

    EARLIEST = "earliest"
    LATEST = "latest"
    TIME = "time"
    COMMITTED = "committed"
    """Nowhere: it must have begun."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it is now."""

    name: str
    id: str
    """Never that of another topic, also not of one with the same name."""
    partitions: int


class Cluster:
    """The brokers behind an address, for questions. Raises UserError, one line, where they do not answer or refuse."""

    def __init__(self, address: KafkaAddress) -> None:
        self._address = address
        self._said: list[KafkaError] = []
        try:
            self._admin = AdminClient(address.client({"error_cb": self._said.append}))
        except KafkaException as error:
            raise refused(str(address), error.args[0]) from error

    def topic(self, name: str) -> Topic | None:
        """The topic of a name; None where there is none."""
        found = self._asked(lambda: self._admin.list_topics(timeout=SECONDS)).topics.get(name)
        if found is None or found.error is not None:
            return None
        described = self._asked(lambda: self._admin.describe_topics(TopicCollection([name]))[name].result(SECONDS))
        return Topic(name, str(described.topic_id).translate(_URL_SAFE), len(found.partitions))

    def create(self, name: str, partitions: int, settings: dict[str, str] | None = None) -> Topic:
        """The topic of a name, which is made where there is none."""
        made = self.topic(name)
        if made is None:
            new = NewTopic(name, partitions, -1, config=settings or {})
            try:
                self._asked(lambda: self._admin.create_topics([new])[name].result(SECONDS))
            except UserError:
                if self.topic(name) is None:  # else another worker was faster
                    raise
            made = self.topic(name)
        if made is None:
            raise UserError(f"{self._address}: the topic {name!r} was created and is not there; try again")
        return made

    def setting(self, topic: str, name: str) -> str:
        """What a topic's setting stands at; empty where the brokers do not tell."""
        resource = _admin.ConfigResource(_admin.ConfigResource.Type.TOPIC, topic)
        found = self._asked(lambda: self._admin.describe_configs([resource])[resource].result(SECONDS))
        return str(found[name].value) if name in found else ""

    def _asked(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except KafkaException as error:
            self._admin.poll(0.5)  # what the connection itself says comes that way
            lasting = next((said for said in self._said if said.code() in LASTING), None)
            raise refused(str(self._address), lasting or error.args[0]) from error


def look_up(address: KafkaAddress) -> Topic:
    """The topic of rows. Raises UserError where there is none."""
    found = Cluster(address).topic(address.topic)
    if found is None:
        raise UserError(f"{address}: there is no topic {address.topic!r}; create it, or check its name")
    return found


def check_group(group: str) -> None:
    """Raise UserError for a name that cannot be a group's and a folder's."""
    if not _GROUP.fullmatch(group) or group in {".", ".."}:
        raise UserError(f"--group {group}: the name of a group has letters, digits, '.', '_' and '-' only")


def check_instance(instance: str) -> None:
    """Raise UserError for a name that brokers do not take as a member's."""
    if not _GROUP.fullmatch(instance) or instance in {".", ".."}:
        raise UserError(f"--instance {instance}: the name of a worker has letters, digits, '.', '_' and '-' only")


def partials_name(group: str) -> str:
    """The topic in which a group's shards tell its merge of windows."""
    return f"{group}.partials"


def partials_topic(address: KafkaAddress, group: str) -> Topic:
    """The group's topic of partials: one partition, so that the merge is one shard."""
    return Cluster(address).create(partials_name(group), 1, {"retention.ms": str(7 * 86_400_000), "compression.type": "producer"})


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where a new group begins."""

    start: Start
    time_ns: int = 0


EARLIEST = Beginning(Start.EARLIEST)


def places(
    consumer: Consumer,
    partitions: Sequence[TopicPartition],
    group: str,
    begin: Beginning,
    plan: Plan,
    topics: Sequence[Topic],
) -> list[Place]:
    """How far the group is in some partitions. Raises UserError where that does not fit what is there any more."""
    by_name = {topic.name: topic for topic in topics}
    out = []
    for partition in committed(consumer, partitions):
        topic = by_name[partition.topic]
        where = f"{partition.topic}, partition {partition.partition}"
        low, high = bounds(consumer, partition)
        if partition.offset < 0:
            rows = topic is topics[0]
            first = _first(consumer, partition, begin, low, high, group) if rows else _merge_first(consumer, topics[0], high, group)
            since = bounds(consumer, TopicPartition(topics[1].name, 0))[1] if rows and topics[1:] else 0
            out.append(Place(first, topic.id, plan.state_hash, topic.partitions, first, uuid4().hex[:16], since, new=True))
            continue
        place = place_of(partition.offset, partition.metadata, group, where)
        check(place, plan, topic.id, topic.partitions, group, where)
        if low > place.offset:
            raise UserError(
                f"{where}: {low - place.offset:,} records that group {group!r} has not read, from offset {place.offset:,} on, are gone "
                "from the topic (its retention is too short); what is left can be read under a new --group"
            )
        out.append(place)
    return out


def _first(consumer: Consumer, partition: TopicPartition, begin: Beginning, low: int, high: int, group: str) -> int:
    match begin.start:
        case Start.EARLIEST:
            return low
        case Start.LATEST:
            return high
        case Start.TIME:
            found = at_time(consumer, partition, begin.time_ns)
            return high if found is None else found
        case Start.COMMITTED:
            raise UserError(
                f"{partition.topic}, partition {partition.partition}: group {group!r} has read nothing yet; "
                "leave --from out, or name the group that has"
            )


def committed_places(consumer: Consumer, topic: Topic, group: str) -> dict[int, Place]:
    """What is committed in partitions of a topic, whoever has them. Raises UserError where that is not ours."""
    found = committed(consumer, [TopicPartition(topic.name, number) for number in range(topic.partitions)])
    where = f"{topic.name}, partition"
    return {each.partition: place_of(each.offset, each.metadata, group, f"{where} {each.partition}") for each in found if each.offset >= 0}


def _merge_first(consumer: Consumer, rows: Topic, high: int, group: str) -> int:
    """Where a new merge begins: what an earlier life of the group told, whose offsets brokers have forgotten, is not counted again.

    high: where the topic of partials ended before this was asked; partitions of rows that begin later begin behind it.
    """
    return min((place.since for place in committed_places(consumer, rows, group).values()), default=high)


def at_time(consumer: Consumer, partition: TopicPartition, time_ns: int) -> int | None:
    """Offset of the first record whose timestamp is not before a time; None where there is none. Raises UserError where nobody can say."""
    asked = TopicPartition(partition.topic, partition.partition, -(-time_ns // 1_000_000))
    where = f"{partition.topic}, partition {partition.partition}"
    found = patiently(lambda: consumer.offsets_for_times([asked], SECONDS), where)[0]
    if found.error is not None:
        raise refused(where, found.error)
    return int(found.offset) if found.offset >= 0 else None
