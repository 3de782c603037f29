"""χ² in decimal arithmetic against published tables, SciPy and known values."""

from __future__ import annotations

from fractions import Fraction
from importlib import import_module
from typing import Any

import pytest

from offbeat.detectors.robust_covariance.chi_square import consistency_factor, probability, quantile

SHARES = (Fraction(1, 1000), Fraction(1, 2), Fraction(1007, 2000), Fraction(39, 40), Fraction(999, 1000))


def test_published_table() -> None:
    # Upper 0.025 points: Pearson & Hartley, Biometrika Tables for Statisticians, table 8.
    for freedom, point in {1: 5.024, 2: 7.378, 5: 12.833, 10: 20.483, 18: 31.526}.items():
        assert quantile(Fraction(39, 40), freedom) == pytest.approx(point, abs=6e-4)


@pytest.mark.parametrize("freedom", [1, 2, 3, 13, 18, 36, 200])
def test_as_scipy(freedom: int) -> None:
    chi2: Any = import_module("scipy.stats").chi2
    for share in SHARES:
        point = quantile(share, freedom)
        assert point == pytest.approx(chi2.ppf(float(share), freedom), rel=1e-12)
        assert probability(point, freedom) == pytest.approx(float(share), rel=1e-14)
        factor = float(share) / chi2.cdf(point, freedom + 2)
        assert consistency_factor(share, freedom) == pytest.approx(factor, rel=1e-12)


def test_edges() -> None:
    assert probability(0.0, 3) == 0.0
    assert probability(1e4, 3) == 1.0
    assert consistency_factor(Fraction(1), 7) == 1.0


def test_two_degrees_of_freedom_are_exponential() -> None:
    # P(χ²_2 ≤ x) = 1 - e^(-x/2), so the median is 2 ln 2.
    assert quantile(Fraction(1, 2), 2) == 1.3862943611198906
