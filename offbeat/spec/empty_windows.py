"""Windows in which no row comes: what judging them costs, and which rules miss them [R11]."""

from __future__ import annotations

from collections.abc import Iterator

from offbeat.core.plan import Plan, RulePlan
from offbeat.spec.document import Path
from offbeat.spec.duration import duration_ns
from offbeat.spec.models import PipelineSpec

_MANY_TICKS = 1440
"""More windows a day than this, one a minute, cost more than they tell."""

def costs(plan: Plan) -> Iterator[tuple[Path, str]]:
    """Where `fill` costs more than it may be worth."""
    for view in plan.views:
        if view.rollup is None or not view.rollup.fill:
            continue
        at, a_day = ("views", view.name, "rollup", "fill"), max(duration_ns("1d") // view.rollup.size_ns, 1)
        if view.rollup.key_source:
            yield (
                at,
                f"each key of the source has a window in every tick from its first row on, also long after its last one: {a_day:,} "
                f"window{'s' * (a_day > 1)} a day and key to be kept and judged; that is for a few keys, and `absence` is for many",
            )
        elif a_day > _MANY_TICKS:
            yield at, f"each key has {a_day:,} windows a day, with or without a row; with a larger `size` there are fewer"

def missed(spec: PipelineSpec, plan: Plan) -> Iterator[tuple[Path, str]]:
    """Rules for low counts and sums that never see the lowest one, where the pipeline does not say whether they should."""
    for view in plan.views if plan.as_of is None else ():
        rollup = spec.views[view.name].rollup
        if rollup is None or "fill" in rollup.model_fields_set:
            continue
        for rule in view.detectors:
            if isinstance(rule, RulePlan) and rule.comparison in ("<", "<=") and rule.measure in rollup.columns:
                yield (
                    ("views", view.name, "detectors", rule.name, "when"),
                    f"a window in which no row comes is not judged, so the rule does not see a total outage; `fill: zero` in the rollup "
                    f"judges such a window, with {rule.measure} as of no rows (`fill: none` if it should not)",
                )
