"""Compiles the kernels of trained detectors by using them once.

On a first start another process does this, so that both cores compile; the fold waits for it before it needs a model.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence

import numpy as np

from offbeat.core.plan import ModelPlan, PopulationPlan
from offbeat.detectors.detector import DetectorInput
from offbeat.detectors.population.population import Population
from offbeat.detectors.population_forest.population_forest import PopulationForest
from offbeat.detectors.trained.model import Training
from offbeat.detectors.trained.trained import model_of

_ROWS, _FEATURES = 64, 3


def first_fit(kind: str) -> None:
    """Train, score and explain with a model of a type, so that everything it compiles is in the cache."""
    if kind == "population_forest":
        _first_population()
        return
    plan = ModelPlan("first", kind, ("a",) * _FEATURES, tuple(range(_FEATURES)), (), _ROWS, _ROWS, _ROWS, 0.01, None)
    model = model_of(plan)
    model.grow(1)
    rows = (np.arange(_ROWS * _FEATURES, dtype=np.float64) * 0.618 % 1.0).reshape(_ROWS, _FEATURES)
    slots, one = np.zeros(_ROWS, np.int32), np.ones(1, np.int64)
    for number in (1, 2):
        model.train(Training(slots[:1], one - 1, one * _ROWS, rows, one * number, one.astype(np.uint64)))
    model.score(slots, rows)
    model.contributions(slots, rows)


def _first_population() -> None:
    features, columns = ("a",) * _FEATURES, tuple(range(_FEATURES))
    forest = Population(PopulationPlan("first", "", features, columns, (), 9, _ROWS, 2, 0.5, ""), PopulationForest(_FEATURES, 2, 2), "", 0)
    names, slots, outputs = [str(i) for i in range(_ROWS)], np.arange(_ROWS, dtype=np.int32), np.arange(3.0 * _ROWS).reshape(3, _ROWS)
    for tick in (1, 2, 3):
        forest.judge(DetectorInput(names, slots, np.full(_ROWS, tick), outputs, np.zeros(_ROWS, np.int64)))
    forest.explain(np.arange(_ROWS))


def first_fits(kinds: Sequence[str]) -> None:
    """`first_fit` of several types, in a process of its own; Ctrl-C is its parent's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for kind in kinds:
        first_fit(kind)
