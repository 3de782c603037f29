"""An alert drawn: the rows around it, those that it was held against, what was expected and where the limit lay; one HTML file."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from offbeat.core.plan import Plan
from offbeat.io.report.console import Record, summary
from offbeat.io.report.contributions import contribution_bars
from offbeat.io.report.drawing import drawing_of
from offbeat.io.report.explain import explain_words, headline
from offbeat.io.report.page import write_page
from offbeat.io.report.svg import svg_of


def plot_alert(
    alert: Record, rows: pl.DataFrame, path: str | Path, *, plan: Plan | None = None, zone: str = "UTC", columns: Sequence[str] = ()
) -> Path:
    """Draw the alert into one HTML file that needs no network; returns its path. See `drawing_of`.

    Raises UserError where there is nothing to draw, or the file cannot be written.
    """
    parts = [svg_of(drawing_of(alert, rows, plan=plan, zone=zone, columns=columns)), *contribution_bars(alert)]
    words = html.escape(explain_words(alert, plan, zone=zone))
    return write_page(Path(path), headline(alert, zone), summary(alert), "\n".join([*parts, f'<pre class="words">{words}</pre>']))
