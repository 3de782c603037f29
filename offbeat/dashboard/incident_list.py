"""The list of incidents as a component of the page: rows are made and changed in place, so that focus and position stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from offbeat.dashboard.assets import asset

_HTML = """<div class="list" role="list" aria-label="incidents"></div><div class="said" role="status" aria-live="polite"></div>"""
_MOUNT: list[Callable[..., Any]] = []


def incident_list(rows: list[dict[str, Any]], key: str) -> str | None:
    """Show the rows; gives the id of the one that was just opened. Every value is text, and is put on the page as such."""
    if not _MOUNT:
        css, js = asset("incident_list.css"), asset("incident_list.js")
        _MOUNT.append(st.components.v2.component("offbeat.incidents", html=_HTML, css=css, js=js))
    opened = _MOUNT[0](data={"rows": rows}, key=key, on_opened_change=lambda: None).opened
    # A click that comes while the page is still drawn makes Streamlit draw it again with what was clicked before.
    if opened is None or opened == st.session_state.get("opened"):
        return None
    st.session_state["opened"] = opened
    return str(opened).partition(" ")[0]
