"""What other packages stand on: detectors, sources and sinks of your own, without a change to offbeat.

A detector, a source or a sink is a class with a `settings` model. It is named by `package.module:Class`, or by the short name under which
its package installs it: an entry point in the group `offbeat.detectors`, `offbeat.sources` or `offbeat.sinks`. See
docs/write-a-detector.md, docs/write-a-source.md and docs/write-a-sink.md; `offbeat.testing` checks that a class keeps its promises.

What is here stays as it is within a major version; every other module of offbeat may change.
"""

from __future__ import annotations

from offbeat.core.batch import NULL_INT
from offbeat.core.chunk import FAULTS, Chunk, Position
from offbeat.core.plan import Column, SourcePlan, TimePlan
from offbeat.decide.block import STATUSES
from offbeat.detectors.extension.protocols import (
    DetectorSettings,
    KeyedDetector,
    PopulationDetector,
    PopulationSettings,
    StatelessDetector,
    TrainedDetector,
    TrainedSettings,
)
from offbeat.detectors.spec import Settings
from offbeat.errors import UserError
from offbeat.io.contract import Opening, Sink, Source
from offbeat.io.read.open_source import open_source
from offbeat.io.read.records import chunk_of_records, chunk_of_table
from offbeat.io.report.console import alert_records
from offbeat.io.write.jsonl_sink import json_lines
from offbeat.io.write.sinks import open_sink

__all__ = [
    "FAULTS",
    "NULL_INT",
    "STATUSES",
    "Chunk",
    "Column",
    "DetectorSettings",
    "KeyedDetector",
    "Opening",
    "PopulationDetector",
    "PopulationSettings",
    "Position",
    "Settings",
    "Sink",
    "Source",
    "SourcePlan",
    "StatelessDetector",
    "TimePlan",
    "TrainedDetector",
    "TrainedSettings",
    "UserError",
    "alert_records",
    "chunk_of_records",
    "chunk_of_table",
    "json_lines",
    "open_sink",
    "open_source",
]
