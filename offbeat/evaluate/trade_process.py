"""A generated market, trade by trade: clustered orders on a U-shaped day, bid-ask bounce around a random walk, and planted anomalies.

Symbols are independent; the next order of the market is that of the earliest symbol (a heap), so that trades come in the order of time and
a block of any size needs memory for itself only.
"""

from __future__ import annotations

import math

import numpy as np

from offbeat.core.batch import F64, I64, U64
from offbeat.core.compiled import compiled

KINDS = ("price_spike", "size_spike", "burst", "stuck_price", "one_sided_run")
"""Planted anomalies: 2 to 5 trades far off the price; 1 or 2 trades of 300 to 1,500 round lots; 60 to 150 trades, each within a
millisecond of the one before; 120 to 250 trades at one price; 120 to 250 trades of one side."""
_SPIKE, _SIZE, _BURST, _STUCK, _ONE_SIDED = range(5)
_SHORTEST = (2, 1, 60, 120, 120)
_LONGEST = (5, 2, 150, 250, 250)

WARM_UP = 2_000
"""Trades of a symbol before its first anomaly."""
MOST_FILLS = 20
MEAN_FILLS = 1.72
"""Trades per order: geometric, at most `MOST_FILLS`."""
_MORE = 0.42

# Columns of `real`, a row a symbol.
MID, SIGMA, HALF, VARIANCE, EXCITED, RATE, SHARE, NIGHT = range(8)
"""Middle price in ticks; standard deviation of its relative change an order; half the spread in ticks; GARCH variance, 1 on average;
excited part of the rate (1/s); mean rate of orders (1/s); share of all trades; standard deviation of the relative change over night."""
# Columns of `whole`, a row a symbol.
NOW, DAY, SIDE, ROWS, DUE, KIND, LEFT, FIRST, BEGAN, FROM, LAST, TO, PRICE, OFFSET = range(14)
"""Time of the next order; its session; side of the last order; trades so far; trades at which the next anomaly starts; kind of the anomaly
that is under way or -1; trades left of it; sequence, time and receipt time of its first trade; sequence and receipt time of the last
trade of the symbol; its price; ticks that a spike is off."""
# `common`: trades so far, receipt time of the last one, place in the deck of kinds, the deck.
DONE, RECEIVED, PLACE, DECK = range(4)
COMMON = DECK + len(KINDS)
# Columns of a label.
LABEL = ("symbol", "kind", "from", "to", "first_sequence", "last_sequence")
# Columns of a trade.
TRADE = ("received", "time", "symbol", "price", "size", "side", "flags", "delta")

_BRANCHING = 0.5  # orders that an order triggers, on average
_DECAY = 0.5  # 1/s
_END = np.iinfo(np.int64).max
_LAST_OF_EVENT = 128
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1, _MIX2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


@compiled
def _uniform(random: U64) -> float:
    """In (0, 1), by splitmix64 (Steele, Lea, Flood 2014)."""
    random[0] += _GOLDEN
    z = random[0]
    z = (z ^ (z >> np.uint64(30))) * _MIX1
    z = (z ^ (z >> np.uint64(27))) * _MIX2
    z ^= z >> np.uint64(31)
    return (np.float64(z >> np.uint64(12)) + 0.5) / 4503599627370496.0


@compiled
def _whole(random: U64, low: int, high: int) -> int:
    """In [low, high]."""
    return low + int(_uniform(random) * (high - low + 1))


@compiled
def _normal(random: U64) -> float:
    return math.sqrt(-2.0 * math.log(_uniform(random))) * math.cos(2.0 * math.pi * _uniform(random))


@compiled
def _size(random: U64) -> int:
    """Shares: mostly a round lot, some odd lots, some lots at once, few blocks."""
    u = _uniform(random)
    if u < 0.68:
        return 100
    if u < 0.80:
        return _whole(random, 1, 99)
    if u < 0.97:
        return 100 * (2 + int(-2.0 * math.log(_uniform(random))))
    return 100 * max(1, min(200, int(10.0 * math.exp(0.9 * _normal(random)))))


@compiled
def advance(k: int, gap: float, real: F64, whole: I64, random: U64, opens: I64, closes: I64) -> None:
    """Move symbol k to the time of its next order: `gap` seconds later if positive, else by a Hawkes process.

    The process has an exponential kernel, and its exact waiting time is that of Dassios and Zhao (2013), with the base rate as it is now.
    """
    day = whole[k, DAY]
    now = whole[k, NOW]
    if gap <= 0.0:
        middle = 2.0 * (now - opens[day]) / (closes[day] - opens[day]) - 1.0
        base = real[k, RATE] * (1.0 - _BRANCHING) * (0.5 + 1.5 * middle * middle)
        gap = -math.log(_uniform(random)) / base
        excited = real[k, EXCITED]
        reach = 1.0 + _DECAY * math.log(_uniform(random)) / excited if excited > 0.0 else 0.0
        if reach > 0.0:
            gap = min(gap, -math.log(reach) / _DECAY)
        real[k, EXCITED] = excited * math.exp(-_DECAY * gap)
    now += max(1, int(min(gap, 1e9) * 1e9))
    while now >= closes[day]:
        over = now - closes[day]
        day += 1
        if day == len(opens):
            whole[k, NOW] = _END
            return
        now = opens[day] + over
        real[k, EXCITED] = 0.0
        real[k, MID] *= max(0.8, min(1.25, 1.0 + real[k, NIGHT] * _normal(random)))
    whole[k, NOW] = now
    whole[k, DAY] = day


@compiled
def _sift(heap: I64, whole: I64) -> None:
    """Put the root of the heap of symbols in its place, by time, then number."""
    k = heap[0]
    at = 0
    while 2 * at + 1 < len(heap):
        child = 2 * at + 1
        if child + 1 < len(heap):
            a, b = heap[child], heap[child + 1]
            if whole[b, NOW] < whole[a, NOW] or (whole[b, NOW] == whole[a, NOW] and b < a):
                child += 1
        c = heap[child]
        if whole[k, NOW] < whole[c, NOW] or (whole[k, NOW] == whole[c, NOW] and k < c):
            break
        heap[at] = c
        at = child
    heap[at] = k


@compiled
def _draw(common: I64, random: U64) -> int:
    """The next kind from a deck that is reshuffled when used up, so that all occur equally often."""
    if common[PLACE] == 0:
        for i in range(len(KINDS) - 1, 0, -1):
            j = _whole(random, 0, i)
            common[DECK + i], common[DECK + j] = common[DECK + j], common[DECK + i]
    kind = common[DECK + common[PLACE]]
    common[PLACE] = (common[PLACE] + 1) % len(KINDS)
    return int(kind)


@compiled
def _begin(k: int, every: int, real: F64, whole: I64, common: I64, random: U64) -> None:
    """Start an anomaly of symbol k with the order that is due."""
    kind = _draw(common, random)
    whole[k, KIND] = kind
    whole[k, LEFT] = _whole(random, _SHORTEST[kind], _LONGEST[kind])
    whole[k, FIRST] = common[DONE] + 1
    whole[k, BEGAN] = whole[k, NOW]
    whole[k, DUE] = whole[k, ROWS] + int(every * (0.5 + _uniform(random)))
    # 8 to 20 times the spread of 100 trades of a random walk, which is about 4 steps
    offset = max(20.0, (8.0 + 12.0 * _uniform(random)) * 4.0 * real[k, SIGMA] * math.sqrt(real[k, VARIANCE]) * real[k, MID])
    falls = _uniform(random) < 0.5 and offset < 0.5 * real[k, MID]
    whole[k, OFFSET] = -int(offset) if falls else int(offset)


@compiled
def _walk(k: int, real: F64, random: U64) -> None:
    """One step of the middle price; its variance follows GARCH(1, 1). Prices stay above a dollar."""
    z = _normal(random)
    variance = real[k, VARIANCE]
    real[k, MID] = max(100.0, real[k, MID] * max(0.5, 1.0 + real[k, SIGMA] * math.sqrt(variance) * z))
    real[k, VARIANCE] = min(25.0, 0.01 + (0.09 * z * z + 0.90) * variance)


@compiled
def simulate(
    rows: int, every: int, real: F64, whole: I64, heap: I64, common: I64, random: U64, opens: I64, closes: I64, trades: I64, labels: I64
) -> tuple[int, int]:
    """Go on until `rows` trades exist in all or `trades` (n, 8) is full; how many trades and labels (m, 6) were written.

    m must be at least n // 500 + symbols.
    """
    n = 0
    found = 0
    while common[DONE] < rows and n + MOST_FILLS <= len(trades):
        k = heap[0]
        _walk(k, real, random)
        if whole[k, KIND] < 0 and whole[k, ROWS] >= whole[k, DUE]:
            # one that the end of the data or the night would cut waits: there is to be room for twice the longest
            today = (closes[whole[k, DAY]] - whole[k, NOW]) / 1e9 * real[k, RATE] * MEAN_FILLS
            if min(today, (rows - common[DONE]) * real[k, SHARE]) > 500.0:
                _begin(k, every, real, whole, common, random)
        kind = whole[k, KIND]
        if kind != _ONE_SIDED or whole[k, BEGAN] == whole[k, NOW]:
            whole[k, SIDE] *= 1 if _uniform(random) < 0.58 else -1
        side = whole[k, SIDE] if kind == _ONE_SIDED or _uniform(random) < 0.99 else 0
        fills = 1
        if kind not in {_SPIKE, _SIZE, _BURST}:
            while fills < MOST_FILLS and _uniform(random) < _MORE:
                fills += 1
        if kind >= 0:
            fills = min(fills, whole[k, LEFT])
        fills = min(fills, rows - common[DONE])
        now = whole[k, NOW]
        common[RECEIVED] = max(common[RECEIVED] + 1, now + _whole(random, 110_000, 190_000))
        if kind >= 0 and whole[k, BEGAN] == now:
            whole[k, FROM] = common[RECEIVED]
        delta = _whole(random, 14_000, 24_000)
        price = max(1, int(np.rint(real[k, MID] + side * real[k, HALF])))
        for fill in range(fills):
            if fill > 0 and _uniform(random) < 0.15:
                price = max(1, price + side)
            if kind == _STUCK:
                price = whole[k, PRICE]
            size = _size(random)
            if kind == _SIZE:
                size = 100 * _whole(random, 300, 1_500)
            trades[n, 0] = common[RECEIVED]
            trades[n, 1] = now
            trades[n, 2] = k
            trades[n, 3] = price + whole[k, OFFSET] if kind == _SPIKE else price
            trades[n, 4] = size
            trades[n, 5] = side
            trades[n, 6] = _LAST_OF_EVENT if fill == fills - 1 else 0
            trades[n, 7] = delta
            n += 1
        whole[k, PRICE] = price
        common[DONE] += fills
        whole[k, ROWS] += fills
        whole[k, LAST] = common[DONE]
        whole[k, TO] = common[RECEIVED]
        gap = 0.0
        if kind == _BURST:  # which leaves no excitement behind, or it would not end where its label says
            gap = 50e-6 + 950e-6 * _uniform(random)
        else:
            real[k, EXCITED] += _BRANCHING * _DECAY
        if kind >= 0:
            whole[k, LEFT] -= fills
            if whole[k, LEFT] == 0:
                close(k, whole, labels, found)
                found += 1
        advance(k, gap, real, whole, random, opens, closes)
        _sift(heap, whole)
    return n, found


@compiled
def close(k: int, whole: I64, labels: I64, at: int) -> None:
    """Write the label of symbol k's anomaly, which has ended."""
    labels[at, 0] = k
    labels[at, 1] = whole[k, KIND]
    labels[at, 2] = whole[k, FROM]
    labels[at, 3] = whole[k, TO]
    labels[at, 4] = whole[k, FIRST]
    labels[at, 5] = whole[k, LAST]
    whole[k, KIND] = -1


@compiled
def start(real: F64, whole: I64, random: U64, every: int, opens: I64, closes: I64) -> None:
    """Give each symbol its first order and the place of its first anomaly."""
    for k in range(len(real)):
        whole[k, NOW] = opens[0]
        whole[k, SIDE] = 1
        whole[k, KIND] = -1
        whole[k, DUE] = WARM_UP + int(every * _uniform(random))
        advance(k, 0.0, real, whole, random, opens, closes)
