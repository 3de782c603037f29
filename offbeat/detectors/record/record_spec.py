"""Settings of the record detector."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from offbeat.core.plan import DetectorPlan, RecordPlan
from offbeat.detectors.spec import DetectorSpec, Expression, Expressions, features_read


class RecordSpec(DetectorSpec):
    """Votes when a value lies beyond all that its key had before, by more than a share of that range. It learns with every row."""

    type: Literal["record"] = "record"
    features: list[Expression] = Field(
        default=[],
        description="Values that are held against their range: names or expressions. One that is null is left out. Default: all features "
        "of the view's windows.",
        examples=[["value", "value - mean_value"]],
    )
    limit: float = Field(
        default=0.05, gt=0, description="How far beyond the range a value must lie, as a share of its width.", examples=[0.1]
    )
    leak: float = Field(
        default=5e-5,
        ge=0,
        lt=1,
        description="By what share of their distance to the mean both ends of the range move towards it with every value, so that "
        "what has not come for long counts as new again. 0: a record stands for ever.",
    )
    warm_up: int = Field(default=100, ge=1, description="How many values a feature needs before its first verdict.")

    def expressions(self) -> list[str] | None:
        """What is held against its range."""
        return self.features or None

    def training(self) -> dict[str, Any]:
        """Settings that kept state depends on [S24]."""
        return {"leak": self.leak}

    def plan(self, name: str, view: Expressions) -> DetectorPlan | None:
        """The detector's part of the Plan; None after a mistake."""
        read = features_read(self.features, view, "a record detector")
        return None if read is None else RecordPlan(name, self.type, *read, self.limit, self.leak, self.warm_up)
