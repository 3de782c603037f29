"""Settings of the population forest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from offbeat.detectors.population.population_spec import PopulationSpec, SampledSpec
from offbeat.detectors.spec import MOST_FEATURES, Expression


class TreesSpec(SampledSpec):
    """A forest, between the sample and the threshold: the order of settings is part of a pipeline's hash."""

    trees: int = Field(default=100, ge=1, le=1000, description="Number of trees.")
    sample: int = Field(default=256, ge=2, le=256, description="Windows that each tree is grown on.")


class PopulationForestSpec(PopulationSpec, TreesSpec):
    """Votes for windows unlike those of all keys in the days before: one isolation forest over all keys. For views with a rollup."""

    type: Literal["population_forest"] = "population_forest"
    features: list[Expression] = Field(
        min_length=1,
        max_length=MOST_FEATURES,
        description="What the model sees: names or expressions.",
        examples=[["sessions", "total_mb"]],
    )

    def settings(self) -> Mapping[str, int | str]:
        """Trees, and rows of a tree."""
        return {"trees": self.trees, "sample": self.sample}
