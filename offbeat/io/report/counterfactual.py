"""What would have had to be otherwise for an alert not to be raised, from the alert itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from offbeat.core.plan import Plan
from offbeat.io.report.console import DISTANCES, Record, number, out_of_range, safe

_MOST = 4
"""Features named of a detector."""


def counterfactuals(alert: Record, plan: Plan | None = None) -> list[str]:
    """Sentences: first how many votes it would have taken, then for each detector that voted when it would not have."""
    voted = [d for d in alert["detectors"] or () if d["voted"]]
    view = next((view for view in plan.views if view.name == alert["view"]), None) if plan is not None else None
    if view is not None and view.budget is not None:
        return []  # it depends on all that the key ever did
    quorum = None if view is None else view.quorum
    lines = [_detector(d) for d in voted]
    if len(voted) > 1:
        needed = len(voted) - quorum + 1 if quorum is not None and quorum <= len(voted) else None
        if needed == 1:
            lines.insert(0, f"{quorum} votes are needed, and there were {len(voted)}: one fewer, and this would not have been flagged.")
        elif needed is not None:
            lines.insert(0, f"{quorum} vote{'s' * (quorum != 1)} would have been enough: without {needed} of the {len(voted)}, no flag.")
    return lines


def _detector(detector: Mapping[str, Any]) -> str:
    name, observed, threshold, raw = safe(detector["name"]), detector["observed"], detector["threshold"], detector.get("raw")
    outside = out_of_range(detector)
    if detector.get("type") in DISTANCES and outside:
        told = [f"{safe(part['feature'])} {_range(part)} (it was {number(part['observed'])})" for part in outside[:_MOST]]
        more = f", and {len(outside) - _MOST} more within theirs" if len(outside) > _MOST else ""
        return f"{name} would not have voted with {' and '.join(told)}{more}."
    if raw is not None and threshold is not None:
        parts = ", ".join(f"{safe(part['feature'])} {_range(part)}" for part in outside[:_MOST])
        usual = f" Furthest out of what is usual: {parts}." if parts else ""
        return f"{name} would not have voted with a raw score of {number(threshold)} or less (it was {number(raw)}).{usual}"
    if observed is not None and threshold is not None:
        side = "Below" if observed > threshold else "Above" if observed < threshold else "Beyond"
        return f"{side} {number(threshold)} {name} would not have voted (it was {number(observed)})."
    return f"{name} would not have voted if its condition did not hold."


def _range(part: Mapping[str, Any]) -> str:
    low, high = part["low"], part["high"]
    if low is None:
        return f"up to {number(high)}"
    if high is None:
        return f"of {number(low)} or more"
    return f"between {number(low)} and {number(high)}"
