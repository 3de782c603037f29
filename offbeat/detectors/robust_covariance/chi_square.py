"""The χ² distribution in decimal arithmetic: the same digits on every machine, where a C library's exp and log are not [S11]."""

from __future__ import annotations

from decimal import Context, Decimal, localcontext
from fractions import Fraction
from functools import cache

_CONTEXT = Context(prec=40)
_PI = Decimal("3.14159265358979323846264338327950288419716939937511")
_CLOSE = Decimal("1e-28")


def _gamma_of_half(twice: int) -> Decimal:
    """Γ(twice / 2)."""
    value = _PI.sqrt() if twice % 2 else Decimal(1)
    for step in range(1 if twice % 2 else 2, twice, 2):
        value = value * step / 2
    return value


def _last_term(x: Decimal, freedom: int) -> Decimal:
    """(x/2)^(freedom/2) e^(-x/2) / Γ(freedom/2 + 1), which is P(χ²_freedom ≤ x) - P(χ²_(freedom+2) ≤ x)."""
    half = x / 2
    power = half ** (freedom // 2) * (half.sqrt() if freedom % 2 else 1)
    return power * (-half).exp() / _gamma_of_half(freedom + 2)


def _probability(x: Decimal, freedom: int) -> Decimal:
    """The series of the incomplete gamma function: F_p = Σ (F_(p+2i) - F_(p+2i+2))."""
    term = total = _last_term(x, freedom)
    step = freedom
    while term > total * _CLOSE:
        step += 2
        term = term * x / step
        total += term
    return total


def probability(x: float, freedom: int) -> float:
    """P(χ² ≤ x) for x ≥ 0 and `freedom` ≥ 1 degrees of freedom."""
    with localcontext(_CONTEXT):
        return float(_probability(Decimal(x), freedom)) if x > 0 else 0.0


@cache
def _quantile(share: Fraction, freedom: int) -> Decimal:
    with localcontext(_CONTEXT):
        wanted = Decimal(share.numerator) / share.denominator
        low, high = Decimal(0), Decimal(freedom)
        while _probability(high, freedom) < wanted:
            low, high = high, 2 * high
        # Newton's steps; one that leaves the bracket is replaced by its middle.
        x = (low + high) / 2
        while high - low > _CLOSE * high:
            over = _probability(x, freedom) - wanted
            low, high = (low, x) if over > 0 else (x, high)
            density = _last_term(x, freedom) * freedom / (2 * x)
            step = over / density
            if abs(step) <= _CLOSE * x:
                break
            x -= step
            if not low < x < high:
                x = (low + high) / 2
        return x


def quantile(share: Fraction, freedom: int) -> float:
    """The x with P(χ² ≤ x) = share, for 0 < share < 1 and `freedom` ≥ 1 degrees of freedom."""
    return float(_quantile(share, freedom))


@cache
def consistency_factor(share: Fraction, freedom: int) -> float:
    """Factor c = share / P(χ²_(p+2) ≤ χ²_(p, share)): makes the covariance of the innermost share of Gaussian rows estimate
    that of all of them.

    Croux & Haesbroeck (1999), eq. 4.2; Pison, Van Aelst & Willems (2002), section 3. It is 1 for share = 1.
    """
    if share == 1:
        return 1.0
    with localcontext(_CONTEXT):
        wanted = Decimal(share.numerator) / share.denominator
        return float(wanted / (wanted - _last_term(_quantile(share, freedom), freedom)))
