"""ln and asinh from + - * / and square roots alone: the same bits on every processor, which a libm does not promise [S11].

ln splits x into m * 2^e with sqrt(1/2) <= m < sqrt(2). With s = (m - 1) / (m + 1), ln m = 2 atanh(s) = 2 (s + s^3/3 + s^5/5 + ...), of
which 13 terms leave less than 2^-60 of the value. Errors, measured against 60 digits: ln at most 1 unit in the last place, asinh at most 2.
"""

from __future__ import annotations

import math

from offbeat.core.compiled import compiled

_LN2_HIGH = 6.93147180369123816490e-01
"""The first 33 bits of ln 2, so that its product with a whole number of 11 bits is exact; then what is left of it."""
_LN2_LOW = 1.90821492927058770002e-10
_ROOT = 0.7071067811865476
_TINY, _LARGE = 2.0**-28, 2.0**28
"""Where asinh x is x, and where it is ln 2x, to the last place."""


@compiled
def _series(t: float) -> float:
    """2 (t/3 + t^2/5 + ... + t^12/25)."""
    total = 2.0 / 25.0
    for odd in range(23, 2, -2):
        total = total * t + 2.0 / odd
    return total * t


@compiled
def _of_sum(x: float, low: float) -> float:
    """ln(x + low) for finite x > 0, where low is what rounding the sum to a double left out."""
    m, e = math.frexp(x)
    if m < _ROOT:
        m, e = 2.0 * m, e - 1
    f = m - 1.0
    s = f / (2.0 + f)
    half = 0.5 * f * f
    # 2 s = f - s f, so 2 atanh(s) = f - s (f - series): the rounded s only carries small terms.
    rest = s * (half + _series(s * s)) + math.ldexp(low, -e) / m
    if e == 0:
        return f - (half - rest)
    return e * _LN2_HIGH - ((half - (rest + e * _LN2_LOW)) - f)


@compiled
def ln(x: float) -> float:
    """Natural logarithm; NaN for 0, negative numbers and NaN."""
    if not 0.0 < x < math.inf:
        return x if x == math.inf else math.nan
    return _of_sum(x, 0.0)


@compiled
def asinh(x: float) -> float:
    """Inverse hyperbolic sine, sign(x) ln(|x| + sqrt(x^2 + 1)): about x near 0 and a logarithm far from it; NaN for NaN."""
    a = abs(x)
    if not a >= _TINY:
        return x
    if a > _LARGE:
        found = ln(a) + 0.6931471805599453
    else:
        # ln(1 + y), with y exact to a few last places also where it is small.
        y = a + a * a / (1.0 + math.sqrt(a * a + 1.0))
        u = 1.0 + y
        low = y - (u - 1.0) if y < 1.0 else 1.0 - (u - y)
        found = _of_sum(u, low)
    return found if x > 0.0 else -found
