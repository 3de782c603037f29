"""Incidents: the episodes of a pipeline's alerts in a store, with what people did about them.

    with Incidents.open("sqlite:///alerts.db", plan) as incidents:      # `offbeat.engines.incidents.open_incidents` finds the plan
        for incident in incidents.waiting():                            # worst first
            print(incident.incident_id, incident.state, incident.episode["group"], incident.episode["severity"])
        incidents.acknowledge(incident, who="ana")
        incidents.refresh()                                             # what came since; cheap, so a page may ask every second

What people do is attached to alerts. So it is still there when a late alert merges two episodes, or gives one another name.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
import polars as pl
from sqlalchemy import Connection, select

from offbeat.core.episode_plan import EpisodePlan, MutePlan
from offbeat.errors import UserError
from offbeat.fold.episode_alerts import id_words
from offbeat.fold.episodes import EpisodeFold, Episodes
from offbeat.fold.mutes import Mutes
from offbeat.io.report.console import alert_records
from offbeat.io.write.episode_table import episode_ids, episode_table
from offbeat.store.database import Database
from offbeat.store.incident import ACKNOWLEDGED, CLOSED, LABELS, OPEN, RESOLVED, SUPPRESSED, Action, Incident, Overlay, composed
from offbeat.store.lines import frame_of
from offbeat.store.models import ALERTS, CHANGES
from offbeat.store.open import open_database
from offbeat.store.overlays import act, actions_of, add_mute, mutes_of, overlays_of, remove_mute
from offbeat.store.rows import indexed_text

_AT_ONCE = 20_000
MOST_ALERTS = 300_000
"""So many of the newest alerts are read where nobody says from when on: it takes two seconds and 100 MB."""
_COLUMNS = ("alert_id", "revision", "status", "view", "key", "severity", "level")


class Incidents:
    """The incidents of one pipeline in a store. All calls of one object come from one thread at a time.

    Raise StoreGoneError where the store cannot be reached now (ask again later), and UserError where a person must put something right.
    """

    def __init__(self, database: Database, plan: EpisodePlan, since_ns: int | None = None, most: int | None = MOST_ALERTS) -> None:
        self._database = database
        self._own = plan
        self.since_ns = since_ns
        """Alerts before it are not read; None: all are."""
        if since_ns is None and most is not None:
            self.since_ns = self._newest(most)
        self._fold = EpisodeFold(plan)
        self._change: int | None = None
        self._episodes: Episodes | None = None
        self._numbers: list[tuple[int, MutePlan]] = []
        self._attached: dict[str, str] = {}
        self._overlays: dict[str, Overlay] = {}
        self._of_episode: dict[int, tuple[list[Overlay], int]] = {}
        self.refresh()

    @classmethod
    def open(cls, uri: str, plan: EpisodePlan, since_ns: int | None = None, most: int | None = MOST_ALERTS) -> Self:
        """Of the store at `uri`; `plan` has what its files hold (see `engines.episodes.ready`).

        since_ns: only alerts from this time on; without it, about the newest `most` (None: all). An episode that began before is there with
        the rest of its alerts, and with what people did about it.
        """
        database = open_database(uri, write=False)
        try:
            return cls(database, plan, since_ns, most)
        except BaseException:
            database.close()
            raise

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- reading --------------------------------------------------------------------------------------------------------------

    def refresh(self) -> bool:
        """Read the alerts, mutes and actions that came since the last time; whether there were any alerts or mutes."""
        with self._database.reading() as connection:
            changed = self._read_alerts(connection)
            numbers = mutes_of(connection, self._own.pipeline)
            self._attached, self._overlays = overlays_of(connection, self._own.pipeline, self.since_ns)
        if numbers != self._numbers or self._episodes is None:
            self._numbers, changed = numbers, True
            mutes = (*self._own.mutes, *(mute for _, mute in numbers))
            self._fold.plan = replace(self._own, mutes=mutes)
            self._fold.mutes = Mutes(mutes)
        if changed:
            self._episodes = self._fold.episodes()
        self._of_episode = self._joined()
        return changed

    @property
    def episodes(self) -> Episodes:
        """The episodes of all alerts."""
        if self._episodes is None:
            raise TypeError("nothing was read yet")
        return self._episodes

    def every(self, *, most: int | None = None) -> list[Incident]:
        """All incidents, also muted, inhibited and closed ones, the worst first."""
        known = self.episodes
        return self._composed(known.ranked(most or len(known), np.ones(len(known), np.bool_)))

    def waiting(self, most: int = 50, *, now_ns: int | None = None, keys: Iterable[str] = (), levels: Iterable[str] = ()) -> list[Incident]:
        """The worst incidents about which somebody has to do something now: open or acknowledged, and not muted, inhibited or snoozed.

        Only those with an alert of one of `keys`, and of one of `levels`, where any are named.
        """
        return self.listed(most, states=(OPEN, ACKNOWLEDGED), now_ns=now_ns, keys=keys, levels=levels)

    def listed(
        self,
        most: int = 50,
        *,
        states: Sequence[str] = (),
        now_ns: int | None = None,
        keys: Iterable[str] = (),
        levels: Iterable[str] = (),
        quiet: bool = False,
    ) -> list[Incident]:
        """The worst incidents of some states (of all, where none are named); `quiet`: also muted, inhibited and snoozed ones."""
        known, now = self.episodes, time.time_ns() if now_ns is None else now_ns
        wanted, named = set(keys), set(levels)
        among = np.ones(len(known), np.bool_) if quiet else known.attended
        found: list[Incident] = []
        order = known.ranked(len(known), among)
        for start in range(0, len(order), max(most, 200)):
            for incident in self._composed(order[start : start + max(most, 200)]):
                if states and incident.state not in states:
                    continue
                if (incident.snoozed(now) and not quiet) or (wanted and not wanted & set(incident.episode["keys"])):
                    continue
                if named and incident.episode["level"] not in named:
                    continue
                found.append(incident)
                if len(found) == most:
                    return found
        return found

    def incident(self, beginning: str) -> Incident:
        """The incident whose id begins so: its own, its episode's, or that of one that has become one with it.

        Raises UserError where none or several do.
        """
        wanted = beginning.lower()
        if not wanted or not set(wanted) <= set("0123456789abcdef"):
            raise UserError(f"no incident {beginning!r} in {self._database.address.text}")
        known = self.episodes
        named = {self._final(name) for name in self._overlays if name.startswith(wanted)}
        places = {at for at, (overlays, _) in self._of_episode.items() if named & {one.incident_id for one in overlays}}
        if not places:
            places = {at for at, name in enumerate(episode_ids(known)) if name.startswith(wanted)}
        if not places:
            raise UserError(f"no incident {beginning!r} in {self._database.address.text}")
        if len(places) > 1:
            raise UserError(f"{len(places)} incidents begin with {beginning!r}; give more digits")
        return self._composed(np.array(sorted(places)))[0]

    def actions(self, incident: Incident) -> list[Action]:
        """Who did what about it, in that order."""
        with self._database.reading() as connection:
            return actions_of(connection, incident, self._overlays)

    def mutes(self) -> list[tuple[int, MutePlan]]:
        """The mutes of the store, by number; those of the pipeline's file are not among them."""
        return list(self._numbers)

    def unmatched(self, keys: Iterable[str]) -> list[str]:
        """A word for mutes that none of `keys` fits."""
        return self._fold.mutes.unmatched(keys)

    # -- doing ----------------------------------------------------------------------------------------------------------------

    def acknowledge(self, incident: Incident, who: str, text: str = "") -> Incident:
        """Somebody takes care of it, also of alerts that come yet. Returns the incident as it is then; so do the others."""
        return self._act(incident, ACKNOWLEDGED, who, text, state=ACKNOWLEDGED)

    def resolve(self, incident: Incident, who: str, text: str = "") -> Incident:
        """Its cause is gone. An alert that comes later opens it again."""
        return self._act(incident, RESOLVED, who, text, state=RESOLVED, snoozed_until_ns=None)

    def close_incident(self, incident: Incident, who: str, text: str = "") -> Incident:
        """Nothing is left to do. An alert that comes later opens it again."""
        return self._act(incident, CLOSED, who, text, state=CLOSED, snoozed_until_ns=None)

    def reopen(self, incident: Incident, who: str, text: str = "") -> Incident:
        """There is something left to do."""
        return self._act(incident, OPEN, who, text, state=OPEN, snoozed_until_ns=None)

    def suppress(self, incident: Incident, who: str, text: str = "") -> Incident:
        """Nobody wants to see it again, whatever comes to it."""
        return self._act(incident, SUPPRESSED, who, text, state=SUPPRESSED)

    def snooze(self, incident: Incident, who: str, until_ns: int, text: str = "") -> Incident:
        """It is not listed as waiting until then."""
        until = np.datetime64(until_ns, "ns").astype("datetime64[s]")
        return self._act(incident, "snoozed", who, " ".join(part for part in (f"until {until}Z", text) if part), snoozed_until_ns=until_ns)

    def comment(self, incident: Incident, who: str, text: str) -> Incident:
        """Say something about it."""
        return self._act(incident, "comment", who, text)

    def label(self, incident: Incident, who: str, label: str | None, why: str = "") -> Incident:
        """Say what it was: `real`, `false`, or None to take that back. `offbeat learn` learns from it."""
        if label is not None and label not in LABELS:
            raise UserError(f"a label is {' or '.join(LABELS)}, not {label!r}")
        return self._act(incident, label or "unlabelled", who, why, label=label, label_why=why or None)

    def mute(self, who: str, mute: MutePlan) -> int:
        """Mute what is known, also for a time (a maintenance window); the mute's number."""
        if mute.view and mute.view not in [view.name for view in self._own.views]:
            raise UserError(f"pipeline {self._own.pipeline!r} has no view {mute.view!r}")
        with self._database.writing() as connection:
            number = add_mute(connection, self._own.pipeline, mute, who, time.time_ns())
        self.refresh()
        return number

    def unmute(self, who: str, number: int) -> None:
        """Take a mute back. Raises UserError where there is none of this number."""
        with self._database.writing() as connection:
            remove_mute(connection, self._own.pipeline, number, who, time.time_ns())
        self.refresh()

    # -- inside ---------------------------------------------------------------------------------------------------------------

    def _act(self, incident: Incident, action: str, who: str, text: str, **changes: Any) -> Incident:
        with self._database.writing() as connection:
            act(connection, incident, action, who, time.time_ns(), text, changes)
        self.refresh()
        return self.incident(incident.incident_id)

    def _newest(self, most: int) -> int | None:
        """The time from which on there are so many alerts; None where there are fewer."""
        c = ALERTS.c
        asked = select(c.time_ns).where(c.pipeline == indexed_text(self._own.pipeline)).order_by(c.time_ns.desc(), c.alert_id.desc())
        with self._database.reading() as connection:
            found: int | None = connection.execute(asked.offset(most).limit(1)).scalar()
        return None if found is None else found + 1

    def _read_alerts(self, connection: Connection) -> bool:
        c = ALERTS.c
        last = int(connection.execute(select(CHANGES.c.last)).scalar_one())
        grouped = self._own.group == "column"
        columns = [c.record] if grouped else [*(c[name] for name in _COLUMNS), c.time_ns]
        asked = select(*columns).where(c.pipeline == indexed_text(self._own.pipeline), c.view.in_([view.name for view in self._own.views]))
        if self.since_ns is not None:
            asked = asked.where(c.time_ns >= self.since_ns)
        if self._change is not None:
            asked = asked.where(c.change > self._change, c.change <= last)
        found = False
        if last != self._change:
            rows = connection.execution_options(yield_per=_AT_ONCE).execute(asked)
            for part in rows.partitions(_AT_ONCE):
                self._fold.add_alerts(frame_of((row[0] for row in part), "the store") if grouped else _of_columns(part))
                found = True
        self._change = last
        return found

    def _joined(self) -> dict[int, tuple[list[Overlay], int]]:
        """By number of the episode: the overlays of its alerts, that with the earliest alert first, and how many alerts have one."""
        known = self.episodes
        if not self._attached or not len(known):
            return {}
        high, low = id_words(known.members.ids)
        order = np.argsort(high, kind="stable")
        names = list(self._attached)
        ours = np.frombuffer(bytes.fromhex("".join(names)), np.uint8).reshape(-1, 16)
        our_high, our_low = id_words(ours)
        at = np.searchsorted(high[order], our_high)
        out: dict[int, list[tuple[int, str]]] = {}
        for number, place in enumerate(at.tolist()):
            while place < len(order) and high[order[place]] == our_high[number]:
                member = int(order[place])
                if low[member] == our_low[number]:
                    episode = int(np.searchsorted(known.offsets, member, side="right")) - 1
                    out.setdefault(episode, []).append((member, self._attached[names[number]]))
                    break
                place += 1  # noqa: PLW2901 - the next of equal hashes
        joined = {}
        for episode, found in out.items():
            ids = dict.fromkeys(self._final(incident) for _, incident in sorted(found))
            joined[episode] = ([self._overlays[one] for one in ids if one in self._overlays], len(found))
        return joined

    def _final(self, incident_id: str) -> str:
        while (one := self._overlays.get(incident_id)) is not None and one.merged_into is not None:
            incident_id = one.merged_into
        return incident_id

    def _composed(self, places: np.ndarray) -> list[Incident]:
        records = alert_records(episode_table(self.episodes, places)) if len(places) else []
        pairs = (self._of_episode.get(at, ([], 0)) for at in places.tolist())
        return [composed(record, overlays, attached) for record, (overlays, attached) in zip(records, pairs, strict=True)]


def _of_columns(rows: Sequence[Any]) -> pl.DataFrame:
    columns = list(zip(*rows, strict=True))
    frame = pl.DataFrame({name: list(column) for name, column in zip(_COLUMNS, columns, strict=False)})
    return frame.with_columns(time=pl.Series(list(columns[-1]), dtype=pl.Int64).cast(pl.Datetime("ns", "UTC")))
