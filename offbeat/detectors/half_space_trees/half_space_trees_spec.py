"""Settings of half-space trees."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from offbeat.detectors.spec import ModelSpec


class HalfSpaceTreesSpec(ModelSpec):
    """Votes for rows in regions that held few rows lately. Trees are cheap to retrain, so `train_on` and `retrain_every` may be short."""

    type: Literal["half_space_trees"] = "half_space_trees"
    trees: int = Field(default=25, ge=1, le=1000, description="Number of trees.")
    depth: int = Field(default=15, ge=1, le=15, description="Splits from the root of a tree to its leaves.")

    def settings(self) -> dict[str, int]:
        """Arguments of the model's class beyond the number of features."""
        return {"trees": self.trees, "depth": self.depth}
