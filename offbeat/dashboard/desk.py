"""Incidents of a store, with what people do about them from the page."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from offbeat.core.episode_plan import EpisodePlan, MutePlan
from offbeat.dashboard.alert_buffer import AlertBuffer, Figures, Row, row_of
from offbeat.dashboard.incidents import Incident, of_episode
from offbeat.errors import UserError
from offbeat.store.incident import Action
from offbeat.store.incidents import Incidents
from offbeat.store.store import Store, StoreGoneError

_T = TypeVar("_T")
MOST_LISTED = 500
"""Incidents of a pipeline that the page knows, the worst; all others can be opened by a link."""
_MOST_WORST = 2_000


class Desk:
    """One for all sessions of a server; its calls may come from several threads. They raise UserError where the store is gone."""

    def __init__(self, uri: str, plan_of: Callable[[str], EpisodePlan | None]) -> None:
        self._uri, self._plan_of = uri, plan_of
        self._lock = threading.RLock()
        self._store: Store | None = None
        self._incidents: dict[str, Incidents] = {}
        self._worst: dict[str, Row] = {}

    def incidents(self, known: Mapping[str, Row]) -> tuple[list[Incident], set[str]]:
        """The worst incidents, and the pipelines that they are of: those whose plan is at hand."""
        with self._lock:
            found: list[Incident] = []
            for name in self._asked(lambda: self._opened().pipelines()):
                own = self._of(name)
                if own is None:
                    continue
                self._asked(own.refresh)
                listed = self._asked(partial(own.listed, MOST_LISTED, quiet=True))
                found += [one for kept in listed if (one := of_episode(kept.episode, known, self._row, kept)) is not None]
            return found, set(self._incidents)

    def incident(self, wanted: str, known: Mapping[str, Row]) -> Incident | None:
        """Any incident of the store, by the first digits of its id; None where there is none, or several."""
        with self._lock:
            for own in self._incidents.values():
                try:
                    kept = self._asked(partial(own.incident, wanted))
                except UserError:
                    continue
                return of_episode(kept.episode, known, self._row, kept)
        return None

    def record(self, alert_id: str) -> dict[str, Any] | None:
        """The whole alert of this id."""
        with self._lock:
            try:
                return self._asked(lambda: self._opened().alert(alert_id)).record
            except UserError:
                return None

    def figures(self, buffer: Figures) -> Figures:
        """Counts over all of the store, not only over what came while the page was there."""
        with self._lock:
            told = self._asked(lambda: self._opened().totals())
        levels = {**dict.fromkeys(buffer.levels, 0), **told.by_level}
        return Figures(told.alerts, told.mean_severity, told.max_severity, levels, buffer.retracted, buffer.kept)

    def actions(self, incident: Incident) -> list[Action]:
        """Who did what about it."""
        own, kept = self._incidents.get(incident.worst.pipeline), incident.kept
        if own is None or kept is None:
            return []
        with self._lock:
            return self._asked(lambda: own.actions(kept))

    def do(self, incident: Incident, action: str, who: str, text: str = "", until_ns: int | None = None) -> None:
        """Acknowledge, resolve, close, reopen, snooze, comment, real, false, or mute its key."""
        own, kept = self._incidents.get(incident.worst.pipeline), incident.kept
        if own is None or kept is None:
            raise UserError("nothing can be done about incidents that no store keeps")
        if not who.strip():
            raise UserError("say who you are first: what people do is kept with their names")
        doing: dict[str, Callable[[], object]] = {
            "acknowledge": lambda: own.acknowledge(kept, who, text),
            "resolve": lambda: own.resolve(kept, who, text),
            "close": lambda: own.close_incident(kept, who, text),
            "reopen": lambda: own.reopen(kept, who, text),
            "snooze": lambda: own.snooze(kept, who, until_ns or time.time_ns(), text),
            "comment": lambda: own.comment(kept, who, text),
            "real": lambda: own.label(kept, who, "real", text),
            "false": lambda: own.label(kept, who, "false", text),
            "mute": lambda: own.mute(who, MutePlan(_escaped(kept.episode["keys"]), "", text, None, until_ns)),
        }
        with self._lock:
            self._asked(doing[action])

    def _of(self, pipeline: str) -> Incidents | None:
        if pipeline not in self._incidents:
            plan = self._plan_of(pipeline)
            if plan is None:
                return None
            self._incidents[pipeline] = self._asked(lambda: Incidents.open(self._uri, plan))
        return self._incidents[pipeline]

    def _opened(self) -> Store:
        if self._store is None:
            self._store = Store.open(self._uri)
        return self._store

    def _row(self, alert_id: str) -> Row | None:
        row = self._worst.get(alert_id)
        if row is None and (record := self.record(alert_id)) is not None:
            row = row_of(record, 0.0)
            if len(self._worst) >= _MOST_WORST:
                self._worst.clear()
            self._worst[alert_id] = row
        return row

    def _asked(self, call: Callable[[], _T]) -> _T:
        try:
            return call()
        except StoreGoneError as error:
            raise UserError(f"the store cannot be reached: {error}") from error


def _escaped(keys: list[str]) -> str:
    """A pattern for this very key: `?` stands for any one character, also for a star."""
    if len(keys) != 1:
        raise UserError("this incident has several keys: mute them one by one with `offbeat incidents STORE mute`")
    return keys[0].replace("*", "?")


class StoreRows:
    """Follows a store: its last alerts, and those that come."""

    def __init__(self, uri: str, most: int) -> None:
        self._uri, self._most = uri, most

    def steps(self, buffer: AlertBuffer) -> Any:
        """See `Follower`."""
        try:
            with Store.open(self._uri) as store:
                change = max(0, store.last_change() - self._most)
                buffer.clear()
                while True:
                    wrong: list[str] = []
                    while found := store.since(change):
                        wrong += buffer.add(alert.line.encode() for alert in found)
                        change = found[-1].change
                    yield wrong
        except StoreGoneError as error:
            raise UserError(f"the store cannot be reached: {error}") from error
