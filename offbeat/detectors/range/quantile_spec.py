"""Settings of the moving quantiles."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from offbeat.core.plan import DetectorPlan, RangePlan
from offbeat.detectors.range.range_spec import RangeSpec
from offbeat.detectors.spec import Expression, Expressions


class QuantileSpec(RangeSpec):
    """Votes when a value lies further from the median of the window before it than `factor` times the distance to a quantile."""

    type: Literal["quantile"] = "quantile"
    value: Expression = Field(description="The value: a name or an expression.", examples=["size"])
    low: float = Field(default=0.01, ge=0, lt=0.5, description="The lower quantile.")
    high: float = Field(default=0.99, gt=0.5, le=1, description="The upper quantile.")
    factor: float = Field(default=1.0, gt=0, description="Stretches the range both ways: 2 allows twice the distance from the median.")

    def expressions(self) -> list[str] | None:
        """The value."""
        return [self.value]

    def plan(self, name: str, view: Expressions) -> DetectorPlan | None:
        """The detector's part of the Plan; None after a mistake."""
        enough = f"CASE WHEN count({self.value}) >= {self.least()} THEN quantile({self.value}, {{!r}}) END"
        parts = {f"{name}.{part}": enough.format(q) for part, q in (("low", self.low), ("center", 0.5), ("high", self.high))}
        shown = self.least_value(view, f"{name}.least", self.value)
        view.background(name, self.over, parts, shown)
        center = f'"{name}.center"'
        below, above = (self.floored(side, center) for side in (f'({center} - "{name}.low")', f'("{name}.high" - {center})'))
        usual = (center, f"{self.factor!r} * {below}", f"{self.factor!r} * {above}")
        term = self.term(view, ("value",), self.value, usual, self.factor, *shown)
        return None if term is None else RangePlan(name, self.type, (term,))
