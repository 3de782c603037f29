"""What `offbeat incidents` does."""

from __future__ import annotations

import getpass
import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from offbeat.cli.incidents import What
from offbeat.cli.say import printable, put, say
from offbeat.cli.terminal import console, show
from offbeat.core.episode_plan import MutePlan
from offbeat.engines.episodes import ready
from offbeat.engines.incidents import plan_of_store
from offbeat.errors import UserError
from offbeat.io.report.console import ID_DIGITS, live_line, moment, safe, summary
from offbeat.io.report.episode_report import episode_lines
from offbeat.spec.duration import instant_ns, positive_duration_ns
from offbeat.store.database import StoreGoneError
from offbeat.store.incident import STATES, Incident
from offbeat.store.incidents import MOST_ALERTS, Incidents
from offbeat.store.store import Store

_SHOWN = 5
_LONGEST_TEXT = 1_000
_WORDS = {
    What.ACK: "acknowledged", What.RESOLVE: "resolved", What.CLOSE: "closed", What.REOPEN: "open", What.SUPPRESS: "suppressed",
    What.SNOOZE: "snoozed", What.COMMENT: "commented",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """The command line."""

    store: str
    what: What
    which: tuple[str, ...]
    why: str
    who: str | None
    since: str | None
    until: str | None
    view: str
    states: tuple[str, ...]
    keys: tuple[str, ...]
    limit: int
    pipeline: str | None
    as_json: bool


def work(asked: Asked) -> None:
    """Do it. Raises UserError for what a person can put right."""
    _check(asked)
    plan = plan_of_store(asked.store, asked.pipeline)
    since_ns = None if asked.since is None or asked.what is What.MUTE else moment_ns("--since", asked.since, ahead=False)
    try:
        # An incident that is named may be as old as it likes.
        most = MOST_ALERTS if asked.what in {What.LIST, What.MUTES, What.MUTE, What.UNMUTE} else None
        with Incidents.open(asked.store, ready(plan.episodes), since_ns, most) as incidents:
            if asked.what is What.LIST:
                _list(asked, incidents, plan.zone)
            elif asked.what is What.SHOW:
                for beginning in asked.which:
                    _show(asked, incidents, incidents.incident(beginning), plan.zone)
            elif asked.what in {What.MUTE, What.UNMUTE, What.MUTES}:
                _mutes(asked, incidents, plan.zone)
            else:
                # All of them are looked up before anything is done to one.
                for incident in [incidents.incident(beginning) for beginning in asked.which]:
                    done = _act(asked, incidents, incident)
                    what = _WORDS[asked.what]
                    put(json.dumps(done.as_dict()) if asked.as_json else f"{done.incident_id[:ID_DIGITS]} {what}")
    except StoreGoneError as error:
        raise UserError(f"the store cannot be reached: {error}") from error


def user_name(who: str | None) -> str:
    """Who acts: as named, else the user of this machine."""
    try:
        return who or getpass.getuser()
    except (OSError, KeyError):
        raise UserError("who does it? Name yourself with --who NAME") from None


def moment_ns(option: str, text: str, *, ahead: bool) -> int:
    """A time, or a duration from now: into the future (`ahead`), or back. Raises UserError."""
    try:
        return time.time_ns() + (1 if ahead else -1) * positive_duration_ns(text)
    except ValueError:
        pass
    try:
        return instant_ns(text)
    except ValueError as error:
        raise UserError(f"{option} {text}: expected a time such as 2024-06-30 or 2024-06-30T18:00:00Z, or a duration such as 4h") from error


def _check(asked: Asked) -> None:
    needs = asked.what not in {What.LIST, What.MUTES}
    if needs and not asked.which:
        others = {What.MUTE: "a key or a pattern such as 'SIM-*'", What.UNMUTE: "a number, as `mutes` lists them"}
        raise UserError(f"{asked.what} needs {others.get(asked.what, 'an incident')}: offbeat incidents STORE {asked.what} …")
    if not needs and asked.which:
        raise UserError(f"{asked.what} takes no {asked.which[0]!r}; --key and --state choose")
    if asked.what is What.SNOOZE and asked.until is None:
        raise UserError("snooze needs --until TIME, such as --until 4h")
    if asked.what in {What.COMMENT, What.MUTE} and not asked.why:
        raise UserError(f"{asked.what} needs --why TEXT")
    for name in asked.states:
        if name not in {*STATES, "all"}:
            raise UserError(f"--state {name}: states are {', '.join(STATES)}, or all")


def _act(asked: Asked, incidents: Incidents, incident: Incident) -> Incident:
    who, why = user_name(asked.who), asked.why
    if asked.what is What.SNOOZE:
        return incidents.snooze(incident, who, moment_ns("--until", asked.until or "", ahead=True), why)
    done = {
        What.ACK: incidents.acknowledge, What.RESOLVE: incidents.resolve, What.CLOSE: incidents.close_incident,
        What.REOPEN: incidents.reopen, What.SUPPRESS: incidents.suppress, What.COMMENT: incidents.comment,
    }[asked.what]  # fmt: skip
    return done(incident, who, why)


def _list(asked: Asked, incidents: Incidents, zone: str) -> None:
    if asked.states:
        states = () if "all" in asked.states else asked.states
        found = incidents.listed(asked.limit, states=states, keys=asked.keys, quiet=True)
    else:
        found = incidents.waiting(asked.limit, keys=asked.keys)
    if asked.as_json:
        for incident in found:
            put(json.dumps(incident.as_dict()))
        return
    title = f"the {len(found)} worst incidents" if len(found) == asked.limit else f"{len(found)} incident{'' if len(found) == 1 else 's'}"
    with Store.open(asked.store) as store:
        fired = [summary(store.alert(incident.episode["worst"]).record) for incident in found]
    rows = [
        incident.episode | {"episode_id": incident.incident_id, "state": _state(incident), "what": what}
        for incident, what in zip(found, fired, strict=True)
    ]
    if rows:
        show(episode_lines(rows, title=title, zone=zone), console())
    else:
        put("Nothing waits." if not asked.states else "No incidents.")
    counts = incidents.episodes.counts()
    others = [f"{counts[name]:,} {name}" for name in ("muted", "inhibited") if counts[name]]
    if incidents.since_ns is not None and asked.since is None:
        say(f"only alerts from {_time(incidents.since_ns, zone)} on are read, the newest {MOST_ALERTS:,}; --since TIME reads older ones")
    if others and not asked.states:
        say(f"also {' and '.join(others)}; --state all lists them too")


def _state(incident: Incident) -> str:
    parts = [incident.state + (" again" if incident.reopened else "")]
    parts += [f"by {safe(incident.who)}"] if incident.who and incident.state != "open" else []
    parts += [f"snoozed until {_time(incident.snoozed_until_ns)}"] if incident.snoozed(time.time_ns()) else []
    parts += [incident.label] if incident.label else []
    return ", ".join(parts)


def _time(ns: int | None, zone: str = "UTC") -> str:
    return "" if ns is None else moment(datetime.fromtimestamp(ns // 10**9, UTC), zone)


def _show(asked: Asked, incidents: Incidents, incident: Incident, zone: str) -> None:
    actions = incidents.actions(incident)
    if asked.as_json:
        told = [{"at_ns": one.at_ns, "who": one.who, "action": one.action, "text": one.text} for one in actions]
        put(json.dumps({**incident.as_dict(), "actions": told}))
        return
    row = incident.episode | {"episode_id": incident.incident_id, "state": _state(incident)}
    show(episode_lines([row], zone=zone), console())
    with Store.open(asked.store) as store:
        rises = incident.episode["history"][::-1][:_SHOWN]
        for rise in rises:
            show(live_line(store.alert(rise["alert_id"]).record, zone=zone), console(), whole=True)
    for one in actions:
        put(f"{_time(one.at_ns, zone)}  {safe(one.who)}: {one.action}{' - ' if one.text else ''}{safe(one.text, _LONGEST_TEXT)}")
    put(f"offbeat explain {incident.episode['worst'][:ID_DIGITS]} --alerts {asked.store}")


def _mutes(asked: Asked, incidents: Incidents, zone: str) -> None:
    who = user_name(asked.who)
    if asked.what is What.MUTE:
        from_ns = None if asked.since is None else moment_ns("--since", asked.since, ahead=False)
        until_ns = None if asked.until is None else moment_ns("--until", asked.until, ahead=True)
        if from_ns is not None and until_ns is not None and until_ns <= from_ns:
            raise UserError(f"--until {asked.until} is not after --since {asked.since}: nothing would be muted")
        for key in asked.which:
            number = incidents.mute(who, MutePlan(key, asked.view, asked.why, from_ns, until_ns))
            put(f"mute {number}: {printable(key)}")
        keys = [incidents.episodes.texts[key] for key in sorted(set(incidents.episodes.members.key.tolist()))]
        for note in incidents.unmatched(keys):
            say(f"of the alerts: {note}")
        return
    if asked.what is What.UNMUTE:
        for text in asked.which:
            if not text.isdecimal():
                raise UserError(f"unmute takes the number of a mute, as `offbeat incidents STORE mutes` lists them, not {text!r}")
            incidents.unmute(who, int(text))
            put(f"mute {text} taken back")
        return
    for number, mute in incidents.mutes():
        row = {
            "number": number,
            "key": mute.key,
            "view": mute.view,
            "reason": mute.reason,
            "since_ns": mute.from_ns,
            "until_ns": mute.until_ns,
        }
        parts = [f"{number}: {mute.key}", f"view {mute.view}" if mute.view else "", mute.reason]
        parts += [f"from {_time(mute.from_ns, zone)}"] if mute.from_ns is not None else []
        parts += [f"until {_time(mute.until_ns, zone)}"] if mute.until_ns is not None else []
        put(json.dumps(row) if asked.as_json else printable("  ".join(part for part in parts if part)))
    if not incidents.mutes() and not asked.as_json:
        put("No mutes in the store.")
