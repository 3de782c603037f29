"""Detectors side by side on a terminal: how often each flags, how far they agree, and what they are worth against labels."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from offbeat.evaluate.comparison import QUANTILE_NAMES, Comparison, Labelled
from offbeat.evaluate.detection_quality import ALARMS, Worth
from offbeat.io.report.block_table import BlockTable
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


def _flags(comparison: Comparison) -> BlockTable:
    rows = []
    for series, said in zip(comparison.series, comparison.flags, strict=True):
        scores = [f"{q:.3f}" for q in said.quantiles or ()] or ["-"] * len(QUANTILE_NAMES)
        silent = (said.rows - said.judged) / said.rows if said.rows else None
        counts = [f"{said.rows:,}", _percent(silent), f"{said.votes:,}", _percent(said.flag_rate)]
        rows.append([safe(series.name, _LONGEST), series.kind, *counts, *scores])
    return BlockTable(
        names=["detector", "type"],
        groups=[["rows", "no verdict", "votes", "flag rate"], QUANTILE_NAMES],
        rows=rows,
        title="what they flag, and quantiles of their scores, each given before its row was learnt from",
    )


def _agreement(comparison: Comparison) -> BlockTable:
    rows = []
    for pair in comparison.agreements:
        counts = [f"{n:,}" for n in (pair.rows, pair.votes_a, pair.votes_b, pair.both)]
        shares = [_share(pair.jaccard), _percent(pair.a_also_b), _percent(pair.b_also_a), _share(pair.rank_correlation)]
        rows.append([safe(pair.a, _LONGEST), safe(pair.b, _LONGEST), *counts, *shares])
    return BlockTable(
        names=["a", "b"],
        groups=[["rows", "votes a", "votes b", "both"], ["Jaccard", "a's, b too", "b's, a too", "rank correlation"]],
        rows=rows,
        title="how far they agree, on rows that both judged",
    )


def _labels(comparison: Comparison, labelled: Labelled) -> list[RenderableType]:
    most = max(labelled.truths, key=lambda truth: truth.events.height)
    file = safe(labelled.file, 60)
    kinds = most.events["kind"].unique().sort().to_list()
    counts = dict(most.events["kind"].value_counts().iter_rows())
    areas = [*(f"recall at {alarms}" for alarms in ALARMS), "ROC-AUC", "PR-AUC"]
    groups = [["precision", "recall", "by chance", "F1", "false in 10,000"], areas, ["delay s"]]
    worth, recall = [], []
    for series, found in zip(comparison.series, labelled.worth, strict=True):
        name = safe(series.name, _LONGEST)
        worth.append([name, *(_worth(found) if found is not None else ["-"] * sum(map(len, groups)))])
        of_kind = {} if found is None else {kind.kind: kind.recall for kind in found.alerts.kinds}
        recall.append([name, *(_share(of_kind.get(kind)) for kind in kinds)])
    title = f"against the {most.events.height:,} anomalies of {file}: flags within {labelled.tolerance} after one still count for it"
    found_by_kind = [[f"{safe(kind, _LONGEST)} ({counts[kind]:,})"] for kind in kinds]
    meaning = (
        "by chance: what the false alarms alone would find of as many anomalies, moved by half of their key's rows. "
        f"recall at {' and '.join(map(str, ALARMS))}: with the threshold moved to so many false alarms in 10,000 rows. ROC-AUC, PR-AUC: "
        f"scores of the {int(most.odd.sum()):,} rows within anomalies against those of all others but the {int(most.after.sum()):,} within "
        f"{labelled.tolerance} after one."
    )
    return [
        BlockTable(["detector"], groups, worth, title),
        BlockTable(["detector"], found_by_kind, recall, "share found, by kind"),
        Text(meaning),
    ]


def _worth(found: Worth) -> list[str]:
    """The figures of a detector, in the order of the columns."""
    overall, ranking = found.alerts.overall, found.ranking
    delay = None if overall.delay is None else overall.delay.median_ns / 1e9
    shares = [_share(x) for x in (overall.precision, overall.recall, found.by_chance, overall.f1)]
    areas = [_share(x) for x in (*found.found_at, ranking.roc_auc, ranking.pr_auc)]
    return [*shares, number(found.alerts.per_10_000_rows, 3), *areas, number(delay, 3)]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
