"""The detectors of a view, made from their plans."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from offbeat.core.clock import LocalTime
from offbeat.core.plan import AbsencePlan, DetectorPlan, ExtensionPlan, ModelPlan, PopulationPlan, RangePlan, RecordPlan, RulePlan, ViewPlan
from offbeat.detectors.absence.absence import Absence
from offbeat.detectors.detector import Detector, RawRows
from offbeat.detectors.extension.adapters import Fitted, Keyed, Stateless, instance
from offbeat.detectors.extension.protocols import KeyedDetector
from offbeat.detectors.implementation import implementation
from offbeat.detectors.population.population import Population
from offbeat.detectors.population.population_model import Method
from offbeat.detectors.range.range import Range
from offbeat.detectors.record.record import Record
from offbeat.detectors.rule.rule import Rule
from offbeat.detectors.spec import detector_types
from offbeat.detectors.trained.shared_training import SharedTraining
from offbeat.detectors.trained.trained import Trained


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What detectors may know of the view they stand in."""

    view: ViewPlan
    seed: int
    """Of the pipeline: what all random choices derive from."""
    local: LocalTime | None = None
    """By which clock days are counted; None: as time goes by."""
    raw: RawRows | None = None
    """From which rows can be made again after a restart; None: detectors save what they need."""
    shared: dict[tuple[object, ...], SharedTraining] = field(default_factory=dict)
    """By inputs and turns: what detectors share that are trained on the same rows at the same time."""


def detectors_of(surroundings: Surroundings) -> tuple[Detector, ...]:
    """Every detector of the view, in the order of its plan. Raises UserError where one cannot be made, as of a file that is no model."""
    return tuple(_MAKERS[type(plan)](plan, surroundings) for plan in surroundings.view.detectors)


def _rule(plan: RulePlan, _: Surroundings) -> Detector:
    return Rule(plan)


def _range(plan: RangePlan, _: Surroundings) -> Detector:
    return Range(plan)


def _absence(plan: AbsencePlan, _: Surroundings) -> Detector:
    return Absence(plan)


def _record(plan: RecordPlan, _: Surroundings) -> Detector:
    return Record(plan)


def _population(plan: PopulationPlan, around: Surroundings) -> Detector:
    return Population(plan, method_of(plan), around.view.name, around.seed, around.local)


def method_of(plan: PopulationPlan) -> Method:
    """A method of the plan's type: ours, or another package's detector."""
    if plan.type not in detector_types():
        settings = str(dict(plan.settings)["settings"])
        return Fitted(plan.type, instance(plan.type, settings), settings)
    method: Method = implementation(plan.type)(len(plan.inputs), **dict(plan.settings))
    return method


def _trained(plan: ModelPlan, around: Surroundings) -> Detector:
    turns = _turns(plan)
    if turns not in around.shared:
        # Of rows that are not all learned it is not their numbers alone that say which they are.
        around.shared[turns] = SharedTraining(plan, around.raw if plan.learn == "all" else None)
    same = [other for other in around.view.detectors if isinstance(other, ModelPlan) and _turns(other) == turns]
    # The first by name, as the order in which detectors stand decides nothing of a state.
    return Trained(plan, around.shared[turns], around.seed, keeps_rows=plan.name == min(other.name for other in same))


def _extension(plan: ExtensionPlan, _: Surroundings) -> Detector:
    detector = instance(plan.type, plan.settings)
    return Keyed(plan, detector) if isinstance(detector, KeyedDetector) else Stateless(plan, detector)


def _turns(plan: ModelPlan) -> tuple[object, ...]:
    own = plan.name if plan.learn == "unflagged" else ""
    return plan.inputs, plan.train_on, plan.retrain_every, plan.train_min, plan.learn, own


_MAKERS: Mapping[type[DetectorPlan], Callable[[Any, Surroundings], Detector]] = {
    RulePlan: _rule,
    RangePlan: _range,
    ModelPlan: _trained,
    PopulationPlan: _population,
    AbsencePlan: _absence,
    RecordPlan: _record,
    ExtensionPlan: _extension,
}
