"""All views on other keys of a plan: what can be closed is closed as the source goes on, the rest is judged at its end [S3, S13]."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np

from offbeat.core.batch import EVER, I32, I64, NULL_INT, Bools
from offbeat.core.days import DAY_NS
from offbeat.core.ledger import Ledger
from offbeat.core.partials import PartialLayout, PartialTable
from offbeat.core.plan import Plan
from offbeat.core.state import Arrays, prefixed, under
from offbeat.decide.block import AlertBlock
from offbeat.features.tumbling import Tumbling
from offbeat.fold.as_of import as_of_ns
from offbeat.fold.closed_windows import ClosedWindows
from offbeat.fold.co_occurrence_feed import CoOccurrenceFeed
from offbeat.fold.rollup import RollupFold
from offbeat.fold.scoring_view import scoring_view
from offbeat.fold.shard import Shard
from offbeat.fold.view import Observer
from offbeat.fold.window_view import Outcome, WindowView, judged_rows

_PARTS = 8
"""How many times windows that waited for the end are closed in between, at most: each time costs a pass over those that still wait."""


class WindowCollector(Protocol):
    """Is shown what views say of their windows and told when whole days are over, as those are who write tables."""

    since_ns: int
    """Windows of earlier days were shown before, also where they come again."""

    def observer(self, view: str) -> Observer | None:
        """What a view is to be watched with; None where nothing is wanted of it."""

    def expect(self, days: Sequence[int]) -> None:
        """These days, by their starts in ns, come again, also where no window is left of them."""

    def close_until(self, time_ns: int) -> None:
        """Every window that ends by a time was shown."""

    def finish(self) -> None:
        """No more will come."""


class MergeStage:
    """The merged views of a plan. `archive`: by view, where closed windows are kept, of runs that can be continued."""

    def __init__(self, plan: Plan, archive: Callable[[str], ClosedWindows] | None = None) -> None:
        self.views = {
            view.name: WindowView(plan, view, view.rollup, archive(view.name) if archive is not None else None)
            for view in plan.views
            if view.rollup is not None
        }
        self._decider = scoring_view(plan)
        self._open_ns = EVER
        """Windows from here on are judged at the end; the least int64: all are, as of a day that is known only then."""
        if plan.as_of is not None:
            end_ns = as_of_ns(plan)
            self._open_ns = NULL_INT if end_ns is None else self._fix(end_ns)
        self.collector: WindowCollector | None = None
        self._co_occurrence: CoOccurrenceFeed | None = None
        self._taken_ns = NULL_INT
        self._days = Tumbling(DAY_NS, plan.source.time.zone)

    @property
    def closes(self) -> bool:
        """Whether windows can be closed before the end: one view alone must say what became of their rows."""
        return self._decider is not None and self._open_ns != NULL_INT

    def _fix(self, as_of_ns: int) -> int:
        """Judge all as of a moment; returns the time from which on windows are judged in one go."""
        return min((view.fix(as_of_ns) for view in self.views.values()), default=EVER)

    def show(self, plan: Plan, collector: Callable[[dict[str, Callable[[], list[str]]], CoOccurrenceFeed], WindowCollector]) -> None:
        """From here on show windows to a collector, made of the keys of each view, by slot, and of the links of windows.

        The shards must be `linked`.
        """
        feed = self._co_occurrence = CoOccurrenceFeed(plan.links, {name: view.stage for name, view in self.views.items()})
        made = self.collector = collector({name: partial(_names, view) for name, view in self.views.items()}, feed)
        for name, view in self.views.items():
            view.observer = made.observer(name)
            view.linking = feed if feed.others(name) else None

    def follow(self, shards: Sequence[Shard], number: int, places: dict[str, I64], until_ns: int) -> list[AlertBlock]:
        """A step of a live source: windows that end before `until_ns` are closed, and those just added to are looked at.

        `places`: by view those of the windows of the last rows in the table of shard `number`.
        """
        due = self.due(shards, until_ns)
        tables = {name: shards[number].rollups[name].table for name in places}
        addresses = {name: tables[name].at(found[found >= 0]) for name, found in places.items()} if due else {}
        blocks = self._close(shards, due)
        for name, table in tables.items():
            # What is still open stands elsewhere once others are closed.
            found = table.find(addresses[name].targets, addresses[name].starts) if due else places[name]
            block = self.views[name].glance(number, shards[number].rollups[name].targets.names, table, found)
            if block is not None:
                blocks.append(block)
        return blocks

    def close(self, shards: Sequence[Shard], until_ns: int) -> list[AlertBlock]:
        """Judge all windows that end before `until_ns`, for good: no row that belongs into them will come."""
        return self._close(shards, self.due(shards, until_ns))

    def due(self, shards: Sequence[Shard], until_ns: int) -> dict[str, int]:
        """By view, where windows end before a time and have not been taken yet: the start before which they are."""
        if not self.closes or until_ns == NULL_INT:
            return {}
        starts = self._aligned(shards, min(until_ns, self._open_ns))
        if max(starts.values()) <= self._taken_ns:
            return {}
        return {name: start for name, start in starts.items() if start > self.views[name].until_ns}

    def take_windows(self, shards: Sequence[Shard], due: dict[str, int]) -> Callable[[], list[AlertBlock]]:
        """Take what is due from the shards; the call that is returned judges it.

        The shards may go on meanwhile, on another thread; of the merge nothing but `due` may be asked before that call has ended.
        """
        self._taken_ns = max(due.values())
        return self._taken(shards, due)

    def reopen(self, shards: Sequence[Shard]) -> list[AlertBlock]:
        """Judge closed windows again into which rows of the shards fall. The first shard goes on, the others are no more."""
        blocks = self._close(shards, {name: view.until_ns for name, view in self.views.items() if view.until_ns != NULL_INT})
        for view in self.views.values():
            for number in range(1, len(shards)):
                view.stage.forget(number)
        return blocks

    def rewind(self, shard: Shard, starts: Mapping[str, int]) -> list[int]:
        """By view, forget the windows from a start on, as `aligned` gave it: their rows are to come again.

        Returns the days on which windows were that are gone; see `WindowCollector.expect`.
        """
        gone = [view.rewind(starts[name], shard.rollups[name].table.rows()) for name, view in self.views.items()]
        self._taken_ns = NULL_INT
        ends = [shard.rollups[name].tumbling.ends(begins) - 1 for name, begins in zip(self.views, gone, strict=True)]
        days = np.unique(self._days.starts(np.concatenate([*gone, *ends])))
        return [day for day in days.tolist() if day >= max(starts.values())]

    def folded_rows(self) -> int:
        """Rows in closed windows of the view that decides what became of them."""
        return int(self.views[self._decider].rows_judged.sum()) if self._decider is not None else 0

    def aligned(self, shard: Shard, time_ns: int) -> dict[str, int]:
        """By view the start from which on windows are to be judged again where something has changed at a time."""
        return self._aligned([shard], time_ns) if time_ns != NULL_INT else dict.fromkeys(self.views, NULL_INT)

    def _aligned(self, shards: Sequence[Shard], time_ns: int) -> dict[str, int]:
        """A start of windows for each view, all at or before a time, such that none begins within a longer window of another view.

        Where windows are collected by whole days, windows shorter than a day start where those of a day do: see `WindowCollector`.
        """
        tumblings = {name: shards[0].rollups[name].tumbling for name in self.views}
        longer: list[Tumbling] = list(tumblings.values())
        if self.collector is not None:
            longer = [self._days, *(tumblings[name] for name in self.views if shards[0].rollups[name].size_ns >= DAY_NS)]
        begins = min(tumbling.start(time_ns) for tumbling in longer)
        return {name: tumbling.start(begins) for name, tumbling in tumblings.items()}

    def _close(self, shards: Sequence[Shard], until: dict[str, int]) -> list[AlertBlock]:
        """Judge windows, by view, that start before a time."""
        return self._taken(shards, until)()

    def _taken(self, shards: Sequence[Shard], until: dict[str, int]) -> Callable[[], list[AlertBlock]]:
        """Take windows from the shards; gives the call that judges them."""
        for name, start in until.items():
            if self._co_occurrence is not None:
                self._co_occurrence.take(name, shards, start)
            for number, shard in enumerate(shards):
                fold = shard.rollups[name]
                self.views[name].stage.update(number, fold.targets.names, fold.table.take(start))
        return partial(self._judge, shards, until)

    def _judge(self, shards: Sequence[Shard], until: dict[str, int]) -> list[AlertBlock]:
        again = self._again(shards, list(until)) if self.collector is not None else {}
        blocks: list[AlertBlock] = []
        if self.collector is not None:
            self.collector.since_ns = max(again.values(), default=NULL_INT)
        for name, start in until.items():
            outcomes = self.views[name].close(start, again.get(name))
            blocks += [block for o in outcomes for block in o.blocks]
        if self.collector is not None and until:
            self.collector.close_until(self._passed(shards))
        return blocks

    def _passed(self, shards: Sequence[Shard]) -> int:
        """The last time by which every window that has come to its end is closed."""
        until = {name: view.until_ns for name, view in self.views.items()}
        if NULL_INT in until.values():
            return NULL_INT
        return min(int(shards[0].rollups[name].tumbling.ends(np.array([start]))[0]) for name, start in until.items()) - 1

    def _again(self, shards: Sequence[Shard], names: Sequence[str]) -> dict[str, int]:
        """Where a closed window must be opened again: from where on, by view, so that a collector gets whole days of all views."""
        firsts = {name: self.views[name].stage.first_ns() for name in names}
        late = [first for name, first in firsts.items() if first is not None and first < self.views[name].until_ns]
        return self._aligned(shards, min(late)) if late else {}

    def ledger(self, shards: Sequence[Shard]) -> Ledger:
        """The ledger as it stands: rows in open windows are pending."""
        ledger = Ledger()
        for shard in shards:
            ledger.add(shard.ledger)
        if self._decider is not None:
            scored, warming_up = self.views[self._decider].rows_judged.tolist()
            ledger.scored += scored
            ledger.warming_up += warming_up
        return ledger

    def models(self) -> dict[str, bytes]:
        """By view and detector: the file of the newest model of all keys."""
        return {f"{name}.{detector}": file for name, view in self.views.items() for detector, file in view.models().items()}

    def finish(self, shards: Sequence[Shard]) -> tuple[list[AlertBlock], Ledger]:
        """The end of the input: alerts of all open windows as they stand, and the ledger with their rows decided."""
        blocks = self._close(shards, {name: view.until_ns for name, view in self.views.items() if view.until_ns != NULL_INT})
        last_ns = max(shard.last_ns for shard in shards)
        if self._open_ns == NULL_INT and last_ns != NULL_INT:
            blocks += self._fix_after(shards, last_ns)
        ledger = self.ledger(shards)
        outcomes = {}
        for name, view in self.views.items():
            if self._co_occurrence is not None:
                self._co_occurrence.look(name, shards)
            for number, shard in enumerate(shards):
                fold = shard.rollups[name]
                view.stage.update(number, fold.targets.names, fold.table.partials())
            outcomes[name], ledger.views[name] = view.look(self._start_of_newest(shards, name))
            blocks += outcomes[name].blocks
        if self.collector is not None:
            self.collector.finish()
        if self._decider is not None:
            scored, warming_up = judged_rows(outcomes[self._decider])
        else:
            scored, warming_up = self._together(shards, outcomes)
        ledger.scored += scored
        ledger.warming_up += warming_up
        ledger.pending -= scored + warming_up
        return blocks, ledger

    def _fix_after(self, shards: Sequence[Shard], last_ns: int) -> list[AlertBlock]:
        """The last row tells the day: what lies before the windows judged in one go is closed, in parts for memory's sake."""
        end_ns = int(self._days.ends(self._days.starts(np.array([last_ns])))[0])
        self._open_ns = self._fix(end_ns)
        first_ns = min(int(fold.table.addresses()[1].min(initial=EVER)) for shard in shards for fold in shard.rollups.values())
        step = max(end_ns - self._open_ns, (self._open_ns - first_ns) // _PARTS, DAY_NS)
        parts = (self.close(shards, until_ns) for until_ns in reversed(range(self._open_ns, first_ns, -step)))
        return [block for part in parts for block in part]

    def _start_of_newest(self, shards: Sequence[Shard], view: str) -> int:
        """Start of the view's windows that hold the newest row of the input."""
        newest_ns = max(shard.newest_ns for shard in shards)
        return NULL_INT if newest_ns == NULL_INT else shards[0].rollups[view].tumbling.start(newest_ns)

    def _together(self, shards: Sequence[Shard], outcomes: dict[str, Outcome]) -> tuple[int, int]:
        """Rows by whether any of their windows, in whatever view, got a verdict."""
        scored = waiting = 0
        for number, shard in enumerate(shards if self.views else ()):
            places, rows = shard.undecided.counts()
            judged = np.zeros(len(rows), np.bool_)
            for column, (name, view) in enumerate(self.views.items()):
                place = places[:, column]
                inside = place >= 0
                judged[inside] |= _verdicts(view.stage.slots(number), outcomes[name], shard.rollups[name])[place[inside]]
            scored += int(rows[judged].sum())
            waiting += int(rows.sum())
        return scored, waiting - scored

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """State as arrays and a JSON document."""
        arrays: Arrays = {}
        views = {}
        for name, view in self.views.items():
            arrays |= prefixed(name, view.arrays())
            entries = view.archive.entries if view.archive is not None else []
            views[name] = {"names": view.stage.keys.names, "archive": entries, "no_spread": view.counts.no_spread}
        return arrays, {"views": views}

    def take(self, arrays: Arrays, document: dict[str, Any]) -> None:
        """Take over what `state` gave."""
        for name, view in self.views.items():
            kept = document["views"][name]
            view.restore(kept["names"], under(name, arrays))
            view.counts.no_spread = Counter(kept["no_spread"])
            if view.archive is not None:
                view.archive.take(kept["archive"])

    def tidy(self) -> None:
        """After a state was saved: remove files that it no longer names."""
        for view in self.views.values():
            if view.archive is not None:
                view.archive.tidy()


def _names(view: WindowView) -> list[str]:
    return view.stage.keys.names


def _verdicts(slots: I32, outcome: Outcome, fold: RollupFold) -> Bools:
    """(windows of a shard's table,) which of them got a verdict; `slots` are its targets as the outcome has them."""
    table, mine = PartialTable(PartialLayout.of(())), fold.table.partials()
    table.count(outcome.windows.targets, outcome.windows.starts)
    verdicts: Bools = outcome.judged[table.find(slots[mine.targets], mine.starts)]
    return verdicts
