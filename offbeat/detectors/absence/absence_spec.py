"""Settings of the absence detector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from offbeat.core.plan import AbsencePlan, DetectorPlan
from offbeat.detectors.spec import DetectorSpec, Expressions


class AbsenceSpec(DetectorSpec):
    """Votes when a key that had windows has none any more: once per silence, as soon as the silence is no longer chance.

    For views with a rollup.
    """

    former: ClassVar[Mapping[str, str]] = {"at_least": "min_history"}

    type: Literal["absence"] = "absence"
    limit: float = Field(
        default=5e-5,
        gt=0,
        lt=1,
        description="Flags a silence when the chance of one so long is below this: q^s for s windows, where q = (missing + 1) / (n + 2) "
        "of the n windows from the key's first to its last. 5e-5: three days after 30 days without a gap; eight for a key with three days "
        "in four.",
    )
    min_history: int = Field(default=14, ge=1, description="How many windows must lie from the key's first to its last, both included.")

    def expressions(self) -> list[str] | None:
        """None: only the presence of a window counts."""
        return []

    def plan(self, name: str, view: Expressions) -> DetectorPlan | None:
        """The detector's part of the Plan; None after a mistake."""
        if not view.size_ns:
            view.problem(("type",), "only windows can be missing: absence needs a view with a `rollup`")
            return None
        return AbsencePlan(name, self.type, self.limit, self.min_history)
