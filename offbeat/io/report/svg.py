"""A drawing as SVG: a few kilobytes, no script, as sharp on paper as on a screen."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from offbeat.core.batch import F64, I64
from offbeat.io.report.console import number, safe
from offbeat.io.report.drawing import Band, Drawing, Panel

WIDTH = 1_000
_PANEL, _LEFT, _RIGHT, _TOP, _BOTTOM, _BETWEEN = 230, 74, 14, 26, 54, 26
_SEAM = 10
"""Width of a pause that is left out."""
_MOST_POINTS = 1_200
"""Points of a line; of more, the lowest and the highest of each group of neighbours."""
_MOST_DOTS = 250
_LABEL = 74
"""Room for the label of a time."""
_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800]
_STEPS += [2_592_000, 31_536_000]
"""Seconds between two labels of the time axis."""

STYLE = """
.drawing { overflow-x: auto; }
svg.plot { width: 100%; min-width: 640px; height: auto; font: 13px system-ui, sans-serif; }
svg.plot text { fill: currentColor; }
svg.plot .grid { stroke: rgba(128,128,128,0.25); stroke-width: 1; }
svg.plot .seam { fill: rgba(128,128,128,0.18); }
svg.plot .window { fill: rgba(0,114,178,0.13); }
svg.plot .band { fill: rgba(0,158,115,0.20); }
svg.plot .line { fill: none; stroke: #3d8fd1; stroke-width: 1.5; }
svg.plot .dot { fill: #3d8fd1; }
svg.plot .expected { stroke: #009e73; stroke-width: 1.5; stroke-dasharray: 7 4; }
svg.plot .limit { stroke: #e69f00; stroke-width: 1.8; stroke-dasharray: 2 4; }
svg.plot .mark { fill: none; stroke: #d55e00; stroke-width: 2; }
svg.plot .main { fill: #d55e00; stroke: #d55e00; }
svg.plot .towards { fill: #d55e00; }
svg.plot .away { fill: #3d8fd1; }
"""
"""What a page with drawings needs in its style sheet."""


def svg_of(drawing: Drawing) -> str:
    """The drawing as an `<svg>` element of class `plot`; needs `STYLE`. Every text in it is escaped."""
    axis = _TimeAxis(drawing)
    height = _TOP + len(drawing.panels) * (_PANEL + _BETWEEN) - _BETWEEN + _BOTTOM
    names = ", ".join(safe(panel.name) for panel in drawing.panels)
    parts = [opened(height, f"{names} over time")]
    for i, panel in enumerate(drawing.panels):
        parts += _panel(panel, axis, drawing, _TOP + i * (_PANEL + _BETWEEN), last=i == len(drawing.panels) - 1)
    said = f"; shaded: what {' and '.join(drawing.shaded_by)} held it against" if drawing.shaded_by else ""
    said += f"; {len(drawing.pauses)} pause{'s' * (len(drawing.pauses) > 1)} left out" if drawing.pauses else ""
    parts.append(text_at((_LEFT + WIDTH - _RIGHT) / 2, height - 6, f"{drawing.zone}{said}", anchor="middle"))
    return "\n".join([*parts, "</svg></div>"])


def bars_svg(names: Sequence[str], values: Sequence[float], texts: Sequence[str], *, signed: bool, label: str) -> str:
    """Horizontal bars from zero, the first on top; where `signed`, those below zero have a colour of their own."""
    line, left = 24, 250
    height = line * len(names) + 8
    low, high = min(0.0, *values), max(0.0, *values)
    scale = (WIDTH - left - 90) / ((high - low) or 1.0)
    zero = left - low * scale
    parts = [opened(height, label)]
    for i, (name, value, text) in enumerate(zip(names, values, texts, strict=True)):
        y, end = i * line + 4, zero + value * scale
        kind = "away" if signed and value < 0 else "towards"
        parts.append(f'<rect class="{kind}" x="{min(zero, end):.1f}" y="{y}" width="{max(abs(end - zero), 1):.1f}" height="{line - 7}"/>')
        parts.append(text_at(left - 8, y + 13, safe(name, 34), anchor="end"))
        parts.append(text_at(max(zero, end) + 6, y + 13, text))
    parts.append(f'<line class="grid" x1="{zero:.1f}" y1="0" x2="{zero:.1f}" y2="{height}"/>')
    return "\n".join([*parts, "</svg></div>"])


def opened(height: float, label: str) -> str:
    """The beginning of a drawing, to be ended by `</svg></div>`; `label` says what it is to those who cannot see it."""
    shown = html.escape(label, quote=True)
    return f'<div class="drawing"><svg class="plot" viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{shown}">'


class _TimeAxis:
    """From times to places, pauses left out."""

    def __init__(self, drawing: Drawing) -> None:
        times = drawing.times
        begin, end = int(times[0]), int(times[-1])
        edges = [begin, *(edge for pause in drawing.pauses for edge in pause), end]
        self.spans = [(edges[i], edges[i + 1]) for i in range(0, len(edges), 2)]
        shown = sum(b - a for a, b in self.spans)
        self._scale = (WIDTH - _LEFT - _RIGHT - _SEAM * len(drawing.pauses)) / (shown or 1)
        known: list[float] = []
        place: list[float] = []
        x = float(_LEFT) if shown else (_LEFT + WIDTH - _RIGHT) / 2
        for a, b in self.spans:
            known += [a - begin, b - begin]
            place += [x, x + (b - a) * self._scale]
            x = place[-1] + _SEAM
        self._begin, self._known, self._place = begin, known, place
        self.zone = ZoneInfo(drawing.zone)

    def at(self, times: I64) -> F64:
        """Places of times, those outside at the ends."""
        return np.interp((times - self._begin).astype(np.float64), self._known, self._place)

    def one(self, time_ns: int) -> float:
        return float(self.at(np.array([time_ns], np.int64))[0])

    def ticks(self) -> list[tuple[float, str]]:
        """Round local times, a label's width apart, with the date where it changes."""
        return time_ticks(self.spans, self.zone, self.one)


def time_ticks(spans: Sequence[tuple[int, int]], zone: ZoneInfo, place: Callable[[int], float]) -> list[tuple[float, str]]:
    """Round local times in some spans (ns UTC), by their places on the axis, a label's width apart, with the date where it changes."""
    seconds = sum(b - a for a, b in spans) / 1e9
    step = next((s for s in _STEPS if seconds / s <= 9), _STEPS[-1])
    found: list[tuple[float, str]] = []
    day, free = "", -math.inf
    for a, b in spans:
        at = _round_up(datetime.fromtimestamp(a / 1e9, zone), step)
        while at.timestamp() * 1e9 <= b:
            x = place(int(at.timestamp() * 1e9))
            if x >= free:
                date = at.strftime("%Y-%m-%d")
                clock = at.strftime("%H:%M:%S" if step < 60 else "%H:%M")
                found.append((x, date if step >= 86_400 else clock if date == day else f"{clock}\n{date}"))
                day, free = date, x + _LABEL
            at = (at.astimezone(UTC) + timedelta(seconds=step)).astimezone(zone)
    return found


def _round_up(time: datetime, step: int) -> datetime:
    midnight = time.replace(hour=0, minute=0, second=0, microsecond=0)
    if step >= 86_400:
        return midnight if time == midnight else midnight + timedelta(days=1)
    passed = (time - midnight).total_seconds()
    return midnight + timedelta(seconds=math.ceil(passed / step) * step)


def _panel(panel: Panel, axis: _TimeAxis, drawing: Drawing, top: int, *, last: bool) -> list[str]:
    bottom = top + _PANEL
    values = np.array([math.nan if v is None else float(v) for v in panel.values], np.float64)
    low, high = _extent(panel, values)
    scale = _PANEL / (high - low)

    def y(value: float) -> float:
        return min(max(bottom - (value - low) * scale, top), bottom)

    parts = []
    for begin, end in drawing.shaded:
        a, b = axis.one(begin), axis.one(end)
        parts.append(f'<rect class="window" x="{a:.1f}" y="{top}" width="{max(b - a, 1):.1f}" height="{_PANEL}"/>')
    for begin, _ in drawing.pauses:
        parts.append(f'<rect class="seam" x="{axis.one(begin):.1f}" y="{top}" width="{_SEAM}" height="{_PANEL}"/>')
    parts += value_axis(low, high, y)
    parts += cross_axis(axis.ticks(), top, bottom, labels=last)
    parts += [_band(band, y, top, bottom) for band in panel.bands]
    parts.append(_line(axis, drawing, values, y))
    if len(values) <= _MOST_DOTS:
        xs = axis.at(drawing.times)
        parts += [f'<circle class="dot" cx="{x:.1f}" cy="{y(v):.1f}" r="2"/>' for x, v in zip(xs, values, strict=True) if not math.isnan(v)]
    for level in panel.levels:
        parts.append(_horizontal("limit" if level.limit else "expected", y(level.value)))
    for mark in sorted(panel.marks, key=lambda mark: mark.main):
        x, at = axis.one(mark.time_ns), y(mark.value)
        when = datetime.fromtimestamp(mark.time_ns / 1e9, axis.zone).strftime("%Y-%m-%d %H:%M:%S")
        r = 7 if mark.main else 5
        shape = f"M{x:.1f} {at - r:.1f}l{r} {r}l{-r} {r}l{-r} {-r}z"
        parts.append(f'<path class="mark{" main" * mark.main}" d="{shape}"><title>{html.escape(f"{when} {mark.label}")}</title></path>')
    parts.append(text_at(_LEFT, top - 8, safe(panel.name)))
    told = [*(f"{level.label} {'┄' if level.limit else '╌'}" for level in panel.levels), *(band.label for band in panel.bands)]
    parts.append(text_at(WIDTH - _RIGHT, top - 8, "   ".join(told), anchor="end"))
    return parts


def _band(band: Band, y: Callable[[float], float], top: int, bottom: int) -> str:
    upper = top if band.high is None else y(band.high)
    lower = bottom if band.low is None else y(band.low)
    size = f'width="{WIDTH - _LEFT - _RIGHT}" height="{max(lower - upper, 1):.1f}"'
    return f'<rect class="band" x="{_LEFT}" y="{upper:.1f}" {size}><title>{html.escape(band.label)}</title></rect>'


def _extent(panel: Panel, values: F64) -> tuple[float, float]:
    """From the lowest to the highest that must be seen, with some room."""
    known = [*values[np.isfinite(values)].tolist(), *(level.value for level in panel.levels), *(mark.value for mark in panel.marks)]
    return extent([*known, *(end for band in panel.bands for end in (band.low, band.high))])


def extent(values: Sequence[float | None]) -> tuple[float, float]:
    """From the least to the greatest, with some room."""
    known = [value for value in values if value is not None and math.isfinite(value)] or [0.0]
    low, high = min(known), max(known)
    room = (high - low) * 0.06 or abs(high) * 0.05 or 1.0
    return low - room, high + room


def value_axis(low: float, high: float, y: Callable[[float], float], left: float = _LEFT, right: float = WIDTH - _RIGHT) -> list[str]:
    """A line across at each round value, with the value on its left."""
    parts = []
    for at, label in value_ticks(low, high, y):
        parts.append(_horizontal("grid", at, left, right))
        parts.append(text_at(left - 8, at + 4, label, anchor="end"))
    return parts


def cross_axis(ticks: Sequence[tuple[float, str]], top: float, bottom: float, *, labels: bool = True) -> list[str]:
    """A line upright at each tick, with its label below; a label may have several lines."""
    parts = []
    for x, label in ticks:
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}"/>')
        if labels:
            parts += [text_at(x, bottom + 15 + 13 * k, line, anchor="middle") for k, line in enumerate(label.split("\n"))]
    return parts


def value_ticks(low: float, high: float, place: Callable[[float], float]) -> list[tuple[float, str]]:
    """Round values by their places on the axis."""
    return [(place(value), number(value, 4)) for value in _round_values(low, high)]


def _round_values(low: float, high: float) -> list[float]:
    """About five round numbers from the one to the other."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough)
    return [k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _line(axis: _TimeAxis, drawing: Drawing, values: F64, y: Callable[[float], float]) -> str:
    keep = _thinned(values)
    begins = {b for _, b in drawing.pauses}
    starts = np.array(sorted(begins), np.int64)
    piece = np.searchsorted(starts, drawing.times[keep], side="right")
    path, before = [], -1
    for x, value, part in zip(axis.at(drawing.times[keep]).tolist(), values[keep].tolist(), piece.tolist(), strict=True):
        if math.isnan(value):
            before = -1
            continue
        path.append(f"{'L' if part == before else 'M'}{x:.1f} {y(value):.1f}")
        before = part
    return f'<path class="line" d="{"".join(path)}"/>'


def _thinned(values: F64) -> I64:
    """Indices of what a line of some thousand points needs, so that no peak is lost."""
    n = len(values)
    if n <= _MOST_POINTS:
        return np.arange(n)
    edges = np.linspace(0, n, _MOST_POINTS // 2 + 1).astype(np.int64)
    kept = {0, n - 1}
    for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        part = values[a:b]
        if np.isfinite(part).any():
            kept |= {a + int(np.nanargmin(part)), a + int(np.nanargmax(part))}
    return np.array(sorted(kept), np.int64)


def _horizontal(kind: str, y: float, left: float = _LEFT, right: float = WIDTH - _RIGHT) -> str:
    return f'<line class="{kind}" x1="{left:.1f}" y1="{y:.1f}" x2="{right:.1f}" y2="{y:.1f}"/>'


def text_at(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    """A text, escaped."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'
