"""Alerts of one key, close in time, as one incident."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from offbeat.dashboard.alert_buffer import Row

QUIET_MICROS = 30 * 60 * 1_000_000
"""Alerts of a key are of one incident until so much time, by the events' clock, has passed without one."""


@dataclass(frozen=True, slots=True)
class Incident:
    """Alerts that belong together."""

    worst: Row
    """The most severe of them; the earliest of equals."""
    first: int
    last: int
    """Event times in microseconds."""
    members: tuple[str, ...]
    """Their alert_ids in order of time."""
    detectors: frozenset[str]
    """Those that voted on any of them."""
    arrived: float
    """When the latest of them came, by the clock of this process."""

    @property
    def incident_id(self) -> str:
        """The id of its worst alert. A link that names any of its alerts opens the incident."""
        return self.worst.alert_id


def incidents_of(rows: Sequence[Row], quiet: Callable[[str, str], int] = lambda _pipeline, _view: QUIET_MICROS) -> list[Incident]:
    """Incidents, worst first: by severity, then votes, then number of alerts, then the earlier. Retracted alerts belong to none.

    `quiet`: the pause that ends an incident, in microseconds, by pipeline and view.
    """
    found = []
    standing = sorted((row for row in rows if row.status != "retracted"), key=lambda row: (*_group(row), row.micros, row.alert_id))
    for (pipeline, view, _), group in groupby(standing, key=_group):
        pause, members = quiet(pipeline, view), list[Row]()
        for row in group:
            if members and row.micros - members[-1].micros > pause:
                found.append(_incident(members))
                members = []
            members.append(row)
        found.append(_incident(members))
    return sorted(found, key=_rank)


def similar(incident: Incident, others: Sequence[Incident], most: int = 5) -> list[Incident]:
    """Earlier incidents of the view on which the same detectors voted: those of the same key first, then the most alike in severity."""
    own = incident.worst
    alike = [
        other
        for other in others
        if other.worst.pipeline == own.pipeline
        and other.worst.view == own.view
        and other.last < incident.first
        and other.detectors & incident.detectors
    ]
    return sorted(
        alike,
        key=lambda other: (
            other.detectors != incident.detectors,
            other.worst.key != own.key,
            round(abs(other.worst.severity - own.severity), 2),
            -other.last,
        ),
    )[:most]


def _group(row: Row) -> tuple[str, str, str]:
    return row.pipeline, row.view, row.key


def _rank(incident: Incident) -> tuple[float, int, int, int, str]:
    return -incident.worst.severity, -incident.worst.votes, -len(incident.members), incident.first, incident.incident_id


def _incident(members: list[Row]) -> Incident:
    worst = min(members, key=lambda row: (-row.severity, -row.votes, row.micros, row.alert_id))
    return Incident(
        worst=worst,
        first=members[0].micros,
        last=members[-1].micros,
        members=tuple(row.alert_id for row in members),
        detectors=frozenset(name for row in members for name in row.detectors),
        arrived=max(row.arrived for row in members),
    )
