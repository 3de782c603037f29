"""The compiled half of models of all keys: which rows are sampled, and verdicts by one threshold."""

from __future__ import annotations

import numpy as np

from offbeat.core.batch import F64, I32, I64, U64, Bools
from offbeat.core.compiled import compiled
from offbeat.core.hashing import extended
from offbeat.detectors.trained.constants import CHANGED, NOTHING, U8, compared


@compiled
def complete_rows(outputs: F64, inputs: I64, first: int, last: int) -> I64:
    """Which of the rows from `first` to `last` of outputs (o, n) have no null among the inputs."""
    rows = np.empty(last - first, np.int64)
    found = 0
    for i in range(first, last):
        whole = True
        for f in range(len(inputs)):
            whole = whole and outputs[inputs[f], i] == outputs[inputs[f], i]
        rows[found] = i
        found += whole
    return rows[:found]


@compiled
def calibrate(rows: I64, found: F64, beside: U8, limit: float, raw: F64, score: F64, voted: Bools, exceedance: F64) -> None:
    """Write the verdicts on rows whose raw scores are `found`, NaN for none, by a threshold of 0 or more [S17, S18].

    `beside` as `Constants` has it; what no model gave becomes NaN in `found`.
    """
    for p in range(len(rows)):
        i = rows[p]
        if beside[p] != NOTHING:
            changed = beside[p] == CHANGED
            found[p] = np.nan
            raw[i] = exceedance[i] = np.inf if changed else 0.0
            score[i] = 1.0 if changed else 0.0
            voted[i] = changed
            continue
        # Where all scores are the same, even 0, the threshold is that score.
        r = found[p] / limit if limit > 0.0 or found[p] != found[p] else (1.0 if found[p] <= limit else np.inf)
        raw[i] = found[p]
        exceedance[i] = r
        score[i] = 1.0 if r > 1e300 else r / (1.0 + r)
        voted[i] = found[p] > limit


@compiled
def beside_constants(outputs: F64, inputs: I64, rows: I64, known: F64, tolerance: float) -> U8:
    """(m,) what is to say of some rows of outputs (o, n) beside the constants (k,) of a model; see `Constants`."""
    out = np.empty(len(rows), np.uint8)
    row = np.empty(len(inputs))
    for p in range(len(rows)):
        for f in range(len(inputs)):
            row[f] = outputs[inputs[f], rows[p]]
        out[p] = compared(row, known, tolerance)
    return out


@compiled
def offer(
    outputs: F64, inputs: I64, rows: I64, live: F64, slots: I32, keys: U64, word: np.uint64, cut: np.uint64, start: int,
    used: int, hashes: U64, values: F64, scores: F64,
) -> tuple[int, int]:
    """Take rows from number `start` on whose hash lies below `cut`, until there is no room.

    Returns the number of the row to go on with, and how many rows are held. `word` is the tick's.
    """
    room = len(hashes)
    for p in range(start, len(rows)):
        i = rows[p]
        h = extended(keys[slots[i]], word)
        if h < cut:
            if used == room:
                return p, used
            hashes[used] = h
            scores[used] = live[p]
            for f in range(len(inputs)):
                values[used, f] = outputs[inputs[f], i]
            used += 1
    return len(rows), used


@compiled
def merge_newest(
    hashes: U64, starts: I64, values: F64, live: F64, new_hashes: U64, new_values: F64, new_live: F64,
    tick: int, ticks: I64, kept: int, out_hashes: U64, out_starts: I64, out_values: F64, out_live: F64,
) -> int:
    """Join two sets of rows in rising order of hash, the second being of the newest tick; `ticks` are the starts that count, in order.

    Keeps the rows that may ever be among the `kept` lowest of the last ticks, and returns how many they are: a row is out for good when so
    many rows of its own tick and later ones, which leave after it, have lower hashes.
    """
    # Fenwick's tree of how many rows of each tick stand so far.
    counts = np.zeros(len(ticks) + 1, np.int64)
    first = ticks[0]
    a = b = found = 0
    while a < len(hashes) or b < len(new_hashes):
        old = b == len(new_hashes) or (a < len(hashes) and hashes[a] <= new_hashes[b])
        start = starts[a] if old else tick
        if start >= first:
            t = np.searchsorted(ticks, start)
            older, place = 0, t
            while place > 0:
                older += counts[place]
                place -= place & -place
            if found - older < kept:
                out_hashes[found] = hashes[a] if old else new_hashes[b]
                out_starts[found] = start
                out_live[found] = live[a] if old else new_live[b]
                for f in range(values.shape[1]):
                    out_values[found, f] = values[a, f] if old else new_values[b, f]
                found += 1
                place = t + 1
                while place <= len(ticks):
                    counts[place] += 1
                    place += place & -place
        if old:
            a += 1
        else:
            b += 1
    return found


@compiled
def usual_values(rows: F64, width: float) -> F64:
    """(3, k) mean of each column of (n, k) rows, and the mean less and plus `width` sample standard deviations.

    The lower end is 0 where that would lie below, and no row does.
    """
    n, k = rows.shape
    out = np.zeros((3, k))
    least = rows[0].copy()
    for i in range(n):
        for f in range(k):
            out[0, f] += rows[i, f]
            least[f] = min(least[f], rows[i, f])
    for f in range(k):
        out[0, f] /= n
    for i in range(n):
        for f in range(k):
            d = rows[i, f] - out[0, f]
            out[1, f] += d * d
    for f in range(k):
        spread = width * np.sqrt(out[1, f] / (n - 1.0))
        low = out[0, f] - spread
        out[1, f] = 0.0 if low < 0.0 and least[f] >= 0.0 else low
        out[2, f] = out[0, f] + spread
    return out
