"""Limits from what people said of incidents: as strict as the real ones allow, and no stricter than the false ones ask for."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from offbeat.core.batch import F64, I64
from offbeat.engines.calibration.judged_alerts import Judged
from offbeat.errors import UserError

_GREATEST = 1e4
_MOST_ORDERS = 120


@dataclass(frozen=True, slots=True)
class Lesson:
    """What the labels ask for."""

    factors: F64
    """(d,) how many times stricter each detector is to be."""
    shares: F64
    """(d,) which share of its votes each detector has then."""
    kept: int
    """Real incidents that are left: all of them."""
    gone: int
    """False incidents that are gone."""
    stay: int
    """False incidents that stay: they are as far over the limits as real ones."""


def learn(run: Judged, real: Sequence[I64], false: Sequence[I64]) -> Lesson:
    """Factors that lose no real incident and as many false ones as can be. `real`, `false`: the alerts of each, numbers in `run`.

    Each detector in turn is made as strict as the real incidents allow, in all orders (where there are few), and the order in which
    most false ones go counts. Then each is made as mild again as it can be without bringing one back. In between lies the limit:
    halfway, by ratio, between the false alert to lose and the real one to keep. Raises UserError without incidents of both kinds.
    """
    if not real or not false:
        raise UserError(f"there are {len(real)} incidents labelled real and {len(false)} labelled false: it takes at least one of each")
    d = len(run.ratio)
    best: tuple[int, float, F64] | None = None
    for order in itertools.islice(itertools.permutations(range(d)), _MOST_ORDERS):
        factors = np.ones(d)
        for detector in order:
            factors[detector] = _strictest(run, real, factors, detector)
        gone = len(false) - _left(run, false, factors)
        mild = _milder(run, false, factors, gone)
        cost = float(np.log(mild).sum())
        if best is None or (gone, -cost) > (best[0], -best[1]):
            # Where no real incident needs the detector there is no other side to lie between.
            best = gone, cost, np.sqrt(mild * np.where((mild > 1) & (factors < _GREATEST), factors, mild))
    if best is None:
        raise UserError("the pipeline has no detectors")
    gone, _, factors = best
    votes = (~np.isnan(run.ratio)).sum(axis=1)
    shares = np.where(votes > 0, (run.ratio >= factors[:, None]).sum(axis=1) / np.maximum(votes, 1), 1.0)
    return Lesson(factors, shares, _left(run, real, factors), gone, len(false) - gone)


def _left(run: Judged, incidents: Sequence[I64], factors: F64) -> int:
    """How many incidents have an alert left."""
    left = run.left(factors)
    return sum(bool(left[alerts].any()) for alerts in incidents)


def _strictest(run: Judged, real: Sequence[I64], factors: F64, detector: int) -> float:
    """The greatest factor of one detector with which no real incident is lost; with the greatest there is where none needs it."""
    alerts = np.concatenate(real)
    levels = np.unique(run.ratio[detector, alerts])
    levels = levels[~np.isnan(levels) & (levels > 1)]

    def loses_none(factor: float) -> bool:
        tried = factors.copy()
        tried[detector] = factor
        return _left(run, real, tried) == len(real)

    if loses_none(math.inf):
        return _GREATEST
    low, high = 0, len(levels)  # levels before `low` lose none
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if loses_none(float(levels[middle])) else (low, middle)
    return min(float(levels[low - 1]), _GREATEST) if low else 1.0


def _milder(run: Judged, false: Sequence[I64], factors: F64, gone: int) -> F64:
    """The least factors, none above these, with which as many false incidents are gone."""
    out = factors.copy()
    alerts = np.concatenate(false)
    for detector in range(len(out)):
        values = run.ratio[detector, alerts]
        # Just above a false alert's ratio.
        levels = np.nextafter(np.unique(values[(values >= 1) & (values < out[detector])]), np.inf)
        for level in [1.0, *levels.tolist()]:
            tried = out.copy()
            tried[detector] = level
            if len(false) - _left(run, false, tried) >= gone:
                out = tried
                break
    return out
