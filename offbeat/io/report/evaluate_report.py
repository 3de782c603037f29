"""An evaluation of alerts on a terminal."""

from __future__ import annotations

from datetime import timedelta

from rich.console import Group, RenderableType
from rich.text import Text

from offbeat.evaluate.evaluation import Evaluation
from offbeat.evaluate.metrics import Delay, KindFigures
from offbeat.io.report.block_table import BlockTable
from offbeat.io.report.console import number, safe

_LONGEST = 32


def evaluation_report(evaluation: Evaluation, *, title: str) -> RenderableType:
    """All tables, and what is ranked in words."""
    parts: list[RenderableType] = [_kinds(evaluation, title), Text(_alarms(evaluation)), _views(evaluation), Text(ranked_words(evaluation))]
    parts += [Text(f"• {safe(note, 300)}") for note in evaluation.notes]
    return Group(*parts)


def ranked_words(evaluation: Evaluation) -> str:
    """The areas below ROC and PR, and what was ranked."""
    ranked = evaluation.ranked
    areas = ranked.areas
    if areas.roc_auc is None or areas.pr_auc is None:
        said = "No ROC-AUC: all ranked key-days lie in an anomaly, or none."
    else:
        said = f"ROC-AUC {areas.roc_auc:.3f}, PR-AUC {areas.pr_auc:.3f}."
    which = "all that were scored" if ranked.key_days is not None else "those with an alert or an anomaly (--key-days N adds the rest)"
    left = f"; {ranked.left_out:,} within the tolerance after an anomaly are left out" if ranked.left_out else ""
    return (
        f"{said} Ranked: {areas.rows:,} key-days (days in {evaluation.zone}), {which}, by the greatest {ranked.by} of their alerts, those "
        f"without alerts last; {areas.odd:,} lie in an anomaly{left}."
    )


def length_words(ns: float) -> str:
    """A length of time for people."""
    if ns < 1_000_000_000:
        return f"{number(ns / 1e9, 3)} s"
    return str(timedelta(seconds=round(ns / 1e9))).removesuffix(", 0:00:00")


def _kinds(evaluation: Evaluation, title: str) -> BlockTable:
    return BlockTable(
        names=["kind"],
        groups=[["anomalies", "found", "recall"], ["alerts", "precision", "F1"], ["median delay", "max delay"]],
        rows=[[safe(kind.kind, _LONGEST), *_cells(kind)] for kind in evaluation.figures.kinds],
        title=safe(title, 120),
        total=["all", *_cells(evaluation.figures.overall)],
    )


def _cells(kind: KindFigures) -> list[str]:
    shares = [_share(x) for x in (kind.recall, kind.precision, kind.f1)]
    return [f"{kind.events:,}", f"{kind.found:,}", shares[0], f"{kind.alerts:,}", *shares[1:], *_delay(kind.delay)]


def _delay(delay: Delay | None) -> list[str]:
    return ["-", "-"] if delay is None else [length_words(delay.median_ns), length_words(delay.greatest_ns)]


def _alarms(evaluation: Evaluation) -> str:
    figures = evaluation.figures
    rates = [(figures.per_10_000_rows, 1, "per 10,000 rows"), (figures.per_key_day, 1_000, "per 1,000 key-days")]
    said = "".join(f", {number(times * rate, 3)} {per}" for rate, times, per in rates if rate is not None)
    return f"{figures.false_alarms:,} of {figures.alerts:,} alerts are false alarms{said}:"


def _views(evaluation: Evaluation) -> BlockTable:
    rows = []
    for view in evaluation.views:
        unit = f"windows of {length_words(view.length_ns)}" if view.length_ns > 1 else "rows"
        rows.append([safe(view.view, _LONGEST), unit, f"{view.alerts:,}", f"{view.false_alarms:,}"])
    return BlockTable(names=["view"], groups=[["unit", "alerts", "false alarms"]], rows=rows)


def _share(value: float | None) -> str:
    return number(value, 1) if value is None or 0.0 < value < 0.001 else f"{value:.3f}"
