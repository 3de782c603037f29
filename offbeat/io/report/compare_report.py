"""Detectors side by side on a terminal: how often each flags, how far they agree, and what they are worth against labels."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from offbeat.evaluate.comparison import QUANTILE_NAMES, Comparison, Labelled
from offbeat.evaluate.detection_quality import ALARMS
from offbeat.io.report.console import number, safe

_LONGEST = 32


def comparison_report(comparison: Comparison, remarks: Sequence[str] = ()) -> RenderableType:
    """All tables."""
    parts: list[RenderableType] = [_flags(comparison)]
    if comparison.agreements:
        parts.append(_agreement(comparison))
    if comparison.labelled is not None:
        parts += _labels(comparison, comparison.labelled)
    parts += [Text(f"• {safe(remark, 300)}") for remark in remarks]
    return Group(*parts)


def _table(title: str, left: Sequence[str], right: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold")
    for name in left:
        table.add_column(name, no_wrap=True)
    for name in right:
        table.add_column(name, justify="right")
    return table


def _flags(comparison: Comparison) -> Table:
    table = _table(
        "what they flag, and quantiles of their scores, each given before its row was learnt from",
        ["detector", "type"],
        ["rows", "no verdict", "votes", "flag rate", *QUANTILE_NAMES],
    )
    for series, said in zip(comparison.series, comparison.flags, strict=True):
        scores = [f"{q:.3f}" for q in said.quantiles or ()] or ["-"] * len(QUANTILE_NAMES)
        silent = (said.rows - said.judged) / said.rows if said.rows else None
        name = Text(safe(series.name, _LONGEST))
        table.add_row(name, series.kind, f"{said.rows:,}", _percent(silent), f"{said.votes:,}", _percent(said.flag_rate), *scores)
    return table


def _agreement(comparison: Comparison) -> Table:
    table = _table(
        "how far they agree, on rows that both judged",
        ["a", "b"],
        ["rows", "votes a", "votes b", "both", "Jaccard", "a's, b too", "b's, a too", "rank correlation"],
    )
    for pair in comparison.agreements:
        counts = [f"{n:,}" for n in (pair.rows, pair.votes_a, pair.votes_b, pair.both)]
        names = [Text(safe(name, _LONGEST)) for name in (pair.a, pair.b)]
        shares = [_percent(pair.a_also_b), _percent(pair.b_also_a)]
        table.add_row(*names, *counts, _share(pair.jaccard), *shares, _share(pair.rank_correlation))
    return table


def _labels(comparison: Comparison, labelled: Labelled) -> list[RenderableType]:
    most = max(labelled.truths, key=lambda truth: truth.events.height)
    file = safe(labelled.file, 60)
    moved = [f"recall at {alarms}" for alarms in ALARMS]
    worth = _table(
        f"against the {most.events.height:,} anomalies of {file}: flags within {labelled.tolerance} after one still count for it",
        ["detector"],
        ["precision", "recall", "by chance", "F1", "false in 10,000", *moved, "ROC-AUC", "PR-AUC", "delay s"],
    )
    kinds = most.events["kind"].unique().sort().to_list()
    counts = dict(most.events["kind"].value_counts().iter_rows())
    recall = _table("share found, by kind", ["detector"], [f"{safe(kind, _LONGEST)} ({counts[kind]:,})" for kind in kinds])
    for series, found in zip(comparison.series, labelled.worth, strict=True):
        name = Text(safe(series.name, _LONGEST))
        if found is None:
            worth.add_row(name, *["-"] * (8 + len(ALARMS)))
            recall.add_row(name, *["-"] * len(kinds))
            continue
        overall, alerts, ranking = found.alerts.overall, found.alerts, found.ranking
        delay = None if overall.delay is None else overall.delay.median_ns / 1e9
        shares = [_share(x) for x in (overall.precision, overall.recall, found.by_chance, overall.f1)]
        areas = [_share(x) for x in (*found.found_at, ranking.roc_auc, ranking.pr_auc)]
        worth.add_row(name, *shares, number(alerts.per_10_000_rows, 3), *areas, number(delay, 3))
        of_kind = {kind.kind: kind.recall for kind in found.alerts.kinds}
        recall.add_row(name, *(_share(of_kind.get(kind)) for kind in kinds))
    meaning = (
        "by chance: what the false alarms alone would find of as many anomalies, moved by half of their key's rows. "
        f"recall at {' and '.join(map(str, ALARMS))}: with the threshold moved to so many false alarms in 10,000 rows. ROC-AUC, PR-AUC: "
        f"scores of the {int(most.odd.sum()):,} rows within anomalies against those of all others but the {int(most.after.sum()):,} within "
        f"{labelled.tolerance} after one."
    )
    return [worth, recall, Text(meaning)]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
