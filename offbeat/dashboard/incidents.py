"""What the page lists: episodes of alerts, with what people did about them where a store keeps that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import polars as pl

from offbeat.core.episode_plan import EpisodePlan
from offbeat.dashboard.alert_buffer import Row, micros_of, short_key
from offbeat.fold.episodes import EpisodeFold
from offbeat.io.report.console import alert_records, safe
from offbeat.io.write.episode_table import episode_table
from offbeat.store.incident import Incident as Kept

QUIET_MICROS = 30 * 60 * 1_000_000
"""Where the pipeline is not at hand: alerts of a key are of one incident until so much time has passed without one."""


@dataclass(frozen=True, slots=True)
class Incident:
    """Alerts that belong together."""

    incident_id: str
    key: str
    """The group, harmless and short: the key, where alerts are grouped by it."""
    worst: Row
    """The most severe of its alerts; the earliest of equals."""
    first: int
    last: int
    """Event times in microseconds."""
    members: tuple[str, ...]
    """Their alert_ids in order of time."""
    detectors: frozenset[str]
    """Those that voted on any of them."""
    arrived: float
    """When the latest of them came, by the clock of this process."""
    muted: str | None = None
    """Why it is muted."""
    inhibited: bool = False
    """Another one explains it."""
    kept: Kept | None = None
    """As the store has it."""

    @property
    def state(self) -> str:
        """open, acknowledged, resolved, closed, suppressed: open where nobody keeps it."""
        return self.kept.state if self.kept is not None else "open"

    def waits(self, now_ns: int) -> bool:
        """Whether somebody has to do something about it."""
        return self.kept.waits(now_ns) if self.kept is not None else self.muted is None and not self.inhibited

    def has(self, wanted: str) -> bool:
        """Whether it, or one of its alerts, has an id that begins so."""
        others = self.kept.others if self.kept is not None else ()
        return any(name.startswith(wanted) for name in (self.incident_id, *others, *self.members))


def ranked(incidents: Iterable[Incident]) -> list[Incident]:
    """Worst first: by severity, then votes, then number of alerts, then the earlier."""
    return sorted(
        incidents, key=lambda one: (-one.worst.severity, -one.worst.votes, -len(one.members), one.first, one.incident_id)
    )


def episodes_in(plan: EpisodePlan, rows: Sequence[Row]) -> list[Incident]:
    """The episodes of alerts of one pipeline, as `offbeat episodes` lists them. Raises UserError for alerts of a view that it has not."""
    fold = EpisodeFold(plan)
    fold.add_alerts(_frame(rows, plan.column))
    known = {row.alert_id: row for row in rows}
    records = alert_records(episode_table(fold.episodes()))
    return [found for record in records if (found := of_episode(record, known, known.get)) is not None]


def of_episode(
    record: Mapping[str, Any], known: Mapping[str, Row], fetched: Callable[[str], Row | None], kept: Kept | None = None
) -> Incident | None:
    """An episode's record as an incident; None where its worst alert cannot be had. `known`: alerts in memory."""
    worst = known.get(record["worst"]) or fetched(record["worst"])
    if worst is None:
        return None
    members = tuple(record["alert_ids"])
    return Incident(
        incident_id=record["episode_id"] if kept is None else kept.incident_id,
        key=short_key(record["group"]),
        worst=worst,
        first=micros_of(record["start"]),
        last=micros_of(record["end"]),
        members=members,
        detectors=frozenset(safe(d["name"]) for d in record["detectors"] or ()) or frozenset(worst.detectors),
        arrived=max((known[name].arrived for name in members if name in known), default=0.0),
        muted=None if record["muted"] is None else safe(record["muted"]),
        inhibited=record["inhibited_by"] is not None,
        kept=kept,
    )


def by_key(rows: Sequence[Row]) -> list[Incident]:
    """The same where the pipeline is not at hand: alerts of one view and key, half an hour apart at most. Retracted ones belong to none."""
    found = []
    standing = sorted((row for row in rows if row.status != "retracted"), key=lambda row: (*_group(row), row.micros, row.alert_id))
    for _, group in groupby(standing, key=_group):
        members = list[Row]()
        for row in group:
            if members and row.micros - members[-1].micros > QUIET_MICROS:
                found.append(_incident(members))
                members = []
            members.append(row)
        found.append(_incident(members))
    return found


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


def _frame(rows: Sequence[Row], column: str) -> pl.DataFrame:
    frame = pl.DataFrame(
        {
            "alert_id": [row.alert_id for row in rows],
            "revision": [row.revision for row in rows],
            "status": [row.status for row in rows],
            "view": [row.view for row in rows],
            "key": [row.key for row in rows],
            "level": [row.level for row in rows],
            "severity": [row.severity for row in rows],
            "time": pl.Series([row.micros for row in rows], dtype=pl.Int64).cast(pl.Datetime("us", "UTC")),
        }
    )
    if column:
        values = pl.Series(column, [row.facets.get(column) for row in rows], pl.String)
        frame = frame.with_columns(pl.DataFrame([values]).to_struct("row"))
    return frame


def _group(row: Row) -> tuple[str, str, str]:
    return row.pipeline, row.view, row.key


def _incident(members: list[Row]) -> Incident:
    worst = min(members, key=lambda row: (-row.severity, -row.votes, row.micros, row.alert_id))
    return Incident(
        incident_id=worst.alert_id,
        key=worst.key,
        worst=worst,
        first=members[0].micros,
        last=members[-1].micros,
        members=tuple(row.alert_id for row in members),
        detectors=frozenset(name for row in members for name in row.detectors),
        arrived=max(row.arrived for row in members),
    )
