"""What all sessions of one server share: its settings, the feed, and the incidents found in it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from offbeat.core.episode_plan import EpisodePlan
from offbeat.core.plan import Plan
from offbeat.dashboard.alert_buffer import Figures, Row
from offbeat.dashboard.desk import Desk
from offbeat.dashboard.feeds import Feed, Status
from offbeat.dashboard.incidents import Incident, by_key, episodes_in, ranked
from offbeat.dashboard.login import Password
from offbeat.dashboard.workers import Workers
from offbeat.engines.episodes import ready
from offbeat.errors import OffbeatError
from offbeat.spec.load import load_plan, shipped


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The feed at one moment."""

    version: int
    status: Status
    figures: Figures
    rows: Sequence[Row]
    incidents: Sequence[Incident]
    """All, worst first: muted and closed ones too."""


@dataclass(slots=True)
class Running:
    """One server and what it shows."""

    uri: str
    feed: Feed
    pipeline: Plan | None = None
    """The pipeline that a person named."""
    password: Password | None = None
    refresh: float = 1.0
    """Seconds between two looks of a page at the feed."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Where the rows of a pipeline are, for alerts that do not tell."""
    workers: Workers | None = None
    desk: Desk | None = None
    """Where alerts come from a store: what people do about them."""
    _plans: dict[str, Plan | None] = field(default_factory=dict)
    _episodes: dict[str, EpisodePlan | None] = field(default_factory=dict)
    _known: Snapshot | None = None
    _at: float = 0.0
    _took: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def snapshot(self) -> Snapshot:
        """The alerts as they stand, and their incidents: found once for all sessions, and not more often than pages look."""
        with self._lock:
            buffer, now = self.feed.buffer, time.monotonic()
            version, status = buffer.version, self.feed.status
            known = self._known
            stale = known is None or known.version != version or self.desk is not None
            # While much comes, most of the time is left to those who look.
            if known is None or (stale and now - self._at >= max(self.refresh / 2, 3 * self._took)):
                known = self._read(version, status, known)
                self._at = time.monotonic()
                self._took = self._at - now
            elif known.status != status:
                known = replace(known, status=status)
            self._known = known
            return known

    def look_again(self) -> None:
        """Read everything anew: something was done."""
        with self._lock:
            self._at = 0.0

    def record(self, alert_id: str) -> dict[str, Any] | None:
        """The whole alert, from memory or from the store."""
        found = self.feed.buffer.record(alert_id)
        return self.desk.record(alert_id) if found is None and self.desk is not None else found

    def incident(self, wanted: str) -> Incident | None:
        """The incident whose id begins so, or that has such an alert."""
        snapshot = self.snapshot()
        found = next((one for one in snapshot.incidents if one.has(wanted)), None)
        if found is None and self.desk is not None:
            found = self.desk.incident(wanted, {row.alert_id: row for row in snapshot.rows})
        return found

    def _read(self, version: int, status: Status, before: Snapshot | None) -> Snapshot:
        rows, figures = self.feed.buffer.rows(), self.feed.buffer.figures()
        found: list[Incident] = []
        theirs: set[str] = set()
        if self.desk is not None:
            try:
                found, theirs = self.desk.incidents({row.alert_id: row for row in rows})
                figures = self.desk.figures(figures)
            except OffbeatError as error:
                if before is not None:
                    return replace(before, status=Status(there=False, read=status.read, why=str(error)))
                status = Status(there=False, read=status.read, why=str(error))
        for name, group in groupby(sorted(rows, key=lambda row: row.pipeline), key=lambda row: row.pipeline):
            if name not in theirs:
                found += self._found(name, list(group))
        return Snapshot(version, status, figures, rows, ranked(found))

    def _found(self, pipeline: str, rows: list[Row]) -> list[Incident]:
        plan = self.episodes_of(pipeline)
        if plan is None:
            return by_key(rows)
        try:
            return episodes_in(plan, rows)
        except OffbeatError as error:
            self.feed.log.say(str(error))
            return by_key(rows)

    def episodes_of(self, pipeline: str) -> EpisodePlan | None:
        """How that pipeline's alerts become incidents, where it is at hand."""
        if pipeline not in self._episodes:
            plan = self.plan_of(pipeline)
            try:
                self._episodes[pipeline] = ready(plan.episodes) if plan is not None else None
            except OffbeatError as error:
                self.feed.log.say(str(error))
                self._episodes[pipeline] = None
        return self._episodes[pipeline]

    def plan_of(self, pipeline: str) -> Plan | None:
        """The pipeline of that name, where it is at hand: the one that a person named, or a shipped one."""
        if self.pipeline is not None and self.pipeline.name == pipeline:
            return self.pipeline
        if pipeline not in self._plans:
            try:
                self._plans[pipeline] = load_plan(pipeline) if pipeline in shipped() else None
            except OffbeatError as error:
                self.feed.log.say(str(error))
                self._plans[pipeline] = None
        return self._plans[pipeline]

    def zone_of(self, pipeline: str) -> str:
        """The zone in which times of that pipeline are shown."""
        plan = self.plan_of(pipeline)
        return plan.zone if plan is not None else "UTC"


_RUNNING: list[Running] = []


def begin(running: Running) -> None:
    """Make this the server of this process."""
    _RUNNING[:] = [running]


def running() -> Running:
    """The server of this process."""
    return _RUNNING[0]
