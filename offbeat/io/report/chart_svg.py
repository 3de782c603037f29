"""Charts of curves, points and areas, panel by panel, as one SVG: kilobytes without a script, where a plotting library takes megabytes."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

import numpy as np

from offbeat.core.batch import F64
from offbeat.io.report.svg import WIDTH, cross_axis, opened, text_at, time_ticks, value_axis, value_ticks

_LEFT, _RIGHT, _TITLE, _BELOW, _LEGEND = 74, 14, 30, 44, 22
_LETTER = 7.2
"""About so wide is one in a legend."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Points of a panel (n,), with a line through them, an area around them, dots on them, or several of these."""

    x: F64
    y: F64
    """A NaN ends a line or an area; the next point begins another."""
    color: str
    line: float = 0.0
    """Width of the line; 0: none."""
    dash: str = ""
    dots: float = 0.0
    """Radius; 0: none."""
    fill: bool = False
    steps: bool = False
    """The line goes up or down first, and then across."""
    words: Sequence[str] = ()
    """(n,) what is shown of a dot under the pointer; '' for nothing."""
    name: str = ""
    """In the legend; '': not there."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One coordinate system."""

    title: str
    x: tuple[float, float]
    """Ends of the axis; of times, ns UTC."""
    y: tuple[float, float]
    traces: Sequence[Trace]
    x_label: str = ""
    y_label: str = ""
    zone: str = ""
    """Of an axis of times."""
    spans: Sequence[tuple[float, float, str]] = field(default=())
    """Shaded from x to x in a colour, behind everything."""


def chart_svg(panels: Sequence[Panel], *, height: int, label: str, columns: int = 1) -> str:
    """The panels, row by row, as an `<svg>` of class `plot`; needs `STYLE`. Every text in it is escaped."""
    legend = _legend(panels)
    top = _TITLE + _LEGEND * len(legend)
    each = height + _TITLE + _BELOW
    rows = -(-len(panels) // columns)
    parts = [opened(top - _TITLE + rows * each, label), *legend]
    width = WIDTH / columns
    for i, panel in enumerate(panels):
        left = (i % columns) * width
        parts += _panel(panel, left + _LEFT, left + width - _RIGHT, top + (i // columns) * each, height)
    return "\n".join([*parts, "</svg></div>"])


def _legend(panels: Sequence[Panel]) -> list[str]:
    """Each name once, in as many lines as they need."""
    named: dict[str, str] = {}
    for panel in panels:
        for trace in panel.traces:
            if trace.name:
                named.setdefault(trace.name, trace.color)
    lines: list[list[str]] = [[]] if named else []
    x, y = float(_LEFT), 14
    for name, color in named.items():
        wide = 30 + _LETTER * len(name)
        if x + wide > WIDTH and lines[-1]:
            lines.append([])
            x, y = float(_LEFT), y + _LEGEND
        lines[-1].append(f'<rect x="{x:.0f}" y="{y - 9}" width="12" height="9" fill="{color}"/>{text_at(x + 17, y, name)}')
        x += wide
    return ["".join(line) for line in lines]


def _panel(panel: Panel, left: float, right: float, top: float, height: int) -> list[str]:
    bottom = top + height
    x_low, x_high = panel.x
    y_low, y_high = panel.y
    across, up = (right - left) / ((x_high - x_low) or 1.0), height / ((y_high - y_low) or 1.0)

    def x(value: float) -> float:
        return min(max(left + (value - x_low) * across, left), right)

    def y(value: float) -> float:
        return min(max(bottom - (value - y_low) * up, top), bottom)

    parts = []
    for begin, end, color in panel.spans:
        a, b = x(begin), x(end)
        parts.append(f'<rect x="{a:.1f}" y="{top}" width="{max(b - a, 2):.1f}" height="{height}" fill="{color}"/>')
    parts += value_axis(y_low, y_high, y, left, right)
    parts += cross_axis(_ticks(panel, x), top, bottom)
    for trace in panel.traces:
        parts += _trace(trace, x, y)
    parts.append(text_at(left, top - 8, panel.title))
    if panel.x_label:
        parts.append(text_at((left + right) / 2, bottom + 40, panel.x_label, anchor="middle"))
    if panel.y_label:
        parts.append(text_at(right, top - 8, panel.y_label, anchor="end"))
    return parts


def _ticks(panel: Panel, x: Callable[[float], float]) -> list[tuple[float, str]]:
    low, high = panel.x
    if panel.zone:
        return time_ticks([(int(low), int(high))], ZoneInfo(panel.zone), lambda time_ns: x(float(time_ns)))
    return value_ticks(low, high, x)


def _trace(trace: Trace, x: Callable[[float], float], y: Callable[[float], float]) -> list[str]:
    known = np.isfinite(trace.x) & np.isfinite(trace.y)
    places = [(x(a), y(b)) if there else None for a, b, there in zip(trace.x.tolist(), trace.y.tolist(), known.tolist(), strict=True)]
    parts = []
    if trace.line or trace.fill:
        fill = trace.color if trace.fill else "none"
        dash = f' stroke-dasharray="{trace.dash}"' if trace.dash else ""
        shape = _path(places, steps=trace.steps)
        parts.append(f'<path d="{shape}" fill="{fill}" stroke="{trace.color}" stroke-width="{trace.line or 1}"{dash}/>')
    if trace.dots:
        words = trace.words or [""] * len(places)
        plain = "".join(f"M{at[0]:.1f} {at[1]:.1f}h0" for at, word in zip(places, words, strict=True) if at is not None and not word)
        if plain:
            parts.append(f'<path d="{plain}" stroke="{trace.color}" stroke-width="{2 * trace.dots}" stroke-linecap="round"/>')
        parts += [
            f'<circle cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="{trace.dots}" fill="{trace.color}"><title>{html.escape(word)}</title></circle>'
            for at, word in zip(places, words, strict=True)
            if at is not None and word
        ]
    return parts


def _path(places: Sequence[tuple[float, float] | None], *, steps: bool) -> str:
    out, begins = [], True
    for at in places:
        if at is None:
            begins = True
            continue
        if begins:
            out.append(f"M{at[0]:.1f} {at[1]:.1f}")
        else:
            out.append(f"V{at[1]:.1f}H{at[0]:.1f}" if steps else f"L{at[0]:.1f} {at[1]:.1f}")
        begins = False
    return "".join(out)


def heat_svg(title: str, names: Sequence[str], values: F64, *, label: str) -> str:
    """A square of values from -1 to 1 (n, n): the further from 0 the stronger, below 0 in another colour; NaN is empty."""
    cell, left, top = 26, 210, 26
    parts = [opened(top + cell * (len(names) + 1), label), text_at(left, 16, title)]
    width = min((WIDTH - left - 10) / max(len(names), 1), 110)
    for row, name in enumerate(names):
        parts.append(text_at(left - 8, top + cell * row + 17, name[:28], anchor="end"))
        for column, value in enumerate(values[row].tolist()):
            if math.isnan(value):
                continue
            color = f"rgba({'61,143,209' if value >= 0 else '213,94,0'},{min(abs(value), 1):.2f})"
            x, y = left + width * column, top + cell * row
            parts.append(f'<rect x="{x:.1f}" y="{y}" width="{width - 2:.1f}" height="{cell - 2}" fill="{color}"/>')
            parts.append(text_at(x + width / 2, y + 17, f"{value:.2f}", anchor="middle"))
    for column, name in enumerate(names):
        parts.append(text_at(left + width * (column + 0.5), top + cell * len(names) + 15, name[: max(int(width / 8), 3)], anchor="middle"))
    return "\n".join([*parts, "</svg></div>"])
