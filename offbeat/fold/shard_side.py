"""What the merge stage asks of a shard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from offbeat.core.co_occurrence import CoOccurrences
from offbeat.core.keys import KeyTable
from offbeat.core.ledger import Ledger
from offbeat.core.partials import PartialTable
from offbeat.features.tumbling import Tumbling
from offbeat.fold.undecided import Undecided


class WindowSide(Protocol):
    """The open windows of a view that one shard has."""

    @property
    def table(self) -> PartialTable: ...

    @property
    def targets(self) -> KeyTable: ...

    @property
    def tumbling(self) -> Tumbling: ...

    @property
    def size_ns(self) -> int: ...


class ShardSide(Protocol):
    """A shard, be it in this process or at the other end of a wire."""

    @property
    def rollups(self) -> Mapping[str, WindowSide]: ...

    @property
    def links(self) -> Mapping[tuple[str, str], CoOccurrences]: ...

    @property
    def undecided(self) -> Undecided: ...

    @property
    def newest_ns(self) -> int: ...

    @property
    def last_ns(self) -> int: ...

    @property
    def ledger(self) -> Ledger: ...


Shards = Mapping[int, ShardSide]
"""Shards by their numbers."""
