"""Robust covariance: how far a row lies from the bulk of its key's last rows, in units of their spread, correlations included."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from offbeat.core.batch import F64, I32, I64
from offbeat.core.rings import grown_rows
from offbeat.detectors.robust_covariance.chi_square import consistency_factor, quantile
from offbeat.detectors.robust_covariance.mahalanobis import mahalanobis, shares
from offbeat.detectors.robust_covariance.mcd import HOPELESS, REGULARISATION
from offbeat.detectors.robust_covariance.mcd_training import train
from offbeat.detectors.trained.model import Training

_INSIDE = Fraction(39, 40)
"""Reweighting keeps the rows within the 0.975 quantile of χ²."""
_GRID = 4096
_POOLS = ("order", "ranks", "levels", "locations", "scales", "factors", "determinants")


def _factor(share: Fraction, freedom: int) -> float:
    """The consistency factor, linear between multiples of 1/4096: within 1e-6, and keys of all ages need no more than a few exact ones."""
    place = share.numerator * _GRID // share.denominator
    if place + 1 >= _GRID:
        return consistency_factor(share, freedom)
    low, high = (consistency_factor(Fraction(at, _GRID), freedom) for at in (place, place + 1))
    return low + (high - low) * float(share * _GRID - place)


class RobustCovariance:
    """Reweighted minimum covariance determinant (MCD) of the last training rows; score = Mahalanobis distance d, not squared.

    Location and covariance come from the h = ⌊(n + p + 1) / 2⌋ rows with the least covariance determinant (Rousseeuw & Van Driessen
    1999), c = (h/n) / P(χ²_(p+2) ≤ χ²_(p, h/n)) making that covariance consistent for Gaussian rows. All rows with d² ≤ χ²_(p, 0.975) then
    give the final location and covariance (divided by their number), with the factor of 0.975 in place of that of h/n. scikit-learn's
    `MinCovDet.covariance_` carries the same factors.

    Columns that are constant or linear in others are dropped and take no part: p counts the kept ones. A row that breaks such a
    dependency has no distance in that direction, as the training rows say nothing of how far is odd there: the other columns alone judge
    it. (One that changes a constant is judged beside the model, see `Constants`.) Where the h rows are singular although all rows are
    not, the covariance is regularised (MRCD, Boudt et al. 2020) towards the columns' own scales by the smallest rho of
    {0.001, 0.01, 0.1} that is at least a 50th of the mean variance (their bound of the condition number), else by 0.1. It abstains where
    all columns are constant, or 0.1 is not enough.

    Scores do not depend on the order of columns, but for rounding (1e-9 relative), where no columns are dropped and rho is 0.

    It starts from the model before, with its scales and rho; every 20th training, or where it does not fit any more, from many starts.
    """

    refits = False
    tolerance = 1e-9

    def __init__(self, features: int) -> None:
        self._features = features
        # P quantities of p kept columns, at index p.
        self._limits = np.array([0.0] + [quantile(_INSIDE, p) for p in range(1, features + 1)])
        self._reweighting = np.array([0.0] + [consistency_factor(_INSIDE, p) for p in range(1, features + 1)])
        self._corrections: dict[int, F64] = {}
        self._model_of: I32 = np.zeros(0, np.int32)
        self._models = 0
        self._order = np.zeros((0, features), np.int64)
        self._ranks = np.zeros(0, np.int64)
        self._levels = np.zeros(0, np.int64)
        self._locations = np.zeros((0, features))
        self._scales = np.zeros((0, features))
        self._inverses = np.zeros((0, features))
        self._factors = np.zeros((0, features, features))
        self._determinants = np.zeros((0, 2))

    def grow(self, slots: int) -> None:
        """Make room for at least so many slots."""
        self._model_of = grown_rows(self._model_of, slots, -1)

    def _reserve(self, models: int) -> None:
        for name in (*_POOLS, "inverses"):
            setattr(self, f"_{name}", grown_rows(getattr(self, f"_{name}"), models))

    def _correction(self, rows: int) -> F64:
        """(k + 1,) consistency factors of a raw MCD on so many rows."""
        if rows not in self._corrections:
            shares = [Fraction(min((rows + p + 1) // 2, rows), rows) for p in range(1, self._features + 1)]
            self._corrections[rows] = np.array([0.0] + [_factor(share, p) for p, share in enumerate(shares, start=1)])
        return self._corrections[rows]

    def train(self, training: Training) -> None:
        """Fit the models of some slots. Where all columns are constant the model abstains."""
        if not len(training.slots):
            return
        self.grow(int(training.slots.max()) + 1)
        new = self._model_of[training.slots] < 0
        count = int(new.sum())
        self._model_of[training.slots[new]] = np.arange(self._models, self._models + count, dtype=np.int32)
        self._models += count
        self._reserve(self._models)
        models = self._model_of[training.slots].astype(np.int64)
        sizes, tables = np.unique(training.counts, return_inverse=True)
        corrections = np.array([self._correction(int(size)) for size in sizes])
        train(
            models, training.starts, training.counts, training.rows, training.numbers, training.seeds, tables.astype(np.int64), corrections,
            self._limits, self._reweighting,
            self._order, self._ranks, self._levels, self._locations, self._scales, self._factors, self._determinants,
        )
        self._invert(models)

    def _invert(self, models: np.ndarray) -> None:
        scales = self._scales[models]
        self._inverses[models] = np.divide(1.0, scales, out=np.zeros_like(scales), where=scales > 0)

    def _arrays(self) -> tuple[I32, np.ndarray, np.ndarray, F64, F64, F64]:
        return self._model_of, self._order, self._ranks, self._locations, self._inverses, self._factors

    def score(self, slots: I32, rows: F64) -> F64:
        """(n,) Mahalanobis distances; NaN where no model speaks."""
        out = np.empty(len(rows))
        mahalanobis(slots, rows, *self._arrays(), out)
        return out

    def contributions(self, slots: I32, rows: F64) -> F64:
        """(k, n) parts of the distance, which sum to it; 0 for dropped columns. A part can be negative. See `shares`."""
        parts = np.zeros((self._features, len(rows)))
        shares(slots, rows, *self._arrays(), self.score(slots, rows), parts)
        return parts

    def _model(self, slot: int) -> int:
        return int(self._model_of[slot]) if slot < len(self._model_of) else -1

    def dropped(self, slot: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Columns that take no part in the slot's model: those constant in its training rows, and those linear in others."""
        model = self._model(slot)
        if model < 0:
            return (), ()
        out = sorted(self._order[model, self._ranks[model] :].tolist())
        constant = tuple(c for c in out if self._scales[model, c] == 0)
        return constant, tuple(c for c in out if c not in constant)

    def note(self, slot: int) -> str:
        """Why the model abstains, or the rho that it needed; '' for nothing."""
        model = self._model(slot)
        if model < 0:
            return ""
        level = int(self._levels[model])
        if level == HOPELESS:
            return "the training rows are too uneven for a covariance, even a regularised one"
        if self._ranks[model] == 0:
            return "all features were constant in the training rows"
        return f"covariance regularised with rho = {REGULARISATION[level]:g}: half of the training rows are singular" if level else ""

    def snapshot(self, slots: I64) -> dict[str, np.ndarray]:
        """Which of `slots` have a model (m,), and their models in the same order."""
        self.grow(int(slots.max(initial=-1)) + 1)
        known = self._model_of[slots]
        own = np.flatnonzero(known >= 0)
        models = known[own]
        return {"slots": own} | {name: getattr(self, f"_{name}")[models] for name in _POOLS}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over a snapshot: equal scores from here on."""
        own = arrays["slots"]
        self._models = len(own)
        self._model_of = np.zeros(0, np.int32)
        self.grow(int(own.max()) + 1 if len(own) else 0)
        self._model_of[own] = np.arange(len(own), dtype=np.int32)
        for name in _POOLS:
            setattr(self, f"_{name}", arrays[name].copy())
        self._inverses = np.zeros_like(self._scales)
        self._invert(np.arange(len(own)))
