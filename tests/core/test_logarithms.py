"""ln and asinh against 60 digits: within the units in the last place that are promised."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from random import Random

import numpy as np
import pytest

from offbeat.core.logarithms import asinh, ln

ROOT = math.sqrt(0.5)
ODD = (5e-324, 2.2e-308, 1e-310, 2.0**-28, ROOT, math.nextafter(1.0, 0.0), math.nextafter(1.0, 2.0), 2 * ROOT, 2.0**28, 1.7e308)


def _values(low: float, high: float) -> list[float]:
    random = Random(5)
    spread = [math.exp(random.uniform(low, high)) for _ in range(1500)]
    return [*ODD, *spread, *(1.0 + random.uniform(-0.5, 1.0) for _ in range(1500)), *(1.0 + random.gauss(0.0, 1e-6) for _ in range(200))]


def _places(found: float, exact: Decimal) -> Decimal:
    return abs(Decimal(found) - exact) / Decimal(math.ulp(found))


def test_ln_is_within_one_place() -> None:
    with localcontext(prec=60):
        assert max(_places(ln(x), Decimal(x).ln()) for x in _values(-700, 700)) < 1


def test_asinh_is_within_two_places() -> None:
    with localcontext(prec=60):
        worst = Decimal(0)
        for x in _values(-40, 700):
            of = Decimal(x)
            # For small x the sum is 1 and a little: 60 digits leave enough of that little only from 1e-20 on; below, asinh x is x.
            exact = (of + (of * of + 1).sqrt()).ln() if x > 1e-12 else of - of**3 / 6
            worst = max(worst, _places(asinh(x), exact))
            assert asinh(-x) == -asinh(x)
    assert worst < 2


@pytest.mark.parametrize(("x", "found"), [(1.0, 0.0), (0.0, math.nan), (-0.0, math.nan), (-1.0, math.nan), (math.nan, math.nan)])
def test_ln_of_what_has_none(x: float, found: float) -> None:
    assert np.array_equal(ln(x), found, equal_nan=True)


def test_asinh_of_nothing() -> None:
    assert asinh(0.0) == 0.0
    assert math.copysign(1.0, asinh(-0.0)) == -1.0
    assert math.isnan(asinh(math.nan))
