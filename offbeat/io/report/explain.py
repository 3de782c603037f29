"""An alert in plain words, from nothing but the alert itself; the plan, where it is at hand, adds the rules as they were written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.panel import Panel
from rich.text import Text

from offbeat.core.plan import Plan, RulePlan
from offbeat.io.report.console import COLORS, DISTANCES, Record, moment, number, out_of_range, parts_are_signed, safe

_LONG = 400
_MOST_OUTSIDE = 6
"""Features out of range that are named for a detector."""
_LEAST_SHARE = 0.005
"""Features that would show as 0 % are not named."""


def explain_words(alert: Record, plan: Plan | None = None, *, zone: str = "UTC") -> str:
    """What happened, what was expected, who voted, what each detector compared it with, and the row: several lines of plain text."""
    return "\n".join([headline(alert, zone), "", *_body(alert, plan, zone)])


def explain_panel(alert: Record, plan: Plan | None = None, *, zone: str = "UTC") -> RenderableType:
    """The same for a terminal."""
    text = Text("\n".join(_body(alert, plan, zone)))
    for detector in alert["detectors"] or ():
        text.highlight_words([safe(detector["name"])], style="bold red" if detector["voted"] else "dim")
    return _Panel(Text(headline(alert, zone)), text, COLORS.get(alert["level"], ""))


class _Panel:
    """A panel whose title goes inside, where it can be wrapped, if the terminal has no room for it in the frame."""

    def __init__(self, title: Text, text: Text, style: str) -> None:
        self._title, self._text, self._style = title, text, style

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._title.cell_len + 6 <= options.max_width:  # corners, lines and blanks on both sides
            yield Panel(self._text, title=self._title, title_align="left", border_style=self._style)
        else:
            self._title.stylize("bold")
            yield Panel(Group(self._title, Text(), self._text), border_style=self._style)


def headline(alert: Record, zone: str = "UTC") -> str:
    """Key, time and severity in one line."""
    severity = "" if alert["severity"] is None else f", severity {alert['severity']:.2f} of 1"
    return f"{safe(alert['key'], _LONG)} at {moment(alert['time'], zone)}: {safe(alert['level'])}{severity}"


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
        lines.append(_status(alert))
    what = "window" if _is_rollup(alert, plan) else "row"
    for detector in sorted(detectors, key=_order):
        lines += ["", *_detector(detector, rules.get(detector["name"]), zone, what)]
    lines.append("")
    if alert["window"] is not None:
        lines.append(_context(alert["window"], zone, what))
    if alert["row"]:
        lines.append(f"The {what}: {_pairs(alert['row'])}.")
    model = f", model {safe(alert['model_version'])}" if alert["model_version"] else ""
    lines += ["", f"Alert {safe(alert['alert_id'])}{model}, plan {safe(alert['plan_hash'])}, offbeat {safe(alert['offbeat_version'])}."]
    return lines


def _status(alert: Record) -> str:
    """That an alert is not, or no longer, final."""
    meaning = "it was taken back" if alert["status"] == "retracted" else "it may still change"
    return f"Status {safe(alert['status'])}, revision {alert['revision']}: {meaning}."


def _order(detector: Mapping[str, Any]) -> int:
    """Those that voted first, those without a verdict last."""
    return 0 if detector["voted"] else 1 if detector["score"] is not None else 2


def _detector(detector: Mapping[str, Any], rule: RulePlan | None, zone: str, what: str) -> list[str]:
    name = safe(detector["name"])
    if detector["score"] is None and not detector["voted"]:
        why = safe(detector.get("note") or "", _LONG).removeprefix("no verdict: ")
        return [f"{name} had no verdict: {why or 'not enough history yet, or a value that it needs is missing'}."]
    lines = [f"{name} {'voted' if detector['voted'] else 'did not vote'}: {_said(detector, rule)}"]
    if rule is not None:
        lines.append(f"    rule: {safe(rule.text, _LONG)}")
    if detector["voted"] and detector.get("type") == "rule" and detector["threshold"] is not None and detector["threshold"] <= 0:
        lines.append(f"    {_no_ratio(detector)}")
    if detector["score"] is not None:
        lines.append(f"    score {detector['score']:.3f} (0 to 1; 0.5 is the limit)")
    parts = [part for part in detector["contributions"] or () if part["value"]]
    if len(parts) > 1:
        lines += _reasons(parts, signed=parts_are_signed(detector))
    lines += [f"    {_out_of_range(feature)}" for feature in out_of_range(detector)[:_MOST_OUTSIDE]]
    lines += [f"    {text}" for text in _held_against(detector, zone, what)]
    if detector.get("note"):
        lines.append(f"    {safe(detector['note'], _LONG)}")
    return lines


def _no_ratio(detector: Mapping[str, Any]) -> str:
    """By what severity is measured where the limit is not above 0."""
    text = f"no multiple of the limit ({number(detector['threshold'])}) says how far that is: "
    if detector["score"] > 0.5:
        return text + "severity is measured by the rule's `floor`"
    return text + "severity is 0, as the rule has no `floor`, or the value does not exceed it"


def _reasons(parts: list[Any], *, signed: bool) -> list[str]:
    """The features that weigh most; where parts are `signed`, one below 0 speaks for the row."""
    whole = sum(abs(part["value"]) for part in parts)
    worst = [part for part in sorted(parts, key=lambda part: -abs(part["value"]))[:5] if abs(part["value"]) >= _LEAST_SHARE * whole]
    lines = []
    for word, away in (("because of", False), ("offset by", True)):
        named = [part for part in worst if (signed and part["value"] < 0) == away]
        if named:
            lines.append(
                f"    {word} " + ", ".join(f"{safe(part['feature'])} ({abs(part['value']) / whole * 100:.0f} %)" for part in named)
            )
    return lines


def _out_of_range(feature: Mapping[str, Any]) -> str:
    usual = f"usually {number(feature['expected'])}, between {number(feature['low'])} and {number(feature['high'])}"
    return f"{safe(feature['feature'])} was {number(feature['observed'])}; {usual}"


def _held_against(detector: Mapping[str, Any], zone: str, what: str) -> list[str]:
    """Which rows the detector used, as far as the record tells."""
    window, kind = detector.get("window"), detector.get("type")
    if window is None:
        return [f"judged on this {what} alone"] if kind == "rule" else []
    if window["from"] is None:
        return [f"no earlier {what}s in its window up to {moment(window['to'], zone)}"]
    span = f"{_count(int(window['n']), what)} from {moment(window['from'], zone)} to {moment(window['to'], zone)}"
    version = detector.get("model_version")
    return [f"compared with {span}" if version is None else f"model {version}, trained on {span}"]


def _said(detector: Mapping[str, Any], rule: RulePlan | None) -> str:
    """What was compared with what; ratios are those that the score is made of."""
    observed, raw, voted, kind = detector["observed"], detector.get("raw"), bool(detector["voted"]), detector.get("type")
    measure = safe(_measure(detector, rule), _LONG)
    if raw is None and observed is None and voted and kind != "rule":
        return "a value that never varied before has changed."
    if raw is not None and kind in DISTANCES:
        return f"the greatest distance was {_of_limit(raw, voted)} its limit."
    if raw is not None and kind == "record":
        beside = _against_limit(raw, detector["threshold"], voted, upper=True, ratio=True)
        return f"the greatest distance beyond a range was {number(raw)} of its width{beside}."
    if raw is not None:
        value = "the raw score" if observed is None else f"{measure} was {number(observed)}; its raw score"
        return f"{value} was {number(raw)}{_against_limit(raw, detector['threshold'], voted, upper=True, ratio=True)}."
    if observed is None:
        return "its condition holds." if voted else "its condition does not hold."
    if kind in DISTANCES:
        return f"{measure} was {number(observed)}{_in_range(detector)}."
    upper = rule.comparison.startswith(">") if rule is not None and rule.comparison else None
    text = f"{measure} was {number(observed)}"
    text += _against_limit(observed, detector["threshold"], voted, upper=upper, ratio=kind == "rule" or rule is not None)
    if detector["expected"] is not None:
        text += f"; expected {number(detector['expected'])}{_against_expected(observed, detector['expected'])}"
    return text + "."


def _measure(detector: Mapping[str, Any], rule: RulePlan | None) -> str:
    if rule is not None and rule.measure:
        return rule.measure
    parts = detector["contributions"] or []
    return str(parts[0]["feature"]) if len(parts) == 1 else "the observed value"


def _in_range(detector: Mapping[str, Any]) -> str:
    """How far a value lies from the center, in units of what its limit allows."""
    observed, threshold, expected = (detector[name] for name in ("observed", "threshold", "expected"))
    text = "" if expected is None else f"; expected {number(expected)}"
    text += "" if threshold is None else f", limit {number(threshold)}"
    if expected is None or threshold is None or threshold == expected:
        return text
    return f"{text}: {_of_limit((observed - expected) / (threshold - expected), bool(detector['voted']))} the allowed distance"


def _of_limit(ratio: float, voted: bool) -> str:
    return _times(ratio) if voted else f"{ratio * 100:.0f} % of"


def _against_limit(value: float, threshold: float | None, voted: bool, *, upper: bool | None, ratio: bool) -> str:
    """On which side of the limit, and how far where `ratio` says that the score counts in multiples of it.

    `upper`: whether values above the limit are odd; None: as the vote tells.
    """
    if threshold is None:
        return ""
    upper = (value >= threshold) == voted if upper is None else upper
    limit = f"the {'' if upper else 'lower '}limit ({number(threshold)})"
    if not voted:
        share = f", {value / threshold * 100:.0f} % of it" if ratio and threshold > 0 and value >= 0 else ""
        return f", within {limit}{share}"
    if value == threshold:
        return f", at {limit}"
    if ratio and threshold > 0 and value > 0:
        return f", {_times(value / threshold)} {limit}"
    return f", {'above' if value > threshold else 'below'} {limit}"


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


def _context(window: Mapping[str, Any], zone: str, what: str) -> str:
    """The view's longest window, and its features, which detectors read in part."""
    if window["from"] is None:
        text = f"No earlier {what}s in the view's window up to {moment(window['to'], zone)}"
    else:
        text = f"The view's window: {_count(int(window['n']), what)} from {moment(window['from'], zone)} to {moment(window['to'], zone)}"
    known = {name: value for name, value in (window["statistics"] or {}).items() if value is not None}
    return text + (f"; {_pairs(known)}." if known else ".")


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
