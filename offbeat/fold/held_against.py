"""Which of a view's windows an alert shows, and which one each detector holds a row against."""

from __future__ import annotations

from collections.abc import Iterable

from offbeat.core.expression_program import inputs_of
from offbeat.core.plan import DetectorPlan, RangePlan, RulePlan, ViewPlan, WindowPlan


def evidence_window(view: ViewPlan) -> int:
    """The window that an alert shows, by its number in the view; -1 where there is none."""
    return farthest(view.windows, range(len(view.windows)))


def held_against(view: ViewPlan) -> tuple[int, ...]:
    """By detector: the window that its condition, or what is usual for its values, is read from; of several the one that reaches furthest.

    Numbers count the view's windows, then its backgrounds; -1: it reads none.
    """
    windows = (*view.windows, *view.backgrounds)
    owner = {name: number for number, window in enumerate(windows) for name in window.features}
    inputs = inputs_of(view.program)
    found = []
    for plan in view.detectors:
        names = frozenset[str]().union(*(inputs[output] for output in _limits(plan)))
        found.append(farthest(windows, {owner[name] for name in names if name in owner}))
    return tuple(found)


def farthest(windows: tuple[WindowPlan, ...], numbers: Iterable[int]) -> int:
    """Of some windows, by number: all of the past, the longest duration, or the most rows; the first of equals."""
    return max(sorted(numbers), key=lambda number: _size(windows[number]), default=-1)


def _size(window: WindowPlan) -> tuple[bool, bool, int]:
    return not window.rows and not window.duration_ns, not window.rows, window.duration_ns or window.rows


def _limits(plan: DetectorPlan) -> list[int]:
    """Outputs of the view's program that form the baseline; of a rule, its whole condition."""
    if isinstance(plan, RulePlan):
        return [output for output in (plan.when, plan.observed, plan.threshold, plan.expected) if output >= 0]
    if isinstance(plan, RangePlan):
        return [output for term in plan.terms for output in (term.center, term.below, term.above)]
    return []
