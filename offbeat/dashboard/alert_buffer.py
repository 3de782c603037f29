"""The alerts that the page has in memory: the last ones, within a bound, each as a short row and its whole record packed."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from offbeat.decide.block import STATUSES
from offbeat.io.report.console import safe, summary
from offbeat.io.report.markup import LEVELS

MOST_ALERTS = 20_000
MOST_BYTES = 256 * 1024 * 1024
_LONGEST_KEY = 200
_LONGEST_FACET = 40
_RANK = {status: rank for rank, status in enumerate(STATUSES)}
_ID = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Row:
    """What lists and counts need of an alert. Every text in it is harmless: no control characters, and not long."""

    alert_id: str
    revision: int
    status: str
    pipeline: str
    view: str
    key: str
    micros: int
    """Event time in microseconds since 1970."""
    severity: float
    level: str
    votes: int
    voters: int
    detectors: tuple[str, ...]
    """Those that voted."""
    what: str
    facets: dict[str, str]
    """Short texts of the row, such as `side`."""
    models: tuple[tuple[str, int], ...]
    """Versions of the models that had a say."""
    arrived: float
    """By the clock of this process: to tell what is new."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts over everything that came, also over what is no longer in memory."""

    total: int
    mean_severity: float | None
    max_severity: float | None
    levels: dict[str, int]
    retracted: int
    kept: int


class AlertBuffer:
    """Bounded; later revisions take the place of earlier ones [S22]. May be filled and read by several threads."""

    def __init__(self, most: int = MOST_ALERTS, most_bytes: int = MOST_BYTES) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._rows: dict[str, Row] = {}
        self._packed: dict[str, bytes] = {}
        self._bytes = 0
        self._lock = threading.Lock()
        self._levels: Counter[str] = Counter()
        self._severities = 0.0
        self._worst: float | None = None
        self._retracted = 0
        self.version = 0
        """Rises with every change."""

    def add(self, lines: Iterable[bytes]) -> list[str]:
        """Take alerts as JSON lines. Gives what was wrong with those that are none, a line each."""
        wrong = []
        now = time.monotonic()
        for line in lines:
            try:
                record = json.loads(line)
                row = row_of(record, now)
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                wrong.append(f"not an alert ({type(error).__name__}): {safe(line[:120].decode(errors='replace'), 120)}")
                continue
            with self._lock:
                self._put(row, zlib.compress(line, 1))
        return wrong

    def clear(self) -> None:
        """Forget everything: the source begins anew."""
        with self._lock:
            self._rows, self._packed, self._bytes = {}, {}, 0
            self._levels, self._severities, self._worst, self._retracted = Counter(), 0.0, None, 0
            self.version += 1

    def rows(self) -> list[Row]:
        """All that are in memory, in the order of their arrival; retracted ones too."""
        with self._lock:
            return list(self._rows.values())

    def record(self, alert_id: str) -> dict[str, Any] | None:
        """The whole alert whose id begins so; None where it is not in memory, or several are."""
        with self._lock:
            packed = self._packed.get(alert_id)
            if packed is None and alert_id:
                found = [name for name in self._packed if name.startswith(alert_id)]
                packed = self._packed[found[0]] if len(found) == 1 else None
        return None if packed is None else json.loads(zlib.decompress(packed))

    def records(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """The whole alerts, as far as they are in memory."""
        return [record for name in ids if (record := self.record(name)) is not None]

    def figures(self) -> Figures:
        """Counts as they stand."""
        with self._lock:
            total = sum(self._levels.values())
            levels = {level: self._levels[level] for level in (*LEVELS, *sorted(set(self._levels) - set(LEVELS)))}
            mean = self._severities / total if total else None
            return Figures(total, mean, self._worst, levels, self._retracted, len(self._rows))

    def _put(self, row: Row, packed: bytes) -> None:
        before = self._rows.pop(row.alert_id, None)
        if before is not None:
            if (before.revision, _RANK.get(before.status, 0)) >= (row.revision, _RANK.get(row.status, 0)):
                self._rows[row.alert_id] = before
                return
            self._count(before, -1)
            self._bytes -= len(self._packed.pop(row.alert_id))
        self._rows[row.alert_id], self._packed[row.alert_id] = row, packed
        self._bytes += len(packed)
        self._count(row, 1)
        while len(self._rows) > self._most or (self._bytes > self._most_bytes and len(self._rows) > 1):
            oldest = next(iter(self._rows))
            del self._rows[oldest]
            self._bytes -= len(self._packed.pop(oldest))
        self.version += 1

    def _count(self, row: Row, sign: int) -> None:
        if row.status == "retracted":
            self._retracted += sign
            return
        self._levels[row.level] += sign
        self._severities += sign * row.severity
        if sign > 0 and (self._worst is None or row.severity > self._worst):
            self._worst = row.severity


def row_of(record: dict[str, Any], now: float) -> Row:
    """The short row of a whole alert. Raises KeyError, TypeError or ValueError for what is none."""
    facets = {
        safe(name, _LONGEST_FACET): safe(value, _LONGEST_FACET)
        for name, value in (record["row"] or {}).items()
        if isinstance(value, str) and 0 < len(value) <= _LONGEST_FACET
    }
    detectors = record["detectors"]
    if not _ID.fullmatch(record["alert_id"]):
        raise ValueError("alert_id")
    return Row(
        alert_id=record["alert_id"],
        revision=int(record["revision"]),
        status=safe(record["status"], 16),
        pipeline=safe(record["pipeline"]),
        view=safe(record["view"]),
        key=short_key(str(record["key"])),
        micros=micros_of(record["time"]),
        severity=float(record["severity"] or 0.0),
        level=safe(record["level"], 16),
        votes=int(record["votes"]),
        voters=int(record["voters"]),
        detectors=tuple(safe(d["name"]) for d in detectors if d["voted"]),
        what=summary(record),
        facets=facets,
        models=tuple((safe(d["name"]), int(d["model_version"])) for d in detectors if d.get("model_version") is not None),
        arrived=now,
    )


def short_key(key: str) -> str:
    """A key harmless and short; keys that differ stay different."""
    shown = safe(key, _LONGEST_KEY)
    return shown if len(key) < _LONGEST_KEY else f"{shown} ({hashlib.sha256(key.encode(errors='replace')).hexdigest()[:12]})"


def micros_of(time: str) -> int:
    """A time in RFC 3339 as microseconds since 1970."""
    found = datetime.fromisoformat(time)
    whole = (found if found.tzinfo else found.replace(tzinfo=UTC)) - _EPOCH
    return (whole.days * 86_400 + whole.seconds) * 1_000_000 + whole.microseconds


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
