"""The oracle's scalar arithmetic and its hashes: Python floats, three-valued logic, null is None. Imports nothing from the package."""

from __future__ import annotations

import math
from hashlib import blake2b

Num = float | None
Truth = bool | None
MASK = (1 << 64) - 1


def finite(value: float) -> Num:
    """What is not finite is null."""
    return value if math.isfinite(value) else None


def add(a: Num, b: Num) -> Num:
    return None if a is None or b is None else finite(a + b)


def sub(a: Num, b: Num) -> Num:
    return None if a is None or b is None else finite(a - b)


def mul(a: Num, b: Num) -> Num:
    return None if a is None or b is None else finite(a * b)


def div(a: Num, b: Num) -> Num:
    return None if a is None or b is None or b == 0 else finite(a / b)


def mod(a: Num, b: Num) -> Num:
    return None if a is None or b is None or b == 0 else finite(math.fmod(a, b))


def absolute(a: Num) -> Num:
    return None if a is None else abs(a)


def root(a: Num) -> Num:
    return None if a is None or a < 0 else math.sqrt(a)


def logarithm(a: Num) -> Num:
    """As docs/definitions.md has it: the mantissa from √½ on, and a series."""
    if a is None or a <= 0:
        return None
    m, e = math.frexp(a)
    if m < 0.7071067811865476:
        m, e = m * 2, e - 1
    return _log_of(m - 1, e, 0.0)


def _log_of(f: float, e: int, low: float) -> float:
    s = f / (2 + f)
    series = 0.0
    for k in range(25, 2, -2):
        series = 2 / k if k == 25 else series * (s * s) + 2 / k
    half = 0.5 * f * f
    rest = s * (half + series * (s * s)) + low / (1 + f)
    if e == 0:
        return f - (half - rest)
    return e * 6.93147180369123816490e-01 - ((half - (rest + e * 1.90821492927058770002e-10)) - f)


def area_sine(a: Num) -> Num:
    """asinh, as docs/definitions.md has it."""
    if a is None or abs(a) < 2.0**-28:
        return a
    x = abs(a)
    if x > 2.0**28:
        whole = logarithm(x)
        assert whole is not None
        return math.copysign(whole + 0.6931471805599453, a)
    y = x + x * x / (1 + math.sqrt(x * x + 1))
    u = 1 + y
    low = y - (u - 1) if y < 1 else 1 - (u - y)
    m, e = math.frexp(u)
    if m < 0.7071067811865476:
        m, e = m * 2, e - 1
    return math.copysign(_log_of(m - 1, e, low / 2.0**e), a)


def least(*values: Num) -> Num:
    present = [value for value in values if value is not None]
    return min(present) if present else None


def greatest(*values: Num) -> Num:
    present = [value for value in values if value is not None]
    return max(present) if present else None


def compare(a: Num, operator: str, b: Num) -> Truth:
    if a is None or b is None:
        return None
    return {">": a > b, ">=": a >= b, "<": a < b, "<=": a <= b, "=": a == b, "<>": a != b}[operator]


def same_text(a: str | None, b: str) -> Truth:
    return None if a is None else a == b


def all_of(*truths: Truth) -> Truth:
    """Kleene AND."""
    if any(truth is False for truth in truths):
        return False
    return None if any(truth is None for truth in truths) else True


def any_of(*truths: Truth) -> Truth:
    """Kleene OR."""
    if any(truth is True for truth in truths):
        return True
    return None if any(truth is None for truth in truths) else False


def negate(truth: Truth) -> Truth:
    return None if truth is None else not truth


def as_number(truth: Truth) -> Num:
    return None if truth is None else float(truth)


def _rotate(x: int, r: int) -> int:
    return ((x << r) | (x >> (64 - r))) & MASK


def _final_mix(k: int) -> int:
    k ^= k >> 33
    k = (k * 0xFF51AFD7ED558CCD) & MASK
    k ^= k >> 33
    k = (k * 0xC4CEB9FE1A85EC53) & MASK
    return k ^ (k >> 33)


def murmur3_x64_128(data: bytes, seed: int = 0) -> tuple[int, int]:
    """MurmurHash3_x64_128 (Appleby), any length, as published."""
    c1, c2 = 0x87C37B91114253D5, 0x4CF5AD432745937F
    h1 = h2 = seed
    blocks = len(data) // 16
    for i in range(blocks):
        k1 = int.from_bytes(data[16 * i : 16 * i + 8], "little")
        k2 = int.from_bytes(data[16 * i + 8 : 16 * i + 16], "little")
        h1 ^= (_rotate((k1 * c1) & MASK, 31) * c2) & MASK
        h1 = (_rotate(h1, 27) + h2) & MASK
        h1 = (h1 * 5 + 0x52DCE729) & MASK
        h2 ^= (_rotate((k2 * c2) & MASK, 33) * c1) & MASK
        h2 = (_rotate(h2, 31) + h1) & MASK
        h2 = (h2 * 5 + 0x38495AB5) & MASK
    tail = data[16 * blocks :]
    if len(tail) > 8:
        k2 = int.from_bytes(tail[8:], "little")
        h2 ^= (_rotate((k2 * c2) & MASK, 33) * c1) & MASK
    if tail:
        k1 = int.from_bytes(tail[:8], "little")
        h1 ^= (_rotate((k1 * c1) & MASK, 31) * c2) & MASK
    h1 ^= len(data)
    h2 ^= len(data)
    h1 = (h1 + h2) & MASK
    h2 = (h2 + h1) & MASK
    h1 = _final_mix(h1)
    h2 = _final_mix(h2)
    h1 = (h1 + h2) & MASK
    return h1, (h2 + h1) & MASK


def alert_id(pipeline: str, view: str, key: str, time_ns: int, n: int) -> str:
    """S21: 32 hex digits."""
    prefix = blake2b(f"{pipeline}\x1f{view}\x1f{key}".encode(), digest_size=16).digest()
    h1, h2 = murmur3_x64_128(prefix + time_ns.to_bytes(8, "little", signed=True) + n.to_bytes(8, "little", signed=True))
    return f"{h1:016x}{h2:016x}"
