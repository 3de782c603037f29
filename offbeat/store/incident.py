"""An incident: an episode, and what people did about it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

OPEN, ACKNOWLEDGED, SUPPRESSED, RESOLVED, CLOSED = STATES = ("open", "acknowledged", "suppressed", "resolved", "closed")
"""In the order in which work is left to do; where two episodes become one, the first of their states counts."""
WAITING = (OPEN, ACKNOWLEDGED)
"""States of incidents that somebody has to do something about."""
REAL, FALSE = LABELS = ("real", "false")


@dataclass(frozen=True, slots=True)
class Action:
    """Who did what, when."""

    incident_id: str
    at_ns: int
    who: str
    action: str
    """acknowledged, resolved, closed, open (again), suppressed, snoozed, comment, real, false, unlabelled, merged."""
    text: str


@dataclass(frozen=True, slots=True)
class Overlay:
    """What the store knows of an incident besides its alerts; a row of the table."""

    incident_id: str
    pipeline: str
    state: str
    who: str
    at_ns: int
    snoozed_until_ns: int | None = None
    label: str | None = None
    label_why: str | None = None
    merged_into: str | None = None


@dataclass(frozen=True, slots=True)
class Incident:
    """An episode with what people did about it."""

    incident_id: str
    """The id it is called by: that of its episode when somebody first did something about it; until then, of its episode now."""
    episode: dict[str, Any]
    """The record of the episode now, as a line of `--episodes` has it; `detectors` is empty, as the votes are in the alerts."""
    state: str = OPEN
    reopened: bool = False
    """It was resolved or closed, and alerts came after that."""
    who: str | None = None
    at_ns: int | None = None
    """Who gave it this state, and when."""
    snoozed_until_ns: int | None = None
    label: str | None = None
    """`real` or `false`, as people said."""
    label_why: str | None = None
    others: tuple[str, ...] = ()
    """Other incidents that are one with it since a late alert came between them."""

    @property
    def muted(self) -> str | None:
        """Why it is muted, or None."""
        reason: str | None = self.episode["muted"]
        return reason

    @property
    def inhibited(self) -> bool:
        """Whether another episode explains it."""
        return self.episode["inhibited_by"] is not None

    def snoozed(self, now_ns: int) -> bool:
        """Whether it sleeps at this time."""
        return self.snoozed_until_ns is not None and now_ns < self.snoozed_until_ns

    def waits(self, now_ns: int) -> bool:
        """Whether somebody has to do something about it now."""
        return self.state in WAITING and self.muted is None and not self.inhibited and not self.snoozed(now_ns)

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints."""
        names = ("incident_id", "state", "reopened", "who", "at_ns", "snoozed_until_ns", "label", "label_why")
        return {**{name: getattr(self, name) for name in names}, "others": list(self.others), "episode": self.episode}


def composed(episode: dict[str, Any], overlays: list[Overlay], attached: int) -> Incident:
    """The incident of an episode: `overlays` of its alerts, that with the earliest alert first, of which so many are `attached` to one.

    An acknowledgement holds for alerts that come later, and so does a suppression. What was resolved or closed is open again when an
    alert came that was not there then.
    """
    if not overlays:
        return Incident(episode["episode_id"], episode)
    counts = min(overlays, key=lambda one: (STATES.index(one.state), -one.at_ns))
    label = next((one for one in overlays if one.label is not None), counts)
    first = Incident(
        incident_id=overlays[0].incident_id,
        episode=episode,
        state=counts.state,
        who=counts.who,
        at_ns=counts.at_ns,
        snoozed_until_ns=max((one.snoozed_until_ns for one in overlays if one.snoozed_until_ns is not None), default=None),
        label=label.label,
        label_why=label.label_why,
        others=tuple(one.incident_id for one in overlays[1:]),
    )
    again = counts.state in {RESOLVED, CLOSED} and attached < episode["alerts"]
    return replace(first, state=OPEN, reopened=True) if again else first
