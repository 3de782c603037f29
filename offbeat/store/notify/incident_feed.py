"""What becomes of incidents, for receivers that are told about them."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from offbeat.io.report.console import ID_DIGITS, moment, safe
from offbeat.store.incident import Incident
from offbeat.store.incidents import Incidents
from offbeat.store.notify.config import Receiver
from offbeat.store.notify.messages import fields_of
from offbeat.store.store import Store

Event = tuple[str, str, dict[str, str]]
"""An incident, what became of it, and what a template can name."""
_MOST = 10_000


class IncidentFeed:
    """Incidents that wait for somebody: not muted, inhibited, snoozed, suppressed, resolved or closed. Safe to share between threads."""

    def __init__(self, incidents: Incidents, store: Store, zone: str) -> None:
        self._incidents, self._store, self._zone = incidents, store, zone
        self._lock = threading.Lock()

    def events(self, wanted: Receiver, known: set[tuple[str, str]], now_ns: int) -> list[Event]:
        """What became of incidents that is not in `known`, which grows by it: each has an event when it begins to wait, when its level
        changes, and when it is open again. Raises StoreGoneError.
        """
        with self._lock:
            self._incidents.refresh()
            found = self._incidents.waiting(_MOST, now_ns=now_ns, keys=wanted.keys, levels=wanted.levels)
            return list(self._new(found, wanted, known))

    def _new(self, incidents: list[Incident], wanted: Receiver, known: set[tuple[str, str]]) -> Iterator[Event]:
        for incident in incidents:
            episode = incident.episode
            if wanted.pipelines and episode["pipeline"] not in wanted.pipelines:
                continue
            if wanted.views and not set(wanted.views) & set(episode["views"]):
                continue
            event = f"{episode['level']}, open again {incident.at_ns}" if incident.reopened else str(episode["level"])
            if (incident.incident_id, event) not in known:
                known.add((incident.incident_id, event))
                yield incident.incident_id, event, self._fields(incident)

    def _fields(self, incident: Incident) -> dict[str, str]:
        """Those of its worst alert, and what the incident is."""
        episode = incident.episode
        count = int(episode["alerts"])
        fields = fields_of(self._store.alert(episode["worst"]), self._zone)
        again = "open again: " if incident.reopened else ""
        end = moment(episode["end"], self._zone)
        return fields | {
            "level": safe(episode["level"]),
            "severity": f"{episode['severity']:.2f}",
            "key": safe(episode["group"], 200),
            "time": moment(episode["start"], self._zone),
            "what": f"{again}{fields['what']}"
            + (f" and {count - 1:,} more alert{'' if count == 2 else 's'} until {end}" if count > 1 else ""),
            "id": incident.incident_id[:ID_DIGITS],
            "alerts": str(count),
            "event": "incident",
        }
