"""Settings of the z-score."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from offbeat.core.plan import DetectorPlan, RangePlan
from offbeat.detectors.range.range_spec import Floor, RangeSpec, floored
from offbeat.detectors.spec import Early, Expression, Expressions, Settings

_MAD_TO_SIGMA = "1.482602218505602"
"""1 / Φ⁻¹(3/4): what makes the median absolute deviation of normal values their standard deviation (Rousseeuw & Croux 1993)."""


class BaselineSpec(Settings):
    """A mean and a standard deviation of your own."""

    mean: Expression = Field(description="The expected value.", examples=["mean_volume"])
    std: Expression = Field(
        description="Its standard deviation; if it is null, there is no verdict; if it is 0, any value but the mean is infinitely far out.",
        examples=["std_volume"],
    )


class ZScoreSpec(RangeSpec):
    """Votes when a value lies further from the mean of the window before it than its limit, in standard deviations."""

    type: Literal["zscore"] = "zscore"
    limits: dict[Expression, float] = Field(
        min_length=1,
        description="Value (a name or an expression) → limit, in standard deviations.",
        examples=[{"price": 4, "size": 5}],
    )
    robust: bool = Field(default=False, description="Use median and median absolute deviation instead of mean and standard deviation.")
    baseline: dict[Expression, BaselineSpec] = Field(
        default={},
        description="Values that are compared with a mean and a standard deviation of your own instead of the window.",
        examples=[{"sessions": {"mean": "mean_sessions", "std": "std_sessions"}}],
    )
    floors: dict[Expression, Floor] | None = Field(
        default=None,
        description="As `floor`, by value, which goes before it.",
        examples=[{"price": 0.01, "size": "5%"}],
    )
    early: Early = False

    def expressions(self) -> list[str] | None:
        """The values, and the means and deviations they are compared with."""
        return [*self.limits, *(text for usual in self.baseline.values() for text in (usual.mean, usual.std))]

    def plan(self, name: str, view: Expressions) -> DetectorPlan | None:
        """The detector's part of the Plan; None after a mistake."""
        for text in self.baseline:
            if text not in self.limits:
                view.problem(("baseline", text), f"`{text}` has no limit in `limits`")
        for text, limit in self.limits.items():
            if not limit > 0:
                view.problem(("limits", text), f"a limit must be above 0, not {limit:g}")
        floors = self.floors or {}
        for text in floors:
            if text not in self.limits:
                view.problem(("floors", text), f"`{text}` has no limit in `limits`")
        windowed = [text for text in self.limits if text not in self.baseline]
        center, spread = ("median({})", f"{_MAD_TO_SIGMA} * mad({{}})") if self.robust else ("mean({})", "std({})")
        features, shown = {}, dict[str, str]()
        for i, text in enumerate(windowed):
            shown |= self.least_value(view, f"{name}.least.{i}", text)
            if self.robust:
                # Half of the values may be equal, and so the deviation 0, while the others vary.
                shown |= {f"{name}.low.{i}": f"min({text})", f"{name}.high.{i}": f"max({text})"}
            for part, aggregate in (("center", center), ("spread", spread)):
                features[f"{name}.{part}.{i}"] = f"CASE WHEN count({text}) >= {self.least()} THEN {aggregate.format(text)} END"
        if windowed:
            view.background(name, self.over, features, shown)
        terms = []
        for text, limit in self.limits.items():
            given = self.baseline.get(text)
            if given is None:
                i = windowed.index(text)
                middle, unit, field, least = f'"{name}.center.{i}"', f'"{name}.spread.{i}"', ("limits", text), f"{name}.least.{i}"
                seen = (f"{name}.low.{i}", f"{name}.high.{i}") if self.robust else None
            else:
                middle, unit, field, least, seen = given.mean, f"({given.std})", ("baseline", text), "", None
            reach = f"{limit!r} * {floored(unit, middle, floors.get(text, self.floor))}"
            terms.append(self.term(view, field, text, (middle, reach, reach), limit, least if least in shown else "", seen=seen))
            if self.early and terms[-1] is not None:
                view.rises(field, text, () if given is None else (given.mean, given.std))
        good = [term for term in terms if term is not None]
        return RangePlan(name, self.type, tuple(good), self.early) if len(good) == len(terms) else None
