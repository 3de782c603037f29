"""The merged half of a view on another key: windows of all shards are added up, closed in order of time, and judged [S13]."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from offbeat.core.batch import EVER, I64, NULL_INT, Bools
from offbeat.core.co_occurrence import CoOccurring
from offbeat.core.ledger import ViewCounts
from offbeat.core.partials import ROWS, PartialLayout, Partials, PartialTable
from offbeat.core.plan import Plan, RollupPlan, ViewPlan
from offbeat.core.rings import grown_rows
from offbeat.core.state import Arrays, prefixed, under
from offbeat.core.window_merge import WindowMerge
from offbeat.decide.block import RETRACTED, AlertBlock
from offbeat.errors import UserError
from offbeat.fold.absent_windows import Missing
from offbeat.fold.closed_windows import Closed, ClosedWindows
from offbeat.fold.co_occurrence_feed import CoOccurrenceFeed
from offbeat.fold.early_firing import EarlyFiring, FiredWindows
from offbeat.fold.revisions import Revisions
from offbeat.fold.view import Observer, View, ViewResult
from offbeat.fold.window_columns import WindowColumns


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of w windows."""

    blocks: list[AlertBlock]
    windows: Partials
    judged: Bools
    """(w,) which of them got a verdict."""
    standing: Bools
    """(w,) on which of them an alert stands."""
    missing: Missing
    """Windows that are not there on which an alert stands."""


class WindowView:
    """Windows in, alerts out.

    Closed windows are folded into the view's own state once, so that a further day costs no more than that day. Windows that are still open
    are judged by a copy of it, and again when they are closed. Rows for a closed window open it again, and all after it: the windows are
    read back from the archive and judged anew.

    A window's revision counts the rows of its target up to its end, which is all that its verdict depends on: so it is reported anew
    exactly when its revision has grown, and what is said of it later always has the greater revision [S22]. Where a detector looks at all
    targets together, the revision counts the rows of them all.
    """

    def __init__(self, plan: Plan, view: ViewPlan, rollup: RollupPlan, archive: ClosedWindows | None) -> None:
        self._plan, self.view_plan, self._rollup = plan, view, rollup
        self.archive = archive
        self.stage = WindowMerge(PartialLayout.of(rollup.aggregates, rollup.sure))
        self.observer: Observer | None = None
        self.linking: CoOccurrenceFeed | None = None
        """Where tables ask for it: keeps the links of closed windows with them."""
        self.until_ns = NULL_INT
        """Windows that start before this are closed."""
        self.rows_judged: I64 = np.zeros(2, np.int64)
        """Rows in closed windows: of those with a verdict, and of the others."""
        self._as_of_ns: int | None = None
        self._columns = WindowColumns(rollup)
        self._counting = Revisions(together=any(detector.type in ("population_forest", "absence") for detector in view.detectors))
        self._view = self._empty()
        self._early_firing = EarlyFiring(self._columns, self.stage)
        self._early = FiredWindows()
        self._rows: I64 = np.zeros(0, np.int64)
        """By target slot: rows in its closed windows."""
        self._known = PartialTable(PartialLayout.of(()))
        self._revisions: I64 = np.zeros(0, np.int64)
        self._standing: Bools = np.zeros(0, np.bool_)
        """By place in `_known`, windows judged while open: the revision judged, and whether an alert stands on it."""
        self._missed = Missing.none()
        """Windows on which an alert stands, and which were not there when all was looked at or are to come again."""

    def _empty(self) -> View:
        view = View(self._plan, self.view_plan, self._rollup.columns, ())
        if self._as_of_ns is not None:
            view.fix(self._as_of_ns)
        return view

    def fix(self, as_of_ns: int) -> int:
        """As `View.fix`, before the first window is closed."""
        self._as_of_ns = as_of_ns
        return self._view.fix(as_of_ns)

    @property
    def counts(self) -> ViewCounts:
        """How the closed windows fared."""
        return self._view.counts

    def models(self) -> dict[str, bytes]:
        """By detector: the file of the newest model of all keys, of closed windows."""
        return self._view.models()

    def glance(self, shard: int, names: list[str], table: PartialTable, places: I64) -> AlertBlock | None:
        """Early alerts of a shard's open windows at `places` (n,) of its table; each window has one.

        They are held against closed windows alone; `names` are the table's targets. Nothing but what was said is remembered.
        """
        if not self._view.speaks_early or not len(places):
            return None
        slots = self.stage.known(shard, names)
        found = self._early_firing.look(self._view, slots, table, places, self._settled, self._revised_early)
        if found is None:
            return None
        block, windows = found
        self._early.add(windows.targets, windows.starts)
        return block

    def _settled(self, windows: Partials) -> Bools:
        """Windows that were judged or reported early already, or wait to be opened again."""
        _, standing = self._said(windows)
        settled: Bools = standing | (windows.starts < self.until_ns)
        return settled

    def _revised_early(self, windows: Partials) -> I64:
        """Revisions of open windows: at most those with which they will be judged, and above those of earlier judgements."""
        revisions: I64 = np.maximum(self._counting.early(windows, self._rows_by_slot()), self._said(windows)[0] + 1)
        return revisions

    def close(self, until_ns: int, from_ns: int | None = None) -> list[Outcome]:
        """Judge the stage's windows, which all start before `until_ns`, for good; closed ones that start at `from_ns` or later again."""
        windows = self.stage.windows()
        closed = self.archive is None or len(self.archive.entries) > 0
        early = int(np.searchsorted(windows.starts, self.until_ns)) if closed else 0
        late = _part(windows, 0, early)
        first = min([*late.starts[:1].tolist(), *([] if from_ns is None else [from_ns])], default=self.until_ns)
        outcomes = self._reopen(late, first) if first < self.until_ns else []
        if len(windows) > early:
            windows = _part(windows, early, len(windows))
            said, missed = self._said(windows), self._missed.between(NULL_INT, until_ns)
            self._missed = self._missed.between(until_ns, EVER)
            outcomes.append(self._close(self._judge(self._view, windows, self._rows_by_slot(), *said, missed)))
            if self.archive is not None:
                self.archive.keep(Closed(windows, outcomes[-1].standing, outcomes[-1].missing, self._linked(windows)))
        self.until_ns = max(self.until_ns, until_ns)
        self._early.drop(self.until_ns)
        self._early_firing.forget()
        return outcomes

    def look(self, now_ns: int = NULL_INT) -> tuple[Outcome, ViewCounts]:
        """Judge the stage's windows, all of them open, as they stand; what was said is remembered, what was learned is not.

        Of the last windows, and of those that start at `now_ns` or later, none counts as missing: it may still come.
        """
        windows = self.stage.windows()
        until_ns = max([self.until_ns, now_ns, *windows.starts[-1:].tolist()])
        view = self._empty()
        view.restore(self._view.snapshot(len(self.stage.keys)), self.stage.keys.names)
        view.counts = replace(self._view.counts)
        revisions, standing = self._said(windows)
        outcome = self._judge(view, windows, self._rows_by_slot().copy(), revisions, standing, self._missed, until_ns)
        self._missed = outcome.missing
        self._known = PartialTable(PartialLayout.of(()))
        self._known.count(windows.targets, windows.starts)
        self._revisions = self._counting.of(windows, self._rows_by_slot().copy())
        self._standing = outcome.standing
        self._early.drop()
        self._early_firing.forget()
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
        if len(self._missed):
            place = self._missed.places(windows.targets, windows.starts)
            revisions[place >= 0], standing[place >= 0] = self._missed.revisions[place[place >= 0]], True
        if len(self._early):
            # What was said early is settled by the judgement, whatever its revision.
            early = self._early.has(windows.targets, windows.starts)
            revisions[early], standing[early] = -1, True
        return revisions, standing

    def _judge(
        self, view: View, windows: Partials, rows: I64, said: I64, standing: Bools, missed: Missing, until_ns: int = EVER
    ) -> Outcome:
        """Fold windows into `view`; `said` and `standing` (w,) as `_said` has them.

        `missed` are windows of the same time that were missing, with an alert; from `until_ns` on none is.
        """
        n = len(windows)
        come = missed.places(windows.targets, windows.starts)
        standing = standing | (come >= 0)
        absent = bool(view.absences) or len(missed) > 0
        before = rows.copy() if absent else rows
        revisions = self._counting.of(windows, rows)
        batch = self._columns.rows(self.stage, windows, revisions)
        view.observer = self.observer
        opinion = view.judge(self.stage.keys, batch, standing)
        view.counts.windows += n
        changed = said != revisions
        standing = standing & ~changed
        blocks = _news(opinion, changed, standing)
        if not absent:
            return Outcome(blocks, windows, opinion.judged, standing, missed)
        lost, missing = self._judge_missing(view, windows, before, missed.without(come[come >= 0]), until_ns)
        return Outcome(blocks + lost, windows, opinion.judged, standing, missing)

    def _judge_missing(
        self, view: View, windows: Partials, before: I64, missed: Missing, until_ns: int
    ) -> tuple[list[AlertBlock], Missing]:
        """Alerts on windows that are not there, and those on which an alert now stands; `before` as in `Revisions.missing`."""
        missing = view.absences.fold(windows.targets, windows.starts, len(self.stage.keys), until_ns, missed)
        revision = self._counting.missing(missing.slots, missing.starts, windows, before)
        rows = self._columns.empty(self.stage, missing.slots, missing.starts, revision)
        changed = missing.revisions != revision
        standing = ~changed
        blocks = _news(view.judge_missing(self.stage.keys, rows, missing), changed, standing)
        return blocks, Missing(missing.slots, missing.starts, revision).take(standing)

    def _linked(self, windows: Partials) -> dict[str, CoOccurring]:
        return self.linking.of(self.view_plan.name, windows) if self.linking is not None else {}

    def _close(self, outcome: Outcome) -> Outcome:
        self.rows_judged += judged_rows(outcome)
        return outcome

    def _begin_anew(self) -> I64:
        """As before the first closed window; returns (slots,) rows of no windows, for `Revisions.of`."""
        self._view = self._empty()
        self.rows_judged[:] = 0
        self._rows = np.zeros_like(self._rows_by_slot())
        return self._rows.copy()

    def _reopen(self, late: Partials, first_ns: int) -> list[Outcome]:
        """Add windows to closed ones and judge all from `first_ns` on again."""
        if self.archive is None:
            first = np.datetime64(first_ns, "ns")
            raise UserError(
                f"a row came for the window of {self.view_plan.name} at {first}Z, although no file was to have any so early: "
                "a Parquet file's footer gives a wrong range of times; write the file again"
            )
        outcomes: list[Outcome] = []
        observer, self.observer = self.observer, None
        before = self._begin_anew()
        for number, (low, high, _) in enumerate(self.archive.entries):
            closed = self.archive.load(number)
            said = self._counting.of(closed.windows, before)
            # An entry holds windows up to where the next one begins.
            ahead = self.archive.entries[number + 1][0] if number + 1 < len(self.archive.entries) else EVER
            begin, end = np.searchsorted(late.starts, [low if number else NULL_INT, ahead]).tolist()
            if high < first_ns and begin == end:
                self._close(self._judge(self._view, closed.windows, self._rows, said, closed.standing, closed.missing))
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
            outcomes.append(self._close(self._judge(self._view, windows, self._rows, old, standing, closed.missing)))
            self.archive.replace(number, Closed(windows, outcomes[-1].standing, outcomes[-1].missing, self._linked(windows)))
        self.observer = observer
        return outcomes

    def rewind(self, from_ns: int, open_rows: int) -> I64:
        """Forget the windows that start at `from_ns` or later, as some of their rows were wrong: they are to come again.

        Alerts on them are sent again, or retracted, when the windows of their time are next judged. open_rows: in windows that are not
        closed. Returns the starts of the windows that are gone.
        """
        known = self._known.partials()
        open_ones = Missing(known.targets, known.starts, self._revisions)
        rows, above = self._rows_by_slot() + open_rows, [*self._revisions.tolist(), *self._missed.revisions.tolist()]
        early = self._early.arrays()
        hasty = Missing(early["targets"], early["starts"], np.zeros(len(early["starts"]), np.int64))
        starts, said = [known.starts], [self._missed, open_ones.take(self._standing), hasty]
        if from_ns < self.until_ns:
            for closed, revisions in self._replay_before(from_ns):
                starts.append(closed.windows.starts)
                said += [closed.missing, Missing(closed.windows.targets, closed.windows.starts, revisions).take(closed.standing)]
        kept = np.flatnonzero(known.starts < from_ns)
        self._counting.leap(from_ns, max(above, default=0), rows)
        self._missed = Missing.together([self._missed.between(NULL_INT, from_ns), *(each.between(from_ns, EVER) for each in said)])
        self._known = PartialTable(PartialLayout.of(()))
        self._known.count(known.targets[kept], known.starts[kept])
        self._revisions, self._standing = self._revisions[kept], self._standing[kept]
        self._early.drop()
        early_kept = early["starts"] < from_ns
        self._early.add(early["targets"][early_kept], early["starts"][early_kept])
        self._early_firing.forget()
        self.until_ns = min(self.until_ns, from_ns)
        gone = np.unique(np.concatenate(starts))
        return gone[gone >= from_ns]

    def _replay_before(self, from_ns: int) -> list[tuple[Closed, I64]]:
        """Fold the closed windows before a time into an empty view; gives entries of the archive with later ones, and their revisions."""
        if self.archive is None:
            raise ValueError("closed windows were not kept")
        observer, self.observer = self.observer, None
        before = self._begin_anew()
        later: list[tuple[Closed, I64]] = []
        for number in range(len(self.archive.entries)):
            closed = self.archive.load(number)
            said = self._counting.of(closed.windows, before)
            part = closed.before(from_ns)
            n = len(part.windows)
            if n:
                self._close(self._judge(self._view, part.windows, self._rows, said[:n], part.standing, part.missing))
            if n < len(said):
                later.append((closed, said))
        self.archive.cut(from_ns)
        self.observer = observer
        return later

    def arrays(self) -> Arrays:
        """State; the target keys are `stage.keys.names`, the archive's entries come apart from it."""
        p, c = self._known.partials(), self._view.counts
        keys = len(self.stage.keys)
        own: Arrays = {
            "targets": p.targets, "starts": p.starts, "revisions": self._revisions, "standing": self._standing,
            "rows": self._rows_by_slot()[:keys], "until": np.array([self.until_ns]), "judged": self.rows_judged,
            "counts": np.array([c.windows, c.scored, c.warming_up, c.abstained]),
        }  # fmt: skip
        own |= prefixed("missed", self._missed.arrays())
        own |= prefixed("counting", self._counting.arrays())
        return prefixed("merged", own) | prefixed("early", self._early.arrays()) | prefixed("view", self._view.snapshot(keys))

    def restore(self, names: list[str], arrays: Arrays) -> None:
        """Take over what `arrays` gave."""
        self.stage = WindowMerge(self.stage.layout, names)
        self._early_firing = EarlyFiring(self._columns, self.stage)
        self._early.restore(under("early", arrays))
        own = under("merged", arrays)
        self._known = PartialTable(PartialLayout.of(()))
        self._known.count(own["targets"], own["starts"])
        self._revisions, self._standing, self._rows = own["revisions"], own["standing"], own["rows"]
        self._missed = Missing(**under("missed", own))
        self._counting.restore(under("counting", own))
        self.until_ns, self.rows_judged = int(own["until"][0]), own["judged"].copy()
        self._view = self._empty()
        self._view.restore(under("view", arrays), names)
        self._view.counts = ViewCounts(*own["counts"].tolist())


def judged_rows(outcome: Outcome) -> tuple[int, int]:
    """Rows in the outcome's windows: of those with a verdict, and of the others."""
    rows = outcome.windows.ints[:, ROWS]
    judged = int(rows[outcome.judged].sum())
    return judged, int(rows.sum()) - judged


def _news(opinion: ViewResult, changed: Bools, standing: Bools) -> list[AlertBlock]:
    """Alerts on windows that have `changed` (w,) since something was last said of them; `standing` (w,) is brought up to date."""
    block = opinion.block
    if block is None:
        return []
    news = np.flatnonzero(changed[opinion.index])
    standing[opinion.index[news]] = block.status[news] != RETRACTED
    return [] if not len(news) else [block if len(news) == len(block) else block.take(news)]


def _part(windows: Partials, begin: int, end: int) -> Partials:
    return Partials(windows.targets[begin:end], windows.starts[begin:end], windows.ints[begin:end], windows.floats[begin:end])
