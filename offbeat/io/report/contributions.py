"""What each feature added to a detector's score, and how far features lie outside their usual range, as bars."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from typing import Any

from offbeat.io.report.console import Record, number, parts_are_signed, safe
from offbeat.io.report.svg import bars_svg

_MOST = 10
"""Features drawn: those that weigh most."""


def weightiest(alert: Record) -> Iterator[tuple[Mapping[str, Any], list[Mapping[str, Any]]]]:
    """Each detector with a verdict that looks at several features, and those of them that weigh most, the weightiest first."""
    for detector in alert["detectors"] or ():
        parts = [part for part in detector["contributions"] or () if part["value"]]
        if len(parts) > 1:
            yield detector, sorted(parts, key=lambda part: -abs(part["value"]))[:_MOST]


def contribution_bars(alert: Record) -> list[str]:
    """A heading and bars, as HTML, for each detector of `weightiest`."""
    found = []
    for detector, parts in weightiest(alert):
        values = [float(part["value"]) for part in parts]
        title = f"{safe(detector['name'])} {'voted' if detector['voted'] else 'did not vote'}: contribution of each feature"
        names = [safe(part["feature"]) for part in parts]
        bars = bars_svg(names, values, [number(value, 3) for value in values], signed=parts_are_signed(detector), label=title)
        found.append(f"<h2>{html.escape(title)}</h2>\n{bars}")
    return found
