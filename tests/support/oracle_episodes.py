"""Episodes computed a second time: one alert after the other, as a person would do it with a list and a pencil."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Alert:
    """A record of an alert."""

    id: str
    time: int
    severity: float
    group: str = "k"
    revision: int = 1
    status: str = "final"
    muted: bool = False


@dataclass
class Episode:
    """Its alerts, and when it would end."""

    group: str
    muted: bool
    ids: list[str] = field(default_factory=list)
    closes: int = 0
    severity: float = 0.0
    revision: int = 0


STATUSES = ["early", "provisional", "final", "retracted"]


def standing(records: Sequence[Alert]) -> list[Alert]:
    """The record of each alert that counts."""
    found: dict[str, Alert] = {}
    for record in records:
        old = found.get(record.id)
        if old is None or (old.revision, STATUSES.index(old.status)) <= (record.revision, STATUSES.index(record.status)):
            found[record.id] = record
    return list(found.values())


def episodes(records: Sequence[Alert], quiet: int, opens: float, holds: float) -> list[Episode]:
    """All episodes, group by group."""
    out: list[Episode] = []
    known = standing(records)
    for muted, group in sorted({(alert.muted, alert.group) for alert in known}):
        own = sorted((a for a in known if (a.muted, a.group) == (muted, group)), key=lambda a: (a.time, a.id))
        current: Episode | None = None
        for alert in own:
            if alert.status == "retracted":
                continue
            if current is not None and alert.time > current.closes:
                current = None
            if current is None:
                if alert.severity < opens:
                    continue
                current = Episode(group, muted)
                out.append(current)
            current.ids.append(alert.id)
            current.severity = max(current.severity, alert.severity)
            if alert.severity >= holds:
                current.closes = alert.time + quiet
        for episode in (e for e in out if (e.muted, e.group) == (muted, group)):
            episode.revision = around(own, episode.ids[0], quiet)
    return out


def around(own: Sequence[Alert], first: str, quiet: int) -> int:
    """The revisions of all alerts that hang together with `first` by gaps of at most `quiet`."""
    at = next(place for place, alert in enumerate(own) if alert.id == first)
    low = high = at
    while low > 0 and own[low].time - own[low - 1].time <= quiet:
        low -= 1
    while high + 1 < len(own) and own[high + 1].time - own[high].time <= quiet:
        high += 1
    return sum(alert.revision for alert in own[low : high + 1])
