"""Several detectors, and several pipelines, over one source: what each said of every row. No alert leaves."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from offbeat.core.batch import F64, I32, I64, Bools
from offbeat.core.ledger import Ledger
from offbeat.core.plan import Plan, ViewPlan
from offbeat.engines.as_of_day import dated
from offbeat.engines.run_result import Progress
from offbeat.errors import UserError
from offbeat.evaluate.detection_quality import Tolerance
from offbeat.evaluate.series import JudgedRows, Series
from offbeat.fold.fold import Fold
from offbeat.fold.view import BatchResult
from offbeat.io.contract import Source
from offbeat.spec.nearest import nearest

T = TypeVar("T", bound=np.generic)
VOTE = "vote"
"""Name of a view's vote among its detectors, none of which can be called so."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One pipeline over the source."""

    plan: Plan
    ledger: Ledger
    series: list[Series]
    seconds: float
    notes: list[str]


def names_of(plans: Sequence[Plan]) -> list[dict[tuple[str, str], str]]:
    """For each plan, names of its (view, detector) pairs, votes included: as short as they can be and still tell all apart."""
    seen: Counter[str] = Counter()
    labels = []
    for plan in plans:
        seen[plan.name] += 1
        labels.append(plan.name if seen[plan.name] == 1 else f"{plan.name}#{seen[plan.name]}")
    found = []
    for plan, label in zip(plans, labels, strict=True):
        names: dict[tuple[str, str], str] = {}
        for view in plan.views:
            before = [*([label] if len(plans) > 1 else []), *([view.name] if len(plan.views) > 1 else [])]
            votes = [] if _is_its_detector(view) else [VOTE]
            names |= {(view.name, name): ".".join([*before, name]) for name in [*(d.name for d in view.detectors), *votes]}
        found.append(names)
    return found


def _is_its_detector(view: ViewPlan) -> bool:
    """Whether the vote is that of the only detector, on every row."""
    return len(view.detectors) == 1 and not view.cooldown_rows and not view.cooldown_ns


def chosen(names: Sequence[dict[tuple[str, str], str]], wanted: Sequence[str]) -> list[dict[tuple[str, str], str]]:
    """Those of the names that were asked for: a whole name, or its end (`forest` for `trades.forest`); all where nothing was asked for.

    Raises UserError for one that is none.
    """
    if not wanted:
        return list(names)
    every = [name for plan in names for name in plan.values()]
    for word in wanted:
        if not any(_ends(name, word) for name in every):
            raise UserError(f"--detectors: no detector {word!r}{nearest(word, [*every, *(n.rsplit('.', 1)[-1] for n in every)])}")
    return [{place: name for place, name in plan.items() if any(_ends(name, word) for word in wanted)} for plan in names]


def _ends(name: str, word: str) -> bool:
    return name == word or name.endswith(f".{word}")


def longest_window(plans: Sequence[Plan]) -> Tolerance:
    """As long as a window still holds an odd row, and so may well be odd itself: the longest of all views."""
    windows = [window for plan in plans for view in plan.views for window in view.windows + view.backgrounds]
    return Tolerance(max((w.rows for w in windows), default=0), max((w.duration_ns for w in windows), default=0))


def judge(plan: Plan, source: Source, names: dict[tuple[str, str], str], progress: Callable[[Progress], None] | None = None) -> Judged:
    """Judge every row of the source and keep what the detectors in `names` (and votes) said.

    Memory: 9 bytes for each row and detector (score and vote), and 16 for each row (key, time, ordinal), twice that for a moment at the
    end; besides what a run needs. Raises UserError for what a person can put right.
    """
    began = time.monotonic()
    plan = dated(plan, source)
    fold = Fold(plan)
    fold.assign(0)
    watches = {view.name: _Watch(view, names) for view in plan.views if any(place[0] == view.name for place in names)}
    for name, watch in watches.items():
        fold.observe(name, watch)
    try:
        for chunk in source.chunks(None):
            if fold.overdue(chunk.floor_ns):
                fold.advance(chunk.floor_ns)
            fold.feed(0, fold.prepare(0, chunk))
            if progress is not None:
                votes = sum(watch.votes for watch in watches.values())
                progress(Progress(fold.rows_in, votes, source.done_bytes(), source.size_bytes()))
        fold.end()
    finally:
        source.close()
    series: list[Series] = []
    for view in plan.views:
        if view.name in watches:
            series += watches[view.name].series(fold.view_keys(view.name))
    return Judged(plan, fold.ledger, series, time.monotonic() - began, [*plan.notes, *source.notes])


class _Watch:
    """Keeps what chosen detectors of a view said. An `Observer`."""

    def __init__(self, view: ViewPlan, names: dict[tuple[str, str], str]) -> None:
        self._view = view
        self._names = [(d, names[view.name, plan.name]) for d, plan in enumerate(view.detectors) if (view.name, plan.name) in names]
        self._vote = names.get((view.name, VOTE))
        self._slots: list[I32] = []
        self._times: list[I64] = []
        self._ordinals: list[I32] = []
        self._scores: list[list[F64]] = [[] for _ in self._names]
        self._voted: list[list[Bools]] = [[] for _ in self._names]
        self._vote_scores: list[F64] = []
        self._alerts: list[Bools] = []
        self.votes = 0
        """Rows on which the view's vote is reached, so far."""

    def __call__(self, sitting: BatchResult) -> None:
        """Take a batch."""
        rows, verdicts, decisions = sitting.rows, sitting.verdicts, sitting.decisions
        self._slots.append(rows.slots.copy())
        self._times.append(rows.time_ns.copy())
        self._ordinals.append(rows.ordinals.astype(np.int32))
        for i, (d, _) in enumerate(self._names):
            self._scores[i].append(verdicts[d].score.copy())
            self._voted[i].append(verdicts[d].voted.copy())
        self.votes += int(decisions.alert.sum())
        if self._vote is not None:
            alerts = np.zeros(len(rows.slots), np.bool_)
            alerts[decisions.index[decisions.alert]] = True
            self._alerts.append(alerts)
            of_votes = sitting.vote_score
            self._vote_scores.append(
                vote_score(np.array([v.score for v in verdicts]), self._view.quorum) if of_votes is None else of_votes
            )

    def series(self, keys: Sequence[str]) -> list[Series]:
        """One for each chosen detector, and the vote."""
        length = self._view.rollup.size_ns if self._view.rollup is not None else 1
        rows = JudgedRows(keys, _joined(self._slots, np.int32), _joined(self._times, np.int64), _joined(self._ordinals, np.int32), length)
        found = [
            Series(name, self._view.detectors[d].type, rows, _joined(scores, np.float64), _joined(voted, np.bool_))
            for (d, name), scores, voted in zip(self._names, self._scores, self._voted, strict=True)
        ]
        if self._vote is not None:
            found.append(Series(self._vote, VOTE, rows, _joined(self._vote_scores, np.float64), _joined(self._alerts, np.bool_)))
        return found


def vote_score(scores: F64, at_least: int) -> F64:
    """(n,) the `at_least`-th highest of the (detectors, n) scores: above 0.5 exactly if that many are; NaN if fewer have a verdict."""
    ordered: F64 = -np.sort(-scores, axis=0)[at_least - 1]  # NaN last
    return ordered


def _joined(parts: list[npt.NDArray[T]], kind: type[T]) -> npt.NDArray[T]:
    whole: npt.NDArray[T] = np.concatenate(parts) if parts else np.zeros(0, kind)
    parts.clear()
    return whole
