"""Tells receivers about alerts: each for itself, so that a dead one holds up nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from offbeat.errors import UserError
from offbeat.io.read.alert_query import Filters
from offbeat.spec.duration import duration_ns
from offbeat.store.database import Database, StoreGoneError
from offbeat.store.notify.config import NotifyConfig, Receiver, with_environment
from offbeat.store.notify.incident_feed import IncidentFeed
from offbeat.store.notify.messages import fields_of, message
from offbeat.store.notify.outbox import Notice, Outbox
from offbeat.store.notify.sending import Sender
from offbeat.store.store import StoredAlert

_S = 1_000_000_000
_FIRST_WAIT, _LONGEST_WAIT = 5 * _S, 900 * _S
_EVERY = 1.0
_GONE_WAIT = 10.0

Say = Callable[[str], None]


class Teller:
    """What one receiver is told. `step` is called again and again, or once."""

    def __init__(self, database: Database, name: str, config: NotifyConfig, say: Say, feed: IncidentFeed | None) -> None:
        """Raises UserError where the receiver's address cannot be used. feed: for those that are told about incidents."""
        self._name, self._config, self._say = name, config, say
        self._receiver: Receiver = config.receivers[name]
        self._outbox = Outbox(database, name)
        self._sender = Sender(name, with_environment(self._receiver.url, name))
        self._digest, self._rate = duration_ns(self._receiver.digest), self._receiver.rate
        self._feed = feed if self._receiver.about == "incidents" else None
        self._known = set[tuple[str, str]]()
        """Events of incidents that are in the outbox."""
        self._held = False
        """Whether it was said that the rate holds messages back."""

    def begin(self, since_ns: int | None) -> None:
        """Take note of a receiver that is new to the store."""
        now = time.time_ns()
        new = self._outbox.begin(self._filters(since_ns), self._fields, now)
        if new and since_ns is None and self._feed is not None:
            self._outbox.note(self._feed.events(self._receiver, self._known, now), now, said=True)
        if new and since_ns is None:
            self._say(f"{self._name}: new here, is told of alerts from now on; --since TIME tells of earlier ones")

    def step(self, *, at_once: bool = False) -> int:
        """Note what is new and send what is due; how many alerts wait. `at_once`: do not gather for a digest."""
        now = time.time_ns()
        if self._feed is None:
            self._outbox.collect(self._filters(None), self._fields, now)
        elif events := self._feed.events(self._receiver, self._known, now):
            self._outbox.note(events, now)
        waiting = self._outbox.waiting()
        if not waiting or not self._due(waiting, now, at_once=at_once):
            return len(waiting)
        title, body = message(waiting, self._config, self._receiver)
        level = max(waiting, key=lambda notice: float(notice.fields["severity"])).fields["level"]
        why = self._sender.send(title, body, level)
        if why is None:
            self._outbox.sent(waiting, time.time_ns())
            self._say(f"{self._name}: told of {self._counted(waiting)}")
            return 0
        self._outbox.failed(waiting, why, time.time_ns())
        self._say(f"{self._name}: {self._counted(waiting)} not told yet: {why}")
        return len(waiting)

    def _counted(self, notices: Sequence[Notice]) -> str:
        return f"{len(notices):,} {self._receiver.about[:-1]}{'' if len(notices) == 1 else 's'}"

    def _filters(self, since_ns: int | None) -> Filters:
        wanted = self._receiver
        return Filters(tuple(wanted.pipelines), tuple(wanted.views), tuple(wanted.keys), tuple(wanted.levels), since_ns=since_ns)

    def _fields(self, alert: StoredAlert) -> dict[str, str]:
        return fields_of(alert, self._config.zone)

    def _due(self, waiting: Sequence[Notice], now: int, *, at_once: bool) -> bool:
        first = waiting[0]
        if first.attempts and now - first.tried_ns < min(_FIRST_WAIT << min(first.attempts - 1, 20), _LONGEST_WAIT) and not at_once:
            return False
        if now - first.made_ns < self._digest and not at_once:
            return False
        free = self._outbox.messages_since(now - duration_ns(self._rate.every)) < self._rate.messages
        if not free and not self._held:
            self._say(f"{self._name}: {self._rate.messages} messages in {self._rate.every}: the next alerts wait, and come in one message")
        self._held = not free
        return free


class Notifier:
    """All receivers of a configuration."""

    def __init__(self, database: Database, config: NotifyConfig, say: Say, feed: IncidentFeed | None = None) -> None:
        """Raises UserError where a receiver's address cannot be used. feed: where some receivers are told about incidents."""
        self._say = say
        self._tellers = {name: Teller(database, name, config, say, feed) for name in config.receivers}
        self._stop = threading.Event()

    def begin(self, since_ns: int | None) -> None:
        """Take note of receivers that are new to the store."""
        for teller in self._tellers.values():
            teller.begin(since_ns)

    def once(self) -> int:
        """Tell everybody what is new; how many alerts still wait for their receiver."""
        return sum(teller.step(at_once=True) for teller in self._tellers.values())

    def stop(self) -> None:
        """Ask `run` to return; safe from a signal handler."""
        self._stop.set()

    def run(self) -> None:
        """Go on until `stop`, each receiver on a thread of its own. Raises what a person must put right."""
        failed: list[UserError] = []
        threads = [threading.Thread(target=self._go_on, args=(name, failed), name=f"notify-{name}", daemon=True) for name in self._tellers]
        for thread in threads:
            thread.start()
        while not self._stop.wait(0.2):
            pass
        for thread in threads:
            thread.join(2 * _EVERY)
        if failed:
            raise failed[0]

    def _go_on(self, name: str, failed: list[UserError]) -> None:
        gone = False
        while not self._stop.is_set():
            wait = _EVERY
            try:
                self._tellers[name].step()
                if gone:
                    self._say(f"{name}: the store is back")
                gone = False
            except StoreGoneError as error:
                if not gone:
                    self._say(f"{name}: {error}; waiting for the store")
                gone, wait = True, _GONE_WAIT if gone else _EVERY
            except UserError as error:
                failed.append(error)
                self._stop.set()
            self._stop.wait(wait)
