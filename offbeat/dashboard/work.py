"""What people do about an incident of a store, and who did what before."""

from __future__ import annotations

import time

import streamlit as st

from offbeat.dashboard.incidents import Incident
from offbeat.dashboard.running import Running
from offbeat.dashboard.times import moment
from offbeat.errors import OffbeatError
from offbeat.io.report.markup import plain, table, text

_HOUR_NS = 3_600_000_000_000
_SPANS = {"1 hour": 1, "4 hours": 4, "1 day": 24, "7 days": 168, "30 days": 720}
_FOREVER = "for good"
_MOST_TEXT = 2_000


def show(server: Running, incident: Incident) -> None:
    """The state of the incident, what can be done, and its history."""
    kept = incident.kept
    if kept is None or server.desk is None:
        return
    said = st.session_state.pop("did", None)
    if said:
        show_it = st.error if said.startswith("not done") else st.success
        show_it(plain(said))
    st.html(f'<div class="ob-state">{text(_state(incident), 400)}</div>')
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.text_input("Your name", st.session_state.get("name", ""), max_chars=60, key="who", width=180, autocomplete="username")
        for action, label in _possible(incident):
            st.button(label, key=f"do-{action}", on_click=_do, args=(server, incident, action))
        with st.popover("Snooze"):
            st.selectbox("For", list(_SPANS), index=1, key="snooze_for")
            st.button("Snooze", key="do-snooze", on_click=_do, args=(server, incident, "snooze", "snooze_for"))
        with st.popover("Mute this key"):
            st.text_input("Because", max_chars=200, key="mute_why")
            st.selectbox("For", [*_SPANS, _FOREVER], index=3, key="mute_for")
            st.button("Mute", key="do-mute", on_click=_do, args=(server, incident, "mute", "mute_for", "mute_why"))
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.text_input("Comment, or why", max_chars=_MOST_TEXT, key="comment", width=420)
        st.button("Comment", on_click=_do, args=(server, incident, "comment", None, "comment"))
        st.button("It was real", on_click=_do, args=(server, incident, "real", None, "comment"))
        st.button("A false alarm", on_click=_do, args=(server, incident, "false", None, "comment"))
    actions = server.desk.actions(incident)
    if actions:
        lines = [[moment(one.at_ns // 1_000, "UTC"), one.who, one.action, one.text] for one in actions[::-1][:50]]
        st.html(table(["when", "who", "what", "words"], lines))


def _possible(incident: Incident) -> list[tuple[str, str]]:
    if incident.state == "open":
        return [("acknowledge", "Acknowledge"), ("resolve", "Resolve"), ("close", "Close")]
    if incident.state == "acknowledged":
        return [("resolve", "Resolve"), ("close", "Close"), ("reopen", "Reopen")]
    return [("reopen", "Reopen")]


def _state(incident: Incident) -> str:
    kept = incident.kept
    if kept is None:
        return ""
    parts = [f"State: {'open again: alerts came after it was done' if kept.reopened else kept.state}"]
    if kept.who:
        parts.append(f"by {kept.who}" + ("" if kept.at_ns is None else f" at {moment(kept.at_ns // 1_000, 'UTC')}"))
    if kept.snoozed_until_ns is not None and kept.snoozed(time.time_ns()):
        parts.append(f"snoozed until {moment(kept.snoozed_until_ns // 1_000, 'UTC')}")
    if incident.muted is not None:
        parts.append(f"muted: {incident.muted}")
    if incident.inhibited:
        parts.append("inhibited by another incident")
    if kept.label is not None:
        parts.append(f"labelled {kept.label}" + (f" ({kept.label_why})" if kept.label_why else ""))
    return ", ".join(parts)


def _do(server: Running, incident: Incident, action: str, span: str | None = None, words: str | None = None) -> None:
    """Do it, and say so; the name is kept for the next time."""
    state = st.session_state
    who = str(state.get("who", "")).strip()
    state["name"] = who
    hours = _SPANS.get(state[span]) if span is not None else None
    until = None if hours is None else time.time_ns() + hours * _HOUR_NS
    told = str(state.get(words, "")).strip() if words is not None else ""
    if server.desk is None:
        return
    try:
        if action == "comment" and not told:
            state["did"] = "not done: the comment is empty"
            return
        server.desk.do(incident, action, who, told, until)
    except OffbeatError as error:
        state["did"] = f"not done: {error}"
        return
    server.look_again()
    state["did"] = f"done: {action}"
    if words == "comment":
        state["comment"] = ""
