"""Windows in which no row comes: what judging them costs, and which rules miss them [R11]."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from offbeat.core.plan import DetectorPlan, Plan, RulePlan
from offbeat.spec.document import Path
from offbeat.spec.duration import duration_ns
from offbeat.spec.expression import measure
from offbeat.spec.models import PipelineSpec
from offbeat.spec.sql import Node, parse

FILL = "fill"
"""What stands in the parts of a state's hash where windows without a row are judged."""
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
        if rollup is None or view.rollup is None or view.rollup.fill or rollup.fill is not None:
            continue
        for rule, column in low_rules({name: parse(text) for name, text in rollup.columns.items()}, view.detectors):
            yield (
                ("views", view.name, "detectors", rule, "when"),
                f"a window in which no row comes is not judged, so the rule does not see a total outage; `fill: zero` in the rollup "
                f"judges such a window, with {column} as of no rows (`fill: none` if it should not)",
            )


def low_rules(columns: Mapping[str, Node], detectors: Iterable[DetectorPlan]) -> Iterator[tuple[str, str]]:
    """Rules that may hold where a count or a sum of the rollup is low: their names and that column."""
    zero = {name for name, column in columns.items() if _zero(column)}
    for rule in detectors:
        if isinstance(rule, RulePlan) and (column := _low(parse(rule.text), zero)):
            yield rule.name, column


def _zero(column: Node) -> bool:
    """Whether it is 0 where no row comes; extremes and means are null there."""
    return column.op == "call" and column.value in {"count", "sum"}


def _low(rule: Node, zero: Collection[str]) -> str:
    """The column that the rule measures, where it votes on less of it."""
    measured = measure(rule)
    if measured is None:
        return ""
    low = measured.args[0 if measured.op in {"<", "<="} else 1]
    return low.value if low.op == "name" and low.value in zero else ""
