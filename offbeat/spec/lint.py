"""Problems of a pipeline, and what is allowed but probably not meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from offbeat.core.plan import Plan, RulePlan, ViewPlan
from offbeat.errors import SpecError
from offbeat.spec.empty_windows import costs, missed
from offbeat.spec.expression import measure, names
from offbeat.spec.load import Loaded, Pipeline, load, load_text
from offbeat.spec.models import PipelineSpec, ViewSpec
from offbeat.spec.problems import Problems
from offbeat.spec.sql import Node, parse


@dataclass(frozen=True, slots=True)
class Lint:
    """One line for each finding; with problems the pipeline cannot run."""

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    plan: Plan | None = None
    """The Plan, when there are no problems."""


def lint(pipeline: Pipeline, overrides: Sequence[str] = ()) -> Lint:
    """Check a pipeline in any form that `load_plan` takes; raises nothing for a wrong one."""
    try:
        return _warned(load(pipeline, overrides))
    except SpecError as error:
        return Lint(error.problems)


def lint_text(text: str, file: str = "pipeline") -> Lint:
    """As `lint`, for the text of a YAML file that is called `file` in messages."""
    try:
        return _warned(load_text(text, file))
    except SpecError as error:
        return Lint(error.problems)


def _warned(loaded: Loaded) -> Lint:
    warnings, spec = loaded.notes, loaded.spec
    _columns(spec, warnings)
    for view, plan in zip(spec.views, loaded.plan.views, strict=True):
        written = {name for table in spec.tables.values() if table.view == view for name in (*table.columns, *table.where)}
        _features(view, spec.views[view], written, warnings)
        _rules(plan, warnings)
    for at, said in (*costs(loaded.plan), *missed(spec, loaded.plan)):
        warnings.add(at, said)
    if loaded.plan.quality.lateness_ns > loaded.plan.quality.max_jump_ns:
        warnings.add(
            ("quality", "lateness"),
            f"`lateness` ({spec.quality.lateness}) exceeds `max_jump` ({spec.quality.max_jump}): rows in disorder of more than that "
            "are taken for rows from the future; set `max_jump` as great",
        )
    kept = [view.name for view in loaded.plan.views if view.rollup is not None]
    if loaded.plan.quality.forget_ns and kept:
        warnings.add(
            ("quality", "forget_after"),
            f"views with a `rollup` keep what they know of their targets ({', '.join(kept)}); what is kept of the source's keys goes",
        )
    if spec.quality.calendar is not None and spec.quality.cadence is None:
        warnings.add(("quality", "calendar"), "gaps are reported only with a `cadence`")
    return Lint(warnings=warnings.listed(), plan=loaded.plan)


def _columns(spec: PipelineSpec, warnings: Problems) -> None:
    used = {*spec.quality.unique, spec.source.order or ""}
    for rule in spec.quality.rules.values():
        used |= names(parse(rule))
    for view in spec.views.values():
        texts = [text for window in view.windows.values() for text in window.features.values()]
        if view.rollup is not None:
            used.add(view.rollup.key.column or "")
            used |= names(parse(view.rollup.where)) if view.rollup.where is not None else set()
            # Names in the windows and rules of a rollup's view are the rollup's columns, not the source's.
            texts = list(view.rollup.columns.values())
        else:
            texts += _texts(view)
        used = used.union(*(names(parse(text)) for text in texts))
    for name in spec.source.columns:
        if name not in used:
            warnings.add(("source", "columns", name), f"column {name!r} is read, but nothing uses it")


def _texts(view: ViewSpec) -> list[str]:
    """Every expression that a detector of the view reads."""
    features = [feature for window in view.windows.values() for feature in window.features]
    read = [detector.expressions() for detector in view.detectors.values()]
    return [text for texts in read for text in (features if texts is None else texts)]


def _features(name: str, view: ViewSpec, written: set[str], warnings: Problems) -> None:
    used = written.union(*(names(parse(text)) for text in _texts(view)))
    for window_name, window in view.windows.items():
        for feature in window.features:
            if feature not in used:
                warnings.add(("views", name, "windows", window_name, "features", feature), f"no detector uses feature {feature!r}")


def _rules(view: ViewPlan, warnings: Problems) -> None:
    for rule in (detector for detector in view.detectors if isinstance(detector, RulePlan)):
        path = ("views", view.name, "detectors", rule.name, "when")
        found = measure(parse(rule.text))
        if found is None:
            warnings.add(path, "no comparison (>, >=, < or <=) at the top level, so every alert has the same severity")
        elif _always_greatest(found):
            warnings.add(path, "the limit is not above 0, so every alert has the greatest severity; compare magnitudes, as in abs(x) > 1")


def _always_greatest(found: Node) -> bool:
    # x > -1 divides by the -1; x < -1 divides by x, which is negative whenever the rule holds.
    limit = _constant(found.args[1])
    return limit is not None and limit <= 0


def _constant(node: Node) -> float | None:
    if node.op == "neg" and node.args[0].op == "number":
        return -float(node.args[0].value)
    return float(node.value) if node.op == "number" else None
