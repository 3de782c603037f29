"""What a calibration found, on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from offbeat.io.report.block_table import BlockTable
from offbeat.io.report.console import number
from offbeat.io.report.episode_report import episode_lines


def calibration_report(
    rates: Sequence[tuple[str, float, float, float]],
    *,
    what: str,
    most: float,
    diff: str,
    gone: Sequence[Mapping[str, Any]],
    gone_in_all: int,
    came: int,
    zone: str,
) -> RenderableType:
    """`rates`: for each part its name, its days, and how many a day before and after. `most`: the budget for a day.

    `gone`: the worst episodes of which no alert is left, of so many in all; `came`: how many there are that were none before.
    """
    rows = [[name, number(days, 3), number(before, 3), number(after, 3), number(most, 3)] for name, days, before, after in rates]
    parts: list[RenderableType] = [
        BlockTable(names=["part"], groups=[["days", "before", "after", "budget"]], rows=rows, title=f"{what} a day"),
    ]
    if diff:
        parts.append(Text(diff.rstrip("\n")))
    if gone_in_all:
        title = f"no alert is left of {gone_in_all:,} of the former episodes; the worst of them"
        parts.append(episode_lines(gone, title=title, zone=zone))
    if came:
        parts.append(Text(f"{came:,} episodes come that had no alert before."))
    return Group(*parts)
