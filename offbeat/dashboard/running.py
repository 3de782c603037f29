"""What all sessions of one server share: its settings, the feed, and the incidents found in it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from offbeat.core.plan import Plan
from offbeat.dashboard.alert_buffer import Figures, Row
from offbeat.dashboard.feeds import Feed, Status
from offbeat.dashboard.incidents import QUIET_MICROS, Incident, incidents_of
from offbeat.dashboard.login import Password
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
    _plans: dict[str, Plan | None] = field(default_factory=dict)
    _known: Snapshot | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def snapshot(self) -> Snapshot:
        """The alerts as they stand, and their incidents: found once for all sessions."""
        with self._lock:
            buffer, version = self.feed.buffer, self.feed.buffer.version
            if self._known is None or self._known.version != version:
                rows = buffer.rows()
                self._known = Snapshot(version, self.feed.status, buffer.figures(), rows, incidents_of(rows, self._quiet))
            elif self._known.status != self.feed.status:
                known = self._known
                self._known = Snapshot(known.version, self.feed.status, known.figures, known.rows, known.incidents)
            return self._known

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

    def _quiet(self, pipeline: str, view: str) -> int:
        """Two windows for views of windows, else half an hour."""
        plan = self.plan_of(pipeline)
        rollup = next((v.rollup for v in plan.views if v.name == view), None) if plan is not None else None
        return QUIET_MICROS if rollup is None else 2 * _size(rollup)


def _size(rollup: object) -> int:
    size: int = getattr(rollup, "size_ns", 0) // 1_000
    return max(size, QUIET_MICROS)


_RUNNING: list[Running] = []


def begin(running: Running) -> None:
    """Make this the server of this process."""
    _RUNNING[:] = [running]


def running() -> Running:
    """The server of this process."""
    return _RUNNING[0]
