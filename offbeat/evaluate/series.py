"""Verdicts of several detectors on the same rows: how often each one flags, and how far two of them agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import polars as pl

from offbeat.core.batch import F64, I32, I64, Bools

QUANTILES = (0.5, 0.9, 0.99, 0.999, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class JudgedRows:
    """n rows that one view scored, or n closed windows of a rollup, in fold order."""

    keys: Sequence[str]
    """Key of each slot."""
    slots: I32
    time_ns: I64
    ordinals: I32
    """(n,) n-th row of its key at that time."""
    length_ns: int = 1
    """Length of a rollup's windows, which `time_ns` begin; 1 for rows."""

    def frame(self) -> pl.DataFrame:
        """`key` (an Enum) and `time` (Datetime, ns, UTC): of a window the last moment, as its verdict is not known before."""
        names = pl.Series(self.keys, dtype=pl.String)
        key = names.gather(self.slots).cast(pl.Enum(names))
        time = pl.Series(self.time_ns + (self.length_ns - 1)).cast(pl.Datetime("ns", "UTC"))
        return pl.DataFrame({"key": key, "time": time})


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Verdicts of one detector, or of a vote, on the rows of its view."""

    name: str
    kind: str
    """The detector's type, or `vote`."""
    rows: JudgedRows
    score: F64
    """(n,) calibrated, 0.5 at the threshold; NaN: no verdict."""
    voted: Bools


@dataclass(frozen=True, slots=True)
class Flags:
    """How often a detector has a verdict, and how often it votes."""

    rows: int
    judged: int
    """Rows with a verdict. Each verdict was given before its row was learned from: the rate is out of sample."""
    votes: int
    flag_rate: float | None
    """Votes among the rows scored."""
    quantiles: tuple[float, ...] | None
    """Scores at `QUANTILES`: the least score with this share of scores at or below it."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two detectors over the rows on which both gave a verdict."""

    a: str
    b: str
    rows: int
    votes_a: int
    votes_b: int
    both: int
    jaccard: float | None
    """Rows that both flag among those that at least one flags."""
    a_also_b: float | None
    """Share of a's votes that b also flags."""
    b_also_a: float | None
    rank_correlation: float | None
    """Spearman's, ties at their mean rank; None where one of the two always gives the same score."""


def flags(series: Series) -> Flags:
    """Counts, rate and quantiles."""
    scores = series.score[~np.isnan(series.score)]
    votes = int(np.count_nonzero(series.voted))
    found = np.quantile(scores, QUANTILES, method="inverted_cdf") if len(scores) else None
    return Flags(
        len(series.score),
        len(scores),
        votes,
        votes / len(scores) if len(scores) else None,
        None if found is None else tuple(float(q) for q in found),
    )


def agreements(series: Sequence[Series]) -> list[Agreement]:
    """Every pair. Rows of two pipelines are the same where key, time and ordinal are."""
    places: dict[tuple[int, int], tuple[I64, I64] | None] = {}
    found = []
    ranked: dict[int, F64] = {}
    for a, b in combinations(series, 2):
        pair = (id(a.rows), id(b.rows))
        if pair not in places:
            places[pair] = None if a.rows is b.rows else _same(a.rows, b.rows)
        found.append(_agreement(a, b, places[pair], ranked))
    return found


def _same(a: JudgedRows, b: JudgedRows) -> tuple[I64, I64] | None:
    """Places of the common rows in a and in b; None if all are at the same places."""
    if (
        list(a.keys) == list(b.keys)
        and np.array_equal(a.slots, b.slots)
        and np.array_equal(a.time_ns, b.time_ns)
        and np.array_equal(a.ordinals, b.ordinals)
    ):
        return None
    left, right = (
        pl.DataFrame({"key": pl.Series(rows.keys, dtype=pl.String).gather(rows.slots), "time": rows.time_ns, "n": rows.ordinals})
        for rows in (a, b)
    )
    joined = left.with_row_index("a").join(right.with_row_index("b"), on=["key", "time", "n"], maintain_order="left")
    return joined["a"].cast(pl.Int64).to_numpy(), joined["b"].cast(pl.Int64).to_numpy()


def _agreement(a: Series, b: Series, places: tuple[I64, I64] | None, ranked: dict[int, F64]) -> Agreement:
    score_a, score_b, voted_a, voted_b = a.score, b.score, a.voted, b.voted
    if places is not None:
        score_a, voted_a, score_b, voted_b = score_a[places[0]], voted_a[places[0]], score_b[places[1]], voted_b[places[1]]
    common = ~(np.isnan(score_a) | np.isnan(score_b))
    voted_a, voted_b = voted_a & common, voted_b & common
    of_a, of_b, both = (int(np.count_nonzero(votes)) for votes in (voted_a, voted_b, voted_a & voted_b))
    either = of_a + of_b - both
    ranks = [_ranks_of(side, scores, common, ranked) for side, scores in ((a, score_a), (b, score_b))]
    return Agreement(
        a=a.name,
        b=b.name,
        rows=int(np.count_nonzero(common)),
        votes_a=of_a,
        votes_b=of_b,
        both=both,
        jaccard=both / either if either else None,
        a_also_b=both / of_a if of_a else None,
        b_also_a=both / of_b if of_b else None,
        rank_correlation=_correlation(*ranks),
    )


def _ranks_of(series: Series, scores: F64, common: Bools, ranked: dict[int, F64]) -> F64:
    """Ranks among the common rows; those among all its rows with a verdict are kept, as mostly these are the same."""
    if len(scores) < len(series.score) or np.count_nonzero(common) < np.count_nonzero(~np.isnan(series.score)):
        return ranks(scores[common])
    if id(series) not in ranked:
        ranked[id(series)] = ranks(series.score[common])
    return ranked[id(series)]


def ranks(values: F64) -> F64:
    """(n,) ranks from 1, equal values at the mean of theirs."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    begins = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])) if len(values) else np.zeros(0, np.int64)
    counts = np.diff(np.append(begins, len(values)))
    out = np.empty(len(values))
    out[order] = np.repeat(begins + (counts + 1) / 2, counts)
    return out


def _correlation(a: F64, b: F64) -> float | None:
    if not len(a):
        return None
    x, y = a - a.mean(), b - b.mean()
    size = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float((x * y).sum()) / size if size > 0 else None
