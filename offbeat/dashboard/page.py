"""The page: who may see it, where one is, and what is shown there."""

from __future__ import annotations

import streamlit as st

from offbeat.dashboard import incident_page, live, overview
from offbeat.dashboard.assets import ICON, asset
from offbeat.dashboard.choice import VIEWS
from offbeat.dashboard.running import Running, running
from offbeat.io.report.markup import STYLE, text

_TITLES = {"incidents": "Incidents", "overview": "Overview", "log": "Log"}


def show() -> None:
    """Draw the page for one session."""
    st.set_page_config(page_title="offbeat", page_icon=ICON, layout="wide", initial_sidebar_state="collapsed")
    st.html(f"<style>{asset('page.css')}{STYLE}</style>")
    server = running()
    try:
        if not _let_in(server):
            return
        if incident := st.query_params.get("incident"):
            incident_page.show(server, incident[:200])
            return
        view = _header(server)
        if view == "overview":
            overview.show(server)
        elif view == "log":
            overview.show_log(server)
        else:
            live.show(server)
    except Exception as error:
        if type(error).__module__.startswith("streamlit.runtime.scriptrunner"):
            raise  # how Streamlit ends or begins a run
        server.feed.log.say(f"the page failed: {type(error).__name__}: {error}")
        st.html(f'<div class="ob-note">This part of the page failed: {text(error)}. It is in the log; the rest goes on.</div>')


def _let_in(server: Running) -> bool:
    if server.password is None or st.session_state.get("let_in"):
        return True
    st.html('<div class="ob-brand">offbeat</div>')
    with st.form("login", width=360):
        given = st.text_input("Password", type="password", autocomplete="current-password")
        asked = st.form_submit_button("Sign in", type="primary")
    if asked and server.password.matches(given):
        st.session_state["let_in"] = True
        st.rerun()
    if asked:
        st.error("That is not the password.")
    return False


def _header(server: Running) -> str:
    told = st.query_params.get("view", "incidents")
    now = told if told in VIEWS else "incidents"
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.html('<div class="ob-brand">offbeat</div>', width="content")
        view = st.segmented_control(
            "View",
            VIEWS,
            default=now,
            format_func=_TITLES.__getitem__,
            key="view",
            label_visibility="collapsed",
            on_change=_moved,
            required=True,
        )
        view = view or now
        live.tools(server, view)
    return view


def _moved() -> None:
    view = st.session_state["view"]
    if view not in VIEWS or view == "incidents":
        st.query_params.pop("view", None)
    else:
        st.query_params["view"] = view
