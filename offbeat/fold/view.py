"""One view: windows, rules, vote over rows of one kind, be they rows of the source or closed windows of a rollup."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from offbeat.core.batch import F64, I8, I32, I64, NULL_INT, U64, Bools
from offbeat.core.clock import CLOCK, clock, seasons
from offbeat.core.evidence import Evidence, WindowSpan
from offbeat.core.expression_machine import Machine
from offbeat.core.hashing import alert_ids, alert_prefix
from offbeat.core.keys import KeyTable
from offbeat.core.ledger import DetectorCounts, ViewCounts
from offbeat.core.plan import Plan, ViewPlan, WindowPlan
from offbeat.core.rings import grown_rows
from offbeat.core.state import Arrays, prefixed, under
from offbeat.decide.block import EARLY, FINAL, RETRACTED, AlertBlock
from offbeat.decide.cooldown import Cooldown
from offbeat.decide.vote import Decisions
from offbeat.detectors.detector import DetectorInput, Kind, Verdicts
from offbeat.features.decayed import DecayedFold
from offbeat.features.expanding import ExpandingFold
from offbeat.features.windows import WindowFold, WindowRows
from offbeat.fold.absent_windows import Missing
from offbeat.fold.detector_set import DetectorSet
from offbeat.fold.held_against import evidence_window
from offbeat.fold.local_time import local_time
from offbeat.fold.rebuild import Rebuild, can_rebuild
from offbeat.fold.verdict_tally import VerdictTally

_FEW = 256
"""Up to this many keys, names are picked one by one."""
_NOBODY: Bools = np.zeros(0, np.bool_)
_DETECTORS, _RAW, _TALLY, _COOLDOWN = "(detectors)", "(raw rows)", "(verdicts)", "(cooldown)"
"""Stand among the names of windows in the state, where no window can be called so."""


@dataclass(frozen=True, slots=True)
class Rows:
    """n rows of one view in fold order."""

    slots: I32
    time_ns: I64
    ordinals: I64
    """(n,) n-th row of its key at that time, from 1 [S21]."""
    columns: F64
    """(c, n)"""
    integers: I64
    revision: I64
    files: I32
    numbers: I64
    """(n,) row numbers in their files."""
    frame: Callable[[I64], pl.DataFrame]
    """The rows at some indices, as evidence."""

    def take(self, index: I64) -> Rows:
        """The rows at `index`."""
        return Rows(
            slots=self.slots[index],
            time_ns=self.time_ns[index],
            ordinals=self.ordinals[index],
            columns=self.columns[:, index],
            integers=self.integers[:, index],
            revision=self.revision[index],
            files=self.files[index],
            numbers=self.numbers[index],
            frame=lambda inner: self.frame(index[inner]),
        )


@dataclass(frozen=True, slots=True)
class ViewResult:
    """A view's result for n rows."""

    block: AlertBlock | None
    """m alerts; None for none."""
    index: I64
    """(m,) their rows."""
    judged: Bools
    """(n,) rows that got a verdict."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """One batch of a view, judged."""

    rows: Rows
    features: F64
    """(f, n) the features of the view's windows, in the order of the plan."""
    outputs: F64
    """(o, n) what the detectors read: outputs of the view's program."""
    verdicts: Sequence[Verdicts]
    decisions: Decisions
    vote_score: F64 | None
    """(n,) score of a vote by surprise; None where votes are counted."""


Window = WindowFold | ExpandingFold | DecayedFold
Observer = Callable[[BatchResult], None]
"""Is shown each batch of a view; arrays hold until the next one."""


class View:
    """A view of one shard, or of the merge stage. `columns` and `fixed` name the rows of the matrices it is given."""

    def __init__(self, plan: Plan, view: ViewPlan, columns: tuple[str, ...], fixed: tuple[str, ...]) -> None:
        self.plan = view
        self.counts = ViewCounts(detectors={detector.name: DetectorCounts() for detector in view.detectors})
        self.observer: Observer | None = None
        self._pipeline, self._zone = plan.name, plan.zone
        self._clock = view.rollup is None and not view.inputs.isdisjoint(CLOCK)
        if self._clock:
            columns = (*columns, *CLOCK)
        self._windows = [self._window(w, columns, fixed) for w in view.windows]
        self._features = tuple(name for window in view.windows for name in window.features)
        self._backgrounds = [WindowFold(window, columns, (), self._features) for window in view.backgrounds]
        behind = tuple(name for window in view.backgrounds for name in window.features)
        self._machine = Machine(view.program, columns, self._features + behind)
        scales = {column.name: column.scale for column in plan.source.columns}
        self._rebuild = Rebuild(view, columns, fixed, plan.codes, scales) if can_rebuild(view) else None
        self._detectors = DetectorSet(view, plan.seed, self._rebuild)
        self._tally = VerdictTally(view, columns + self._features + behind, self._detectors.judges(Kind.ROWS))
        cools = view.cooldown_rows or view.cooldown_ns
        self._cooldown = Cooldown(view.cooldown_rows, view.cooldown_ns) if cools else None
        self._levels = ("low", *(name for name, _ in reversed(view.levels)))
        self._evidence = evidence_window(view)
        self._prefixes: U64 = np.zeros((0, 2), np.uint64)
        self._known: Bools = np.zeros(0, np.bool_)
        self._names = pl.Series([], dtype=pl.String)

    def _window(self, window: WindowPlan, columns: tuple[str, ...], fixed: tuple[str, ...]) -> Window:
        if window.duration_ns or window.rows:
            return WindowFold(window, columns, fixed)
        return DecayedFold(window, columns, self._places(window)) if window.decayed else ExpandingFold(window, columns)

    def fix(self, as_of_ns: int) -> int:
        """Judge all windows as of the same moment [S16].

        Returns the time from which on windows must come in one batch, because models learn from the windows that they judge.
        """
        for window in self._windows:
            if isinstance(window, ExpandingFold) and window.plan.lag_ns and self.plan.rollup is not None:
                local = local_time(self.plan.rollup, window.plan)
                end_ns = as_of_ns if local is None else int(local.of(np.array([as_of_ns]))[0])
                window.cut_ns = end_ns - self.plan.rollup.size_ns - window.plan.lag_ns
        return self._detectors.as_of(as_of_ns)

    def models(self) -> dict[str, bytes]:
        """By detector: the file of its newest model of all keys."""
        return self._detectors.models()

    def judge(self, keys: KeyTable, rows: Rows, before: Bools = _NOBODY, status: int = FINAL) -> ViewResult:
        """Fold the rows and report alerts, with that status.

        Rows marked in `before` (n,) were alerts in an earlier revision: where they no longer are, they come as retracted.
        """
        n = len(rows.slots)
        if self._clock:
            rows = replace(rows, columns=np.concatenate([rows.columns, clock(rows.time_ns, self._zone)]))
        windows = [self._folded(w, rows, len(keys)) for w in self._windows]
        features = np.concatenate([w.features for w in windows]) if windows else np.empty((0, n))
        nothing = np.empty((0, n), np.int64)
        behind = [w.fold(rows.slots, self._times(w, rows), rows.columns, nothing, len(keys), features) for w in self._backgrounds]
        read = np.concatenate([features, *(w.features for w in behind)]) if behind else features
        outputs = self._machine.run(rows.columns, read)
        numbers = np.zeros(n, np.int64)
        if self._rebuild is not None:
            numbers = self._rebuild.show(rows.columns, rows.integers, len(keys))
        decisions = self._detectors.judge(DetectorInput(keys.names, rows.slots, rows.time_ns, outputs, numbers), before)
        if self._cooldown is not None:
            decisions = self._cooled(self._cooldown, len(keys), rows, decisions, before)
        if self.observer is not None:
            self.observer(BatchResult(rows, features, outputs, self._detectors.verdicts, decisions, self._detectors.vote_score()))
        self.counts.scored += decisions.scored
        self.counts.warming_up += decisions.warming_up
        self.counts.abstained += decisions.abstained
        if left_out := self._detectors.no_spread():
            self.counts.no_spread = self.counts.no_spread + Counter(left_out)
        found = self._detectors
        self._tally.count(self.counts, len(keys), rows.slots, rows.time_ns, found.score, found.voted, (rows.columns, read))
        if not len(decisions.index):
            return ViewResult(None, decisions.index, decisions.judged)
        statuses = np.where(decisions.alert, status, RETRACTED).astype(np.int8)
        spans = self._spans(windows + behind, rows.time_ns, decisions.index)
        evidence = self._detectors.evidence(decisions.index, spans)
        block = self._alerts(keys, rows, spans, features, decisions, statuses, evidence)
        return ViewResult(block, decisions.index, decisions.judged)

    @property
    def fires_early(self) -> int:
        """How many detectors may fire on windows that are still open."""
        return self._detectors.judging(Kind.OPEN)

    @property
    def misses_windows(self) -> bool:
        """Whether some detector judges missing windows."""
        return self._detectors.judging(Kind.MISSING) > 0

    def ahead(self, keys: KeyTable, rows: Rows) -> tuple[list[WindowRows], F64]:
        """What n rows find if each is the next of its key: the view's windows, and features as `early` takes them; none is folded."""
        n = len(rows.slots)
        alone, nothing = np.arange(n, dtype=np.int32), np.empty((0, n), np.int64)
        windows = []
        for window in self._windows:
            part = window.excerpt(self._slots(window.plan, rows), len(keys) * self._places(window.plan))
            if isinstance(part, WindowFold):
                windows.append(part.fold(alone, self._times(window, rows), rows.columns, rows.integers, n))
            else:
                windows.append(part.fold(alone, self._times(window, rows), rows.columns, n))
        features = np.concatenate([w.features for w in windows]) if windows else np.empty((0, n))
        parts = (w.excerpt(rows.slots, len(keys)) for w in self._backgrounds)
        behind = [part.fold(alone, self._times(part, rows), rows.columns, nothing, n, features) for part in parts]
        return windows + behind, np.concatenate([features, *(w.features for w in behind)]) if behind else features

    def _judge_open(self, keys: KeyTable, rows: Rows, features: F64) -> Decisions:
        outputs, nobody = self._machine.run(rows.columns, features), np.zeros(len(rows.slots), np.int64)
        found = self._detectors.judge(DetectorInput(keys.names, rows.slots, rows.time_ns, outputs, nobody, Kind.OPEN), _NOBODY)
        if self._cooldown is not None:
            self._cooldown.cool(len(keys), rows.slots, rows.time_ns, found.index, found.alert, found.strength, folds=False)
            found = found.only(found.alert)
        return found

    def _cooled(self, cooldown: Cooldown, keys: int, rows: Rows, found: Decisions, before: Bools) -> Decisions:
        """Without the alerts that come in the cooldown of a stronger one; those that were raised in an earlier revision are retracted."""
        self.counts.in_cooldown += cooldown.cool(keys, rows.slots, rows.time_ns, found.index, found.alert, found.strength)
        return found.only(found.alert | before[found.index] if len(before) else found.alert)

    def early_votes(self, keys: KeyTable, rows: Rows, features: F64) -> tuple[Bools, Bools]:
        """(d, n) which detectors vote on n open windows as they stand, and (n,) where that makes an alert; `features` as in `early`."""
        decisions = self._judge_open(keys, rows, features)
        alert = np.zeros(len(rows.slots), np.bool_)
        alert[decisions.index] = True
        return np.array([verdicts.voted for verdicts in self._detectors.verdicts]).reshape(-1, len(alert)), alert

    def early(self, keys: KeyTable, rows: Rows, features: F64) -> ViewResult:
        """What can be said of open windows as they stand, without being wrong when they have grown; nothing is folded.

        `features` (f, n) from `ahead`, be it of an earlier moment with the same windows before.
        """
        decisions = self._judge_open(keys, rows, features)
        if not len(decisions.index):
            return ViewResult(None, decisions.index, decisions.judged)
        index, found = decisions.index, rows.take(decisions.index)
        windows, features = self.ahead(keys, found)
        again = self._judge_open(keys, found, features)
        status = np.full(len(again.index), EARLY, np.int8)
        spans = self._spans(windows, found.time_ns, again.index)
        evidence = self._detectors.evidence(again.index, spans)
        block = self._alerts(keys, found, spans, features[: len(self._features)], again, status, evidence)
        return ViewResult(block, index[again.index], decisions.judged)

    def missing(self, keys: KeyTable, slots: I32, starts: I64, until_ns: int, standing: Missing) -> Missing:
        """Windows that are not there: those that a detector misses, with n windows that are [Detector.missing], and the `standing` ones."""
        found = self._detectors.missing(slots, starts, len(keys), until_ns)
        for d, (lacking, _) in zip(self._detectors.judges(Kind.MISSING), found, strict=True):
            counts = self.counts.detectors.setdefault(self.plan.detectors[d].name, DetectorCounts())
            counts.verdicts += len(lacking)
            counts.votes += len(lacking)
        return Missing.together([standing, *(Missing(*place, np.full(len(place[0]), -1, np.int64)) for place in found)])

    def judge_missing(self, keys: KeyTable, rows: Rows, missing: Missing, status: int) -> ViewResult:
        """Say of which windows that are not there, as `missing` gave them, this is odd; `rows` are what they would be.

        Those on which an alert stands are reported in any case.
        """
        m = len(missing)
        nothing = np.full((len(self.plan.program.outputs), m), np.nan)
        batch = DetectorInput(keys.names, missing.slots, missing.starts, nothing, np.zeros(m, np.int64), Kind.MISSING)
        decisions = self._detectors.judge(batch, missing.revisions >= 0)
        if not len(decisions.index):
            return ViewResult(None, decisions.index, decisions.judged)
        statuses = np.where(decisions.alert, status, RETRACTED).astype(np.int8)
        features = np.full((len(self._features), len(missing)), np.nan)
        block = self._alerts(keys, rows, {}, features, decisions, statuses, self._detectors.evidence(decisions.index, {}))
        return ViewResult(block, decisions.index, decisions.judged)

    def _folded(self, window: Window, rows: Rows, keys: int) -> WindowRows:
        times, slots, count = self._times(window, rows), self._slots(window.plan, rows), keys * self._places(window.plan)
        if isinstance(window, WindowFold):
            return window.fold(slots, times, rows.columns, rows.integers, count)
        return window.fold(slots, times, rows.columns, count)

    def _times(self, window: Window, rows: Rows) -> I64:
        """Times as the window counts them."""
        local = local_time(self.plan.rollup, window.plan)
        return rows.time_ns if local is None else local.of(rows.time_ns)

    def _slots(self, window: WindowPlan, rows: Rows) -> I32:
        """Slots as the window counts them."""
        places = self._places(window)
        if places == 1:
            return rows.slots
        season = seasons(rows.time_ns, self._zone, window.season_ns, self._slot_ns(window))
        return (rows.slots * np.int64(places) + season).astype(np.int32)

    def _places(self, window: WindowPlan) -> int:
        """How many windows a key has: one for each place of the season."""
        return window.season_ns // self._slot_ns(window) if window.season_ns else 1

    def _slot_ns(self, window: WindowPlan) -> int:
        """Length of a place of the season."""
        return window.slot_ns if self.plan.rollup is None else self.plan.rollup.size_ns

    def _alerts(
        self,
        keys: KeyTable,
        rows: Rows,
        spans: Mapping[int, WindowSpan],
        features: F64,
        decisions: Decisions,
        status: I8,
        evidence: tuple[Evidence, ...],
    ) -> AlertBlock:
        index = decisions.index
        slots, time_ns = rows.slots[index], rows.time_ns[index]
        ids = np.empty((len(index), 16), np.uint8)
        alert_ids(self._prefix(keys, slots), slots, time_ns, rows.ordinals[index], ids)
        key, names = self._keys(keys, slots)
        return AlertBlock(
            view=self.plan.name,
            ids=ids,
            revision=rows.revision[index],
            status=status,
            key=key,
            keys=names,
            time_ns=time_ns,
            severity=decisions.severity,
            level=decisions.level,
            levels=self._levels,
            votes=decisions.votes,
            voters=decisions.voters,
            detectors=evidence,
            row=rows.frame(index),
            window=spans.get(self._evidence) or WindowSpan.none(len(index)),
            statistics=self._features,
            values=features[:, index],
            files=rows.files[index],
            rows=rows.numbers[index],
        )

    def _spans(self, held: Sequence[WindowRows], time_ns: I64, index: I64) -> dict[int, WindowSpan]:
        """What the windows that alerts tell of hold for the rows at `index`: by number among the view's windows and then its backgrounds.

        `held` has it for all rows, at times `time_ns`, and counts time as the windows do.
        """
        windows = (*self._windows, *self._backgrounds)
        told = {self._evidence, *self._detectors.held} - {-1}
        return {number: self._span(windows[number], held[number].from_ns[index], held[number].n[index], time_ns[index]) for number in told}

    def _span(self, window: Window, from_ns: I64, n: I64, time_ns: I64) -> WindowSpan:
        local = local_time(self.plan.rollup, window.plan)
        until_ns = (time_ns if local is None else local.of(time_ns)) - window.plan.lag_ns
        if isinstance(window, ExpandingFold) and window.cut_ns != NULL_INT:
            until_ns = np.full_like(time_ns, window.cut_ns)
        if local is not None:
            from_ns, until_ns = local.instants(from_ns), local.instants(until_ns)
        return WindowSpan(from_ns, until_ns, n)

    def _prefix(self, keys: KeyTable, slots: I32) -> U64:
        """Hash prefixes by slot, worked out for the keys that ever alert."""
        self._prefixes, self._known = grown_rows(self._prefixes, len(keys)), grown_rows(self._known, len(keys))
        missing = np.zeros(len(self._known), np.bool_)
        missing[slots] = True
        for slot in np.flatnonzero(missing & ~self._known).tolist():
            self._prefixes[slot] = alert_prefix(self._pipeline, self.plan.name, keys.names[slot])
            self._known[slot] = True
        return self._prefixes

    def _keys(self, keys: KeyTable, slots: I32) -> tuple[I32, pl.Series]:
        if len(keys) <= len(slots):
            return slots, self._all_names(keys)
        distinct, key = np.unique(slots, return_inverse=True)
        if len(distinct) <= _FEW:
            return key.astype(np.int32), pl.Series([keys.names[slot] for slot in distinct.tolist()], dtype=pl.String)
        return key.astype(np.int32), self._all_names(keys).gather(distinct)

    def _all_names(self, keys: KeyTable) -> pl.Series:
        """(keys,) names by slot; each becomes a part of the column once."""
        known = len(self._names)
        if known < len(keys):
            self._names = pl.concat([self._names, pl.Series(keys.names[known:], dtype=pl.String)], rechunk=True)
        return self._names

    def learned_ns(self) -> dict[tuple[str, str], int]:
        """By view and detector with a model, the time of the last row that the newest one was trained on."""
        return {(self.plan.name, detector): time_ns for detector, time_ns in self._detectors.learned_ns().items()}

    def untrained(self) -> list[str]:
        """Why some detectors of the view have no model for any key."""
        return [f"{self.plan.name}.{why}" for why in self._detectors.untrained()]

    def snapshot(self, slots: I64) -> Arrays:
        """State of the view's windows and detectors for some slots, which are 0 to n - 1 for who restores it."""
        out: Arrays = {}
        for window in (*self._windows, *self._backgrounds):
            places = self._places(window.plan)
            each = slots if places == 1 else (slots[:, np.newaxis] * places + np.arange(places)).reshape(-1)
            out |= prefixed(window.plan.name, window.snapshot(each))
        # The detectors take up their last batch now, and with it come its raw rows.
        out |= prefixed(_DETECTORS, self._detectors.snapshot(slots)) | prefixed(_TALLY, self._tally.snapshot(slots))
        if self._cooldown is not None:
            out |= prefixed(_COOLDOWN, self._cooldown.snapshot(slots))
        return out if self._rebuild is None else out | prefixed(_RAW, self._rebuild.snapshot(slots))

    def restore(self, arrays: Arrays, names: Sequence[str]) -> None:
        """Take over a snapshot; `names` are the keys of its slots."""
        for window in (*self._windows, *self._backgrounds):
            window.restore(under(window.plan.name, arrays))
        if self._rebuild is not None:
            self._rebuild.restore(under(_RAW, arrays))
        if self._cooldown is not None:
            self._cooldown.restore(under(_COOLDOWN, arrays))
        self._tally.restore(under(_TALLY, arrays), len(names))
        self._detectors.restore(under(_DETECTORS, arrays), names)
