"""Alerts for the checks of sinks: of two views, with keys that need care, and windows that are revised."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import pyarrow as pa

from offbeat.decide.block import STATUSES
from offbeat.engines.local import LocalEngine
from offbeat.io.read.frame import FrameSource
from offbeat.io.report.console import alert_records
from offbeat.io.write.arrow_arrays import WORD
from offbeat.spec.load import load_plan

_KEYS = ("plain", "Grüße, 你好 🎺", "quo'te \"double\" back\\slash", "tab\tand\nline", "a,b;c|d", "%3F?&=#")
_PIPELINE: dict[str, Any] = {
    "name": "sample",
    "source": {
        "key": "key",
        "time": {"column": "time", "format": "s"},
        "columns": {"x": "float", "kind": {"type": "text", "required": False}},
    },
    "views": {
        "level": {
            "windows": {"before": {"over": "5 rows", "features": {"usual": "mean(x)", "spread": "std(x)"}}},
            "detectors": {
                "high": {"type": "rule", "when": "x > usual", "expected": "usual"},
                "steady": {"type": "rule", "when": "spread < 1"},
            },
        },
        "size": {"detectors": {"large": {"type": "rule", "when": "x > 30 OR kind = 'b'"}}},
    },
}
_ROWS = 2400
_CHUNK = 1200

Latest = dict[str, tuple[int, int]]
"""By alert_id: revision, and the place of the status among those that a revision can have."""


@cache
def sample_alerts() -> tuple[pa.Table, ...]:
    """Tables as a run hands them to its sinks, one after the other: small, large and empty ones."""
    level, size, more, _ = _raised()
    window = level.slice(0, 7)
    return (
        _as(window, "early", 1),
        size.slice(0, 1),
        _as(window, "provisional", 2),
        level.slice(0, 0),
        level.slice(7, 40),
        _as(window, "provisional", 3),
        size.slice(1, 30),
        more,
        _as(window, "final", 3),
        size.slice(31, 25),
        level.slice(47, 1),
    )


def latest(records: Iterable[Mapping[str, Any]]) -> Latest:
    """What counts of each alert: its greatest revision, and the last status of that."""
    found: Latest = {}
    for record in records:
        alert, at = str(record["alert_id"]), (int(record["revision"]), STATUSES.index(record["status"]))
        found[alert] = max(at, found.get(alert, at))
    return found


@cache
def sample_records() -> tuple[list[dict[str, Any]], ...]:
    """The same as records, a list for each table."""
    return tuple(alert_records(table) for table in sample_alerts())


def _raised() -> list[pa.Table]:
    """Two chunks of a run over made-up rows: for each the alerts of both views."""
    rows = range(_ROWS)
    table = {
        "key": [_KEYS[i % len(_KEYS)] for i in rows],
        "time": [1_600_000_000 + i for i in rows],
        "x": [float(i * i % 61) for i in rows],
        "kind": [None if i % 3 else "b" for i in rows],
    }
    plan = load_plan(_PIPELINE)
    tables: list[pa.Table] = []
    LocalEngine(plan, FrameSource(plan.source, table, rows=_CHUNK), watch=tables.append).run()
    return tables


def _as(alerts: pa.Table, status: str, revision: int) -> pa.Table:
    """The alerts at an earlier or later moment of their windows."""
    places = alerts.schema.names.index("revision"), alerts.schema.names.index("status")
    revisions = pa.array([revision] * alerts.num_rows, pa.int64())
    words = pa.array([status] * alerts.num_rows, pa.string()).dictionary_encode().cast(WORD)
    return alerts.set_column(places[0], "revision", revisions).set_column(places[1], pa.field("status", WORD), words)
