"""Limits that meet a budget: found on two days of three, checked on the third."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from offbeat.core.batch import F64, Bools
from offbeat.engines.calibration.budget import Budget
from offbeat.engines.calibration.judged_alerts import Judged, Watch, judged
from offbeat.engines.calibration.parts import Parts, begins, parts_of
from offbeat.errors import UserError
from offbeat.spec.document import read_document
from offbeat.spec.load import load, load_text, pipeline_text
from offbeat.spec.strictness import Strictness, by_share, stricter
from offbeat.spec.yaml_edit import edited

_STEPS = 48
_A_STEP = 2 ** (1 / 4)
_CLOSE = 0.04
_MOST_RUNS = 4
_MILDER = (2.0, 4.0, 8.0, 16.0)
_GREATEST = 1e4

Settings = dict[tuple[str, ...], Any]


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was found."""

    file: str
    text: str
    """The pipeline's file before,"""
    changed: str
    """and after."""
    settings: Settings
    before: Judged
    after: Judged
    parts: Parts
    budget: Budget
    met: bool
    """Whether more alerts could have been had: False where even the mildest limits tried give less than the budget."""
    untouched: tuple[str, ...]
    """Detectors whose limit is no number that could be scaled."""
    rates: dict[str, tuple[float, float]]
    """A day, before and after, by part."""

    @property
    def off(self) -> float:
        """How far the rest misses the budget, as a share of it."""
        return self.rates["checked"][1] / self.budget.most(self.before.keys) - 1


def calibrate(
    pipeline: str | Path,
    sources: Sequence[str],
    budget: Budget,
    *,
    overrides: Sequence[str] = (),
    since_ns: int | None = None,
    watch: Watch | None = None,
) -> Calibration:
    """Find limits for a pipeline, so that it gives as many incidents or alerts as the budget says.

    All detectors are made stricter by the same share of their votes, each by its own scores, so that none is silenced for another's sake.
    Two days of three after the warm-up (from `since_ns` on, where given) are for finding, the third is for the check. Raises UserError
    where there is nothing to learn from.
    """
    file, text = pipeline_text(pipeline)
    before = judged(document_of(text), sources, overrides, watch)
    if not len(before):
        raise UserError("the pipeline gives no alert on this source: there is nothing to calibrate")
    parts = parts_of(before, since_ns)
    if not parts.found.days or not parts.checked.days:
        raise UserError("the source is too short: thresholds are found on one part of its days and checked on the rest")
    wanted = budget.most(before.keys)
    base, run = text, before
    found, met = _crossing(before, parts, budget, wanted)
    for milder in () if met else _MILDER:
        every = np.ones(len(before.detectors))
        mild = edited(text, settings_for(text, before, every / milder, every * milder, overrides)[0])
        tried = judged(document_of(mild), sources, overrides, watch)
        share, met = _crossing(tried, parts, budget, wanted)
        if met:
            base, run, found = mild, tried, share
            break
    best = _best(base, run, found, met, parts, budget, sources, overrides, watch)
    load_text(best.text, file, overrides)
    former, new = begins(before, budget), begins(best.run, budget)
    rates = {
        name: (part.rate(before.days, former), part.rate(best.run.days, new))
        for name, part in (("found", parts.found), ("checked", parts.checked), ("recent", parts.recent))
    }
    return Calibration(file, text, best.text, best.settings, before, best.run, parts, budget, met, best.untouched, rates)


@dataclass(frozen=True, slots=True)
class _Found:
    text: str
    run: Judged
    settings: Settings
    untouched: tuple[str, ...]


def _best(
    base: str,
    run: Judged,
    share: float,
    met: bool,
    parts: Parts,
    budget: Budget,
    sources: Sequence[str],
    overrides: Sequence[str],
    watch: Watch | None,
) -> _Found:
    """Limits for the share of votes that meets the budget, tried out; where models learn theirs, the share is put right by what came."""
    wanted = budget.most(run.keys)
    best: _Found | None = None
    miss = math.inf
    for _ in range(_MOST_RUNS):
        factors = _factors(run, parts, share)
        settings, untouched = settings_for(base, run, factors, np.full(len(factors), share), overrides)
        text = edited(base, settings)
        tried = run if text == base else judged(document_of(text), sources, overrides, watch)
        rate = parts.found.rate(tried.days, begins(tried, budget))
        if abs(rate / wanted - 1) < miss:
            best, miss = _Found(text, tried, settings, untouched), abs(rate / wanted - 1)
        if miss <= _CLOSE or not met or rate == 0:
            break
        share = min(share * wanted / rate, 1.0)
    if best is None:
        raise TypeError("at least one run was tried")
    return best


def document_of(text: str) -> dict[str, Any]:
    """A pipeline's file as a mapping."""
    value: dict[str, Any] = read_document(text).value
    return value


def _factors(run: Judged, parts: Parts, share: float) -> F64:
    """For each detector the ratio that so large a share of its votes reaches, of those in the part for finding."""
    inside = parts.found.holds(run.days, run.facts.time_ns)
    out = np.ones(len(run.ratio))
    for place, ratios in enumerate(run.ratio):
        votes = np.sort(ratios[inside & ~np.isnan(ratios)])[::-1]
        if not len(votes) or share >= 1:
            continue
        last = math.ceil(share * len(votes)) - 1
        out[place] = min(votes[last] if last >= 0 else 2 * votes[0], _GREATEST)
    return np.maximum(out, 1.0)


def _crossing(run: Judged, parts: Parts, budget: Budget, wanted: float) -> tuple[float, bool]:
    """The share of votes at which the budget is met, coming from the strictest limits.

    Where it is never reached (milder limits give more alerts, yet these may join to fewer incidents): the share that gives most, and False.
    """

    def rate(share: float) -> float:
        left: Bools = run.left(_factors(run, parts, share))
        return parts.found.rate(run.days, begins(run, budget, left))

    low, high, most = 0.0, 0.0, (0.0, 1.0)
    for step in range(_STEPS, -1, -1):
        share = _A_STEP**-step
        found = rate(share)
        most = max(most, (found, share))
        if found >= wanted:
            high = share
            break
        low = share
    if not high:
        return most[1], False
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (low, middle) if rate(middle) >= wanted else (middle, high)
    return (low if low and abs(rate(low) - wanted) < abs(rate(high) - wanted) else high), True


def by_name(settings: Settings) -> dict[str, Any]:
    """Settings by their names as people write them: `view.detector.param`."""
    return {".".join(path[1:2] + path[3:]): value for path, value in settings.items()}


def settings_for(text: str, run: Judged, factors: F64, shares: F64, overrides: Sequence[str] = ()) -> tuple[Settings, tuple[str, ...]]:
    """The settings that make each detector as strict, by their path in the file; and the detectors that have none."""
    spec = load(document_of(text), overrides).spec
    settings: Settings = {}
    untouched = []
    for place, (view, name) in enumerate(run.detectors):
        detector = spec.views[view].detectors[name]
        strictness = Strictness(float(factors[place]), float(shares[place]))
        if (strictness.share if by_share(detector) else strictness.factor) == 1:
            continue
        changes = stricter(detector, strictness)
        if not changes:
            untouched.append(f"{view}.{name}")
        settings |= {("views", view, "detectors", name, *path): value for path, value in changes.items()}
    return settings, tuple(untouched)
