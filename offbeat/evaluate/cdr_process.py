"""Generated call records, row by row: a record is a function of the seed and its number, so any worker can make any part alone."""

from __future__ import annotations

import math

import numpy as np

from offbeat.core.batch import F64, I8, I32, I64, U64
from offbeat.core.compiled import compiled

TYPES = ("DATA", "VOICE", "SMS", "MMS")
DATA, VOICE, SMS, MMS = range(4)
SHARES = (0.62, 0.25, 0.12, 0.01)
"""Shares of the types among ordinary records."""
SPREAD = 1.1
"""Standard deviation of the logarithm of a DATA session's volume, around its customer's own."""
TRAVELLERS = 0.05
"""Share of the records made by a customer of any region."""

_DRAWS = np.uint64(8)
_VOICE_FROM, _SMS_FROM, _MMS_FROM = SHARES[0], SHARES[0] + SHARES[1], 1.0 - SHARES[3]
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1, _MIX2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_LEAST_MB, _MOST_MB = 1e-6, 1e6


@compiled
def uniform(stream: np.uint64, row: int, draw: int) -> float:
    """In (0, 1): number 8 `row` + `draw` of a splitmix64 generator (Steele, Lea, Flood 2014) that starts at `stream`."""
    z = stream + (np.uint64(row) * _DRAWS + np.uint64(draw + 1)) * _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * _MIX1
    z = (z ^ (z >> np.uint64(27))) * _MIX2
    z ^= z >> np.uint64(31)
    return (np.float64(z >> np.uint64(12)) + 0.5) / 4503599627370496.0


@compiled
def make_alias(weights: F64, accept: F64, other: I32) -> None:
    """Alias table (Vose 1991) of n weights ≥ 0, not all 0: place i stands for itself with probability accept[i], else for other[i]."""
    n = len(weights)
    total = 0.0
    for i in range(n):
        total += weights[i]
    waiting = np.empty(n, np.int32)
    small, large = 0, n
    for i in range(n):
        accept[i] = weights[i] / total * n
        other[i] = i
        if accept[i] < 1.0:
            waiting[small] = i
            small += 1
        else:
            large -= 1
            waiting[large] = i
    while small > 0 and large < n:
        small -= 1
        a, b = waiting[small], waiting[large]
        other[a] = b
        accept[b] -= 1.0 - accept[a]
        if accept[b] < 1.0:
            large += 1
            waiting[small] = b
            small += 1
    # Places left over by rounding keep their whole probability.
    for i in range(small):
        accept[waiting[i]] = 1.0
    for i in range(large, n):
        accept[waiting[i]] = 1.0


@compiled
def draw_alias(u: float, first: int, n: int, accept: F64, other: I32) -> int:
    """A place in [0, n) by the alias table at [first, first + n)."""
    x = u * n
    i = min(int(x), n - 1)
    return i if x - i < accept[first + i] else int(other[first + i])


@compiled
def make_rows(
    stream: np.uint64,
    begin: int,
    end: int,
    slot: int,
    first_row: I64,
    start_us: I64,
    length_us: I64,
    accept: F64,
    other: I32,
    people: I32,
    region_first: I64,
    people_accept: F64,
    people_other: I32,
    lives: F64,
    all_accept: F64,
    all_other: I32,
    usual: F64,
    drift: I64,
    day: int,
    extra_at: int,
    extra_end: int,
    extra_us: I64,
    extra_real: F64,
    extra_whole: I32,
    time_us: I64,
    customer: I64,
    real: F64,
    kind: I8,
    region: I8,
) -> tuple[int, int]:
    """Ordinary records [begin, end) of one day and, among them by time, planted ones; how many in all, and the next planted one.

    Hours ("slots") s have the rows first_row[s] … first_row[s + 1], spread over [start_us, start_us + length_us). `accept` and `other`
    (slots, regions) draw a region, `people_accept` and `people_other` one of its people (places region_first[r] … of `people`),
    `all_accept` and `all_other` anybody; `lives` (regions,) is 0 where nobody does. `usual` (c,) is the logarithm of a customer's usual
    session in MB, `drift` (c, 3) the first and last day and the thousandths by which the volume grows until then (first day -1: none).
    Planted: `extra_us`, `extra_real` (MB) and `extra_whole` (customer, type, region), those of [extra_at, extra_end) in order of time.
    Out: `time_us`, `customer`, `real` (MB), `kind`, `region`, of at least end - begin + extra_end - extra_at rows.
    """
    regions = accept.shape[1]
    n = 0
    for row in range(begin, end):
        while row >= first_row[slot + 1]:
            slot += 1
        place = row - first_row[slot]
        in_slot = first_row[slot + 1] - first_row[slot]
        now = start_us[slot] + int((place + uniform(stream, row, 0)) / in_slot * length_us[slot])
        while extra_at < extra_end and extra_us[extra_at] <= now:
            time_us[n] = extra_us[extra_at]
            customer[n] = extra_whole[extra_at, 0]
            real[n] = extra_real[extra_at]
            kind[n] = extra_whole[extra_at, 1]
            region[n] = extra_whole[extra_at, 2]
            n += 1
            extra_at += 1
        x = uniform(stream, row, 1) * regions
        r = min(int(x), regions - 1)
        if x - r >= accept[slot, r]:
            r = other[slot, r]
        u = uniform(stream, row, 2)
        first = region_first[r]
        if lives[r] == 0.0 or u < TRAVELLERS:
            who = draw_alias(uniform(stream, row, 6), 0, len(usual), all_accept, all_other)
        else:
            u = (u - TRAVELLERS) / (1.0 - TRAVELLERS)
            who = people[first + draw_alias(u, first, region_first[r + 1] - first, people_accept, people_other)]
        time_us[n] = now
        customer[n] = who
        region[n] = r
        u = uniform(stream, row, 3)
        mb = 0.0
        if u < _VOICE_FROM:
            kind[n] = DATA
            z = math.sqrt(-2.0 * math.log(uniform(stream, row, 4))) * math.cos(2.0 * math.pi * uniform(stream, row, 5))
            mb = math.exp(usual[who] + SPREAD * z)
            if drift[who, 0] >= 0 and drift[who, 0] <= day <= drift[who, 1]:
                grown = (day - drift[who, 0] + 1) / (drift[who, 1] - drift[who, 0] + 1)
                mb *= 1.0 + grown * drift[who, 2] / 1000.0
            mb = np.rint(max(_LEAST_MB, min(mb, _MOST_MB)) * 1e6) / 1e6
        elif u < _SMS_FROM:
            kind[n] = VOICE
        elif u < _MMS_FROM:
            kind[n] = SMS
        else:
            kind[n] = MMS
            mb = np.rint((0.02 + 0.58 * uniform(stream, row, 4)) * 1e6) / 1e6
        real[n] = mb
        n += 1
    return n, extra_at


@compiled
def put_extra(
    at: int,
    end: int,
    n: int,
    extra_us: I64,
    extra_real: F64,
    extra_whole: I32,
    time_us: I64,
    customer: I64,
    real: F64,
    kind: I8,
    region: I8,
) -> int:
    """Planted records [at, end) behind the first n rows; how many rows there are then."""
    for i in range(at, end):
        time_us[n] = extra_us[i]
        customer[n] = extra_whole[i, 0]
        real[n] = extra_real[i]
        kind[n] = extra_whole[i, 1]
        region[n] = extra_whole[i, 2]
        n += 1
    return n


def stream_of(seed: int, purpose: int) -> np.uint64:
    """Start of the generator for a purpose."""
    state: U64 = np.random.SeedSequence([seed, purpose]).generate_state(1, np.uint64).astype(np.uint64)
    return np.uint64(state[0])


@compiled
def _uniforms(stream: np.uint64, out: F64) -> None:
    for i in range(len(out)):
        out[i] = uniform(stream, i, 0)


def uniforms(stream: np.uint64, n: int) -> F64:
    """(n,) numbers in (0, 1)."""
    out = np.empty(n)
    _uniforms(stream, out)
    return out
