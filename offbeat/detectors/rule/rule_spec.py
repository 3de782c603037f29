"""Settings of the rule detector."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from offbeat.core.plan import DetectorPlan
from offbeat.detectors.spec import DetectorSpec, Early, Expression, Expressions


class RuleSpec(DetectorSpec):
    """Votes when a condition over the row and its window features is true."""

    type: Literal["rule"] = "rule"
    when: Expression = Field(
        description="The condition. Null means no verdict. Its first comparison by >, >=, < or <= gives observed value and threshold.",
        examples=["abs(close / previous_close - 1) > 0.005", "volume > 1.02 * mean_volume"],
    )
    expected: Expression | None = Field(
        default=None,
        description="What a normal row would have shown, for the explanation.",
        examples=["0", "mean_volume"],
    )
    floor: Expression | None = Field(
        default=None,
        description="What severity is measured by where the limit is not above 0, and so no ratio: a value that counts as little. Votes do "
        "not depend on it. Without it, such an alert has severity 0.",
        examples=["usual_volume"],
    )
    early: Early = False

    def expressions(self) -> list[str] | None:
        """The condition, what is expected, and the floor."""
        return [text for text in (self.when, self.expected, self.floor) if text is not None]

    def plan(self, name: str, view: Expressions) -> DetectorPlan | None:
        """The detector's part of the Plan; None after a mistake."""
        return view.rule(name, self.when, self.expected, self.floor, early=self.early)
