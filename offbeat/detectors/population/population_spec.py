"""Settings that all models over all keys share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from offbeat.core.plan import DetectorPlan, PopulationPlan
from offbeat.detectors.spec import DetectorSpec, Expression, Expressions


class SampledSpec(DetectorSpec):
    """What a model of all keys is trained on."""

    features: list[Expression] = Field(
        min_length=1, description="What the model sees: names or expressions.", examples=[["sessions", "total_mb"]]
    )
    over: str = Field(
        default="30d",
        description="How far back the model of a window learns: from windows that start up to this long before it.",
        examples=["30d"],
    )
    sample_rows: int = Field(
        default=65_536,
        ge=2,
        le=1_000_000,
        description="At most how many windows a model is trained on: those with the lowest hashes of key and start.",
    )
    train_min: int = Field(default=500, ge=2, description="How many windows without a null a model needs.")
    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.train_min > self.sample_rows:
            raise ValueError(f"`train_min` ({self.train_min}) exceeds `sample_rows` ({self.sample_rows}): no model ever sees so many")
        return self


class PopulationSpec(SampledSpec):
    """Settings of detectors that are trained over all keys."""

    contamination: float = Field(
        default=0.05,
        gt=0,
        le=0.5,
        description="Share of windows to flag: the threshold is that upper quantile of the live scores of the sampled windows.",
    )
    model: str | None = Field(
        default=None,
        min_length=1,
        description="File of a saved model that scores all windows, instead of training one.",
        examples=["forest.arrow"],
    )

    def settings(self) -> Mapping[str, int | str]:
        """Arguments of the method's class beyond the number of features."""
        return {}

    def expressions(self) -> list[str] | None:
        """What the model sees."""
        return self.features

    def training(self) -> dict[str, Any]:
        """Settings that kept state depends on [S24]; a model from a file keeps none."""
        if self.model is not None:
            return {}
        return {"over": self.over, "sample_rows": self.sample_rows, "train_min": self.train_min, **self.settings()}

    def plan(self, name: str, view: Expressions) -> DetectorPlan | None:
        """The detector's part of the Plan; None after a mistake."""
        inputs = tuple(view.number(("features", str(i)), text) for i, text in enumerate(self.features))
        over_ns = view.duration(("over",), self.over)
        if not view.size_ns:
            message = "a model of all keys needs windows that all keys share, so a view with a `rollup`; for rows use one trained per key"
            view.problem(("type",), message)
        elif 0 < over_ns < view.size_ns:
            view.problem(("over",), f"`over` ({self.over}) is shorter than a window: there is no earlier window to learn from")
        if -1 in inputs or not over_ns or over_ns < view.size_ns or not view.size_ns:
            return None
        return PopulationPlan(
            name=name,
            type=self.type,
            features=tuple(self.features),
            inputs=inputs,
            settings=tuple(sorted(self.settings().items())),
            over_ns=over_ns,
            sample_rows=self.sample_rows,
            train_min=self.train_min,
            contamination=self.contamination,
            model=self.model or "",
        )
