"""A shard: the keys of one partition or hash bucket, and the fold over their rows [S13]."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from offbeat.core.batch import EVER, I32, I64, NULL_INT, Batch, Bools
from offbeat.core.chunk import Chunk
from offbeat.core.co_occurrence import CoOccurrences, CoOccurring
from offbeat.core.keys import KeyTable
from offbeat.core.ledger import Ledger, ViewCounts
from offbeat.core.plan import NO_KEY, Plan
from offbeat.core.state import Arrays, Document, prefixed, under
from offbeat.decide.block import AlertBlock, Quarantined
from offbeat.errors import UserError
from offbeat.fold.as_of import as_of_ns
from offbeat.fold.forgetting import EVERY_ROWS, Lives, over, typical_ns
from offbeat.fold.intake import Intake, Prepared
from offbeat.fold.late_files import LateFiles
from offbeat.fold.ordering import Ordered, Ordering
from offbeat.fold.rollup import RollupFold, RollupRows, Touched
from offbeat.fold.scoring_view import scoring_view
from offbeat.fold.undecided import RowGroups, Undecided
from offbeat.fold.view import Rows, View
from offbeat.fold.watermark import Watermark
from offbeat.fold.wire import Delta, named
from offbeat.quality.gaps import Gaps
from offbeat.quality.unseen_texts import UnseenTexts


@dataclass(slots=True)
class Output:
    """What a step of the fold gave."""

    alerts: list[AlertBlock] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)


@dataclass(slots=True)
class Judged:
    """n rows in fold order that views of rows have judged, to be folded into windows."""

    batch: Batch
    rows: dict[str, RollupRows]
    """By view on another key, the rows as it folds them."""
    judged: Bools
    """(n,) which of them got a verdict."""
    watermarks: I64
    """(n,) the shard's watermark after each row."""

    def __len__(self) -> int:
        return len(self.batch)


class Shard:
    """The fold of one pipeline over the rows of some keys."""

    def __init__(self, plan: Plan, *, linked: bool = False, early: Set[str] = frozenset()) -> None:
        """linked: note which windows of views share rows, as the plan's tables want to know. early: views with early alerts."""
        self.plan, self._early = plan, early
        self.keys = KeyTable()
        self._ledger = Ledger()
        self._intake = Intake(plan)
        c = self._columns = self._intake.columns
        self._ordering = Ordering(plan, c)
        self._views = [View(plan, view, c.numbers, c.fixed) for view in plan.views if view.rollup is None]
        end_ns = as_of_ns(plan)
        self.rollups = {
            view.name: RollupFold(view.rollup, c.numbers, c.fixed, c.texts, self.keys, end_ns, optional=plan.source.key_optional)
            for view in plan.views
            if view.rollup is not None
        }
        self.links = {(view, other): CoOccurrences(self.rollups[other].size_ns) for view, other in plan.links} if linked else {}
        self._decider = scoring_view(plan)
        self.undecided = Undecided(len(self.rollups))
        self.watermark = Watermark()
        self.newest_ns = NULL_INT
        """Greatest time of a row folded before the input's end."""
        self.last_ns = NULL_INT
        """Greatest time of a row that this process folded."""
        self.gaps = self._gaps()
        self._handed_over = 0
        """Rows in windows that were handed over to another worker."""
        self._lives = Lives(plan.quality.forget_ns) if plan.quality.forget_ns else None
        """Where keys are forgotten."""
        self.forgotten_ns = NULL_INT
        """Keys were forgotten as of this time."""
        self._roomy = 2 * EVERY_ROWS
        """Up to so many slots, of keys and of lives, it is not worth looking how many of them are in use."""

    def _gaps(self) -> Gaps | None:
        q = self.plan.quality
        return Gaps(q.cadence_ns, self.plan.zone, q.calendar) if q.cadence_ns else None

    @property
    def views(self) -> list[View]:
        """The views on the rows themselves."""
        return self._views

    @property
    def view_keys(self) -> KeyTable:
        """Keys by slot as the views on the rows count them."""
        return self.keys if self._lives is None else self._lives.keys

    @property
    def late_files(self) -> LateFiles:
        """Files that late rows came from, as far as this process saw them."""
        return self._ordering.late

    def file_pairs(self) -> Counter[tuple[int, int, str]]:
        """(file, file, key) → rows of equal times and different content that this process saw."""
        return Counter({(one, other, self.keys.names[slot]): n for (one, other, slot), n in self._ordering.pairs.rows.items()})

    @property
    def unseen(self) -> UnseenTexts:
        """Texts of conditions that no row had, as far as this process saw them."""
        return self._intake.unseen

    def unanswered(self) -> str:
        """The source's condition `where`, if there were rows and it was null for all of them; else empty."""
        own = self._intake.filter
        return own.text if own is not None and own.asked and not own.answered else ""

    @property
    def rows_in(self) -> int:
        """Rows that came."""
        return self._ledger.rows_in

    @property
    def ledger(self) -> Ledger:
        """The ledger as it stands: rows held back, and rows in windows that are still open, are pending."""
        waiting = self.rollups[self._decider].table.rows() if self._decider else self.undecided.rows()
        pending = len(self._ordering) + waiting + self._handed_over
        return replace(self._ledger, pending=pending, views={v.plan.name: v.counts for v in self._views})

    def settled_ns(self, floor_ns: int) -> int:
        """The time before which nothing is left to be folded, where no row to come is earlier than `floor_ns`."""
        return floor_ns if floor_ns == NULL_INT else min(floor_ns, self._ordering.earliest_ns())

    @property
    def final_ns(self) -> int:
        """The time before which nothing will be folded any more, as the shard was told by punctuation."""
        return self.settled_ns(self._ordering.floor_ns)

    def prepare(self, chunk: Chunk) -> Prepared:
        """Check the rows of a chunk, for each chunk in order; may run ahead of the fold on another thread."""
        return self._intake.prepare(chunk, self.keys, self.rollups)

    def admit(self, prepared: Prepared, out: Output) -> Judged | None:
        """Take a chunk: order its rows, and judge those whose turn has come by the views of rows. None where there are none."""
        self._ledger.rows_in += prepared.rows_in
        self._ledger.filtered += prepared.filtered
        for rows in prepared.quarantined:
            self._ledger.quarantined.update(rows.reasons)
        out.quarantined += prepared.quarantined
        if not len(prepared.batch):
            return None
        ordered = self._ordering.admit(prepared, self.keys, self._ledger)
        out.quarantined += ordered.quarantined
        return self._judge(ordered, prepared.rollups if ordered.whole else None, out)

    def pass_until(self, floor_ns: int, out: Output) -> Judged | None:
        """As `admit`, of rows held back for others that may have come before `floor_ns`: none will."""
        return self._judge(self._ordering.pass_until(floor_ns, self.keys), None, out)

    def drain(self, out: Output) -> Judged | None:
        """As `admit`, at the end of bounded input, of all rows held back. The shard can be fed again afterwards."""
        return self._judge(self._ordering.finish(self.keys), None, out, at_end=True)

    def turns(self, prepared: Prepared) -> list[Prepared]:
        """A chunk of a live source, cut where keys are to be forgotten: after each part but the last."""
        if self._lives is None:
            return [prepared]
        first = EVERY_ROWS - self._ledger.rows_in % EVERY_ROWS
        edges = list(range(first, prepared.rows_in + 1, EVERY_ROWS))
        return prepared.cut(edges) if edges else [prepared]

    def seen_ns(self) -> I64:
        """(keys,) time at which each key was last seen, NULL_INT for one of which nothing is known."""
        return self._ordering.seen_ns(len(self.keys))

    def forget(self, out: Output, now_ns: int | None = None) -> Judged | None:
        """As `admit`, of rows held back of keys that were not seen for so long that they start anew with their next row.

        now_ns: the time that has been reached; by default as the shard's own keys have it.
        """
        if self._lives is None:
            return None
        q, seen = self.plan.quality, self.seen_ns()
        self.forgotten_ns = typical_ns(seen, self.forgotten_ns) if now_ns is None else now_ns
        slots = over(seen, self.forgotten_ns, q.forget_ns, q.max_jump_ns)
        if not len(slots):
            return None
        judged = self._judge(self._ordering.forget(slots, self.keys), None, out)
        self._lives.end(slots)
        if self.gaps is not None:
            self.gaps.forget(slots)
        return judged

    def compact(self) -> Shard | None:
        """The shard without slots of which nothing is kept, once they are the most; None as long as they are not.

        What it gives from here on is what this one would give, as after a restart.
        """
        if self._lives is None:
            return None
        slots = len(self.keys) + len(self._lives.keys)
        if slots < self._roomy:
            return None
        self._roomy = 2 * (2 * int(np.count_nonzero(self.seen_ns() != NULL_INT)) + EVERY_ROWS)
        if slots < self._roomy:
            return None
        other = Shard(self.plan, linked=bool(self.links), early=self._early)
        other.restore(*self.state())
        other._intake, other._columns = self._intake, self._columns
        other._ordering.continue_notes(self._ordering, self.keys, other.keys)
        other.last_ns = self.last_ns
        for mine, theirs in zip(self._views, other._views, strict=True):
            theirs.observer = mine.observer
        for name, rollup in self.rollups.items():
            other.rollups[name].floor_ns = rollup.floor_ns
        return other

    def _judge(
        self, ordered: Ordered, rows_of: dict[str, RollupRows] | None, out: Output, *, at_end: bool = False
    ) -> Judged | None:
        """Rows in fold order through the windows, detectors and votes of views of rows; `rows_of` as the rollups take them, if known."""
        batch = ordered.batch
        n = len(batch)
        if not n:
            return None
        newest_ns = int(batch.time_ns.max())
        self.last_ns = max(self.last_ns, newest_ns)
        if not at_end:
            self.newest_ns = max(self.newest_ns, newest_ns)
        judged: Bools = np.zeros(n, np.bool_)
        with_key = self._with_key(batch)
        if with_key is None:
            judged = self._judge_rows(batch, ordered.ordinals, out)
        elif len(with_key):
            judged[with_key] = self._judge_rows(batch.take(with_key), ordered.ordinals[with_key], out)
        if rows_of is None:
            rows_of = {name: rollup.rows(batch) for name, rollup in self.rollups.items()}
        return Judged(batch, rows_of, judged, self.watermark.see(batch.time_ns) if self.rollups else np.zeros(0, np.int64))

    def _with_key(self, batch: Batch) -> I64 | None:
        """Which rows have a key; None where all have."""
        without = self.keys.find(NO_KEY) if self.plan.source.key_optional else -1
        if without < 0 or not (batch.slots == without).any():
            return None
        return np.flatnonzero(batch.slots != without)

    def _judge_rows(self, batch: Batch, ordinals: I64, out: Output) -> Bools:
        """(n,) which rows got a verdict of a view of rows."""
        if self.gaps is not None:
            self.gaps.add(batch.slots, batch.time_ns)
        rows = Rows(
            slots=batch.slots if self._lives is None else self._lives.slots(self.keys, batch.slots, batch.time_ns),
            time_ns=batch.time_ns,
            ordinals=ordinals,
            columns=batch.numbers,
            integers=batch.integers,
            revision=np.ones(len(batch), np.int64),
            files=batch.files,
            numbers=batch.rows,
            frame=lambda index: self._columns.frame(batch.numbers, batch.integers, batch.texts, index),
        )
        judged: Bools = np.zeros(len(batch), np.bool_)
        for view in self._views:
            result = view.judge(self.view_keys, rows)
            judged |= result.judged
            if result.block is not None:
                out.alerts.append(result.block)
        return judged

    def fold(self, judged: Judged, begin: int, end: int) -> dict[str, Touched]:
        """Fold rows `begin` to `end` into the windows of the views on other keys; gives what it did, by views with early alerts."""
        n = end - begin
        whole = n == len(judged)
        parts = {name: rows if whole else rows.part(begin, end) for name, rows in judged.rows.items()}
        places, touched = {}, {}
        for name, rollup in self.rollups.items():
            before = rollup.before(parts[name]) if name in self._early else None
            places[name] = rollup.fold(parts[name])
            if before is not None:
                touched[name] = Touched(parts[name], places[name], *before)
        for (name, other), links in self.links.items():
            _, starts = self.rollups[name].table.addresses()
            links.fold(places[name], starts, places[other], *self.rollups[other].table.addresses())
        scored = judged.judged[begin:end]
        decided, pending = int(np.count_nonzero(scored)), 0
        if self._decider is not None:
            pending = int(np.count_nonzero(places[self._decider] >= 0))
        elif places:
            waiting = ~scored & np.any([p >= 0 for p in places.values()], axis=0)
            pending = int(np.count_nonzero(waiting))
            if pending:
                rows = parts.values()
                self.undecided.add([part.targets[waiting] for part in rows], [part.starts[waiting] for part in rows])
        self._ledger.scored += decided
        self._ledger.warming_up += n - decided - pending
        return touched

    def hand_over(self, number: int) -> Delta:
        """The windows and undecided rows as they have grown since this was last asked; they are here no longer, and pending elsewhere."""
        groups = self.undecided.groups()
        self.undecided.restore(RowGroups.none(len(self.rollups)))
        waiting = groups.rows.sum() if self._decider is None else self.rollups[self._decider].table.rows()
        self._handed_over += int(waiting)
        targets, windows = groups.targets.copy(), {}
        for v, (name, rollup) in enumerate(self.rollups.items()):
            names, mine, targets[:, v] = named(rollup.targets.names, rollup.table.remove_before(EVER), groups, v)
            windows[name] = (names, mine)
        groups = RowGroups(targets, groups.starts, groups.rows)
        return Delta(number, self.watermark.time_ns, self.final_ns, self.last_ns, windows, groups, self.newest_ns)

    def rewind(self, starts: Mapping[str, int], ledger: Ledger) -> None:
        """Forget, by view, the windows from a start on, and all that was noted of rows: those from there on will come again.

        `ledger`: of the rows that will not come again those that are late, duplicate, filtered or quarantined, and all as `rows_in`.
        """
        self._ordering = Ordering(self.plan, self._columns)
        if self._lives is not None:
            self._lives = Lives(self.plan.quality.forget_ns)
        self.newest_ns = NULL_INT
        for name, rollup in self.rollups.items():
            places = rollup.keep_before(starts[name])
            for (view, _), links in self.links.items():
                if view == name:
                    links.renumber(places)
        if self.gaps is not None:
            self.gaps = self._gaps()
        self._ledger = ledger

    def skip_before(self, starts: Mapping[str, int]) -> None:
        """By view, do not fold rows of windows before a start: they are folded already."""
        for name, rollup in self.rollups.items():
            rollup.floor_ns = starts[name]

    def newest_by_key(self) -> dict[str, int]:
        """Greatest time of a row that was accepted, by key."""
        return dict(zip(self.keys.names, self._ordering.newest_ns(len(self.keys)).tolist(), strict=True))

    def adopt(self, other: Shard) -> None:
        """Add the windows and the ledger of another shard, which holds no rows back; what this one knows of keys stays as it is."""
        moved = {name: rollup.adopt(other.rollups[name]) for name, rollup in self.rollups.items()}
        for (name, to), links in self.links.items():
            places = moved[name][1]
            found = other.links[name, to].take(np.arange(len(places)))
            links.adopt(CoOccurring(found.offsets, moved[to][0][found.targets], found.masks), places)
        self._ledger.add(other._ledger)

    def state(self) -> tuple[Arrays, Document]:
        """The whole state, to be restored to equal verdicts: named arrays and a JSON document."""
        groups = self.undecided.groups()
        slots = self._kept(groups)
        ordering, words = self._ordering.state(slots)
        arrays = prefixed("ordering", ordering) | prefixed("watermark", self.watermark.arrays())
        lives = slots if self._lives is None else self._lives.present(slots)
        for view in self._views:
            arrays |= prefixed(f"view/{view.plan.name}", view.snapshot(lives))
        places: I32 = np.full(len(self.keys), -1, np.int32)
        places[slots] = np.arange(len(slots))
        targets = {}
        for v, (name, rollup) in enumerate(self.rollups.items()):
            kept, targets[name] = rollup.snapshot(places)
            arrays |= prefixed(f"rollup/{name}", kept)
            if rollup.targets is self.keys:
                mine = groups.targets[:, v]
                groups.targets[:, v] = np.where(mine >= 0, places[mine], mine)
        for (name, other), links in self.links.items():
            arrays |= prefixed(f"links/{name}/{other}", links.arrays())
        arrays |= prefixed("undecided", groups.arrays())
        if self.gaps is not None:
            arrays |= prefixed("gaps", self.gaps.arrays(slots))
        document: Document = {
            "keys": self.keys.names if len(slots) == len(self.keys) else [self.keys.names[slot] for slot in slots.tolist()],
            "held": words,
            "targets": targets,
            "ledger": self.ledger.as_dict(),
            "gaps": self._cadence(),
            "newest_ns": self.newest_ns,
            "handed_over": self._handed_over,
            "linked": [list(pair) for pair in self.links],
        }
        if self._lives is not None:
            arrays |= prefixed("lives", self._lives.arrays(slots))
            document["lives"] = [self._lives.keys.names[slot] for slot in lives.tolist()]
            document["forgotten_ns"] = self.forgotten_ns
        return arrays, document

    def _kept(self, undecided: RowGroups) -> I64:
        """Slots of keys of which there is something to keep: of all, unless keys are forgotten."""
        if self._lives is None:
            return np.arange(len(self.keys))
        kept = self.seen_ns() != NULL_INT
        for v, rollup in enumerate(self.rollups.values()):
            if rollup.targets is self.keys:
                kept[rollup.table.addresses()[0]] = True
                mine = undecided.targets[:, v]
                kept[mine[mine >= 0]] = True
        slots: I64 = np.flatnonzero(kept)
        return slots

    def _cadence(self) -> list[Any]:
        """What gaps are counted against; it decides no alert, so it may change: they are then counted from there on."""
        q = self.plan.quality
        return [q.cadence_ns, self.plan.zone, q.calendar]

    def restore(self, arrays: Arrays, document: Document) -> None:
        """Take over what `state` gave."""
        self.keys = KeyTable(document["keys"])
        self._ledger = Ledger.from_dict(document["ledger"])
        self.newest_ns, self._handed_over = document["newest_ns"], document["handed_over"]
        self._ordering.restore(under("ordering", arrays), document["held"], self.keys.names)
        self.watermark.restore(under("watermark", arrays))
        if self._lives is not None:
            self._lives = Lives(self.plan.quality.forget_ns, document["lives"])
            self._lives.restore(under("lives", arrays))
            self.forgotten_ns = document["forgotten_ns"]
        for view in self._views:
            view.restore(under(f"view/{view.plan.name}", arrays), self.view_keys.names)
            view.counts = self._ledger.views.get(view.plan.name, ViewCounts())  # a view without windows may be new
        for name, rollup in self.rollups.items():
            rollup.restore(under(f"rollup/{name}", arrays), document["targets"][name], self.keys)
        if any(list(pair) not in document["linked"] for pair in self.links):
            raise UserError(
                "the state was kept without these tables, and does not know which windows share rows: leave --tables out, or start with a "
                "new state directory"
            )
        for (name, other), links in self.links.items():
            links.restore(under(f"links/{name}/{other}", arrays))
        self.undecided.restore(RowGroups(**under("undecided", arrays)))
        if self.gaps is not None and document["gaps"] == self._cadence():
            self.gaps.restore(under("gaps", arrays))
