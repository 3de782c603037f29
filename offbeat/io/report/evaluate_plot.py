"""What alerts are worth, drawn: ROC and precision over recall, and of each kind an anomaly among the alerts around it."""

from __future__ import annotations

import html
from io import StringIO
from pathlib import Path

import numpy as np
from rich.console import Console

from offbeat.core.batch import F64, I64
from offbeat.evaluate.evaluation import Evaluation
from offbeat.io.report.chart_svg import Panel, Trace, chart_svg
from offbeat.io.report.evaluate_cases import draw_cases, examples
from offbeat.io.report.evaluate_report import evaluation_report
from offbeat.io.report.page import write_page

_LINE, _CHANCE = "#4c8dd6", "rgba(128,128,128,0.6)"
_HEIGHT = 300
_MOST_WORDS = 200
"""Points of a curve whose limit is told under the pointer."""
_MOST_POINTS = 2_000


def plot_evaluation(evaluation: Evaluation, path: Path, *, title: str) -> Path:
    """Draw the evaluation into one HTML file that needs no network; returns its path. Raises UserError where that is not possible."""
    body = _curves(evaluation)
    cases = examples(evaluation)
    if cases:
        body += draw_cases(cases, evaluation.zone)
    console = Console(width=160, record=True, file=StringIO())
    console.print(evaluation_report(evaluation, title=title))
    body += f"<pre>{html.escape(console.export_text())}</pre>"
    what = (
        "Curves: days of keys, ranked by their worst alert. Below, of each kind the anomaly that was found with the greatest certainty "
        "(shaded), among the alerts of its key: the value that was judged, over the row or window of each alert, and what is usual for it. "
        "Drawn is the feature furthest outside its usual range, of the detector that voted with the greatest score and names one; "
        "where none does, what the strongest detector observed, and its limit. Where there was no alert, nothing is drawn."
    )
    return write_page(path, title, what, body)


def _curves(evaluation: Evaluation) -> str:
    points, areas = evaluation.ranked.points, evaluation.ranked.areas
    odd, ordinary = areas.odd, areas.rows - areas.odd
    roc: list[Trace] = []
    over: list[Trace] = []
    if odd and ordinary:
        recall, alarms = points.hits / odd, points.misses / ordinary
        precision = points.hits / (points.hits + points.misses)
        keep = _thinned(len(recall))
        told = set(np.linspace(0, len(keep) - 1, min(len(keep), _MOST_WORDS)).astype(np.int64).tolist())
        words = ["no alert" if np.isinf(score) else f"{evaluation.ranked.by} ≥ {score:.3f}" for score in points.scores[keep].tolist()]
        words = [word if i in told else "" for i, word in enumerate(words)]
        chance = Trace(np.array([0.0, 1.0]), np.array([0.0, 1.0]), _CHANCE, line=1, dash="2 4")
        roc = [chance, Trace(_from_zero(alarms[keep]), _from_zero(recall[keep]), _LINE, line=1.5, dots=1.5, words=["", *words])]
        over = [Trace(recall[keep], precision[keep], _LINE, line=1.5, dots=1.5, steps=True, words=words)]
    ends = (-0.02, 1.02)
    panels = [
        Panel(f"recall; ROC (area {_area(areas.roc_auc)})", ends, ends, roc, "days of keys without anomaly that are flagged"),
        Panel(f"precision over recall (area {_area(areas.pr_auc)})", ends, ends, over, "recall"),
    ]
    return chart_svg(panels, height=_HEIGHT, label="ROC, and precision over recall", columns=2)


def _thinned(n: int) -> I64:
    """At most so many places, first and last among them."""
    kept: I64 = np.unique(np.linspace(0, n - 1, min(n, _MOST_POINTS)).astype(np.int64))
    return kept


def _from_zero(values: F64) -> F64:
    return np.append(0.0, values)


def _area(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
