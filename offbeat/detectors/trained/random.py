"""Random numbers that are part of the result: written here, so that no library's version changes a model [S14]."""

from __future__ import annotations

import numpy as np

from offbeat.core.compiled import compiled

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_M1, _M2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_LOW = np.uint64(0xFFFFFFFF)


@compiled
def stream(seed: np.uint64, number: int) -> np.uint64:
    """State of stream `number` of a seed, never 0: the finaliser of SplitMix64 (Steele, Lea, Flood 2014)."""
    z = seed + np.uint64(number + 1) * _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * _M1
    z = (z ^ (z >> np.uint64(27))) * _M2
    z ^= z >> np.uint64(31)
    return z if z != np.uint64(0) else _GOLDEN


@compiled
def advance(state: np.uint64) -> np.uint64:
    """Next state, 64 random bits: xorshift64 (Marsaglia 2003, triple 13, 7, 17)."""
    state ^= state << np.uint64(13)
    state ^= state >> np.uint64(7)
    return state ^ (state << np.uint64(17))


@compiled
def below(state: np.uint64, n: int) -> np.int64:
    """A number in 0…n - 1, 0 < n < 2³¹, from the upper half of the state; the lower half is free for `fraction`."""
    return np.int64(((state >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))


@compiled
def fraction(state: np.uint64) -> float:
    """A number in (0, 1] from the lower half of the state."""
    return (np.float64(state & _LOW) + 1.0) * 2.0**-32
