"""An alert in plain words, from nothing but the alert itself; the plan, where it is at hand, adds the rules as they were written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from offbeat.core.plan import Plan, RulePlan
from offbeat.io.report.console import COLORS, Record, moment, number, odd_features, safe

_LONG = 400
_MOST_ODD = 6
"""Features out of range that are named for a detector."""
_LEAST_SHARE = 0.005
"""Features that would show as 0 % are not named."""


def explain_words(alert: Record, plan: Plan | None = None, *, zone: str = "UTC") -> str:
    """What happened, what was expected, who voted, against what it was judged, and the row: several lines of plain text."""
    return "\n".join([headline(alert, zone), "", *_body(alert, plan, zone)])


def explain_panel(alert: Record, plan: Plan | None = None, *, zone: str = "UTC") -> RenderableType:
    """The same for a terminal."""
    text = Text("\n".join(_body(alert, plan, zone)))
    for detector in alert["detectors"] or ():
        text.highlight_words([safe(detector["name"])], style="bold red" if detector["voted"] else "dim")
    return Panel(Group(text), title=Text(headline(alert, zone)), title_align="left", border_style=COLORS.get(alert["level"], ""))


def headline(alert: Record, zone: str = "UTC") -> str:
    """Key, time and severity in one line."""
    severity = "" if alert["severity"] is None else f", severity {alert['severity']:.2f} of 1"
    return f"{safe(alert['key'])} at {moment(alert['time'], zone)}: {safe(alert['level'])}{severity}"


def _body(alert: Record, plan: Plan | None, zone: str) -> list[str]:
    rules = _rules(alert, plan)
    detectors = list(alert["detectors"] or ())
    silent = len(detectors) - int(alert["voters"])
    missing = f"; {silent} had none" if silent > 0 else ""
    voters = _count(int(alert["voters"]), "detector")
    lines = [
        f"Voted: {alert['votes']} of {voters} with a verdict{missing} (pipeline {safe(alert['pipeline'])}, view {safe(alert['view'])})."
    ]
    if alert["status"] != "final":
        lines.append(f"This is not the last word: the alert is {safe(alert['status'])}, revision {alert['revision']}.")
    trained = {model.rpartition(" ")[0] for model in (alert["model_version"] or "").split(", ")}
    for detector in sorted(detectors, key=_order):
        lines += ["", *_detector(detector, rules.get(detector["name"]), trained=detector["name"] in trained)]
    what = "window" if _is_rollup(alert, plan) else "row"
    lines += ["", *_window(alert["window"], zone, what)]
    if alert["row"]:
        lines.append(f"The {what}: {_pairs(alert['row'])}.")
    model = f", model {safe(alert['model_version'])}" if alert["model_version"] else ""
    lines += ["", f"Alert {safe(alert['alert_id'])}{model}, plan {safe(alert['plan_hash'])}, offbeat {safe(alert['offbeat_version'])}."]
    return lines


def _order(detector: Mapping[str, Any]) -> int:
    """Those that voted first, those without a verdict last."""
    return 0 if detector["voted"] else 1 if detector["score"] is not None else 2


def _detector(detector: Mapping[str, Any], rule: RulePlan | None, *, trained: bool) -> list[str]:
    name = safe(detector["name"])
    if detector["score"] is None and not detector["voted"]:
        why = safe(detector.get("note") or "", _LONG).removeprefix("no verdict: ")
        return [f"{name} gave no verdict: {why or 'not enough history yet, or a value that it needs is missing'}."]
    distance = rule is None and not trained and _in_limits(detector)
    said = _distance(detector) if distance else _comparison(detector, rule, safe(_measure(detector, rule), _LONG))
    lines = [f"{name} {'voted' if detector['voted'] else 'did not vote'}: {said}"]
    if rule is not None:
        lines.append(f"    rule: {safe(rule.text, _LONG)}")
    if detector["score"] is not None:
        lines.append(f"    score {detector['score']:.3f} on a scale of 0 to 1, where 0.5 is exactly at the limit")
    parts = [part for part in detector["contributions"] or () if part["value"]]
    if len(parts) > 1:
        lines += _reasons(parts, trained)
    lines += [f"    {_out_of_range(odd)}" for odd in odd_features(detector)[:_MOST_ODD]]
    if detector.get("note"):
        lines.append(f"    {safe(detector['note'], _LONG)}")
    return lines


def _reasons(parts: list[Any], trained: bool) -> list[str]:
    """The features that weigh most. Below 0, a model's part speaks for the row; that of a range detector is a side of the range."""
    whole = sum(abs(part["value"]) for part in parts)
    worst = [part for part in sorted(parts, key=lambda part: -abs(part["value"]))[:5] if abs(part["value"]) >= _LEAST_SHARE * whole]
    lines = []
    for word, away in (("because of", False), ("in favour of the row:", True)):
        named = [part for part in worst if (trained and part["value"] < 0) == away]
        if named:
            lines.append(
                f"    {word} " + ", ".join(f"{safe(part['feature'])} ({abs(part['value']) / whole * 100:.0f} %)" for part in named)
            )
    return lines


def _out_of_range(odd: Mapping[str, Any]) -> str:
    usual = f"usual is {number(odd['expected'])}, from {number(odd['low'])} to {number(odd['high'])}"
    return f"{safe(odd['feature'])} was {number(odd['observed'])}; {usual}"


def _in_limits(detector: Mapping[str, Any]) -> bool:
    """Whether `observed` is how many times over its limit the farthest of several features lies, as of a z-score."""
    known = detector["observed"] is not None and detector["threshold"] == 1.0 and detector["expected"] is None
    return known and len(detector["contributions"] or ()) > 1


def _distance(detector: Mapping[str, Any]) -> str:
    observed = detector["observed"]
    return f"the greatest distance was {_times(observed) if detector['voted'] else f'{observed * 100:.0f} % of'} its limit."


def _measure(detector: Mapping[str, Any], rule: RulePlan | None) -> str:
    if rule is not None and rule.measure:
        return rule.measure
    parts = detector["contributions"] or []
    if len(parts) == 1:
        return str(parts[0]["feature"])
    return "the raw score" if parts and detector["expected"] is None else "the observed value"


def _comparison(detector: Mapping[str, Any], rule: RulePlan | None, measure: str) -> str:
    observed, threshold, expected = detector["observed"], detector["threshold"], detector["expected"]
    if observed is None:
        return "its condition holds." if detector["voted"] else "its condition does not hold."
    text = f"{measure} was {number(observed)}"
    if threshold is not None:
        text += f", {_against_limit(observed, threshold, bool(detector['voted']), rule)}"
    if expected is not None:
        text += f"; expected was {number(expected)}{_against_expected(observed, expected)}"
    return text + "."


def _against_limit(observed: float, threshold: float, voted: bool, rule: RulePlan | None) -> str:
    """How far from the limit, and on which side of it."""
    upper = rule.comparison.startswith(">") if rule is not None and rule.comparison else (observed >= threshold) == voted
    limit = f"the {'' if upper else 'lower '}limit ({number(threshold)})"
    if not voted:
        share = f", {observed / threshold * 100:.0f} % of it" if threshold > 0 and observed >= 0 else ""
        return f"within {limit}{share}"
    if observed == threshold:
        return f"at {limit}"
    if threshold > 0 and observed > 0:
        return f"{_times(observed / threshold)} {limit}"
    return f"{'above' if observed > threshold else 'below'} {limit}"


def _against_expected(observed: float, expected: float) -> str:
    if expected <= 0 or observed <= 0 or observed == expected:
        return ""
    return f", so it was {_times(observed / expected)} that"


def _times(ratio: float) -> str:
    if ratio >= 1.5:
        return f"{ratio:,.1f} times"
    percent = abs(ratio - 1) * 100
    size = f"{percent:.0f} %" if percent >= 1 else f"{percent:.2g} %"
    return f"{size} {'above' if ratio > 1 else 'below'}"


def _window(window: Mapping[str, Any] | None, zone: str, what: str) -> list[str]:
    if window is None:
        return [f"It was judged on its own, without a window of earlier {what}s."]
    if window["from"] is None:
        text = f"No earlier {what}s in the window up to {moment(window['to'], zone)}"
    else:
        text = f"Judged against {_count(int(window['n']), what)} from {moment(window['from'], zone)} to {moment(window['to'], zone)}"
    known = {name: value for name, value in (window["statistics"] or {}).items() if value is not None}
    return [text + (f": {_pairs(known)}." if known else ".")]


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{safe(name)} {number(value)}" for name, value in values.items() if value is not None) or "nothing known"


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _rules(alert: Record, plan: Plan | None) -> dict[str, RulePlan]:
    """The rules of the alert's view; none where the plan is not the one that raised it, as its limits may be others."""
    if plan is None or plan.plan_hash != alert["plan_hash"]:
        return {}
    return {rule.name: rule for view in plan.views if view.name == alert["view"] for rule in view.detectors if isinstance(rule, RulePlan)}


def _is_rollup(alert: Record, plan: Plan | None) -> bool:
    return plan is not None and any(view.rollup is not None for view in plan.views if view.name == alert["view"])
