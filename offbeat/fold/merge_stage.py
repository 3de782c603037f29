"""All views on other keys of a plan: what can be closed is closed as the source goes on, the rest is judged at its end [S3, S13]."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np

from offbeat.core.batch import EVER, I32, I64, NULL_INT, Bools
from offbeat.core.days import DAY_NS
from offbeat.core.ledger import Ledger
from offbeat.core.partials import PartialLayout, Partials, PartialTable
from offbeat.core.plan import Plan
from offbeat.core.state import Arrays, prefixed, under
from offbeat.decide.block import AlertBlock
from offbeat.features.tumbling import Tumbling
from offbeat.fold.as_of import as_of_ns
from offbeat.fold.closed_windows import ClosedWindows
from offbeat.fold.co_occurrence_feed import CoOccurrenceFeed
from offbeat.fold.early_firing import EarlyFiring
from offbeat.fold.judged_windows import Outcome, judged_rows
from offbeat.fold.rollup import Touched
from offbeat.fold.scoring_view import scoring_view
from offbeat.fold.shard_side import Shards, ShardSide
from offbeat.fold.undecided import RowGroups, Verdict
from offbeat.fold.view import Observer
from offbeat.fold.window_view import WindowView

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
    """The views on other keys of a plan. `closed`: by view, what keeps closed windows, where they may be opened again."""

    def __init__(self, plan: Plan, closed: Callable[[str], ClosedWindows] | None = None, *, live: bool = False) -> None:
        self.views = {
            view.name: WindowView(plan, view, view.rollup, closed(view.name) if closed is not None else None, live=live)
            for view in plan.views
            if view.rollup is not None
        }
        self._firing: dict[tuple[str, int], EarlyFiring] = {}
        """By view and shard."""
        self._decider = scoring_view(plan)
        self._waiting = RowGroups.none(len(self.views))
        """Rows of which some windows are closed, without a verdict on any, and others still open."""
        self._counted: I64 = np.zeros(2, np.int64)
        """Rows in closed windows, where no view alone says what became of them: scored and not."""
        self._open_ns = EVER
        """Windows from here on are judged at the end; the least int64: all are, as of a day that is known only then."""
        if plan.as_of is not None:
            end_ns = as_of_ns(plan)
            self._open_ns = NULL_INT if end_ns is None else self._fix(end_ns)
        self.collector: WindowCollector | None = None
        self._co_occurrence: CoOccurrenceFeed | None = None
        self._taken_ns = self._final_ns = NULL_INT
        """Windows before these are closed, or will be when what was taken is judged; closed for good."""
        self._by_source_key = {view.name: view.rollup.key_source for view in plan.views if view.rollup is not None}
        self._days = Tumbling(DAY_NS, plan.zone)

    @property
    def taken_ns(self) -> int:
        """Windows that start before this are closed, or will be when what was taken is judged."""
        return max(self._taken_ns, self._final_ns)

    @property
    def closes(self) -> bool:
        """Whether windows can be closed before the end."""
        return bool(self.views) and self._open_ns != NULL_INT

    @property
    def decides_alone(self) -> bool:
        """Whether one view alone says what became of every row."""
        return self._decider is not None

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

    @property
    def early(self) -> frozenset[str]:
        """Views of which some detector may fire on windows that are still open."""
        return frozenset(name for name, view in self.views.items() if view.view.fires_early)

    def fire(self, shards: Shards, number: int, touched: Mapping[str, Touched]) -> list[AlertBlock]:
        """Early alerts of rows that were just folded into the windows of shard `number`, by view."""
        blocks = []
        for name, rows in touched.items():
            fold, stage = shards[number].rollups[name], self.views[name].stage
            firing = self._firing.setdefault((name, number), EarlyFiring(self.views[name]))
            others = partial(self._with_others, shards, number, name)
            block = firing.look(stage.known(number, fold.targets.names), fold.table, rows, others)
            if block is not None:
                blocks.append(block)
        return blocks

    def _with_others(self, shards: Shards, number: int, name: str, windows: Partials) -> Partials:
        """Windows of one shard, ordered by (start, slot), with what the others have of the same ones."""
        if len(shards) == 1 or self._by_source_key[name]:
            return windows
        stage, parts = self.views[name].stage, [windows]
        for other, shard in shards.items():
            if other != number:
                fold = shard.rollups[name]
                slots = stage.known(other, fold.targets.names)
                targets = np.full(len(stage.keys), -1, np.int32)
                targets[slots] = np.arange(len(slots))
                mine = targets[windows.targets]
                place = fold.table.find(mine, windows.starts)
                there = np.flatnonzero((mine >= 0) & (place >= 0))
                theirs = fold.table.at(place[there])
                parts.append(theirs.of(windows.targets[there]))
        return stage.combined(parts)

    def close(self, shards: Shards, until_ns: int, *, final: bool = True) -> list[AlertBlock]:
        """Judge all windows that end before `until_ns`: for good, as no row for them will come, or provisionally."""
        return self._close(shards, self.due(shards, until_ns, final=final), final=final)

    def due(self, shards: Shards, until_ns: int, *, final: bool = True) -> dict[str, int]:
        """By view, where windows end before a time and have not been closed (for good) yet: the start before which they are."""
        if not self.closes or until_ns == NULL_INT:
            return {}
        starts = self._aligned(shards, min(until_ns, self._open_ns))
        if max(starts.values()) <= (self._final_ns if final else max(self._taken_ns, self._final_ns)):
            return {}
        views = self.views.items()
        return {name: starts[name] for name, view in views if starts[name] > (view.final_ns if final else view.until_ns)}

    def boundaries(self, shards: Shards, times_ns: I64) -> I64:
        """(n,) for rising times, the greatest start of a window at or before each at which windows of all views may be closed."""
        if not self.closes:
            return np.full(len(times_ns), NULL_INT)
        first = next(iter(shards.values()))
        edges: I64 = np.min([tumbling.starts(times_ns) for tumbling in self._longer(first)], axis=0)
        return edges

    def take_windows(self, shards: Shards, due: dict[str, int]) -> Callable[[], list[AlertBlock]]:
        """Take what is due from the shards; the call that is returned judges it.

        The shards may go on meanwhile, on another thread; of the merge nothing but `due` may be asked before that call has ended.
        """
        return self._taken(shards, due, final=True)

    def reopen(self, shards: Shards) -> list[AlertBlock]:
        """Judge closed windows again into which rows of the shards fall."""
        return self._close(shards, {name: view.until_ns for name, view in self.views.items() if view.until_ns != NULL_INT}, final=True)

    def learned_ns(self) -> dict[tuple[str, str], int]:
        """As `View.learned_ns`, of all views."""
        return {name: time_ns for view in self.views.values() for name, time_ns in view.view.learned_ns().items()}

    def forget(self, number: int) -> None:
        """A shard is no more; another one may come under its number."""
        for name, view in self.views.items():
            view.stage.forget(number)
            self._firing.pop((name, number), None)

    def rewind(self, shards: Shards, starts: Mapping[str, int]) -> list[int]:
        """By view, forget the windows from a start on, as `aligned` gave it: their rows are to come again.

        Returns the days on which windows were that are gone; see `WindowCollector.expect`.
        """
        rows = {name: sum(shard.rollups[name].table.rows() for shard in shards.values()) for name in self.views}
        gone = [view.rewind(starts[name], rows[name]) for name, view in self.views.items()]
        self._firing.clear()
        self._taken_ns = self._final_ns = NULL_INT
        first = next(iter(shards.values()))
        ends = [first.rollups[name].tumbling.ends(begins) - 1 for name, begins in zip(self.views, gone, strict=True)]
        days = np.unique(self._days.starts(np.concatenate([*gone, *ends])))
        return [day for day in days.tolist() if day >= max(starts.values())]

    def folded_rows(self) -> int:
        """Rows in closed windows of the view that decides what became of them."""
        return int(self.views[self._decider].rows_judged.sum()) if self._decider is not None else 0

    def aligned(self, shards: Shards, time_ns: int) -> dict[str, int]:
        """By view the start from which on windows are to be judged again where something has changed at a time."""
        return self._aligned(shards, time_ns) if time_ns != NULL_INT else dict.fromkeys(self.views, NULL_INT)

    def _aligned(self, shards: Shards, time_ns: int) -> dict[str, int]:
        """A start of windows for each view, all at or before a time, such that none begins within a longer window of another view.

        Where windows are collected by whole days, windows shorter than a day start where those of a day do: see `WindowCollector`.
        """
        first = next(iter(shards.values()))
        begins = min(tumbling.start(time_ns) for tumbling in self._longer(first))
        return {name: first.rollups[name].tumbling.start(begins) for name in self.views}

    def _longer(self, shard: ShardSide) -> list[Tumbling]:
        """The windows whose starts say where windows of all views may be closed."""
        rollups = [shard.rollups[name] for name in self.views]
        if self.collector is None:
            return [rollup.tumbling for rollup in rollups]
        return [self._days, *(rollup.tumbling for rollup in rollups if rollup.size_ns >= DAY_NS)]

    def _close(self, shards: Shards, until: dict[str, int], *, final: bool) -> list[AlertBlock]:
        """Judge windows, by view, that start before a time."""
        return self._taken(shards, until, final=final)()

    def _taken(self, shards: Shards, until: dict[str, int], *, final: bool) -> Callable[[], list[AlertBlock]]:
        """Take windows from the shards; gives the call that judges them."""
        self._taken_ns = max([self._taken_ns, *until.values()])
        if final:
            self._final_ns = max([self._final_ns, *until.values()])
        for name, start in until.items():
            if self._co_occurrence is not None:
                self._co_occurrence.remove(name, shards, start)
            for number, shard in shards.items():
                fold = shard.rollups[name]
                self.views[name].stage.update(number, fold.targets.names, fold.table.remove_before(start))
        return partial(self._judge, shards, until, self._taken_rows(shards, until), final)

    def _taken_rows(self, shards: Shards, until: dict[str, int]) -> list[RowGroups]:
        """Rows that wait for windows which are taken, with targets as slots of the stages."""
        if self._decider is not None:
            return []
        times = [until.get(name, NULL_INT) for name in self.views]
        return [self._on_stage(number, shard.undecided.remove(times)) for number, shard in shards.items()]

    def _on_stage(self, number: int, groups: RowGroups) -> RowGroups:
        """Groups of a shard's rows with targets as slots of the stages."""
        targets = groups.targets.copy()
        for v, view in enumerate(self.views.values()):
            there = targets[:, v] >= 0
            targets[there, v] = view.stage.slots(number)[targets[there, v]]
        return RowGroups(targets, groups.starts, groups.rows)

    def _judge(self, shards: Shards, until: dict[str, int], rows: list[RowGroups], final: bool) -> list[AlertBlock]:
        again = self._again(shards, list(until)) if self.collector is not None else {}
        blocks: list[AlertBlock] = []
        outcomes: dict[str, list[Outcome]] = {}
        if self.collector is not None:
            self.collector.since_ns = max(again.values(), default=NULL_INT)
        for name, start in until.items():
            outcomes[name] = self.views[name].close(start, final=final, from_ns=again.get(name))
            blocks += [block for o in outcomes[name] for block in o.blocks]
        self._decide(until, rows, outcomes)
        for firing in self._firing.values():
            firing.forget()
        if self.collector is not None and until:
            self.collector.close_until(self._passed(shards))
        return blocks

    def _decide(self, until: dict[str, int], rows: list[RowGroups], outcomes: dict[str, list[Outcome]]) -> None:
        """Count rows whose windows were closed; those of which none got a verdict wait for their other windows."""
        if self._decider is not None:
            return
        waiting = RowGroups.together([self._waiting, *rows])
        closed = waiting.closed([until.get(name, NULL_INT) for name in self.views])
        scored = waiting.scored(closed, [_verdicts(outcomes.get(name, [])) for name in self.views])
        rest = waiting.without(closed).take(~scored)
        done: Bools = np.all(rest.targets < 0, axis=1)
        self._counted += waiting.rows[scored].sum(), rest.rows[done].sum()
        self._waiting = rest.take(~done)

    def _passed(self, shards: Shards) -> int:
        """The last time by which every window that has come to its end is closed."""
        until = {name: view.until_ns for name, view in self.views.items()}
        if NULL_INT in until.values():
            return NULL_INT
        first = next(iter(shards.values()))
        return min(int(first.rollups[name].tumbling.ends(np.array([start]))[0]) for name, start in until.items()) - 1

    def _again(self, shards: Shards, names: Sequence[str]) -> dict[str, int]:
        """Where a closed window must be opened again: from where on, by view, so that a collector gets whole days of all views."""
        firsts = {name: self.views[name].stage.first_ns() for name in names}
        late = [first for name, first in firsts.items() if first is not None and first < self.views[name].until_ns]
        return self._aligned(shards, min(late)) if late else {}

    def ledger(self, shards: Shards) -> Ledger:
        """The ledger as it stands: rows in open windows are pending."""
        ledger = Ledger()
        for shard in shards.values():
            ledger.add(shard.ledger)
        scored, warming_up = self.views[self._decider].rows_judged.tolist() if self._decider is not None else self._counted.tolist()
        ledger.scored += scored
        ledger.warming_up += warming_up
        ledger.pending += int(self._waiting.rows.sum())
        return ledger

    def models(self) -> dict[str, bytes]:
        """By view and detector: the file of the newest model of all keys."""
        return {f"{name}.{detector}": file for name, view in self.views.items() for detector, file in view.models().items()}

    def finish(self, shards: Shards) -> tuple[list[AlertBlock], Ledger]:
        """The end of the input: alerts of all open windows as they stand, and the ledger with their rows decided."""
        blocks = self.reopen(shards)
        last_ns = max((shard.last_ns for shard in shards.values()), default=NULL_INT)
        if self._open_ns == NULL_INT and last_ns != NULL_INT:
            blocks += self._fix_after(shards, last_ns)
        ledger = self.ledger(shards)
        outcomes = {}
        for name, view in self.views.items():
            if self._co_occurrence is not None:
                self._co_occurrence.look(name, shards)
            for number, shard in shards.items():
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

    def _fix_after(self, shards: Shards, last_ns: int) -> list[AlertBlock]:
        """The last row tells the day: what lies before the windows judged in one go is closed, in parts for memory's sake."""
        end_ns = int(self._days.ends(self._days.starts(np.array([last_ns])))[0])
        self._open_ns = self._fix(end_ns)
        first_ns = min(int(fold.table.addresses()[1].min(initial=EVER)) for shard in shards.values() for fold in shard.rollups.values())
        step = max(end_ns - self._open_ns, (self._open_ns - first_ns) // _PARTS, DAY_NS)
        parts = (self.close(shards, until_ns) for until_ns in reversed(range(self._open_ns, first_ns, -step)))
        return [block for part in parts for block in part]

    def _start_of_newest(self, shards: Shards, view: str) -> int:
        """Start of the view's windows that hold the newest row of the input."""
        newest_ns = max((shard.newest_ns for shard in shards.values()), default=NULL_INT)
        return NULL_INT if newest_ns == NULL_INT else next(iter(shards.values())).rollups[view].tumbling.start(newest_ns)

    def _together(self, shards: Shards, outcomes: dict[str, Outcome]) -> tuple[int, int]:
        """Rows that wait, by whether any of their windows, in whatever view, got a verdict."""
        groups = RowGroups.together(
            [self._waiting, *(self._on_stage(number, shard.undecided.groups()) for number, shard in shards.items())]
        )
        scored = groups.scored(groups.targets >= 0, [_verdicts([outcome]) for outcome in outcomes.values()])
        return int(groups.rows[scored].sum()), int(groups.rows[~scored].sum())

    def state(self) -> tuple[Arrays, dict[str, Any]]:
        """State as arrays and a JSON document."""
        arrays: Arrays = {}
        views = {}
        for name, view in self.views.items():
            arrays |= prefixed(name, view.arrays())
            views[name] = view.document()
        document = {"views": views, "taken_ns": self._taken_ns, "final_ns": self._final_ns, "counted": self._counted.tolist()}
        return arrays | prefixed("(waiting)", self._waiting.arrays()), document

    def restore(self, arrays: Arrays, document: dict[str, Any]) -> None:
        """Take over what `state` gave."""
        self._taken_ns, self._final_ns = document["taken_ns"], document["final_ns"]
        self._waiting, self._counted = RowGroups(**under("(waiting)", arrays)), np.array(document["counted"])
        self._firing.clear()
        for name, view in self.views.items():
            view.restore(under(name, arrays), document["views"][name])

    def tidy(self) -> None:
        """After a state was saved: remove files that it no longer names."""
        for view in self.views.values():
            if view.closed is not None:
                view.closed.tidy()


def _names(view: WindowView) -> list[str]:
    return view.stage.keys.names


def _verdicts(outcomes: Sequence[Outcome]) -> Verdict:
    """Which windows of a view, by target slots of the stage and starts, got a verdict."""
    tables = []
    for outcome in outcomes:
        table = PartialTable(PartialLayout.of(()))
        table.count(outcome.windows.targets, outcome.windows.starts)
        tables.append((table, outcome.judged))

    def verdict(targets: I32, starts: I64) -> Bools:
        found = np.zeros(len(targets), np.bool_)
        for table, judged in tables:
            place = table.find(targets, starts)
            found[place >= 0] |= judged[place[place >= 0]]
        return found

    return verdict
