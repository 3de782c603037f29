"""A comparison of detectors on a terminal: how often each flags, how far they agree, and with labels what they find."""

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
        title="flags and score quantiles (scored before learning)",
    )


def _agreement(comparison: Comparison) -> BlockTable:
    rows = []
    for pair in comparison.agreements:
        counts = [f"{n:,}" for n in (pair.rows, pair.votes_a, pair.votes_b, pair.both)]
        shares = [_share(pair.jaccard), _percent(pair.a_also_b), _percent(pair.b_also_a), _share(pair.rank_correlation)]
        rows.append([safe(pair.a, _LONGEST), safe(pair.b, _LONGEST), *counts, *shares])
    return BlockTable(
        names=["a", "b"],
        groups=[["rows", "votes a", "votes b", "both"], ["Jaccard", "a also b", "b also a", "rank correlation"]],
        rows=rows,
        title="agreement, on rows that both scored",
    )


def _labels(comparison: Comparison, labelled: Labelled) -> list[RenderableType]:
    most = max(labelled.truths, key=lambda truth: truth.events.height)
    file = safe(labelled.file, 60)
    kinds = most.events["kind"].unique().sort().to_list()
    counts = dict(most.events["kind"].value_counts().iter_rows())
    areas = [*(f"recall at {alarms}" for alarms in ALARMS), "ROC-AUC", "PR-AUC"]
    groups = [["precision", "recall", "by chance", "F1", "false per 10,000"], areas, ["delay (s)"]]
    worth, recall = [], []
    for series, found in zip(comparison.series, labelled.worth, strict=True):
        name = safe(series.name, _LONGEST)
        worth.append([name, *(_worth(found) if found is not None else ["-"] * sum(map(len, groups)))])
        of_kind = {} if found is None else {kind.kind: kind.recall for kind in found.alerts.kinds}
        recall.append([name, *(_share(of_kind.get(kind)) for kind in kinds)])
    title = f"against the {most.events.height:,} anomalies of {file}; a flag within {labelled.tolerance} after an anomaly still finds it"
    found_by_kind = [[f"{safe(kind, _LONGEST)} ({counts[kind]:,})"] for kind in kinds]
    meaning = (
        "by chance: the recall of the false alarms alone, each moved by half of its key's rows. "
        f"recall at {' and '.join(map(str, ALARMS))}: with the threshold set for that many false alarms per 10,000 rows. ROC-AUC, PR-AUC: "
        f"the scores of the {int(most.odd.sum()):,} rows in anomalies against all others, except the {int(most.after.sum()):,} within "
        f"{labelled.tolerance} after one."
    )
    return [
        BlockTable(["detector"], groups, worth, title),
        BlockTable(["detector"], found_by_kind, recall, "recall by kind"),
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
