"""What a worker is to do, and how it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from offbeat.core.ledger import Ledger
from offbeat.core.plan import Plan
from offbeat.engines.delivery import Worst
from offbeat.engines.kafka.topics import EARLIEST, Beginning, Topic
from offbeat.engines.run_result import Run
from offbeat.io.kafka.address import KafkaAddress

if TYPE_CHECKING:
    from offbeat.io.kafka.schemas import Schemas


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker is to do."""

    source: KafkaAddress
    group: str
    instance: str
    """The worker's name in its group: the same after a restart, and no other worker's."""
    state: Path
    """Folder of snapshots; those of several workers may be in one."""
    alerts: KafkaAddress | None = None
    outputs: tuple[str, ...] = ()
    """Of alerts besides: files, databases."""
    append: bool = False
    """Whether these keep what they hold."""
    tell: Callable[[str], None] | None = None
    """Takes a line when one cannot be reached for a while."""
    dead_letters: str | None = None
    """Topic for rows that are quarantined or late."""
    payload: str = "json"
    """What records are: `json`, `avro`, `arrow`, `dbn`."""
    schemas: Schemas | None = None
    """Of Avro."""
    begin: Beginning = EARLIEST
    until_end: bool = False
    until_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Status:
    """How a worker is, for those who watch it."""

    at: float
    """When it was seen, on the monotonic clock."""
    ledger: Ledger
    alerts: int
    lags: Mapping[tuple[str, int], int]
    """Records that wait, by topic and partition, of those that are this worker's."""
    model_ages: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """By view and detector, as `model_ages` has them."""


@dataclass(slots=True)
class Work:
    """What the sessions of a worker have in common."""

    plan: Plan
    job: Job
    topic: Topic
    """Of the rows."""
    merge_topic: Topic | None
    """Of partials, where views on other keys need one."""
    result: Run
    watch: Callable[[pa.Table], None] | None = None
    """Is shown alerts as they are sent."""
    stop: threading.Event = field(default_factory=threading.Event)
    worst: Worst = field(default_factory=Worst)
    words: list[str] = field(default_factory=list)
    """What the report says besides."""
    status: Status = field(default_factory=lambda: Status(time.monotonic(), Ledger(), 0, {}))
