"""The oracle: a whole pipeline in plain Python, one row at a time, from SEMANTICS.md and docs/definitions.md alone.

It imports nothing from the package, is as slow and as literal as it can be, and is what the package has to equal bit for bit.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from oracle_decayed import Decayed, DecayedWindow, place_in_season, wall_clock
from oracle_detectors import Life, Said, judge_range, judge_rule, severity
from oracle_logic import Num, alert_id
from oracle_record import RecordLife
from oracle_spec import DAY, SECOND, Model, Pipeline, Range, Records, Rollup, Row, Rule, View, farthest
from oracle_surprise import Surprised
from oracle_windows import Agg, Env, SlidingWindow, Window

BEFORE, GAP, CLOCK = "the row before", "seconds since it", "what the clock shows"
"""What an expression sees of the key's row before: its columns, None for the first; and the local time."""


@dataclass
class Ledger:
    rows_in: int = 0
    scored: int = 0
    warming_up: Counter[str] = field(default_factory=Counter)
    late: int = 0
    duplicate: int = 0
    filtered: int = 0
    pending: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)
    views: dict[str, Counter[str]] = field(default_factory=dict)

    def adds_up(self) -> bool:
        parts = self.scored + sum(self.warming_up.values()) + self.late + self.duplicate + self.filtered + self.pending
        return parts + sum(self.quarantined.values()) == self.rows_in


@dataclass(frozen=True)
class _Accepted:
    """A row that passed the checks of its own content."""

    number: int
    key: str
    time_ns: int
    order: int
    env: Env
    identity: tuple[Any, ...]
    content: tuple[Any, ...]
    source: Row


@dataclass(frozen=True)
class _Unit:
    """What a view judges: a row, or a closed window of a rollup."""

    key: str
    time_ns: int
    env: Env
    row: Env
    """What the alert shows of it."""
    n: int
    revision: int


class _Seasonal:
    """A sliding window for each place of the season."""

    def __init__(self, spec: Window) -> None:
        self.spec, self._places = spec, dict[int, SlidingWindow]()
        self._now = SlidingWindow(spec)

    def step(self, time_ns: int, env: Env) -> dict[str, Num]:
        spec = self.spec
        place = place_in_season(time_ns, spec.season_ns, spec.slot_ns, spec.zone) if spec.season_ns else 0
        self._now = self._places.setdefault(place, SlidingWindow(spec))
        return self._now.step(time_ns, env)

    def held(self) -> list[Any]:
        return self._now.held()


class _Folded:
    """What a view remembers of a key."""

    def __init__(self, view: View, seed: int, key: str) -> None:
        self.windows = [DecayedWindow(spec) if isinstance(spec, Decayed) else _Seasonal(spec) for spec in view.windows]
        self.behind = [SlidingWindow(d.window) for d in view.detectors if isinstance(d, Range) and d.window]
        self.lives = {
            d.name: Life(d, seed, key) if isinstance(d, Model) else RecordLife(d) for d in view.detectors if isinstance(d, Model | Records)
        }
        self.before: tuple[int, Env] | None = None
        self.spoke: set[str] = set()
        """Detectors that had a verdict."""
        self.surprised = None if view.budget is None else Surprised(view.budget)
        self.judged = 0
        self.raised: list[tuple[int, int, float]] = []
        """Alerts: the number of the row, its time, and by how much of its threshold the furthest vote was there."""

    def quiet(self, view: View, time_ns: int, strength: float) -> bool:
        """Whether the row that would now be an alert does not exceed all alerts of the cooldown before it."""
        if not view.cooldown_rows and not view.cooldown_ns:
            return False
        recent = [
            said
            for number, at, said in self.raised
            if (self.judged - number <= view.cooldown_rows if view.cooldown_rows else time_ns - at <= view.cooldown_ns)
        ]
        if any(strength <= said for said in recent):
            return True
        self.raised.append((self.judged, time_ns, strength))
        return False


@dataclass
class _Key:
    """All that is remembered of one key."""

    greatest: int | None = None
    candidate: _Accepted | None = None
    recent: list[_Accepted] = field(default_factory=list)
    buffer: list[_Accepted] = field(default_factory=list)
    last_folded: tuple[int, int] | None = None
    at_this_time: int = 0
    folded: dict[str, _Folded] = field(default_factory=dict)


class Oracle:
    """Feed rows in arrival order, then `drain`."""

    def __init__(self, pipeline: Pipeline, forgets_every: int = 0) -> None:
        """forgets_every: after so many rows of a live source keys are forgotten; 0: never before the end."""
        self.pipeline = pipeline
        self.forgets_every = forgets_every
        self.forgotten_ns: int | None = None
        self.alerts: list[dict[str, Any]] = []
        self.quarantined: list[tuple[int, int, str]] = []
        """(file, row, reason) of quarantined and late rows."""
        self.keys: dict[str, _Key] = {}
        self.outcome: dict[int, str] = {}
        """Row number in arrival order → its category, as far as it is known."""
        self.cells: dict[str, dict[tuple[str, int], list[_Accepted]]] = {view.name: {} for view in pipeline.views if view.rollup}
        self.counters: dict[str, Counter[str]] = {view.name: Counter() for view in pipeline.views}
        self.drained = False
        self.newest: int | None = None
        """Greatest time of a row folded before the input's end."""

    # -- what happens to a row, in this order ---------------------------------------------------------------------------------

    def feed(self, row: Row) -> None:
        self._one(row)
        if self.forgets_every and len(self.outcome) % self.forgets_every == 0:
            self._forget()

    def _forget(self) -> None:
        """As of the median of the times at which keys were last seen, of those that came after the time before."""
        p, since = self.pipeline, self.forgotten_ns
        assert p.forget_ns is not None
        seen: dict[str, int | None] = {}
        for key, state in self.keys.items():
            seen[key] = state.candidate.time_ns if state.candidate and state.greatest is None else state.greatest
        times = sorted(time_ns for time_ns in seen.values() if time_ns is not None and (since is None or time_ns > since))
        if times:
            self.forgotten_ns = times[(len(times) - 1) // 2]
        for key, time_ns in seen.items():
            if self.forgotten_ns is not None and time_ns is not None and self.forgotten_ns - time_ns > p.forget_ns + p.max_jump_ns:
                self._let_go(self.keys.pop(key))

    def _one(self, row: Row) -> None:
        number = len(self.outcome)
        if self._is_foreign(row):
            self.outcome[number] = "filtered"
            return
        reason, checked = self._check(number, row)
        if checked is None:
            self._quarantine(number, row, reason)
            return
        self.outcome[number] = "pending"
        state = self.keys.setdefault(checked.key, _Key())
        self._past_candidate(checked, state)

    def _is_foreign(self, row: Row) -> bool:
        """Step 0. What cannot be read, or is not finite, is null to the condition, and null is not false."""
        where = self.pipeline.where
        if where is None or row.fault in {"encoding", "ragged"}:
            return False
        env: Env = {}
        for column in self.pipeline.columns:
            value = row.columns[column.name]
            if isinstance(value, str):
                env[column.name] = value
            else:
                number = None if value is None else float(value) if column.kind != "decimal" else int(value) / 10**column.scale
                env[column.name] = number if number is not None and math.isfinite(number) else None
        return where(env) is False

    def _quarantine(self, number: int, row: Row, reason: str) -> None:
        self.outcome[number] = f"quarantined {reason}"
        self.quarantined.append((row.file, row.row, reason))

    def _check(self, number: int, row: Row) -> tuple[str, _Accepted | None]:
        """Steps 1 and 2: everything that the row alone decides."""
        p = self.pipeline
        if row.fault or row.key is None or row.time_ns is None:
            return row.fault, None
        env: Env = {"key": row.key or None}
        for column in p.columns:
            value = row.columns[column.name]
            if column.kind == "float" and value is not None and not math.isfinite(float(value)):
                if not column.allow_nan:
                    return "non_finite", None
                value = None
            env[column.name] = value
            if column.kind == "decimal":
                env[column.name + "#"] = value
                env[column.name] = None if value is None else value / 10**column.scale  # integers: one rounding
            elif column.kind == "bool":
                env[column.name] = None if value is None else float(value)
        if row.time_ns < p.not_before_ns:
            return "not_before", None
        if p.not_after_ns is not None and row.time_ns > p.not_after_ns:
            return "not_after", None
        for name, rule in p.rules.items():
            if rule(env) is False:
                return name, None
        content = (row.time_ns, *(env.get(column.name + "#", env[column.name]) for column in p.columns))
        identity = tuple(row.time_ns if name == "time" else env.get(name + "#", env[name]) for name in p.unique)
        order = (env[p.order + "#"] or 0) if p.order else 0
        return "", _Accepted(number, row.key, row.time_ns, order, env, identity, content, row)

    def _past_candidate(self, row: _Accepted, state: _Key) -> None:
        """Step 3."""
        candidate = state.candidate
        if candidate is not None:
            if self.pipeline.unique and candidate.identity == row.identity:
                if self.pipeline.keep_last and candidate.content != row.content:
                    self.outcome[candidate.number] = "duplicate"
                    state.candidate = row
                else:
                    self._same_again(row, candidate)
                return
            state.candidate = None
            if row.time_ns >= candidate.time_ns - self.pipeline.max_jump_ns:
                self._accept(candidate, state)
            else:
                self._quarantine(candidate.number, candidate.source, "future")
        self._on_its_own(row, state)

    def _same_again(self, row: _Accepted, earlier: _Accepted) -> None:
        if earlier.content == row.content:
            self.outcome[row.number] = "duplicate"
        else:
            self._quarantine(row.number, row.source, "conflict")

    def _on_its_own(self, row: _Accepted, state: _Key) -> None:
        """Step 4."""
        p = self.pipeline
        if p.keep_last and self._takes_the_place(row, state):
            return
        anew = self._long_unseen(row, state.greatest)
        if p.unique and not anew:
            for earlier in reversed(state.recent):
                if earlier.identity == row.identity:
                    self._same_again(row, earlier)
                    return
        late = state.greatest is not None and row.time_ns < state.greatest - p.lateness_ns
        if late or (state.last_folded is not None and (row.time_ns, row.order) < state.last_folded):
            self.outcome[row.number] = "late"
            self.quarantined.append((row.source.file, row.source.row, "late"))
        elif anew or state.greatest is None or row.time_ns > state.greatest + p.max_jump_ns:
            state.candidate = row
        else:
            self._accept(row, state)

    def _long_unseen(self, row: _Accepted, before_ns: int | None) -> bool:
        """Whether a key whose row before was at that time has been forgotten when this row comes."""
        forget_ns = self.pipeline.forget_ns
        return forget_ns is not None and before_ns is not None and row.time_ns - before_ns > forget_ns

    def _takes_the_place(self, row: _Accepted, state: _Key) -> bool:
        """Step 4 of `keep: last`: whether a version of the row waits, which it replaces or repeats."""
        waiting = [held for held in state.buffer if held.identity == row.identity]
        for held in waiting:
            if held.content == row.content:
                self.outcome[row.number] = "duplicate"
            else:
                self.outcome[held.number] = "duplicate"
                state.buffer = [other for other in state.buffer if other is not held] + [row]
                state.recent = [row if each.identity == row.identity else each for each in state.recent]
        return bool(waiting)

    def _accept(self, row: _Accepted, state: _Key) -> None:
        """Step 5."""
        if self._long_unseen(row, state.greatest):
            state.recent = []
        state.recent = [*state.recent, row][-self.pipeline.dedup_rows :]
        state.greatest = row.time_ns if state.greatest is None else max(state.greatest, row.time_ns)
        state.buffer.append(row)
        passed = state.greatest - self.pipeline.lateness_ns
        self._release(state, [held for held in state.buffer if held.time_ns < passed + (not self.pipeline.keep_last)])

    def _release(self, state: _Key, rows: list[_Accepted]) -> None:
        released = {row.number for row in rows}
        state.buffer = [held for held in state.buffer if held.number not in released]
        for row in sorted(rows, key=lambda held: (held.time_ns, held.order, held.number)):
            self._fold(row, state)

    def drain(self) -> None:
        """Step 6, then the windows of rollups, which are final now."""
        newest = self.newest
        for state in self.keys.values():
            self._let_go(state)
        self.drained = True
        for view in self.pipeline.views:
            if view.rollup is not None:
                self._close_windows(view, view.rollup, newest)

    def _let_go(self, state: _Key) -> None:
        """No row of the key is to come."""
        if state.candidate is not None:
            candidate, state.candidate = state.candidate, None
            self._accept(candidate, state)
        self._release(state, state.buffer)

    # -- the folds ------------------------------------------------------------------------------------------------------------

    def _fold(self, row: _Accepted, state: _Key) -> None:
        if state.last_folded is not None and self._long_unseen(row, state.last_folded[0]):
            state.folded = {}
        same_time = state.last_folded is not None and state.last_folded[0] == row.time_ns
        state.at_this_time = state.at_this_time + 1 if same_time else 1
        state.last_folded = (row.time_ns, row.order)
        self.newest = row.time_ns if self.newest is None else max(self.newest, row.time_ns)
        outcomes = set()
        evidence = {column.name: row.env[column.name] for column in self.pipeline.columns}
        for view in self.pipeline.views:
            if view.rollup is None and row.key == "" and self.pipeline.optional_key:
                outcomes.add("not_selected")
                continue
            if view.rollup is None:
                if view.name not in state.folded:
                    state.folded[view.name] = _Folded(view, self.pipeline.seed, row.key)
                unit = _Unit(row.key, row.time_ns, row.env, evidence, state.at_this_time, 1)
                outcomes.add(self._judge(view, state.folded[view.name], unit))
                continue
            target = view.rollup.target(row.key, row.env)
            if target is None:
                outcomes.add("not_selected")
            else:
                outcomes.add("open")
                cell = (target, window_start(row.time_ns, view.rollup.size_ns, self.pipeline.zone))
                self.cells[view.name].setdefault(cell, []).append(row)
        self.outcome[row.number] = next(name for name in ("scored", "open", "history", "not_selected") if name in outcomes)

    def _close_windows(self, view: View, rollup: Rollup, newest: int | None) -> None:
        folded: dict[str, _Folded] = {}
        seen: Counter[str] = Counter()
        cells = self.cells[view.name]
        if rollup.fill and newest is not None:
            cells = _with_empty(cells, rollup.size_ns, self.pipeline.zone, window_start(newest, rollup.size_ns, self.pipeline.zone))
        for (target, start), rows in sorted(cells.items()):
            envs = [row.env for row in rows]
            values: dict[str, Num] = {name: exact_aggregate(aggregate, envs) for name, aggregate in rollup.aggregates.items()}
            if not rows:
                values |= {name: 0.0 for name, aggregate in rollup.aggregates.items() if aggregate.function == "sum_exact"}
            env: Env = {name: column(values) for name, column in rollup.columns.items()}
            shown = dict(env)
            env["key"] = target
            if target not in folded:
                folded[target] = _Folded(view, self.pipeline.seed, target)
            seen[target] += len(rows)
            outcome = self._judge(view, folded[target], _Unit(target, start, env, shown, 1, seen[target]))
            for row in rows:
                if outcome == "scored":
                    self.outcome[row.number] = "scored"

    def _judge(self, view: View, folded: _Folded, unit: _Unit) -> str:
        """Features, detectors, vote, alert; then the models learn. Says whether there was any verdict."""
        key, time_ns = unit.key, unit.time_ns
        env = {**unit.env, BEFORE: folded.before and folded.before[1], GAP: folded.before and (time_ns - folded.before[0]) / 1e9}
        env[CLOCK] = wall_clock(time_ns, self.pipeline.zone)
        folded.before = (time_ns, unit.env)
        statistics: dict[str, Num] = {}
        for window in folded.windows:
            statistics.update(window.step(time_ns, env))
        env |= statistics
        behind = [window.step(time_ns, dict(env)) for window in folded.behind]
        for features in behind:
            env |= features
        detectors: list[Said] = []
        for d in view.detectors:
            if isinstance(d, Rule):
                detectors.append(judge_rule(d, env))
            elif isinstance(d, Range):
                detectors.append(judge_range(d, env))
            else:
                detectors.append(folded.lives[d.name].judge(env))
        voters, silent, told = sum(d.score is not None for d in detectors), False, list[str | None]()
        if folded.surprised is not None:
            ahead, told = folded.surprised.weigh([None if d.score is None else d.r for d in detectors], time_ns)
            silent = folded.surprised.silent
            for each, note in zip(detectors, told, strict=True):
                each.voted = ahead >= 0.0 and note is not None
                each.r = 1.0 + ahead if each.voted else each.r
        votes = sum(d.voted for d in detectors)
        counter = self.counters[view.name]
        for each in detectors:
            if each.score is not None:
                folded.spoke.add(each.name)
                counter.update([f"{each.name} verdicts", *[f"{each.name} votes"] * each.voted])
            else:
                counter[f"{each.name} {'none' if each.name in folded.spoke else 'warming_up'}"] += 1
        counter["windows"] += view.rollup is not None
        counter.update(f"{d.name}.{term}" for d in detectors for term in d.no_spread)
        counter["warming_up" if not voters else "abstained" if voters < view.quorum or silent else "scored"] += 1
        folded.judged += 1
        fires = voters >= view.quorum and votes >= view.quorum
        if fires and folded.quiet(view, time_ns, max(d.r or 0.0 for d in detectors if d.voted)):
            counter["in_cooldown"] += 1
        elif fires:
            for d, said in zip(view.detectors, detectors, strict=True):
                if said.name in folded.lives:
                    folded.lives[said.name].explain(env, said)
                elif isinstance(d, Rule | Range):
                    said.window = _held_against(d, folded, env, time_ns)
            for said, rare in zip(detectors, told, strict=False):
                said.note = "; ".join(filter(None, (said.note, rare)))
            severe = severity(detectors, dict(view.weights))
            spec = view.evidence()
            self.alerts.append(
                {
                    "view": view.name,
                    "key": key,
                    "time_ns": time_ns,
                    "alert_id": alert_id(self.pipeline.name, view.name, key, time_ns, unit.n),
                    "revision": unit.revision,
                    "status": "final",
                    "severity": severe,
                    "level": next((name for name, above in view.levels if severe > above), "low"),
                    "votes": votes,
                    "voters": voters,
                    "detectors": [{name: getattr(d, name) for name in DETECTOR_FIELDS} for d in detectors],
                    "row": unit.row,
                    "window": next((_span(window, time_ns) for window in folded.windows if window.spec is spec), None),
                    "statistics": statistics,
                }
            )
        for said in detectors:
            if said.name in folded.lives:
                folded.lives[said.name].learn(env, said, time_ns)
        return "scored" if voters else "history"

    # -- the ledger -----------------------------------------------------------------------------------------------------------

    def ledger(self) -> Ledger:
        """At this moment. A row of an open window that no row view has scored is pending; after `drain` none is."""
        ledger = Ledger(rows_in=len(self.outcome), views={name: Counter(counter) for name, counter in self.counters.items()})
        for outcome in self.outcome.values():
            category, _, reason = outcome.partition(" ")
            if category == "quarantined":
                ledger.quarantined[reason] += 1
            elif category == "open":
                if self.drained:
                    ledger.warming_up["history"] += 1
                else:
                    ledger.pending += 1
            elif category in {"history", "not_selected"}:
                ledger.warming_up[category] += 1
            else:
                setattr(ledger, category, getattr(ledger, category) + 1)
        return ledger


DETECTOR_FIELDS = (
    "name", "type", "version", "window", "score", "raw", "threshold", "voted", "observed", "expected", "contributions",
    "out_of_range", "note",
)  # fmt: skip


class _Reads(dict[str, Any]):
    """Notes which names an expression reads."""

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.names.add(name)
        return super().__getitem__(name)


def _held_against(detector: Rule | Range, folded: _Folded, env: Env, time_ns: int) -> dict[str, int | None] | None:
    """The window from which a rule's condition, or what is usual for a range's values, is read; of several the farthest."""
    reads = _Reads(env)
    if isinstance(detector, Rule):
        detector.judge(reads)
    else:
        for term in detector.terms:
            term.center(reads), term.below(reads), term.above(reads)
    windows = [window for window in (*folded.windows, *folded.behind) if reads.names & set(window.spec.features)]
    spec = farthest([window.spec for window in windows])
    return next((_span(window, time_ns) for window in windows if window.spec is spec), None)


def _span(window: _Seasonal | SlidingWindow | DecayedWindow, time_ns: int) -> dict[str, int | None]:
    if isinstance(window, DecayedWindow):
        n, first = window.seen
        return {"from": first, "to": time_ns, "n": n}
    held = window.held()
    return {"from": held[0].time_ns if held else None, "to": time_ns, "n": len(held)}


def window_start(time_ns: int, size_ns: int, zone: str) -> int:
    """Start of the tumbling window: local midnight for windows of one day, else multiples since the epoch."""
    if size_ns != DAY:
        return time_ns - time_ns % size_ns
    tz = ZoneInfo(zone)
    epoch = datetime(1970, 1, 1, tzinfo=ZoneInfo("UTC"))
    local = (epoch + timedelta(seconds=time_ns // SECOND)).astimezone(tz)
    midnight = datetime(local.year, local.month, local.day, tzinfo=tz)
    return (midnight - epoch) // timedelta(seconds=1) * SECOND


def _with_empty(
    cells: dict[tuple[str, int], list[_Accepted]], size_ns: int, zone: str, until_ns: int
) -> dict[tuple[str, int], list[_Accepted]]:
    """With a window without rows for every tick from a target's first window to before `until_ns` in which it has none."""
    out = dict(cells)
    for target in {target for target, _ in cells}:
        start = min(at for name, at in cells if name == target)
        while start < until_ns:
            out.setdefault((target, start), [])
            # No window is longer than its size and an hour, nor shorter than its size less an hour.
            start = window_start(start + size_ns + (4 * 3600 * SECOND if size_ns == DAY else 0), size_ns, zone)
    return out


def exact_aggregate(aggregate: Agg, envs: Iterable[Env]) -> Num:
    """An aggregate of a rollup: exact integers, then one rounding."""
    rows = list(envs)
    if aggregate.function == "count_rows":
        return float(len(rows))
    present = [value for env in rows if (value := aggregate.argument(env)) is not None]
    if aggregate.function == "count":
        return float(len(present))
    if aggregate.function == "distinct":
        return float(len(set(present)))
    if not present:
        return None
    if aggregate.function == "sum_exact":
        return float(sum(present)) / 10.0**aggregate.scale
    if aggregate.function == "mean":
        return (float(sum(present)) / len(present)) / 10.0**aggregate.scale
    extreme: float = min(present) if aggregate.function == "min" else max(present)
    return extreme


def run(pipeline: Pipeline, rows: Iterable[Row]) -> Oracle:
    oracle = Oracle(pipeline)
    for row in rows:
        oracle.feed(row)
    oracle.drain()
    return oracle
