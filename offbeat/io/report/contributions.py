"""What each feature added to a detector's score, and how far features lie outside their usual range, as bars."""

from __future__ import annotations

import html

from offbeat.io.report.console import Record, number, parts_are_signed, safe
from offbeat.io.report.svg import bars_svg

_MOST = 10
"""Features drawn: those that weigh most."""


def contribution_bars(alert: Record) -> list[str]:
    """A heading and bars, as HTML, for each detector with a verdict that looks at several features."""
    found = []
    for detector in alert["detectors"] or ():
        parts = [part for part in detector["contributions"] or () if part["value"]]
        if len(parts) < 2:
            continue
        drawn = sorted(parts, key=lambda part: -abs(part["value"]))[:_MOST]
        values = [float(part["value"]) for part in drawn]
        title = f"{safe(detector['name'])} {'voted' if detector['voted'] else 'did not vote'}: contribution of each feature"
        names = [safe(part["feature"]) for part in drawn]
        bars = bars_svg(names, values, [number(value, 3) for value in values], signed=parts_are_signed(detector), label=title)
        found.append(f"<h2>{html.escape(title)}</h2>\n{bars}")
    return found
