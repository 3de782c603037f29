"""Detectors side by side, drawn: scores over time with threshold, votes and labelled spans, and a map of how far they agree."""

from __future__ import annotations

import html
from collections.abc import Sequence
from io import StringIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
from rich.console import Console

from offbeat.core.batch import F64, I64
from offbeat.evaluate.comparison import Comparison
from offbeat.evaluate.series import Series
from offbeat.io.report.chart_svg import Panel, Trace, chart_svg, heat_svg
from offbeat.io.report.compare_report import comparison_report
from offbeat.io.report.console import safe
from offbeat.io.report.page import write_page
from offbeat.io.write.atomic_file import prepare

MOST_POINTS = 2_000
"""Points drawn of a detector; of more rows, the highest score of each group of neighbours in time."""
_KINDS = ("rgba(229,142,26,0.30)", "rgba(48,164,108,0.30)", "rgba(142,78,198,0.30)", "rgba(0,162,199,0.30)", "rgba(214,64,159,0.30)")
_LINE, _ODD, _LIMIT = "#4c8dd6", "#e5484d", "#e58e1a"
_PANEL = 150
_MOST_WORDS = 300
"""Votes of a detector of which key and time are told under the pointer."""


def check_plot(path: Path) -> None:
    """Raise UserError where nothing can be written there, before any work is done."""
    prepare(path)


def plot_comparison(comparison: Comparison, path: Path, *, title: str, zone: str = "UTC", remarks: Sequence[str] = ()) -> Path:
    """Draw the comparison into one HTML file; returns its path. Raises UserError where that is not possible."""
    body = _scores(comparison, zone)
    if comparison.agreements:
        body += _maps(comparison)
    console = Console(width=160, record=True, file=StringIO())
    console.print(comparison_report(comparison, remarks))
    body += f"<pre>{html.escape(console.export_text())}</pre>"
    what = (
        f"Scores run from 0 to 1, 0.5 is the threshold, red points are votes. Of neighbours in time only the highest score is drawn, at "
        f"its own time: at most {MOST_POINTS:,} points a detector."
    )
    return write_page(path, title, what, body)


def highest(time_ns: I64, score: F64, most: int = MOST_POINTS) -> I64:
    """Indices of at most `most` scored rows in the order of time: of each group of neighbours, of equal counts, the first highest."""
    scored = np.flatnonzero(~np.isnan(score))
    order = scored[np.argsort(time_ns[scored], kind="stable")]
    if len(order) <= most:
        return order
    edges = np.linspace(0, len(order), most + 1).astype(np.int64)
    return np.array([order[a + int(np.argmax(score[order[a:b]]))] for a, b in pairwise(edges.tolist())], np.int64)


def _scores(comparison: Comparison, zone: str) -> str:
    times = np.concatenate([series.rows.time_ns for series in comparison.series])
    ends = (float(times.min()), float(times.max())) if len(times) else (0.0, 1.0)
    panels = []
    for i, (series, said) in enumerate(zip(comparison.series, comparison.flags, strict=True)):
        spans = _spans(comparison.labelled.truths[i].events) if comparison.labelled is not None else []
        limit = Trace(np.array(ends), np.array([0.5, 0.5]), _LIMIT, line=1, dash="2 4")
        points = _points(series, zone)
        last = zone if i == len(comparison.series) - 1 else ""
        panels.append(Panel(_title(series, said.votes, said.judged), ends, (-0.02, 1.02), [*spans, limit, *points], last, zone=zone))
    return chart_svg(panels, height=_PANEL, label="scores over time, by detector")


def _title(series: Series, votes: int, judged: int) -> str:
    return f"{safe(series.name)}: {votes:,} votes on {judged:,} rows"


def _points(series: Series, zone: str) -> list[Trace]:
    index = highest(series.rows.time_ns, series.score)
    times = series.rows.time_ns[index]
    pauses = np.flatnonzero(np.diff(times) > (times[-1] - times[0]) // 50) + 1 if len(index) else index
    x, y, voted = times.astype(np.float64), series.score[index], series.voted[index]
    line = Trace(np.insert(x, pauses, np.nan), np.insert(y, pauses, np.nan), _LINE, line=0.7)  # no line over a night
    odd = index[voted]
    told = odd[np.argsort(-series.score[odd], kind="stable")[:_MOST_WORDS]]
    local = dict(zip(told.tolist(), _local_times(series.rows.time_ns[told], zone), strict=True))
    words = [
        f"{safe(series.rows.keys[slot])} {local[row]}, score {score:.3f}" if row in local else ""
        for row, slot, score in zip(odd.tolist(), series.rows.slots[odd].tolist(), series.score[odd].tolist(), strict=True)
    ]
    return [line, Trace(x[~voted], y[~voted], _LINE, dots=1.5), Trace(x[voted], y[voted], _ODD, dots=2.5, words=words)]


def _spans(events: pl.DataFrame) -> list[Trace]:
    """The labelled spans of each kind as one filled trace, with an edge so that the shortest are seen too."""
    found = []
    for i, kind in enumerate(events["kind"].unique().sort().to_list()):
        of_kind = events.filter(pl.col("kind") == kind)
        begin, end = (of_kind[name].to_physical().to_numpy().astype(np.float64) for name in ("from", "to"))
        x = np.stack([begin, begin, end, end, begin, np.full(len(begin), np.nan)], axis=1).reshape(-1)
        y = np.tile([0, 1, 1, 0, 0, np.nan], len(begin))
        found.append(Trace(x, y, _KINDS[i % len(_KINDS)], line=1, fill=True, name=safe(kind)))
    return found


def _maps(comparison: Comparison) -> str:
    names = [series.name for series in comparison.series]
    place = {name: i for i, name in enumerate(names)}
    jaccard, correlation = np.eye(len(names)), np.eye(len(names))
    for pair in comparison.agreements:
        a, b = place[pair.a], place[pair.b]
        jaccard[a, b] = jaccard[b, a] = np.nan if pair.jaccard is None else pair.jaccard
        correlation[a, b] = correlation[b, a] = np.nan if pair.rank_correlation is None else pair.rank_correlation
    labels = [safe(name) for name in names]
    flagged = heat_svg("rows that both flag / that one flags (Jaccard)", labels, jaccard, label="how far the detectors agree")
    return flagged + heat_svg("rank correlation of the scores", labels, correlation, label="rank correlation of the detectors")


def _local_times(time_ns: I64, zone: str) -> list[str]:
    """Times local to `zone`, without an offset."""
    times = pl.Series(time_ns).cast(pl.Datetime("ns", "UTC")).dt.convert_time_zone(zone)
    return times.dt.to_string("%Y-%m-%d %H:%M:%S%.6f").to_list()
