"""The merged half of a view on another key: windows of all shards are added up, closed in order of time, and judged [S13]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from offbeat.core.batch import F64, I32, I64, NULL_INT, Bools
from offbeat.core.compiled import compiled
from offbeat.core.ledger import ViewCounts
from offbeat.core.links import Linked
from offbeat.core.machine import Machine
from offbeat.core.merge import MergeStage
from offbeat.core.partials import ROWS, PartialLayout, Partials, PartialTable
from offbeat.core.plan import Plan, RollupPlan, ViewPlan
from offbeat.core.rings import grown_rows
from offbeat.core.state import Arrays, prefixed, under
from offbeat.decide.block import WITHDRAWN, AlertBlock
from offbeat.engines.archive import Archive, Closed
from offbeat.engines.linking import Linking
from offbeat.engines.view import Observer, Rows, View
from offbeat.errors import UserError


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of w windows."""

    block: AlertBlock | None
    windows: Partials
    judged: Bools
    """(w,) which of them got a verdict."""
    standing: Bools
    """(w,) on which of them an alert stands."""


class MergedView:
    """Windows in, alerts out.

    Closed windows are folded into the view's own state once, so that a further day costs no more than that day. Windows that are still open
    are judged by a copy of it, and again when they are closed. Rows for a closed window open it again, and all after it: the windows are
    read back from the archive and judged anew.

    A window's revision counts the rows of its target up to its end, which is all that its verdict depends on: so it is reported anew
    exactly when its revision has grown, and what is said of it later always has the greater revision [S22]. Where a detector looks at all
    targets together, the revision counts the rows of them all.
    """

    def __init__(self, plan: Plan, view: ViewPlan, rollup: RollupPlan, archive: Archive | None) -> None:
        self._plan, self.view_plan, self._rollup = plan, view, rollup
        self.archive = archive
        self.stage = MergeStage(PartialLayout.of(rollup.aggregates))
        self.observer: Observer | None = None
        self.linking: Linking | None = None
        """Where tables ask for it: keeps the links of closed windows with them."""
        self.until_ns = NULL_INT
        """Windows that start before this are closed."""
        self.reopened: list[int] = []
        """Where windows had to be opened again: start of the first one, each time."""
        self._machine = Machine(rollup.column_program, tuple(f"agg{i}" for i in range(len(rollup.aggregates))))
        self._together = any(detector.type == "population_forest" for detector in view.detectors)
        self._view = self._empty()
        self._rows: I64 = np.zeros(0, np.int64)
        """By target slot: rows in its closed windows."""
        self._known = PartialTable(PartialLayout.of(()))
        self._revisions: I64 = np.zeros(0, np.int64)
        self._standing: Bools = np.zeros(0, np.bool_)
        """By place in `_known`, windows judged while open: the revision judged, and whether an alert stands on it."""

    def _empty(self) -> View:
        return View(self._plan, self.view_plan, self._rollup.columns, ())

    @property
    def counts(self) -> ViewCounts:
        """How the closed windows fared."""
        return self._view.counts

    def close(self, until_ns: int, from_ns: int | None = None) -> list[Outcome]:
        """Judge the stage's windows, which all start before `until_ns`, for good; closed ones that start at `from_ns` or later again."""
        windows = self.stage.windows()
        early = int(np.searchsorted(windows.starts, self.until_ns))
        late = _part(windows, 0, early)
        first = min([*late.starts[:1].tolist(), *([] if from_ns is None else [from_ns])], default=self.until_ns)
        outcomes = self._reopen(late, first) if first < self.until_ns else []
        if len(windows) > early:
            windows = _part(windows, early, len(windows))
            outcomes.append(self._judge(self._view, windows, self._rows_by_slot(), *self._said(windows)))
            if self.archive is not None:
                self.archive.keep(Closed(windows, outcomes[-1].standing, self._linked(windows)))
        self.until_ns = max(self.until_ns, until_ns)
        return outcomes

    def look(self) -> tuple[Outcome, ViewCounts]:
        """Judge the stage's windows, all of them open, as they stand; what was said is remembered, what was learned is not."""
        windows = self.stage.windows()
        view = self._empty()
        view.restore(self._view.snapshot(len(self.stage.keys)), self.stage.keys.names)
        view.counts = replace(self._view.counts)
        revisions, standing = self._said(windows)
        outcome = self._judge(view, windows, self._rows_by_slot().copy(), revisions, standing)
        self._known = PartialTable(PartialLayout.of(()))
        self._known.count(windows.targets, windows.starts)
        self._revisions = self._revised(windows, self._rows_by_slot().copy())
        self._standing = outcome.standing
        return outcome, view.counts

    def _rows_by_slot(self) -> I64:
        self._rows = grown_rows(self._rows, len(self.stage.keys))
        return self._rows

    def _said(self, windows: Partials) -> tuple[I64, Bools]:
        """Per window the revision judged while it was open (-1: never), and whether an alert stands on it."""
        revisions, standing = np.full(len(windows), -1, np.int64), np.zeros(len(windows), np.bool_)
        if len(self._known):
            before = self._known.find(windows.targets, windows.starts)
            known = before >= 0
            revisions[known], standing[known] = self._revisions[before[known]], self._standing[before[known]]
        return revisions, standing

    def _revised(self, windows: Partials, rows: I64) -> I64:
        """Revision of each window; `rows` (slots,) are those of earlier windows, and then also of these."""
        out: I64 = np.empty(len(windows), np.int64)
        if self._together:
            _running_together(windows.starts, windows.ints[:, ROWS], rows, out)
        else:
            _running(windows.targets, windows.ints[:, ROWS], rows, out)
        return out

    def _judge(self, view: View, windows: Partials, rows: I64, said: I64, standing: Bools) -> Outcome:
        """Fold windows into `view`; `said` and `standing` (w,) as `_said` has them."""
        n = len(windows)
        columns = self._machine.run(self.stage.aggregates(windows))
        revisions = self._revised(windows, rows)
        batch = Rows(
            slots=windows.targets,
            time_ns=windows.starts,
            ordinals=np.ones(n, np.int64),
            columns=columns,
            integers=np.empty((0, n), np.int64),
            revision=revisions,
            files=np.full(n, -1, np.int32),
            numbers=np.full(n, -1, np.int64),
            frame=lambda index: _frame(self._rollup.columns, columns, index),
        )
        view.observer = self.observer
        opinion = view.judge(self.stage.keys, batch, standing)
        view.counts.windows += n
        changed = said != revisions
        standing = standing & ~changed
        block = opinion.block
        if block is not None:
            news = np.flatnonzero(changed[opinion.index])
            standing[opinion.index[news]] = block.status[news] != WITHDRAWN
            block = None if not len(news) else block if len(news) == len(block) else block.take(news)
        return Outcome(block, windows, opinion.judged, standing)

    def _linked(self, windows: Partials) -> dict[str, Linked]:
        return self.linking.of(self.view_plan.name, windows) if self.linking is not None else {}

    def _reopen(self, late: Partials, first_ns: int) -> list[Outcome]:
        """Add windows to closed ones and judge all from `first_ns` on again."""
        if self.archive is None:
            first = np.datetime64(first_ns, "ns")
            raise UserError(
                f"a row came for the window of {self.view_plan.name} at {first}Z, although no file was to have any so early: "
                "a Parquet file's footer gives a wrong range of times; write the file again"
            )
        self.reopened.append(first_ns)
        outcomes: list[Outcome] = []
        observer, self.observer = self.observer, None
        self._view, before = self._empty(), np.zeros_like(self._rows_by_slot())
        self._rows[:] = 0
        for number, (low, high, _) in enumerate(self.archive.entries):
            closed = self.archive.load(number)
            said = self._revised(closed.windows, before)
            # An entry holds windows up to where the next one begins.
            ahead = self.archive.entries[number + 1][0] if number + 1 < len(self.archive.entries) else 2**63 - 1
            begin, end = np.searchsorted(late.starts, [low if number else NULL_INT, ahead]).tolist()
            if high < first_ns and begin == end:
                self._judge(self._view, closed.windows, self._rows, said, closed.standing)
                continue
            self.observer = observer
            if self.linking is not None:
                self.linking.recall(self.view_plan.name, closed.windows, closed.linked)
            windows = self.stage.combined([closed.windows, _part(late, begin, end)])
            place = PartialTable(PartialLayout.of(()))
            place.count(closed.windows.targets, closed.windows.starts)
            at = place.find(windows.targets, windows.starts)
            there = at >= 0
            old, standing = np.full(len(windows), -1, np.int64), np.zeros(len(windows), np.bool_)
            old[there], standing[there] = said[at[there]], closed.standing[at[there]]
            outcomes.append(self._judge(self._view, windows, self._rows, old, standing))
            self.archive.replace(number, Closed(windows, outcomes[-1].standing, self._linked(windows)))
        self.observer = observer
        return outcomes

    def arrays(self) -> Arrays:
        """State; the target keys are `stage.keys.names`, the archive's entries come apart from it."""
        p, c = self._known.partials(), self._view.counts
        keys = len(self.stage.keys)
        own: Arrays = {
            "targets": p.targets, "starts": p.starts, "revisions": self._revisions, "standing": self._standing,
            "rows": self._rows_by_slot()[:keys], "until": np.array([self.until_ns]),
            "counts": np.array([c.windows, c.scored, c.warming_up, c.abstained]),
        }  # fmt: skip
        return prefixed("merged", own) | prefixed("view", self._view.snapshot(keys))

    def restore(self, names: list[str], arrays: Arrays) -> None:
        """Take over what `arrays` gave."""
        self.stage = MergeStage(self.stage.layout, names)
        own = under("merged", arrays)
        self._known = PartialTable(PartialLayout.of(()))
        self._known.count(own["targets"], own["starts"])
        self._revisions, self._standing, self._rows = own["revisions"], own["standing"], own["rows"]
        self.until_ns = int(own["until"][0])
        self._view = self._empty()
        self._view.restore(under("view", arrays), names)
        self._view.counts = ViewCounts(*own["counts"].tolist())


def judged_rows(outcomes: Sequence[Outcome]) -> tuple[int, int]:
    """Rows in the outcomes' windows: of those with a verdict, and of the others."""
    rows = sum(int(o.windows.ints[:, ROWS].sum()) for o in outcomes)
    judged = sum(int(o.windows.ints[o.judged, ROWS].sum()) for o in outcomes)
    return judged, rows - judged


def _part(windows: Partials, begin: int, end: int) -> Partials:
    return Partials(windows.targets[begin:end], windows.starts[begin:end], windows.ints[begin:end], windows.floats[begin:end])


@compiled
def _running(slots: I32, rows: I64, total: I64, out: I64) -> None:
    for i in range(len(slots)):
        total[slots[i]] += rows[i]
        out[i] = total[slots[i]]


@compiled
def _running_together(starts: I64, rows: I64, total: I64, out: I64) -> None:
    """As `_running` with all targets as one: windows of one start have the same sum, kept in total[0]."""
    i = 0
    while i < len(starts):
        end = i
        while end < len(starts) and starts[end] == starts[i]:
            total[0] += rows[end]
            end += 1
        out[i:end] = total[0]
        i = end


def _frame(names: tuple[str, ...], columns: F64, index: I64) -> pl.DataFrame:
    return pl.DataFrame({name: pl.Series(columns[c][index], nan_to_null=True) for c, name in enumerate(names)})
