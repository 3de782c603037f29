"""A view on another key: windows of all shards are added up, closed in order of time, and judged [S13, R29]."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from offbeat.core.batch import EVER, I64, NULL_INT, Bools
from offbeat.core.ledger import ViewCounts
from offbeat.core.partials import PartialLayout, Partials, PartialTable
from offbeat.core.plan import KEY, Plan, RollupPlan, ViewPlan
from offbeat.core.state import Arrays, Document, prefixed, under
from offbeat.core.text_inputs import TextInputs
from offbeat.core.window_merge import WindowMerge
from offbeat.decide.block import FINAL, PROVISIONAL, AlertBlock
from offbeat.errors import UserError
from offbeat.features.tumbling import Tumbling
from offbeat.fold.absent_windows import Missing
from offbeat.fold.closed_windows import Closed, ClosedWindows
from offbeat.fold.co_occurrence_feed import CoOccurrenceFeed
from offbeat.fold.filled_windows import Filling
from offbeat.fold.fired_windows import FiredWindows
from offbeat.fold.judged_windows import Before, Folded, Outcome, news, part
from offbeat.fold.revisions import Revisions
from offbeat.fold.spread import looks_across
from offbeat.fold.view import Observer, View
from offbeat.fold.window_columns import WindowColumns


class WindowView:
    """Windows in, alerts out.

    Windows are *final* once no row can come for them any more: they are folded into the view's state for good, so that a further day costs
    no more than that day. Windows that the watermark has passed are closed, too, but *provisionally*: they are folded into a copy that
    runs ahead of that state. A row that comes for one of them opens it again, and all after it: they are read back and judged anew.
    Windows that are still open when the input ends are judged by a copy of it, and again when they are closed.

    A window's revision counts the rows of its target up to its end, which is all that its verdict depends on: so it is reported anew
    exactly when its revision has grown, and what is said of it later always has the greater revision [S22]. Where a detector looks at all
    targets together, the revision counts the rows of them all.
    """

    def __init__(self, plan: Plan, view: ViewPlan, rollup: RollupPlan, closed: ClosedWindows | None, *, live: bool = False) -> None:
        """closed: keeps closed windows, where they may have to be opened again; of a live source until they are final."""
        self._plan, self.view_plan, self._rollup = plan, view, rollup
        self.closed, self._live = closed, live
        self.stage = WindowMerge(PartialLayout.of(rollup.aggregates, rollup.sure))
        self.columns = WindowColumns(rollup, TextInputs(plan.codes, plan.parts, KEY))
        self.observer: Observer | None = None
        self.linking: CoOccurrenceFeed | None = None
        """Where tables ask for it: keeps the links of closed windows with them."""
        self.until_ns = NULL_INT
        """Windows that start before this are closed."""
        self.final_ns = NULL_INT
        """Windows that start before this are closed for good."""
        self._as_of_ns: int | None = None
        tumbling, layout = Tumbling(rollup.size_ns, rollup.zone), self.stage.layout
        self._filling = Filling(tumbling, layout, view.name) if rollup.fill else None
        """As before the first window; None where only windows with rows are judged."""
        self._counting = Revisions(together=looks_across(view))
        self._final = self._ahead = self._empty()
        """The windows that are final, and all that are closed; one and the same where none is provisional."""
        self.fired = FiredWindows()
        self._known = PartialTable(PartialLayout.of(()))
        self._revisions: I64 = np.zeros(0, np.int64)
        self._standing: Bools = np.zeros(0, np.bool_)
        """By place in `_known`, windows judged while open: the revision judged, and whether an alert stands on it."""
        self._missed = Missing.none()
        """Windows on which an alert stands, and which were not there when all was looked at or are to come again."""

    def _empty(self) -> Folded:
        view = View(self._plan, self.view_plan, self.view_plan.columns, ())
        if self._as_of_ns is not None:
            view.fix(self._as_of_ns)
        filling = self._filling.copy() if self._filling is not None else None
        return Folded(view, np.zeros(len(self.stage.keys), np.int64), np.zeros(2, np.int64), filling)

    def _copy(self, folded: Folded) -> Folded:
        copy = self._empty()
        copy.view.restore(folded.view.snapshot(np.arange(len(self.stage.keys))), self.stage.keys.names)
        copy.view.counts = folded.view.counts.copy()
        copy.rows, copy.judged = self._rows(folded).copy(), folded.judged.copy()
        copy.filling = folded.filling.copy() if folded.filling is not None else None
        return copy

    def _rows(self, folded: Folded) -> I64:
        return folded.rows_of(len(self.stage.keys))

    def fix(self, as_of_ns: int) -> int:
        """As `View.fix`, before the first window is closed."""
        self._as_of_ns = as_of_ns
        return self._final.view.fix(as_of_ns)

    @property
    def counts(self) -> ViewCounts:
        """How the closed windows fared."""
        return self._ahead.view.counts

    @property
    def rows_judged(self) -> I64:
        """Rows in closed windows: of those with a verdict, and of the others."""
        return self._ahead.judged

    @property
    def view(self) -> View:
        """With all closed windows folded into it."""
        return self._ahead.view

    def models(self) -> dict[str, bytes]:
        """By detector: the file of the newest model of all keys, of closed windows."""
        return self.view.models()

    def settled(self, windows: Partials) -> Bools:
        """(w,) of which windows nothing is to be said while they are open: they were judged already, or wait to be opened again."""
        settled: Bools = self._last_said(windows).standing | (windows.starts < self.until_ns)
        return settled

    def early_revisions(self, windows: Partials) -> I64:
        """Revisions of open windows: at most those with which they will be judged, and above those of earlier judgements."""
        before = self._said(windows).revisions
        revisions: I64 = np.maximum(self._counting.early(windows, self._rows(self._ahead)), before + 1)
        return revisions

    def close(self, until_ns: int, *, final: bool, from_ns: int | None = None) -> list[Outcome]:
        """Judge the stage's windows, which all start before `until_ns`; closed ones that start at `from_ns` or later again.

        final: none of them, and of the closed ones none that starts before `until_ns`, will be opened again by a row.
        """
        windows = self.stage.windows()
        reopens = self.closed is None or len(self.closed.entries) > 0
        early = int(np.searchsorted(windows.starts, self.until_ns)) if reopens else 0
        late, fresh = part(windows, 0, early), part(windows, early, len(windows))
        outcomes: list[Outcome] = []
        if final and self.final_ns < self.until_ns and self._ahead is not self._final:
            outcomes += self._finalise(late, until_ns)
        else:
            first = min([*late.starts[:1].tolist(), *([] if from_ns is None else [from_ns])], default=self.until_ns)
            outcomes += self._reopen(late, first) if first < self.until_ns else []
        outcomes += self._close_fresh(fresh, until_ns, final=final)
        self.until_ns = max(self.until_ns, until_ns)
        if final:
            self.final_ns = max(self.final_ns, until_ns)
        self.fired.drop(self.until_ns)
        return outcomes

    def _close_fresh(self, windows: Partials, until_ns: int, *, final: bool) -> list[Outcome]:
        if self._ahead.filling is None:
            return [self._close(windows, until_ns, final=final)] if len(windows) else []
        sections = list(self._ahead.filling.sections(windows, until_ns))
        return [self._close(part(windows, begin, end), edge_ns, final=final) for begin, end, edge_ns in sections]

    def _close(self, windows: Partials, until_ns: int, *, final: bool) -> Outcome:
        """Judge windows later than all that are closed."""
        if not final and self._ahead is self._final:
            self._ahead = self._copy(self._final)
        windows = self._ahead.filled(windows, until_ns)
        before = self._said(windows)
        here = replace(before, missing=self._missed.between(NULL_INT, until_ns))
        self._missed = self._missed.between(until_ns, EVER)
        outcome = self._judge(self._ahead, windows, here, FINAL if final else PROVISIONAL)
        self._ahead.count(outcome)
        if self.closed is not None and not (final and self._live):
            self.closed.keep(self._kept(outcome))
        return outcome

    def _kept(self, outcome: Outcome) -> Closed:
        linked = self.linking.of(self.view_plan.name, outcome.windows) if self.linking is not None else {}
        return Closed(outcome.windows, outcome.standing, outcome.missing, linked)

    def look(self, now_ns: int = NULL_INT) -> tuple[Outcome, ViewCounts]:
        """Judge the stage's windows, all of them open, as they stand; what was said is remembered, what was learned is not.

        Of the last windows, and of those that start at `now_ns` or later, none counts as missing: it may still come.
        """
        copy = self._copy(self._ahead)
        windows = copy.filled(self.stage.windows(), max(now_ns, self.until_ns))
        until_ns = max([self.until_ns, now_ns, *windows.starts[-1:].tolist()])
        before = self._said(windows)
        outcome = self._judge(copy, windows, replace(before, missing=self._missed), FINAL, until_ns)
        self._missed = outcome.missing
        self._known = PartialTable(PartialLayout.of(()))
        self._known.count(windows.targets, windows.starts)
        self._revisions = self._counting.of(windows, self._rows(self._ahead).copy())
        self._standing = outcome.standing
        self.fired.drop()
        return outcome, copy.view.counts

    def _said(self, windows: Partials) -> Before:
        """What was said of windows while they were open, be it early."""
        said = self._last_said(windows)
        if len(self.fired):
            # What was said early is settled by the judgement, whatever its revision.
            early = self.fired.has(windows.targets, windows.starts)
            said.revisions[early], said.standing[early] = -1, True
        return said

    def _last_said(self, windows: Partials) -> Before:
        """What was said of windows when all that were open were last judged."""
        revisions, standing = np.full(len(windows), -1, np.int64), np.zeros(len(windows), np.bool_)
        if len(self._known):
            before = self._known.find(windows.targets, windows.starts)
            known = before >= 0
            revisions[known], standing[known] = self._revisions[before[known]], self._standing[before[known]]
        if len(self._missed):
            place = self._missed.places(windows.targets, windows.starts)
            revisions[place >= 0], standing[place >= 0] = self._missed.revisions[place[place >= 0]], True
        return Before(revisions, standing, Missing.none())

    def _judge(
        self, folded: Folded, windows: Partials, before: Before, status: int, until_ns: int = EVER, *, every: bool = False
    ) -> Outcome:
        """Fold windows into `folded`, and report those whose revision has grown since something was last said of them, or `every` one.

        From `until_ns` on no window counts as missing.
        """
        n, view, rows, missed = len(windows), folded.view, self._rows(folded), before.missing
        come = missed.places(windows.targets, windows.starts)
        standing = before.standing | (come >= 0)
        absent = view.misses_windows or len(missed) > 0
        counted = rows.copy() if absent else rows
        revisions = self._counting.of(windows, rows)
        batch = self.columns.rows(self.stage, windows, revisions)
        view.observer = self.observer
        result = view.judge(self.stage.keys, batch, standing, status)
        view.counts.windows += n
        changed = (before.revisions != revisions) | every
        standing = standing & ~changed
        blocks = news(result, changed, standing)
        if not absent:
            return Outcome(blocks, windows, result.judged, standing, missed)
        lost, missing = self._judge_missing(view, windows, counted, missed.without(come[come >= 0]), status, until_ns, every=every)
        return Outcome(blocks + lost, windows, result.judged, standing, missing)

    def _judge_missing(
        self, view: View, windows: Partials, before: I64, missed: Missing, status: int, until_ns: int, *, every: bool
    ) -> tuple[list[AlertBlock], Missing]:
        """Alerts on windows that are not there, and those on which an alert now stands; `before` as in `Revisions.missing`."""
        missing = view.missing(self.stage.keys, windows.targets, windows.starts, until_ns, missed)
        revision = self._counting.missing(missing.slots, missing.starts, windows, before)
        rows = self.columns.empty(self.stage, missing.slots, missing.starts, revision)
        changed = (missing.revisions != revision) | every
        standing = ~changed
        blocks = news(view.judge_missing(self.stage.keys, rows, missing, status), changed, standing)
        return blocks, Missing(missing.slots, missing.starts, revision).take(standing)

    def _reopen(self, late: Partials, first_ns: int) -> list[Outcome]:
        """Add windows to closed ones and judge all from `first_ns` on again: those that are final only where a file came late."""
        if self.closed is None:
            first = np.datetime64(first_ns, "ns")
            raise UserError(
                f"a row came for the window of {self.view_plan.name} at {first}Z, although no file was to have any so early: "
                "a Parquet file's footer gives a wrong range of times; write the file again"
            )
        if self._live:
            if self._ahead is self._final:
                return []
            self._ahead = self._copy(self._final)
            return self._again(self._ahead, self._rows(self._final).copy(), late, first_ns, PROVISIONAL)
        folded = self._begin_anew()
        return self._again(folded, self._rows(folded).copy(), late, first_ns, FINAL)

    def _begin_anew(self) -> Folded:
        """As before the first closed window."""
        self._final = self._ahead = self._empty()
        return self._final

    def _again(self, folded: Folded, before: I64, late: Partials, first_ns: int, status: int) -> list[Outcome]:
        """Fold the windows that are kept, and `late` ones with them, into `folded`; those from `first_ns` on are judged again.

        before: (slots,) rows of windows earlier than those that are kept.
        """
        kept = self._entries()
        outcomes: list[Outcome] = []
        observer, self.observer = self.observer, None
        for number, (low, high, _) in enumerate(kept.entries):
            closed = kept.load(number)
            said = self._counting.of(closed.windows, before)
            # An entry holds windows up to where the next one begins.
            ahead = kept.entries[number + 1][0] if number + 1 < len(kept.entries) else EVER
            begin, end = np.searchsorted(late.starts, [low if number else NULL_INT, ahead]).tolist()
            until_ns = min(ahead, self.until_ns)
            if high < first_ns and begin == end:
                windows = folded.filled(closed.windows, until_ns)
                folded.count(self._judge(folded, windows, Before(said, closed.standing, closed.missing), status))
                continue
            self.observer = observer
            windows = folded.filled(self._with(closed, part(late, begin, end)), until_ns)
            outcomes.append(self._judge(folded, windows, self._before(windows, closed, said), status))
            folded.count(outcomes[-1])
            kept.replace(number, self._kept(outcomes[-1]))
        self.observer = observer
        return outcomes

    def _entries(self) -> ClosedWindows:
        if self.closed is None:
            raise ValueError("closed windows were not kept")
        return self.closed

    def _with(self, closed: Closed, late: Partials) -> Partials:
        """Closed windows with late ones added."""
        if self.linking is not None and len(closed.windows):
            self.linking.recall(self.view_plan.name, closed.windows, closed.linked)
        return self.stage.combined([closed.windows, late])

    def _before(self, windows: Partials, closed: Closed, said: I64) -> Before:
        """What was said of windows among which are closed ones; `said` are the revisions of these."""
        place = PartialTable(PartialLayout.of(()))
        place.count(closed.windows.targets, closed.windows.starts)
        at = place.find(windows.targets, windows.starts)
        there = at >= 0
        old, standing = np.full(len(windows), -1, np.int64), np.zeros(len(windows), np.bool_)
        old[there], standing[there] = said[at[there]], closed.standing[at[there]]
        if len(self.fired):
            standing |= self.fired.has(windows.targets, windows.starts)
        return Before(old, standing, closed.missing)

    def _finalise(self, late: Partials, until_ns: int) -> list[Outcome]:
        """Judge provisional windows that start before `until_ns` for good, and report them; later ones again where they changed."""
        kept = self._entries()
        outcomes: list[Outcome] = []
        before = self._rows(self._final).copy()
        lows = [low for low, _, _ in kept.entries if low < until_ns]
        # Late windows may lie before all that are kept.
        edges = np.searchsorted(late.starts, [NULL_INT, *lows[1:], until_ns] if lows else [NULL_INT, until_ns]).tolist()
        filled = [*lows[1:], min(until_ns, self.until_ns)]
        for number, (begin, end) in enumerate(pairwise(edges)):
            closed = kept.load(number).before(until_ns) if lows else Closed.none(self.stage.layout)
            said = self._counting.of(closed.windows, before)
            windows = self._final.filled(self._with(closed, part(late, begin, end)), filled[number])
            outcomes.append(self._judge(self._final, windows, self._before(windows, closed, said), FINAL, every=True))
            self._final.count(outcomes[-1])
        kept.drop_before(until_ns)
        rest = part(late, int(np.searchsorted(late.starts, until_ns)), len(late))
        self.final_ns = max(self.final_ns, until_ns)
        if not kept.entries:
            self._ahead = self._final
            return outcomes
        self._ahead = self._copy(self._final)
        return outcomes + self._again(self._ahead, before, rest, NULL_INT, PROVISIONAL)

    def rewind(self, from_ns: int, open_rows: int) -> I64:
        """Forget the windows that start at `from_ns` or later, as some of their rows were wrong: they are to come again.

        Alerts on them are sent again, or retracted, when the windows of their time are next judged. open_rows: in windows that are not
        closed. Returns the starts of the windows that are gone.
        """
        known = self._known.partials()
        open_ones = Missing(known.targets, known.starts, self._revisions)
        rows, above = self._rows(self._final) + open_rows, [*self._revisions.tolist(), *self._missed.revisions.tolist()]
        targets, begins = self.fired.addresses()
        hasty = Missing(targets, begins, np.zeros(len(begins), np.int64))
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
        self.fired.keep_before(from_ns)
        self.until_ns, self.final_ns = min(self.until_ns, from_ns), min(self.final_ns, from_ns)
        gone = np.unique(np.concatenate(starts))
        return gone[gone >= from_ns]

    def _replay_before(self, from_ns: int) -> list[tuple[Closed, I64]]:
        """Fold the closed windows before a time into an empty view; gives the entries that hold later ones, and their revisions."""
        kept = self._entries()
        observer, self.observer = self.observer, None
        folded = self._begin_anew()
        before = self._rows(folded).copy()
        later: list[tuple[Closed, I64]] = []
        for number in range(len(kept.entries)):
            closed = kept.load(number)
            said = self._counting.of(closed.windows, before)
            part = closed.before(from_ns)
            n = len(part.windows)
            if n:
                folded.filled(part.windows, min([from_ns, *(low for low, _, _ in kept.entries[number + 1 : number + 2])]))
                folded.count(self._judge(folded, part.windows, Before(said[:n], part.standing, part.missing), FINAL))
            if n < len(said):
                later.append((closed, said))
        kept.cut(from_ns)
        self.observer = observer
        return later

    def arrays(self) -> Arrays:
        """State; the target keys are `stage.keys.names`, the entries of `closed` come apart from it."""
        p = self._known.partials()
        own: Arrays = {
            "targets": p.targets, "starts": p.starts, "revisions": self._revisions, "standing": self._standing,
            "until": np.array([self.until_ns, self.final_ns]),
        }  # fmt: skip
        own |= prefixed("missed", self._missed.arrays()) | prefixed("counting", self._counting.arrays())
        arrays = prefixed("windows", own) | prefixed("fired", self.fired.arrays()) | prefixed("final", self._folded_arrays(self._final))
        if self.closed is not None:
            arrays |= prefixed("closed", self.closed.arrays())
        return arrays if self._ahead is self._final else arrays | prefixed("ahead", self._folded_arrays(self._ahead))

    def _folded_arrays(self, folded: Folded) -> Arrays:
        c, keys = folded.view.counts, len(self.stage.keys)
        counts = np.array([c.windows, c.scored, c.warming_up, c.abstained])
        own = {"rows": self._rows(folded)[:keys], "judged": folded.judged.copy(), "counts": counts}
        if folded.filling is not None:
            own |= prefixed("filling", folded.filling.arrays())
        return own | prefixed("view", folded.view.snapshot(np.arange(keys)))

    def document(self) -> Document:
        """State that is text or belongs to others, as JSON."""
        counts = [folded.view.counts.as_dict() for folded in (self._final, self._ahead)]
        return {"names": self.stage.keys.names, "closed": self.closed.entries if self.closed is not None else [], "counts": counts}

    def restore(self, arrays: Arrays, document: Document) -> None:
        """Take over what `arrays` and `document` gave."""
        names = document["names"]
        if self.closed is not None:
            self.closed.restore(document["closed"], under("closed", arrays))
        self.stage = WindowMerge(self.stage.layout, names)
        self.fired.restore(under("fired", arrays))
        own = under("windows", arrays)
        self._known = PartialTable(PartialLayout.of(()))
        self._known.count(own["targets"], own["starts"])
        self._revisions, self._standing = own["revisions"], own["standing"]
        self._missed = Missing(**under("missed", own))
        self._counting.restore(under("counting", own))
        self.until_ns, self.final_ns = own["until"].tolist()
        self._final = self._ahead = self._restored(names, under("final", arrays))
        ahead = under("ahead", arrays)
        if ahead:
            self._ahead = self._restored(names, ahead)
        # A state of a former version has some of the counts elsewhere, and none by detector.
        for folded, counts in zip((self._final, self._ahead), document.get("counts", ()), strict=False):
            folded.view.counts = ViewCounts.from_dict(counts)

    def _restored(self, names: list[str], arrays: Arrays) -> Folded:
        folded = self._empty()
        folded.view.restore(under("view", arrays), names)
        folded.view.counts = ViewCounts(*arrays["counts"].tolist())
        folded.rows, folded.judged = arrays["rows"].copy(), arrays["judged"].copy()
        if folded.filling is not None:
            folded.filling.restore(under("filling", arrays))
        return folded
