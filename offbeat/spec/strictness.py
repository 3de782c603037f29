"""Settings that make a detector stricter or milder, by how much, and in its own words."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from offbeat.detectors.rule.rule_spec import RuleSpec
from offbeat.detectors.spec import DetectorSpec
from offbeat.spec.expression import measure
from offbeat.spec.sql import Node, canonical, parse

DIGITS = 3
"""Significant digits of a limit that was found."""
_MOST_CONTAMINATION = 0.5


@dataclass(frozen=True, slots=True)
class Strictness:
    """How much stricter a detector is to be."""

    factor: float
    """Its limit times this: a value that was r times over the limit is r / factor times over it."""
    share: float
    """The share of its votes that is left then; for detectors whose setting is a share."""


def by_share(detector: DetectorSpec) -> bool:
    """Whether the detector's setting is a share of rows, so that its limit follows the data."""
    return "contamination" in type(detector).model_fields and getattr(detector, "limit", None) is None


def stricter(detector: DetectorSpec, wanted: Strictness) -> dict[tuple[str, ...], Any]:
    """The settings that change, by their path below the detector; nothing where it has no limit that could be scaled."""
    fields = type(detector).model_fields
    if isinstance(detector, RuleSpec):
        text = scaled_rule(detector.when, wanted.factor)
        return {} if text is None else {("when",): text}
    if by_share(detector):
        return {("contamination",): min(rounded(detector.contamination * wanted.share), _MOST_CONTAMINATION)}  # type: ignore[attr-defined]
    if "limits" in fields:
        limits: dict[str, float] = detector.limits  # type: ignore[attr-defined]
        return {("limits", name): rounded(value * wanted.factor) for name, value in limits.items()}
    if detector.type == "absence":
        return {("limit",): rounded(detector.limit / wanted.factor)}  # type: ignore[attr-defined]
    for name in ("width", "factor", "limit"):
        value = getattr(detector, name, None)
        if name in fields and isinstance(value, int | float) and value > 0:
            return {(name,): rounded(value * wanted.factor)}
    return {}


def rounded(value: float) -> float:
    """To as many digits as people read."""
    if value == 0 or not math.isfinite(value):
        return value
    out = round(value, DIGITS - 1 - math.floor(math.log10(abs(value))))
    return int(out) if float(out).is_integer() and abs(out) < 1e15 else out


def scaled_rule(text: str, factor: float) -> str | None:
    """A rule whose measure asks for `factor` times as much; None where it has none, or one with a limit that is not above 0."""
    tree = parse(text)
    measured = measure(tree)
    changed = None if measured is None else _scaled(measured, factor)
    return None if measured is None or changed is None else canonical(_with(tree, measured, changed))


def _with(tree: Node, former: Node, new: Node) -> Node:
    """The tree with another node in the place of one that it has."""
    return new if tree is former else replace(tree, args=tuple(_with(arg, former, new) for arg in tree.args))


def _scaled(tree: Node, factor: float) -> Node | None:
    """The limit, or what is compared with it, times a number: a number that stands there changes, else one is written."""
    observed, limit = tree.args
    up = factor if tree.op in {">", ">="} else 1 / factor
    if limit.op == "neg" or (limit.op == "number" and float(limit.value) <= 0):
        return None
    if (found := _with_number(limit, up)) is not None:
        return replace(tree, args=(observed, found))
    if (found := _with_number(observed, 1 / up)) is not None and observed.op == "number":
        return replace(tree, args=(found, limit))
    return replace(tree, args=(observed, Node("*", (_number(up), limit))))


def _with_number(tree: Node, times: float) -> Node | None:
    if tree.op == "number":
        return _number(float(tree.value) * times)
    if tree.op == "*":
        for place, arg in enumerate(tree.args):
            if arg.op == "number" and float(arg.value) > 0:
                return replace(tree, args=(*tree.args[:place], _number(float(arg.value) * times), *tree.args[place + 1 :]))
    return None


def _number(value: float) -> Node:
    return Node("number", value=repr(float(rounded(value))))
