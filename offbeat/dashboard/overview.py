"""The whole at a glance: where and when alerts were, what became of the rows, which models were at work; and what went wrong."""

from __future__ import annotations

from collections import Counter

import numpy as np
import streamlit as st

from offbeat.dashboard.alert_buffer import Row
from offbeat.dashboard.figures import columns_over_time, heat_map
from offbeat.dashboard.live import state
from offbeat.dashboard.running import Running
from offbeat.dashboard.times import local, moment
from offbeat.dashboard.workers import Figures
from offbeat.io.report.markup import COLORS, LEVELS, table, text

_EVERY = 5.0
_MOST_KEYS, _MOST_TIMES = 25, 96
_STEPS = [60, 300, 900, 3_600, 10_800, 21_600, 86_400, 604_800, 2_592_000]
_HOUR = 3_600


def show(server: Running) -> None:
    """Goes on by itself, more slowly than the list."""
    paused = bool(st.session_state.get("paused"))
    st.fragment(_overview, run_every=None if paused else _EVERY)(server)


def _overview(server: Running) -> None:
    snapshot = server.snapshot()
    state(server, snapshot)
    if server.workers is not None:
        _workers(server.workers.figures())
    rows = [row for row in snapshot.rows if row.status != "retracted"]
    pipelines = sorted({row.pipeline for row in rows})
    if len(pipelines) > 1:  # their times may lie years apart
        chosen = st.selectbox("Pipeline", pipelines, index=pipelines.index(rows[-1].pipeline), key="pipeline")
        rows = [row for row in rows if row.pipeline == chosen]
    if rows:
        zone = server.zone_of(rows[-1].pipeline)
        times = np.array([row.micros for row in rows], np.int64) // 1_000_000
        step = next((s for s in _STEPS if (times.max() - times.min()) / s <= _MOST_TIMES), _STEPS[-1])
        st.markdown("##### Alerts by key and time")
        _by_key(rows, times, step, zone)
        st.markdown(f"##### Alerts {_per(step)}")
        _by_level(rows, times, step, zone)
        st.caption(f"Event times in {zone}".replace("_", "\\_"))
        _models(rows)
    else:
        st.html('<div class="ob-still">No alerts yet.</div>')


def _per(step: int) -> str:
    known = {60: "a minute", 3_600: "an hour", 86_400: "a day", 604_800: "a week", 2_592_000: "in 30 days"}
    return known.get(step, f"in {step // 60} minutes" if step < _HOUR else f"in {step // _HOUR} hours")


def _grid(times: np.ndarray, step: int, zone: str) -> tuple[np.ndarray, list[str]]:
    """The place of each time in a grid, and the local times at which its cells begin."""
    begin = int(times.min()) // step * step
    place = (times - begin) // step
    cells = [local((begin + int(k) * step) * 1_000_000, zone).strftime("%Y-%m-%d %H:%M") for k in range(int(place.max()) + 1)]
    return place, cells


def _by_key(rows: list[Row], times: np.ndarray, step: int, zone: str) -> None:
    counts = Counter(row.key for row in rows)
    keys = [key for key, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_MOST_KEYS]]
    at = {key: i for i, key in enumerate(keys)}
    place, cells = _grid(times, step, zone)
    grid = np.zeros((len(keys), len(cells)), np.int64)
    for row, k in zip(rows, place.tolist(), strict=True):
        if row.key in at:
            grid[at[row.key], k] += 1
    st.plotly_chart(heat_map(keys, cells, grid), config={"displaylogo": False}, key="heat")
    if len(counts) > len(keys):
        st.caption(f"The {len(keys)} keys with most alerts, of {len(counts):,}")


def _by_level(rows: list[Row], times: np.ndarray, step: int, zone: str) -> None:
    place, cells = _grid(times, step, zone)
    levels = np.array([row.level for row in rows])
    names = [name for name in LEVELS if (levels == name).any()] + sorted(set(levels.tolist()) - set(LEVELS))
    counts = {name: np.bincount(place[levels == name], minlength=len(cells)).tolist() for name in names}
    st.plotly_chart(columns_over_time(cells, counts, COLORS), config={"displaylogo": False}, key="hours")


def _workers(told: Figures) -> None:
    st.markdown("##### Where every row went")
    whole: Counter[str] = Counter()
    for (pipeline, _), n in told.rows.items():
        whole[pipeline] += n
    lines = []
    for (pipeline, outcome), n in sorted(told.rows.items(), key=lambda item: (item[0][0], -item[1])):
        if n:
            lines.append([pipeline, outcome.replace("_", " "), f"{n:,}", f"{100 * n / whole[pipeline]:.2f} %"])
    lines += [[pipeline, f"quarantined: {reason}", f"{n:,}", ""] for (pipeline, reason), n in sorted(told.quarantined.items()) if n]
    st.html(table(["pipeline", "rows", "number", "share"], lines, frozenset({2, 3})))
    st.markdown("##### Workers")
    health = [[worker, pipeline, f"last seen {seconds:.0f} s ago"] for worker, pipeline, seconds in told.seen]
    health += [[worker, "", f"does not answer: {why}"] for worker, why in told.gone]
    st.html(table(["worker", "pipeline", "health"], health))
    behind = [[pipeline, topic, f"{n:,}"] for (pipeline, topic), n in sorted(told.lag.items())]
    if behind:
        st.html(table(["pipeline", "topic", "records that wait"], behind, frozenset({2})))


def _models(rows: list[Row]) -> None:
    last: dict[tuple[str, str, str], tuple[int, int, str]] = {}
    for row in rows:
        for name, version in row.models:
            before = last.get((row.pipeline, row.view, name))
            if before is None or row.micros >= before[1]:
                last[row.pipeline, row.view, name] = (version, row.micros, row.key)
    if last:
        st.markdown("##### Models, as the latest alerts name them")
        lines = [[f"{pipeline} {view}", name, str(version), key] for (pipeline, view, name), (version, _, key) in sorted(last.items())]
        st.html(table(["view", "detector", "version", "key"], lines, frozenset({2})))


def show_log(server: Running) -> None:
    """What went wrong, the newest first."""
    st.fragment(_log, run_every=2.0)(server)


def _log(server: Running) -> None:
    state(server, server.snapshot())
    lines = list(server.feed.log.lines)[::-1]
    if not lines:
        st.html('<div class="ob-still">Nothing went wrong.</div>')
        return
    shown = [[moment(int(at.timestamp() * 1e6), "UTC"), line, "" if n == 1 else f"{n:,} times"] for at, line, n in lines]
    st.html(f"<p>{text('What this page met, by the clock of its machine')}</p>" + table(["time", "what", ""], shown))
