"""Base classes of detectors from other packages. Four kinds: stateless, incremental per key, trained per key, population (over all keys).

All of them see complete rows only: a row with a null among the features is not shown and has no verdict. Values are finite doubles, in the
order of the settings' `features`. A detector must be deterministic: equal rows give equal scores, to the last bit, on every machine. So use
no clock, no global state, no random number except from `seed`, and sum in a fixed order: a BLAS may change the last bit with the
processor. Only a `PopulationDetector` sees rows of more than one key at once.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from offbeat.core.batch import F64
from offbeat.core.plan import DetectorPlan, ExtensionPlan
from offbeat.detectors.population.population_spec import PopulationSpec
from offbeat.detectors.spec import DetectorSpec, Expression, Expressions, ModelSpec

Arrays = Mapping[str, np.ndarray]
"""A model of all keys: named arrays of numbers, so that it can be kept in a file and scored elsewhere."""


class DetectorSettings(DetectorSpec):
    """Settings that stateless and incremental detectors share. Subclass it to add your own, which are typed and checked the same way."""

    features: list[Expression] = Field(
        default=[],
        description="What the detector sees: names or expressions. Default: all features of the view's windows.",
        examples=[["price", "price / mean_price"]],
    )
    limit: float = Field(default=1.0, gt=0, description="Threshold on the raw score: above it the detector votes.")

    def expressions(self) -> list[str] | None:
        """What the detector sees."""
        return self.features or None

    def training(self) -> dict[str, Any]:
        """Settings that kept state depends on: all but the threshold."""
        return self.model_dump(exclude={"type", "enabled", "limit", "features"})

    def plan(self, name: str, view: Expressions) -> DetectorPlan | None:
        """The detector's part of the Plan; None after a mistake."""
        texts = tuple(self.features) or view.features
        if not texts:
            view.problem(("features",), "the view has no windows whose features could be taken: name the features")
        inputs = tuple(view.number(("features", str(i)) if self.features else (), text) for i, text in enumerate(texts))
        if not texts or -1 in inputs:
            return None
        own = json.dumps(self.model_dump(exclude={"enabled"}), sort_keys=True)
        return ExtensionPlan(name=name, type=self.type, features=texts, inputs=inputs, settings=own, limit=self.limit)


class TrainedSettings(ModelSpec):
    """Settings of detectors that are trained per key: training rows, retraining and threshold work as in the built-in models."""

    def settings(self) -> dict[str, Any]:
        """Your own settings, for the class."""
        return {"settings": json.dumps(self.model_dump(exclude=set(ModelSpec.model_fields) - {"features", "type"}), sort_keys=True)}


class PopulationSettings(PopulationSpec):
    """Settings of population detectors: span, sample and threshold work as in `population_forest`."""

    def settings(self) -> dict[str, Any]:
        """Your own settings, for the class."""
        own = self.model_dump(exclude=set(PopulationSpec.model_fields) - {"features", "type"})
        return {"settings": json.dumps(own, sort_keys=True)}


class StatelessDetector(ABC):
    """Scores each row by itself."""

    settings: ClassVar[type[DetectorSettings]] = DetectorSettings

    def __init__(self, settings: Any) -> None:
        """settings: an instance of the class's `settings`."""
        self.given = settings

    @abstractmethod
    def score(self, rows: F64) -> F64:
        """(n,) raw scores of (n, k) rows: 0 or more, higher = odder; NaN where there is no verdict."""


class KeyedDetector(ABC):
    """Follows the rows of each key and keeps a few numbers per key, such as CUSUM or an exponentially weighted mean."""

    settings: ClassVar[type[DetectorSettings]] = DetectorSettings

    def __init__(self, settings: Any) -> None:
        """settings: an instance of the class's `settings`."""
        self.given = settings

    @abstractmethod
    def start(self, features: int) -> F64:
        """(s,) the state of a key before its first row, for k features; s is the same for all keys."""

    @abstractmethod
    def update(self, rows: F64, state: F64) -> F64:
        """(n,) raw scores of (n, k) rows of one key, oldest first, each by the state before it; updates `state` (s,) in place.

        0 or more, higher = odder; NaN for no verdict. The result must not depend on how rows are cut into calls.
        """


class TrainedDetector(ABC):
    """Fits a model on a key's last rows, at intervals, and scores the rows that follow."""

    settings: ClassVar[type[TrainedSettings]] = TrainedSettings

    def __init__(self, settings: Any) -> None:
        """settings: an instance of the class's `settings`."""
        self.given = settings

    @abstractmethod
    def train(self, rows: F64, seed: int) -> Any:
        """A model of (n, k) rows, the oldest first. It follows from rows and seed alone: after a restart it is fitted again."""

    @abstractmethod
    def score(self, model: Any, rows: F64) -> F64:
        """(n,) raw scores of (n, k) rows by a model: 0 or more, higher = odder; NaN where it has no verdict. Changes nothing."""


class PopulationDetector(ABC):
    """Fits one model on a sample of all keys' earlier windows, and scores the next windows by it."""

    settings: ClassVar[type[PopulationSettings]] = PopulationSettings

    def __init__(self, settings: Any) -> None:
        """settings: an instance of the class's `settings`."""
        self.given = settings

    @abstractmethod
    def train(self, rows: F64, seed: int) -> Arrays:
        """A model of (n, k) rows of any keys, in an order that means nothing: arrays that follow from rows and seed alone."""

    @abstractmethod
    def score(self, model: Arrays, rows: F64) -> F64:
        """(n,) raw scores of (n, k) rows by a model: 0 or more, higher = odder; NaN where it has no verdict. Changes nothing."""
