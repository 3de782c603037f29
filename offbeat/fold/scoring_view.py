"""The view whose windows alone decide whether rows were scored, if there is one [S6]."""

from __future__ import annotations

from offbeat.core.expression_program import certain
from offbeat.core.plan import Aggregate, Plan, RollupPlan, RulePlan, ViewPlan


def scoring_view(plan: Plan) -> str | None:
    """Name of the view on another key whose windows decide what became of every row; None where it takes several views together.

    One alone can, where it is the only view, or where it takes every row and its windows always get a verdict.
    """
    rollups = [view for view in plan.views if view.rollup is not None]
    if not rollups or len(rollups) < len(plan.views):
        return None
    if len(rollups) == 1:
        return rollups[0].name
    optional = plan.source.key_optional
    return next((view.name for view in rollups if view.rollup is not None and _always(view, view.rollup, optional=optional)), None)


def _always(view: ViewPlan, rollup: RollupPlan, *, optional: bool) -> bool:
    """Whether the view takes every row and some detector of it has an opinion on every window."""
    if view.quorum > 1 or rollup.where >= 0 or not ((rollup.key_source and not optional) or rollup.key_constant):
        return False
    aggregates = {f"agg{i}": _sure(aggregate, rollup.sure) for i, aggregate in enumerate(rollup.aggregates)}
    columns = dict(zip(rollup.columns, certain(rollup.column_program, aggregates.__getitem__), strict=True))
    outputs = certain(view.program, lambda name: columns.get(name, False))
    return any(isinstance(d, RulePlan) and outputs[d.when] for d in view.detectors)


def _sure(aggregate: Aggregate, arguments: tuple[bool, ...]) -> bool:
    """Whether an aggregate of a window is never null; a window has at least one row."""
    counts = aggregate.function in ("count_rows", "count", "distinct", "distinct_set")
    return counts or (aggregate.function in ("sum_exact", "min", "max") and arguments[aggregate.argument])
