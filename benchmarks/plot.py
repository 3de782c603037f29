"""A small line plot as SVG, written by hand: no plotting package is needed to run the benchmarks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_WIDTH, _HEIGHT = 420, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 40, 45


@dataclass(frozen=True, slots=True)
class Panel:
    """One pair of axes: x on a logarithmic scale, y from zero."""

    title: str
    x_label: str
    x: Sequence[float]
    y: Sequence[float]
    y_unit: str


def write_svg(file: Path, panels: Sequence[Panel], columns: int = 2) -> None:
    """Write the panels into one SVG, `columns` side by side."""
    lines = -(-len(panels) // columns)
    width, height = _WIDTH * columns, _HEIGHT * lines
    body = [_panel(panel, _WIDTH * (i % columns), _HEIGHT * (i // columns)) for i, panel in enumerate(panels)]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="11" fill="#222">'
    file.write_text("\n".join([head, f'<rect width="{width}" height="{height}" fill="white"/>', *body, "</svg>", ""]), encoding="utf-8")


def _panel(panel: Panel, left: int, top: int) -> str:
    x0, x1 = left + _LEFT, left + _WIDTH - _RIGHT
    y0, y1 = top + _HEIGHT - _BOTTOM, top + _TOP
    low, high = math.log10(min(panel.x)), math.log10(max(panel.x))
    ceiling = _nice(max(panel.y))
    points = [
        (x0 + (math.log10(x) - low) / ((high - low) or 1) * (x1 - x0), y0 - y / ceiling * (y0 - y1))
        for x, y in zip(panel.x, panel.y, strict=True)
    ]
    parts = [f'<text x="{x0}" y="{top + 22}" font-size="13" font-weight="bold">{panel.title}</text>']
    for i in range(5):
        y = y0 - (y0 - y1) * i / 4
        parts.append(f'<line x1="{x0}" y1="{y:.1f}" x2="{x1}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{x0 - 6}" y="{y + 4:.1f}" text-anchor="end">{_short(ceiling * i / 4)}{panel.y_unit}</text>')
    for value, (x, _) in zip(panel.x, points, strict=True):
        parts.append(f'<text x="{x:.1f}" y="{y0 + 16}" text-anchor="middle">{_short(value)}</text>')
    parts.append(f'<text x="{(x0 + x1) / 2}" y="{y0 + 34}" text-anchor="middle">{panel.x_label}</text>')
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    parts.append(f'<polyline points="{line}" fill="none" stroke="#2a6fbb" stroke-width="2"/>')
    parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#2a6fbb"/>' for x, y in points]
    return "\n".join(parts)


def _nice(value: float) -> float:
    """The least of 1, 2, 4, 8 times a power of ten that is not below `value`."""
    unit = 10.0 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next(unit * step for step in (1, 2, 4, 8, 10) if unit * step >= value)


def _short(value: float) -> str:
    for size, suffix in ((1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:g}{suffix}"
    return f"{value:g}"
