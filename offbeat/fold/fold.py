"""`Fold`: everything that a pipeline does between a source and its sinks, for the shards that one worker holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from offbeat.core.batch import NULL_INT
from offbeat.core.chunk import Chunk
from offbeat.core.ledger import Ledger
from offbeat.core.plan import Plan
from offbeat.core.state import Arrays, Document, decode, encode
from offbeat.decide.block import AlertBlock
from offbeat.fold.closed_windows import ClosedInMemory, ClosedWindows
from offbeat.fold.co_occurrence_feed import CoOccurrenceFeed
from offbeat.fold.forgetting import typical_ns
from offbeat.fold.intake import Prepared
from offbeat.fold.late_files import Lateness
from offbeat.fold.merge_stage import MergeStage, WindowCollector
from offbeat.fold.shard import Judged, Output, Shard
from offbeat.fold.view import Observer
from offbeat.fold.watermark import provisional_lag_ns
from offbeat.fold.wire import pack

Judging = Callable[[], list[AlertBlock]]
"""Judges windows that were taken out of their shards."""
Submit = Callable[[Judging], Judging]
"""Begins to judge windows, be it on another thread, and gives the call that waits for what came of it."""


class Fold:
    """A pipeline over the shards of one worker. It knows no file, sink, position or thread.

    An engine assigns shards, feeds each its rows in their order, and hands on what comes back; when it may do so it says up to which time
    all rows have come (`punctuate`), or that none will come any more (`end`). What is reported is a function of each shard's rows in their
    order, however they were cut into chunks.

    Of a bounded source windows are closed when it says that no earlier row will come (`advance`). Of a live one they are closed
    provisionally when the watermark has passed them, and for good by punctuation or at the end.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        live: bool = False,
        linked: bool = False,
        remote: bool = False,
        closed: Callable[[str], ClosedWindows] | None = None,
        submit: Submit | None = None,
    ) -> None:
        """linked: windows will be shown to a `WindowCollector`. remote: windows are judged elsewhere, by a `MergeFold`; see `partials`.
        closed: by view, what keeps closed windows; by default a live fold has them in memory. submit: how to judge windows while rows are
        fed; by default at once.
        """
        self.plan, self.live = plan, live
        self._linked, self._remote, self._submit = linked, remote, submit
        self._shards: dict[int, Shard] = {}
        if live and closed is None:
            closed = _in_memory
        self._merge = MergeStage(plan, closed, live=live)
        self._behind_ns = provisional_lag_ns(plan)
        self._judging: Judging | None = None
        self._ended: Ledger | None = None

    # -- shards ---------------------------------------------------------------------------------------------------------------

    def assign(self, number: int, snapshot: bytes | None = None) -> None:
        """Take a shard, as it was when `snapshot` was taken, or empty. Raises UserError where the snapshot cannot be read."""
        shard = Shard(self.plan, linked=self._linked, early=self._merge.early if self.live and not self._remote else frozenset())
        if snapshot is not None:
            shard.restore(*decode(snapshot, "snapshot"))
        self._shards[number] = shard

    def revoke(self, number: int) -> None:
        """Let go of a shard: its open windows leave with it."""
        self._settle()
        self._merge.forget(number)
        del self._shards[number]

    @property
    def shards(self) -> Sequence[int]:
        """Numbers of the shards that are held."""
        return list(self._shards)

    def keys(self, number: int) -> list[str]:
        """Keys of a shard so far."""
        return self._shards[number].keys.names

    # -- rows -----------------------------------------------------------------------------------------------------------------

    def prepare(self, number: int, chunk: Chunk) -> Prepared:
        """The first half of `feed`, for each chunk of a shard in order; may run ahead of the other half on another thread."""
        return self._shards[number].prepare(chunk)

    def feed(self, number: int, prepared: Prepared) -> Output:
        """Fold the rows of a chunk. Shards of a bounded source may be fed side by side, on threads of their own."""
        shard, out = self._shards[number], Output()
        self._ended = None
        *parts, last = shard.turns(prepared) if self.live else [prepared]
        for part in parts:
            self._fold(number, shard.admit(part, out), out)
            self._fold(number, shard.forget(out), out)
        self._fold(number, shard.admit(last, out), out)
        return out

    def overdue(self, floor_ns: int) -> bool:
        """Whether windows may be closed once no row before `floor_ns` will come, so that `advance` is worth its while."""
        return not self.live and not self._remote and bool(self._merge.due(self._shards, floor_ns))

    def advance(self, floor_ns: int) -> Output:
        """A bounded source has no row before `floor_ns` any more: windows that are over are closed. While no shard is fed.

        Raises UserError where a row came for a window of which the source had said that none would.
        """
        out = Output()
        self._close(min(shard.settled_ns(floor_ns) for shard in self._shards.values()), out)
        return out

    def punctuate(self, number: int, time_ns: int) -> Output:
        """No row before `time_ns` will come in a shard; one that does is late. Windows that are over in all shards are final."""
        shard, out = self._shards[number], Output()
        self._fold(number, shard.pass_until(time_ns, out), out)
        self._close(min(each.final_ns for each in self._shards.values()), out)
        return out

    def drain(self) -> Output:
        """Fold all rows that are held back, as none will come that they could wait for."""
        out = Output()
        for number, shard in self._shards.items():
            self._fold(number, shard.drain(out), out, live=False)
        return out

    def end(self, until_ns: int = NULL_INT) -> Output:
        """The end of the input: rows held back are folded, and all windows judged as they stand. The fold may go on afterwards.

        until_ns: windows that end before this are closed for good, the others are judged again should rows come for them.
        """
        out = self.drain()
        self._close(until_ns, out)
        self._settle(out)
        if not self._remote:
            blocks, self._ended = self._merge.finish(self._shards)
            out.alerts += blocks
        if not self.live and self.plan.quality.forget_ns:
            self._forget(out)
        return out

    def _forget(self, out: Output) -> None:
        """At the end of bounded input, when no row is held back: forget keys by the time that all shards together have reached."""
        seen = np.concatenate([shard.seen_ns() for shard in self._shards.values()])
        now_ns = typical_ns(seen, max(shard.forgotten_ns for shard in self._shards.values()))
        for shard in self._shards.values():
            shard.forget(out, now_ns)

    def partials(self, number: int) -> bytes:
        """Of a remote fold: what has come to a shard's windows since this was last asked, for `MergeFold.feed`; it is not in the shard's
        state any more. To be called when the shard commits, before its state is taken.
        """
        return pack(self._shards[number].hand_over(number))

    def settle(self) -> Output:
        """Wait for windows that are being judged."""
        out = Output()
        self._settle(out)
        return out

    def _fold(self, number: int, judged: Judged | None, out: Output, *, live: bool = True) -> None:
        """Fold judged rows into windows; of a live source up to each row at which the watermark closes some."""
        if judged is None:
            return
        shard = self._shards[number]
        if not (self.live and live) or self._remote or not shard.rollups:
            shard.fold(judged, 0, len(judged))
            return
        begin = 0
        for end, until_ns in self._cuts(number, judged):
            touched = shard.fold(judged, begin, end)
            out.alerts += self._merge.fire(self._shards, number, touched)
            if until_ns != NULL_INT:
                out.alerts += self._merge.close(self._shards, until_ns, final=False)
            begin = end

    def _cuts(self, number: int, judged: Judged) -> list[tuple[int, int]]:
        """Where to stop among n rows, and before which time windows are to be closed there; last the end of the rows."""
        n = len(judged)
        others = [shard.watermark.time_ns for other, shard in self._shards.items() if other != number]
        marks = np.minimum(judged.watermarks, min((time_ns for time_ns in others if time_ns != NULL_INT), default=judged.watermarks[-1]))
        times = np.where(marks > NULL_INT + self._behind_ns, marks - self._behind_ns, NULL_INT)
        edges = np.maximum(self._merge.boundaries(self._shards, times), self._merge.taken_ns)
        rises = np.flatnonzero(edges > np.append(self._merge.taken_ns, edges[:-1]))
        cuts = [(row + 1, int(times[row])) for row in rises.tolist()]
        return cuts if cuts and cuts[-1][0] == n else [*cuts, (n, NULL_INT)]

    def _close(self, until_ns: int, out: Output) -> None:
        """Close for good the windows that end before a time, or have them judged while rows are fed."""
        due = {} if self._remote else self._merge.due(self._shards, until_ns)
        if not due:
            return
        self._settle(out)
        judging = self._merge.take_windows(self._shards, due)
        self._judging = self._submit(judging) if self._submit is not None else judging
        if self._submit is None:
            self._settle(out)

    def _settle(self, out: Output | None = None) -> None:
        if self._judging is not None:
            judging, self._judging = self._judging, None
            blocks = judging()
            if out is not None:
                out.alerts += blocks

    # -- what a person and other programs ask ---------------------------------------------------------------------------------

    @property
    def ledger(self) -> Ledger:
        """Where every row went, over all shards: after `end` with the rows of all windows decided, else those of open ones pending."""
        return self._ended if self._ended is not None else self._merge.ledger(self._shards)

    def shard_ledger(self, number: int) -> Ledger:
        """The ledger of one shard; rows in windows of other keys are pending in it."""
        return self._shards[number].ledger

    def observe(self, view: str, observer: Observer | None, number: int | None = None) -> None:
        """Show each batch of a view's rows, of one shard or of all, or of its windows, to somebody."""
        for shard in self._shards.values() if number is None else [self._shards[number]]:
            for own in shard.views:
                if own.plan.name == view:
                    own.observer = observer
        if view in self._merge.views:
            self._merge.views[view].observer = observer

    def show(self, collector: Callable[[Mapping[str, Callable[[], list[str]]], CoOccurrenceFeed], WindowCollector]) -> None:
        """Show closed windows to a collector, as `MergeStage.show` has it."""
        self._merge.show(self.plan, collector)

    def view_keys(self, view: str) -> list[str]:
        """Keys of a view's rows, or of its windows, by slot."""
        if view in self._merge.views:
            return self._merge.views[view].stage.keys.names
        return next(iter(self._shards.values())).view_keys.names

    @property
    def rows_in(self) -> int:
        """Rows fed so far."""
        return sum(shard.rows_in for shard in self._shards.values())

    def gaps(self) -> pl.DataFrame | None:
        """Missing sessions and rows by key; None for a pipeline without a cadence."""
        reports = [shard.gaps.report(shard.keys.names) for shard in self._shards.values() if shard.gaps is not None]
        return pl.concat(reports) if reports else None

    @property
    def remembers(self) -> bool:
        """Whether rows of closed windows can be forgotten again: one view alone says what became of them."""
        return self._merge.closes and self._merge.decides_alone

    @property
    def last_ns(self) -> int:
        """Greatest time of a row that this process folded."""
        return max((shard.last_ns for shard in self._shards.values()), default=NULL_INT)

    @property
    def newest_ns(self) -> int:
        """Greatest time of a row folded before the input's end."""
        return max((shard.newest_ns for shard in self._shards.values()), default=NULL_INT)

    def learned_ns(self) -> dict[tuple[str, str], int]:
        """By view and detector with a model, the time of the last row that the newest one was trained on."""
        found = self._merge.learned_ns()
        for shard in self._shards.values():
            for view in shard.views:
                for name, time_ns in view.learned_ns().items():
                    found[name] = max(time_ns, found.get(name, NULL_INT))
        return found

    def untrained(self) -> list[str]:
        """Why some detectors of views of rows have no model for any key, in no shard; as the shard with the most rows says it."""
        shards = sorted(self._shards.values(), key=lambda shard: -shard.rows_in)
        return untrained_in_all([[why for view in shard.views for why in view.untrained()] for shard in shards])

    def late_files(self) -> dict[int, Lateness]:
        """By number of the file: late rows that this process saw."""
        found: dict[int, Lateness] = {}
        for shard in self._shards.values():
            shard.late_files.add_to(found)
        return found

    def file_pairs(self) -> Counter[tuple[int, int, str]]:
        """(file, file, key) → rows of equal times and different content that this process saw."""
        return sum((shard.file_pairs() for shard in self._shards.values()), Counter[tuple[int, int, str]]())

    def unseen(self, *others: Fold) -> list[str]:
        """Remarks on texts that conditions ask for and that no row had, here or in other folds of the plan."""
        whole = Shard(self.plan).unseen
        for fold in (self, *others):
            for shard in fold._shards.values():
                shard.unseen.add_to(whole)
        return whole.words()

    def seen_texts(self) -> list[dict[str, list[Any]]]:
        """What the shards saw of texts that conditions ask for, for `unseen_texts` in another process."""
        return [shard.unseen.document() for shard in self._shards.values()]

    def unanswered(self) -> str:
        """The source's condition `where`, if it was null for all rows that this process saw, so that it filtered none; else empty."""
        said = {shard.unanswered() for shard in self._shards.values() if shard.rows_in}
        return said.pop() if len(said) == 1 else ""

    def models(self) -> dict[str, bytes]:
        """By view and detector: the file of the newest model of all keys."""
        return self._merge.models()

    # -- taking back what was folded ------------------------------------------------------------------------------------------

    def goes_on(self, chunks: Iterable[Chunk]) -> bool:
        """Whether all rows of some chunks are later than those that their keys had."""
        newest = {name: time_ns for shard in self._shards.values() for name, time_ns in shard.newest_by_key().items()}
        own = Shard(self.plan)
        for chunk in chunks:
            batch = own.prepare(chunk).batch
            last = np.array([newest.get(name, NULL_INT) for name in own.keys.names], np.int64)
            if (batch.time_ns <= last[batch.slots]).any():
                return False
        return True

    def settled_ns(self, floor_ns: int) -> int:
        """The time before which nothing is left to be folded, where no row to come is earlier than `floor_ns`."""
        return min(shard.settled_ns(floor_ns) for shard in self._shards.values())

    def aligned(self, time_ns: int) -> dict[str, int]:
        """By view the start from which on windows are to be judged again where something has changed at a time."""
        return self._merge.aligned(self._shards, time_ns)

    def rewind(self, starts: Mapping[str, int], ledger: Ledger) -> list[int]:
        """Forget, by view, the windows from a start on (see `aligned`), and all that was noted of rows: from there on they come again.

        ledger: of the rows that will not come again those that are late, duplicate, filtered or quarantined, and all of them as
        `rows_in`; the others are counted here. Returns the days on which windows were that are gone; see `WindowCollector.expect`.
        """
        days = self._merge.rewind(self._shards, starts)
        for number, shard in enumerate(self._shards.values()):
            shard.rewind(starts, Ledger() if number else ledger)
        # Rows of windows that stay count with these, and those among them that are read again once more, as not selected.
        ledger.warming_up = ledger.rows_in - ledger.late - ledger.duplicate - ledger.filtered - ledger.quarantined.total()
        ledger.warming_up -= self._merge.folded_rows() + sum(shard.ledger.pending for shard in self._shards.values())
        return days

    def skip_before(self, starts: Mapping[str, int]) -> None:
        """By view, do not fold rows of windows before a start: they are folded already."""
        for shard in self._shards.values():
            shard.skip_before(starts)

    def expect(self, days: Sequence[int]) -> None:
        """Tell the collector of windows that days from the last closed windows on are to come again."""
        if self._merge.collector is not None:
            closed_ns = max(view.until_ns for view in self._merge.views.values())
            self._merge.collector.expect([day for day in days if day >= closed_ns])

    def beside(self) -> Fold:
        """Empty shards like these, for rows that come late: see `adopt`."""
        other = Fold(self.plan, linked=self._linked)
        for number in self._shards:
            other.assign(number)
        return other

    def adopt(self, other: Fold) -> Output:
        """Add the windows of another fold's shards, which hold no rows back, to these, and judge closed ones again into which they fall."""
        theirs = {len(self._shards) + number: shard for number, shard in other._shards.items()}
        out = Output(self._merge.reopen({**self._shards, **theirs}))
        for number, shard in theirs.items():
            self._shards[number - len(self._shards)].adopt(shard)
            self._merge.forget(number)
        return out

    # -- state ----------------------------------------------------------------------------------------------------------------

    def state(self, number: int) -> tuple[Arrays, Document]:
        """The state of a shard: named arrays and a JSON document."""
        return self._shards[number].state()

    def restore(self, number: int, arrays: Arrays, document: Document) -> None:
        """Give an empty shard the state that `state` gave."""
        self._shards[number].restore(arrays, document)

    def snapshot(self, number: int) -> bytes:
        """The state of a shard as bytes, for `assign`."""
        return encode(*self.state(number))

    def merge_state(self) -> tuple[Arrays, dict[str, Any]]:
        """The state of the views on other keys: they are a shard like any other."""
        self._require_settled()
        return self._merge.state()

    def restore_merge(self, arrays: Arrays, document: dict[str, Any]) -> None:
        """Take over what `merge_state` gave."""
        self._merge.restore(arrays, document)

    def tidy(self) -> None:
        """A state was saved, and no chunk is under way: what it no longer names may go."""
        self._merge.tidy()
        if self._merge.views and not self._remote:
            return  # the merge counts windows by the slots of the shard: those that are not in use go at the next start
        for number, shard in self._shards.items():
            if (smaller := shard.compact()) is not None:
                self._shards[number] = smaller

    def _require_settled(self) -> None:
        if self._judging is not None:
            raise ValueError("windows are being judged: settle first")


def _in_memory(_: str) -> ClosedWindows:
    return ClosedInMemory()


def untrained_in_all(said: Sequence[Sequence[str]]) -> list[str]:
    """Of what several shards say of detectors without a model, as the first one says it, what is said of a detector in all of them."""
    names = [{why.partition(":")[0] for why in each} for each in said]
    return [why for why in said[0] if all(why.partition(":")[0] in each for each in names)] if said else []


def unseen_texts(plan: Plan, seen: Iterable[dict[str, list[Any]]]) -> list[str]:
    """As `Fold.unseen`, of what `seen_texts` of several processes gave."""
    whole = Shard(plan).unseen
    for document in seen:
        one = Shard(plan).unseen
        one.restore(document)
        one.add_to(whole)
    return whole.words()
