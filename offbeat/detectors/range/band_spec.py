"""Settings of the moving band."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from offbeat.core.plan import DetectorPlan, RangePlan
from offbeat.detectors.range.range_spec import RangeSpec
from offbeat.detectors.spec import Expression, Expressions


class BandSpec(RangeSpec):
    """Votes when a value leaves the band of mean ± width standard deviations of the window before it."""

    type: Literal["band"] = "band"
    value: Expression = Field(description="The value: a name or an expression.", examples=["price"])
    width: float = Field(default=3.0, gt=0, description="Half the band's width, in standard deviations.")

    def expressions(self) -> list[str] | None:
        """The value."""
        return [self.value]

    def plan(self, name: str, view: Expressions) -> DetectorPlan | None:
        """The detector's part of the Plan; None after a mistake."""
        enough = f"CASE WHEN count({self.value}) >= {self.least()} THEN {{}}({self.value}) END"
        center, spread = f"{name}.center", f"{name}.spread"
        shown = self.least_value(view, f"{name}.least", self.value)
        view.background(name, self.over, {center: enough.format("mean"), spread: enough.format("std")}, shown)
        unit = self.floored(f'"{spread}"', f'"{center}"')
        reach = f"{self.width!r} * {unit}"
        term = self.term(view, ("value",), self.value, (f'"{center}"', reach, reach), self.width, *shown)
        return None if term is None else RangePlan(name, self.type, (term,))
