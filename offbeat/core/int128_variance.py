"""Variance from exact integer sums: products of up to 256 bits, one rounding at the end [S10]."""

from __future__ import annotations

import math

import numpy as np

from offbeat.core.compiled import compiled

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_ONE, _ZERO = np.uint64(1), np.uint64(0)


@compiled
def high64(a: np.uint64, b: np.uint64) -> np.uint64:
    """Upper 64 bits of the product of two uint64."""
    a0, a1, b0, b1 = a & _LOW, a >> _HALF, b & _LOW, b >> _HALF
    middle = a1 * b0 + (a0 * b0 >> _HALF)
    other = a0 * b1 + (middle & _LOW)
    return a1 * b1 + (middle >> _HALF) + (other >> _HALF)


@compiled
def add_square(sums: np.ndarray, row: int, at: int, value: int) -> None:
    """Add the square of an int64 to the 128-bit integer (low, high) at columns at, at + 1 of a row."""
    v = np.uint64(value if value >= 0 else -value)
    before = np.uint64(sums[row, at])
    after = before + v * v
    sums[row, at] = np.int64(after)
    carry = _ONE if after < before else _ZERO
    sums[row, at + 1] = np.int64(np.uint64(sums[row, at + 1]) + high64(v, v) + carry)


@compiled
def spread(n: int, sum_low: int, sum_high: int, square_low: int, square_high: int) -> float:
    """Spread of n values, n · S2 - S1², as the nearest double, ties to even; S1 is signed, and sums of real values are never negative."""
    s0, s1 = np.uint64(sum_low), np.uint64(sum_high)
    if sum_high < 0:
        s0 = ~s0 + _ONE
        s1 = ~s1 + (_ONE if s0 == _ZERO else _ZERO)
    q0, q1, m = np.uint64(square_low), np.uint64(square_high), np.uint64(n)
    # n · S2 in three words.
    p0 = q0 * m
    c = high64(q0, m)
    p1 = q1 * m + c
    p2 = high64(q1, m) + (_ONE if p1 < c else _ZERO)
    # S1² in four: s0² + 2·s0·s1·2^64 + s1²·2^128.
    r0, r1, r2, r3 = s0 * s0, high64(s0, s0), _ZERO, _ZERO
    if s1 != _ZERO:
        for _ in range(2):
            low, high = s0 * s1, high64(s0, s1)
            r1 += low
            high += _ONE if r1 < low else _ZERO
            r2 += high
            r3 += _ONE if r2 < high else _ZERO
        low = s1 * s1
        r2 += low
        r3 += high64(s1, s1) + (_ONE if r2 < low else _ZERO)
    # The difference, word by word with borrow. It fits three words, as n · S2 does and the result is not negative.
    d0 = p0 - r0
    borrow = _ONE if p0 < r0 else _ZERO
    d1 = p1 - r1 - borrow
    borrow = _ONE if p1 < r1 or (p1 == r1 and borrow == _ONE) else _ZERO
    d2 = p2 - r2 - borrow
    shift = 0
    sticky = False
    if d2 != _ZERO:
        sticky = d0 != _ZERO
        d0, d1, shift = d1, d2, 64
    # 128 bits left: the upper 64 and whether anything lies below them decide the rounding.
    if d1 != _ZERO:
        while d1 != _ZERO:
            sticky = sticky or (d0 & _ONE) != _ZERO
            d0 = (d0 >> _ONE) | (d1 << np.uint64(63))
            d1 >>= _ONE
            shift += 1
    return math.ldexp(np.float64(d0 | (_ONE if sticky else _ZERO)), shift)
