"""Whether a topic's records lie in the partition of the pipeline's key: a key in two partitions would be two keys."""

from __future__ import annotations

from offbeat.engines.kafka.places import misplaced
from offbeat.engines.kafka.shards import RowShard
from offbeat.engines.kafka.topics import Topic
from offbeat.io.kafka.payloads import Records

_ALL = 1000
"""So many records of a partition are looked at,"""
_EACH = 1000
"""and of the later ones each so many-th."""


class KeyCheck:
    """Looks at the records' own keys. Raises UserError for the first that is not its row's."""

    def __init__(self, topic: Topic) -> None:
        self._topic = topic

    def check(self, shard: RowShard, records: Records) -> None:
        """Look at some of these records."""
        seen, n = shard.seen, len(records)
        shard.seen += n
        if self._topic.partitions == 1:
            return
        first = range(max(min(_ALL - seen, n), 0))
        later = range((-seen) % _EACH, n, _EACH) if seen + n > _ALL else range(0)
        which = [*first, *(i for i in later if i >= len(first))]
        for i, (own, key) in zip(which, records.keys(which), strict=True):
            if key is not None and (own is None or own != key.encode("utf-8", "surrogatepass")):
                or_else = ", or have them copied so with --repartition NEW_TOPIC"
                raise misplaced(self._topic.name, records.partition, int(records.offsets[i]), own, key, or_else=or_else)
