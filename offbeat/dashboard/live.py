"""The list of incidents as they come, with the figures beside it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import streamlit as st

from offbeat.dashboard.choice import ORDERS, Choice, chosen, keep_in_url, remember, splits, value_of
from offbeat.dashboard.incident_list import incident_list
from offbeat.dashboard.incidents import Incident
from offbeat.dashboard.running import Running, Snapshot
from offbeat.dashboard.times import span
from offbeat.io.report.console import safe
from offbeat.io.report.markup import COLORS, LEVELS, bars, figures, text

_FRESH = 8.0
"""Seconds for which an incident is shown as new."""
_SHOWN = 50
_LAST = 1_000
"""Alerts that the splits count: the last ones."""


def tools(server: Running, view: str) -> None:
    """Filters and pause, in the line of the header."""
    if view == "log":
        return
    choice = chosen()
    snapshot = server.snapshot()
    if view == "incidents":
        words = choice.words()
        with st.popover(f"Filter ({text_of(words)})" if words else "Filter", icon=":material/filter_alt:"):
            _filters(choice, snapshot)
        st.segmented_control(
            "Order",
            ORDERS,
            default=choice.order,
            format_func={"worst": "Worst", "newest": "Newest"}.__getitem__,
            key="order",
            label_visibility="collapsed",
            on_change=_filtered,
            required=True,
        )
    st.toggle("Pause", key="paused", on_change=lambda: st.session_state.pop("frozen", None))


def text_of(words: str) -> str:
    """A label: Streamlit reads labels as Markdown, so nothing in it may be taken as such."""
    plain = "".join(c if c.isalnum() or c in " ,;:.-_“”" else " " for c in words)
    return plain[:40].replace(":", " ").replace("_", " ")


def _filters(choice: Choice, snapshot: Snapshot) -> None:
    detectors = sorted({name for row in snapshot.rows for name in row.detectors} | set(choice.detectors))
    st.pills("Level", LEVELS, selection_mode="multi", default=[v for v in choice.levels if v in LEVELS], key="f_level", on_change=_filtered)
    st.text_input("Key contains", choice.key, max_chars=200, key="f_key", on_change=_filtered)
    st.multiselect("Detectors", detectors, default=list(choice.detectors), key="f_what", on_change=_filtered)
    fields = splits(snapshot.rows[-_LAST:])
    fields += [choice.by] if choice.by and choice.by not in fields else []
    st.selectbox("Split by", fields, index=fields.index(choice.by) if choice.by else 0, key="f_by", on_change=_split)
    by = st.session_state["f_by"]
    values = sorted({value_of(row, by) for row in snapshot.rows} | set(choice.values))[:500]
    st.multiselect("Only where it is", values, default=list(choice.values), key="f_is", on_change=_filtered)
    st.toggle("Also muted, snoozed and closed ones", choice.everything, key="f_all", on_change=_filtered)
    st.button("Show all", on_click=_all)


def _filtered() -> None:
    state = st.session_state
    before = chosen()
    remember(
        Choice(
            levels=tuple(state.get("f_level", before.levels)),
            key=state.get("f_key", before.key),
            detectors=tuple(state.get("f_what", before.detectors)),
            by=state.get("f_by", before.by),
            values=tuple(state.get("f_is", before.values)),
            order=state.get("order") or before.order,
            everything=bool(state.get("f_all", before.everything)),
        )
    )


def _split() -> None:
    st.session_state["f_is"] = []
    _filtered()


def _all() -> None:
    remember(Choice())
    st.session_state["f_level"], st.session_state["f_key"] = [], ""
    st.session_state["f_what"], st.session_state["f_is"], st.session_state["f_all"] = [], [], False


def show(server: Running) -> None:
    """The part that goes on by itself."""
    paused = bool(st.session_state.get("paused"))
    st.fragment(_live, run_every=None if paused else server.refresh)(server)


def _live(server: Running) -> None:
    paused = bool(st.session_state.get("paused"))  # a run that was on its way when it was paused counts as paused, too
    if paused:
        st.session_state.setdefault("frozen", server.snapshot())
    snapshot: Snapshot = st.session_state["frozen"] if paused else server.snapshot()
    choice = chosen()
    keep_in_url()
    taken = [incident for incident in snapshot.incidents if choice.takes(incident)]
    if choice.order == "newest":
        taken.sort(key=lambda incident: (-incident.last, incident.incident_id))
    state(server, snapshot, paused)
    if not snapshot.rows:
        why = "Waiting for the first one." if snapshot.status.there else "The source cannot be read at the moment."
        st.html(f'<div class="ob-still">No alerts yet in {text(server.feed.name)}.<br>{why}</div>')
        return
    st.html(figures(_figures(snapshot)))
    left, right = st.columns([3.4, 1], gap="medium")
    with left:
        most = int(st.session_state.get("most", _SHOWN))
        opened = incident_list([entry(server, incident) for incident in taken[:most]], "incidents")
        if not taken:
            others = "" if choice.words() else " Muted, snoozed and closed ones are not shown."
            st.html(f'<div class="ob-still">No incident {"passes the filter" if choice.words() else "waits"}.{others}</div>')
        elif len(taken) > most and st.button(f"Show more: {len(taken) - most:,} further incidents"):
            st.session_state["most"] = most + _SHOWN
            st.rerun(scope="fragment")
    with right:
        last = snapshot.rows[-_LAST:]
        levels = Counter(row.level for row in last)
        names = [*LEVELS, *sorted(set(levels) - set(LEVELS))]
        shown = [(name, float(levels[name]), f"{levels[name]:,}") for name in names if name in LEVELS or levels[name]]
        st.html(bars(f"The last {len(last):,} alerts by level", shown, COLORS))
        by = choice.by or splits(last)[0]
        st.html(bars(f"by {by}", _top(Counter(value_of(row, by) or "not given" for row in last))))
        st.html(bars("by detector that voted", _top(Counter(name for row in last for name in row.detectors))))
    if opened:
        go_to(opened)


def go_to(incident: str) -> None:
    """Show an incident. The list has put it into the URL already."""
    if st.query_params.get("incident") != incident:
        st.query_params["incident"] = incident
    st.rerun()


def state(server: Running, snapshot: Snapshot, paused: bool = False) -> None:
    """One line on the source; it says so plainly where it is gone."""
    if not snapshot.status.there:
        kept = " What was read before is still shown." if snapshot.rows else ""
        why = text(snapshot.status.why)
        st.html(f'<div class="ob-note"><b>The source is gone:</b> {why}.{kept} It is tried again every second.</div>')
        return
    how = "paused" if paused else "live" if snapshot.status.read else "reading"
    st.html(f'<div class="ob-state">{how}: {text(server.feed.name)}</div>')


def _figures(snapshot: Snapshot) -> list[tuple[str, str]]:
    told = snapshot.figures
    now = time.time_ns()
    known = [("incidents", f"{sum(incident.waits(now) for incident in snapshot.incidents):,}"), ("alerts", f"{told.total:,}")]
    known.append(("critical", f"{told.levels.get('critical', 0):,}"))
    known.append(("mean severity", "-" if told.mean_severity is None else f"{told.mean_severity:.2f}"))
    known.append(("highest severity", "-" if told.max_severity is None else f"{told.max_severity:.2f}"))
    if told.retracted:
        known.append(("retracted", f"{told.retracted:,}"))
    if told.total + told.retracted > told.kept + _LAST:
        known.append(("in memory", f"{told.kept:,}"))
    return known


def _top(counts: Counter[str], most: int = 8) -> list[tuple[str, float, str]]:
    shown = [(name, float(n), f"{n:,}") for name, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]]
    rest = sum(counts.values()) - sum(int(size) for _, size, _ in shown)
    return [*shown, (f"{len(counts) - most} others", float(rest), f"{rest:,}")] if rest else shown


def entry(server: Running, incident: Incident) -> dict[str, Any]:
    """An incident as a row of the list."""
    worst, n = incident.worst, len(incident.members)
    now = time.time_ns()
    return {
        "id": incident.incident_id,
        "level": worst.level,
        "severity": f"{worst.severity:.2f}",
        "key": incident.key,
        "what": worst.what,
        "state": "; ".join(_state_words(incident, now)),
        "muted": not incident.waits(now),
        "count": f"{n:,} alert{'s' * (n > 1)}",
        "time": span(incident.last, incident.last, server.zone_of(worst.pipeline)),
        "fresh": server.feed.is_new(incident.arrived) and time.monotonic() - incident.arrived < _FRESH,
    }


def _state_words(incident: Incident, now_ns: int) -> Iterator[str]:
    """What is to be said of its state; nothing of one that is open."""
    kept = incident.kept
    if kept is not None and kept.reopened:
        yield "open again"
    elif kept is not None and kept.state != "open":
        yield f"{kept.state} by {safe(kept.who, 30)}" if kept.who else kept.state
    if incident.muted is not None:
        yield f"muted: {incident.muted}"
    if incident.inhibited:
        yield "inhibited"
    if kept is not None and kept.snoozed(now_ns):
        yield "snoozed"
    if kept is not None and kept.label is not None:
        yield f"labelled {kept.label}"
