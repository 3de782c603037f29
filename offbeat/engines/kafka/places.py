"""What stands in the metadata of a group's offset: what must be atomic with the offset, but is no alert."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from offbeat.core.plan import Plan
from offbeat.errors import UserError

_VERSION = 1
_MOST_ENDS = 150
_MOST_BYTES = 4096
"""What a broker takes, by default."""


@dataclass(slots=True)
class Place:
    """How far a group is in one partition."""

    offset: int
    """Of the first record that is not folded."""
    topic_id: str
    """Of the topic, which a new topic of the same name does not share."""
    state_hash: str
    partitions: int
    """How many the topic had."""
    first: int
    """Where the group began in this partition."""
    epoch: str = ""
    """Of one beginning of the group in this partition: what it tells the merge belongs to no other."""
    since: int = 0
    """Where the topic of partials ended at that time: nothing before it is of this epoch."""
    ends: list[int] = field(default_factory=list)
    """Offsets at which the input was said to end, so that what was held back was folded: the last ones. Not only those
    that the newest snapshot may not know, as it may be lost, or on the disk of another worker."""
    outputs: dict[str, Any] = field(default_factory=dict)
    """By short name, how far other outputs of the group's workers are, see `SideOutputs`."""
    new: bool = False
    """Whether the brokers know of no offset yet."""

    def end_at(self, offset: int) -> None:
        """The input was said to end here."""
        if self.ends[-1:] != [offset]:
            self.ends = [*self.ends, offset][-_MOST_ENDS:]

    def text(self) -> str:
        """As metadata. Raises UserError where it is longer than a broker takes."""
        kept = {
            "offbeat": _VERSION,
            "id": self.topic_id,
            "state": self.state_hash,
            "n": self.partitions,
            "first": self.first,
            "epoch": self.epoch,
            "since": self.since,
            "ends": self.ends,
            "outputs": self.outputs,
        }
        text = json.dumps({name: value for name, value in kept.items() if value not in ([], {}, "")}, separators=(",", ":"))
        if len(text.encode()) > _MOST_BYTES:
            raise UserError(f"the places of the outputs take {len(text):,} bytes, and Kafka keeps {_MOST_BYTES:,}: write fewer outputs")
        return text


def place_of(offset: int, metadata: str | None, group: str, where: str) -> Place:
    """What was committed. Raises UserError for offsets that somebody else committed."""
    try:
        kept = json.loads(metadata or "")
        if kept["offbeat"] != _VERSION:
            raise UserError(f"{where}: the offsets of group {group!r} were committed by another version of offbeat; name a new --group")
        return Place(
            offset,
            kept["id"],
            kept["state"],
            kept["n"],
            kept["first"],
            kept.get("epoch", ""),
            kept.get("since", 0),
            kept.get("ends", []),
            kept.get("outputs", {}),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{where}: the offsets of group {group!r} were not committed by offbeat, so there is no state that belongs to them; "
            "name a new --group"
        ) from error


def check(place: Place, plan: Plan, topic_id: str, partitions: int, group: str, where: str) -> None:
    """Raise UserError where what is committed does not belong to this topic or pipeline any more: what was lost, and what to do."""
    if place.topic_id != topic_id:
        raise recreated(where, group)
    if place.partitions != partitions:
        raise grown(where, partitions, place.partitions)
    if place.state_hash != plan.state_hash:
        raise UserError(
            f"{where}: the state of group {group!r} was made with another version of the pipeline: its key, order, windows or training "
            "have changed (thresholds and votes may change); change it back, or name a new --group"
        )


def misplaced(topic: str, partition: int, offset: int, own: bytes | None, key: str, *, or_else: str = "") -> UserError:
    """The error for a record under another key than that of its row. or_else: what can be done besides."""
    given = "no key" if own is None else f"key {own[:60].decode('utf-8', 'replace')!r}"
    return UserError(
        f"{topic}, partition {partition}, offset {offset:,}: the record has {given} and its row belongs to {key[:60]!r}, so rows of one "
        f"key may lie in several partitions, out of order; send the records under the pipeline's key{or_else}"
    )


def grown(where: str, now: int, before: int) -> UserError:
    """The error for a topic that has another number of partitions than when the group began."""
    return UserError(
        f"{where}: the topic has {now} partitions and had {before}: keys have moved between them, away from what is known of them; "
        "name a new --group, which reads the topic from its beginning"
    )


def recreated(where: str, group: str) -> UserError:
    """The error for a topic that is another one than the group has read."""
    return UserError(
        f"{where}: the topic was deleted and created again since group {group!r} read it, so what the group knows belongs to records that "
        "are gone; name a new --group to read the new topic"
    )
