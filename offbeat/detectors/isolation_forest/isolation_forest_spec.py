"""Settings of the isolation forest."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from offbeat.detectors.spec import ModelSpec


class IsolationForestSpec(ModelSpec):
    """Votes for rows that random splits isolate early. Assumes no shape of the data; does not see broken dependencies between features."""

    type: Literal["isolation_forest"] = "isolation_forest"
    trees: int = Field(default=100, ge=1, le=1000, description="Number of trees.")
    sample: int = Field(default=256, ge=2, le=256, description="Rows that each tree is grown on.")

    def settings(self) -> dict[str, int]:
        """Arguments of the model's class beyond the number of features."""
        return {"trees": self.trees, "sample": self.sample}
