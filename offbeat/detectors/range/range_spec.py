"""Shared settings of detectors that compare a value with a window of earlier rows: the window's length, and how many values it needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from offbeat.core.plan import Term
from offbeat.detectors.spec import DetectorSpec, Expressions


def _as_floor(value: Any) -> Any:
    """`0.1%` and `0.1 %` are a share of the center."""
    if isinstance(value, str):
        number = value.removesuffix("%").strip()
        try:
            share = float(number)
        except ValueError:
            share = -1.0
        if not value.endswith("%") or not 0 < share < float("inf"):
            raise ValueError(f"a floor is a number above 0 or a share of the center such as `0.1%`, not `{value}`")
        return f"{number}%"
    if isinstance(value, int | float) and not isinstance(value, bool) and not value > 0:
        raise ValueError(f"a floor is a number above 0 or a share of the center such as `0.1%`, not {value}")
    return value


Floor = Annotated[float | str, BeforeValidator(_as_floor)]
"""The least spread: in the value's unit, or as a share of the center."""


def floored(spread: str, center: str, floor: float | str | None) -> str:
    """A spread, as expression, that is not below the floor; null where it is null."""
    if floor is None:
        return spread
    least = f"{float(floor.removesuffix('%')) / 100!r} * abs({center})" if isinstance(floor, str) else repr(floor)
    return f"CASE WHEN {spread} IS NOT NULL THEN greatest({spread}, {least}) END"


_LEAST = 30
"""Default for windows of time: the spread of fewer values means little."""


class RangeSpec(DetectorSpec):
    """Settings of detectors with a window of their own."""

    former: ClassVar[Mapping[str, str]] = {"at_least": "min_values"}

    over: str = Field(
        default="100 rows",
        description="Length of the window before the row that is scored: a number of rows or a duration.",
        examples=["100 rows", "1h"],
    )
    min_values: int | None = Field(
        default=None,
        ge=2,
        description="How many values the window must hold for a verdict. Default: half its rows, 30 for a duration.",
        examples=[50],
    )

    floor: Floor | None = Field(
        default=None,
        description="Least spread to count with: a number, in the value's unit, or a share of the center, such as `0.1%`. For prices "
        "that move by ticks, and for counts: without it, any change after equal values is infinitely far out.",
        examples=[0.01, "0.1%"],
    )

    def floored(self, spread: str, center: str) -> str:
        """A spread, as expression, that is not below the floor; null where it is null."""
        return floored(spread, center, self.floor)

    def least(self) -> int:
        """How many values the window must hold."""
        if self.min_values is not None:
            return self.min_values
        rows = self.over.removesuffix("rows").removesuffix("row").strip()
        return max(int(rows) // 2, 2) if rows.isdigit() else _LEAST

    def least_value(self, view: Expressions, name: str, text: str) -> dict[str, str]:
        """The feature `name`, least value in a window, where it is not known beforehand that the value is never negative."""
        return {} if view.never_negative(text) else {name: f"min({text})"}

    def term(
        self,
        view: Expressions,
        field: tuple[str, ...],
        text: str,
        usual: tuple[str, str, str],
        limit: float,
        least: str = "",
        *,
        seen: tuple[str, str] | None = None,
    ) -> Term | None:
        """The value and, as expressions, its center, tolerance below and tolerance above; None after a mistake.

        `least`: the window's feature for its least value; '' for none. `seen`: as `Term.seen`, by feature.
        """
        value, *rest = (view.number(field, part) for part in (text, *usual))
        if -1 in (value, *rest):
            return None
        shown = view.number(field, f'"{least}"') if least else -1
        ends = None if seen is None else (view.number(field, f'"{seen[0]}"'), view.number(field, f'"{seen[1]}"'))
        return Term(text, value, rest[0], rest[1], rest[2], limit, shown, view.never_negative(text), ends)
