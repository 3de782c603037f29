"""Compiled: how far values lie beyond their ranges, and the ranges after them."""

from __future__ import annotations

import numpy as np

from offbeat.core.batch import F64, I32, I64
from offbeat.core.compiled import compiled, compiled_inner

LOW, HIGH, MEAN = range(3)
"""What is known of a feature's values."""
_SAME = 1e-9
"""Relative difference up to which a value is the one that never varied: rounding is no news."""


@compiled_inner
def _beyond(x: float, low: float, high: float) -> float:
    """How far x lies beyond [low, high] in widths of that, below it with a minus."""
    if low <= x <= high:
        return 0.0
    width = high - low
    end = high if x > high else low
    if width <= 0.0:
        if abs(x - end) <= _SAME * abs(end):
            return 0.0
        return np.inf if x > end else -np.inf
    if abs(x - end) <= 1e300 and width <= 1e300:
        return (x - end) / width
    return (0.25 * x - 0.25 * end) / (0.25 * high - 0.25 * low)  # where a difference leaves the doubles


@compiled
def judge_records(
    slots: I32, time_ns: I64, outputs: F64, inputs: I64, leak: float, longest: float, warm_up: int,
    ends: F64, counts: I64, held: I64, raw: F64, beyond: F64, before: F64, span: I64,
) -> None:  # fmt: skip
    """Hold n rows against the ranges of their keys, and then widen and leak these.

    State: ends (slots, k, 3) by feature; counts (slots, k) values so far; held (slots, 3) the first and the last row's time, and rows.
    Results: raw (n,) the greatest distance, NaN without any; beyond (n, k) of each feature; before (n, k, 3) and span (n, 3): the state
    that each row met.
    """
    for i in range(len(slots)):
        s = slots[i]
        greatest = -1.0
        for w in range(3):
            span[i, w] = held[s, w]
        if held[s, 2] == 0:
            held[s, 0] = time_ns[i]
        held[s, 1] = time_ns[i]
        held[s, 2] += 1
        for j in range(len(inputs)):
            low, high, mean = ends[s, j, LOW], ends[s, j, HIGH], ends[s, j, MEAN]
            before[i, j, LOW], before[i, j, HIGH], before[i, j, MEAN] = low, high, mean
            x = outputs[inputs[j], i]
            beyond[i, j] = np.nan
            if x != x:
                continue
            n = counts[s, j]
            if n >= warm_up:
                distance = _beyond(x, low, high)
                beyond[i, j] = distance
                greatest = max(greatest, abs(distance))
            counts[s, j] = n + 1
            if n == 0:
                low, high, mean = x, x, x
            else:
                # Sums of products: no difference of two doubles can overflow.
                part = 1.0 / min(n + 1.0, longest)
                mean += part * x - part * mean
                low, high = min(low, x), max(high, x)
                low += leak * mean - leak * low
                high -= leak * high - leak * mean
            ends[s, j, LOW], ends[s, j, HIGH], ends[s, j, MEAN] = low, high, mean
        raw[i] = greatest if greatest >= 0.0 else np.nan
