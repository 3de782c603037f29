"""One incident: what happened, why it was flagged, what would have been ordinary, and what was like it before."""

from __future__ import annotations

from typing import Any

import polars as pl
import streamlit as st

from offbeat.core.plan import Plan
from offbeat.dashboard import work
from offbeat.dashboard.figures import figure_of
from offbeat.dashboard.incident_list import incident_list
from offbeat.dashboard.incidents import Incident, similar
from offbeat.dashboard.live import entry, go_to, state
from offbeat.dashboard.running import Running, Snapshot
from offbeat.dashboard.times import moment, span
from offbeat.dashboard.window_series import window_series
from offbeat.errors import OffbeatError
from offbeat.io.report.around import rows_around
from offbeat.io.report.console import by_verdict, compared, number, parts_are_signed, summary
from offbeat.io.report.contributions import weightiest
from offbeat.io.report.counterfactual import counterfactuals
from offbeat.io.report.drawing import drawing_of
from offbeat.io.report.explain import explain_words
from offbeat.io.report.markup import bars, level, plain, table, text

_MOST_MEMBERS = 30
_MOST_DRAWN = 200


def show(server: Running, wanted: str) -> None:
    """The incident that has an alert whose id begins so."""
    st.button("All incidents", icon=":material/arrow_back:", on_click=_leave)
    snapshot = server.snapshot()
    if not snapshot.status.there:
        state(server, snapshot)
    incident = server.incident(wanted)
    if incident is None:
        if not snapshot.status.read:
            st.html('<div class="ob-still">The alerts are still being read.</div>')
            st.fragment(_try_again, run_every=1.0)(server, wanted)
            return
        told = f"There is no alert {text(wanted, 60)} among those in memory."
        st.html(f'<div class="ob-still">{told}<br>It may have been retracted, or be older than the alerts that are kept.</div>')
        return
    worst = incident.worst
    plan, zone = server.plan_of(worst.pipeline), server.zone_of(worst.pipeline)
    n = len(incident.members)
    st.html(f'<div class="ob-title">{text(incident.key)}</div>{level(worst.level)} severity {worst.severity:.2f}, {text(worst.what)}')
    seen = f"{span(incident.first, incident.last, zone)}, {n:,} alert{'s' * (n > 1)}, pipeline {worst.pipeline}, view {worst.view}"
    st.html(f'<div class="ob-state">{text(seen)}</div>')
    alert = _alert(server, incident, zone)
    if alert is None:
        st.html('<div class="ob-still">This alert is no longer in memory.</div>')
        return
    record = server.record(alert)
    if record is None:
        return
    if incident.kept is not None:
        work.show(server, incident)
    _drawn(server, record, incident, plan, zone)
    left, right = st.columns([1.25, 1], gap="large")
    with left:
        _votes(record)
        _otherwise(record, plan)
    with right:
        _contributions(record)
    _past(server, snapshot, incident)
    with st.expander("In words, with the whole record"):
        st.html(f'<div class="ob-words">{_words(record, plan, zone)}</div>')
    if st.context.url:
        st.caption("Link to this incident")
        st.code(f"{st.context.url.split('?')[0]}?incident={incident.incident_id}", language=None)


def _words(record: dict[str, Any], plan: Plan | None, zone: str) -> str:
    return "\n".join(text(line, 4_000) for line in explain_words(record, plan, zone=zone).splitlines())


def _leave() -> None:
    for name in ("incident", "alert"):
        st.query_params.pop(name, None)


def _try_again(server: Running, wanted: str) -> None:
    snapshot = server.snapshot()
    if snapshot.status.read or server.incident(wanted) is not None:
        st.rerun()


def _alert(server: Running, incident: Incident, zone: str) -> str | None:
    """Which alert of the incident is looked at: the worst unless another was chosen."""
    known = {row.alert_id: row for row in server.snapshot().rows}
    members = sorted((known[name] for name in incident.members if name in known), key=lambda row: (-row.severity, row.micros))
    if not members:
        return incident.worst.alert_id
    shown = members[:_MOST_MEMBERS]
    if len(members) == 1:
        return members[0].alert_id
    labels = {row.alert_id: f"{moment(row.micros, zone)}   {row.severity:.2f}   {row.what}" for row in shown}
    more = f" (the {len(shown)} worst of {len(members):,})" if len(members) > len(shown) else ""
    chosen = st.selectbox(f"Alert{more}", list(labels), format_func=labels.__getitem__, key=f"alert-{incident.incident_id}")
    return str(chosen)


@st.cache_data(max_entries=32, ttl=600, show_spinner="Reading the rows around it …")
def _rows(
    uri: str,
    alert_id: str,  # noqa: ARG001 - under which the rows are kept
    _record: dict[str, Any],
    _plan: Plan | None,
    sources: tuple[str, ...],
) -> tuple[pl.DataFrame | None, str]:
    """The rows, or why there are none; kept for a while."""
    try:
        if sources and _plan is not None and any(v.rollup is not None for v in _plan.views if v.name == _record["view"]):
            return window_series(_record, _plan, sources[0]), ""
        return rows_around(_record, uri, _plan, sources), ""
    except (OffbeatError, OSError) as error:
        return None, str(error)


def _drawn(server: Running, record: dict[str, Any], incident: Incident, plan: Plan | None, zone: str) -> None:
    named = server.sources.get(record["pipeline"])
    rows, why = _rows(server.uri, record["alert_id"], record, plan, () if named is None else (named,))
    if rows is not None:
        try:
            near = [name for name in incident.members if name != record["alert_id"]][:_MOST_DRAWN]
            drawing = drawing_of(record, rows, plan=plan, zone=zone, others=server.feed.buffer.records(near))
        except OffbeatError as error:
            rows, why = None, str(error)
        else:
            st.plotly_chart(figure_of(drawing), config={"displaylogo": False}, key="series")
            by = f"Shaded: what {' and '.join(drawing.shaded_by)} held it against. " if drawing.shaded_by else ""
            st.caption(plain(f"{by}Times in {zone}."))
    if rows is None:
        st.html(f'<div class="ob-state">The rows around it are not drawn: {text(why)}</div>')
        _ranges(record)


def _ranges(record: dict[str, Any]) -> None:
    """What was observed beside what is usual, where there is no series."""
    lines = []
    for detector in record["detectors"] or ():
        for part in detector.get("out_of_range") or ():
            usual = f"{number(part['low'], 4)} to {number(part['high'], 4)}"
            lines.append([part["feature"], number(part["observed"], 5), number(part["expected"], 5), usual, detector["name"]])
    if lines:
        st.html(table(["feature", "observed", "expected", "usual", "by"], lines, frozenset({1, 2})))
    elif record["row"]:
        st.html(table(["column", "value"], [[name, number(value)] for name, value in list(record["row"].items())[:40]], frozenset({1})))


def _votes(record: dict[str, Any]) -> None:
    st.markdown("##### Votes")
    lines = []
    for d, verdict in by_verdict(record):
        score = "-" if d["score"] is None else f"{d['score']:.2f}"
        version = d.get("model_version")
        name = d["name"] if version is None else f"{d['name']} (model {version})"
        lines.append([name, verdict, number(compared(d), 5), number(d["threshold"], 5), number(d["expected"], 5), score])
    st.html(table(["detector", "verdict", "observed", "limit", "expected", "score"], lines, frozenset({2, 3, 4, 5})))


def _otherwise(record: dict[str, Any], plan: Plan | None) -> None:
    st.markdown("##### What would have been ordinary")
    st.html("<ul>" + "".join(f"<li>{text(line, 600)}</li>" for line in counterfactuals(record, plan)) + "</ul>")


def _contributions(record: dict[str, Any]) -> None:
    st.markdown("##### Contributions")
    drawn = False
    for detector, parts in weightiest(record):
        drawn = True
        title = f"{detector['name']} {'voted' if detector['voted'] else 'did not vote'}"
        shown = [(part["feature"], float(part["value"]), number(part["value"], 3)) for part in parts]
        st.html(bars(title, shown, signed=parts_are_signed(detector)))
    if not drawn:
        st.html(f'<div class="ob-state">Each detector looks at one value: {text(summary(record))}</div>')


def _past(server: Running, snapshot: Snapshot, incident: Incident) -> None:
    st.markdown("##### Similar incidents before")
    found = similar(incident, snapshot.incidents)
    if not found:
        st.html('<div class="ob-state">There is none among the alerts in memory.</div>')
        return
    opened = incident_list([entry(server, other) for other in found], "similar")
    if opened:
        go_to(opened)
