"""All detectors of a view over a batch of its rows: verdicts, votes, and the reasons for what is reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from offbeat.core.batch import F64, I32, I64, Bools
from offbeat.core.compiled import compiled
from offbeat.core.evidence import Evidence, WindowSpan
from offbeat.core.plan import DetectorPlan, ModelPlan, PopulationPlan, RangePlan, RulePlan, ViewPlan
from offbeat.core.state import Arrays, prefixed, under
from offbeat.decide.vote import Decisions, Vote
from offbeat.detectors.population_forest.population_forest import PopulationForest
from offbeat.detectors.range.range import Range
from offbeat.detectors.rule.rule import Rule
from offbeat.detectors.trained.trained import Trained, VerdictMatrices
from offbeat.detectors.verdict import Verdicts
from offbeat.fold.absent_windows import THERE
from offbeat.fold.held_against import held_against
from offbeat.fold.local_time import local_days
from offbeat.fold.rebuild import Rebuild

_NOBODY: Bools = np.zeros(0, np.bool_)
_LATER = "no verdict: judges when the window is over"


class DetectorSet:
    """The detectors of one view. Those that are trained on the same rows share them."""

    def __init__(self, view: ViewPlan, seed: int) -> None:
        self._plans = view.detectors
        self.held = held_against(view)
        """By detector, as `held_against` has them."""
        self._vote = Vote(view.quorum, tuple(limit for _, limit in view.levels), view.weights)
        self._plain: dict[int, Rule | Range] = {}
        self._population: dict[int, PopulationForest] = {}
        courses: dict[tuple[object, ...], list[int]] = {}
        for d, plan in enumerate(view.detectors):
            if isinstance(plan, RulePlan):
                self._plain[d] = Rule(plan)
            elif isinstance(plan, RangePlan):
                self._plain[d] = Range(plan)
            elif isinstance(plan, PopulationPlan):
                self._population[d] = PopulationForest(plan, view.name, seed, local_days(view.rollup))
            elif isinstance(plan, ModelPlan):
                courses.setdefault((plan.inputs, plan.train_on, plan.retrain_every, plan.train_min), []).append(d)
        self._early = {d: plain for d, plain in self._plain.items() if _speaks_early(view.detectors[d])}
        self._courses = {tuple(group): Trained([self._model(d) for d in group], seed) for group in courses.values()}
        self._outputs: F64 = np.zeros((0, 0))
        self._said: tuple[F64, Bools, F64, list[F64]] = self._outputs, np.zeros((0, 0), np.bool_), self._outputs, []

    def _model(self, d: int) -> ModelPlan:
        plan = self._plans[d]
        if not isinstance(plan, ModelPlan):
            raise TypeError(f"{plan.name} is not trained")
        return plan

    def judge(self, names: Sequence[str], slots: I32, time_ns: I64, outputs: F64, numbers: I64, before: Bools) -> Decisions:
        """Judge n rows in fold order by the (o, n) outputs of the view's program.

        `names` are the keys of all slots; `time_ns` (n,) the rows' event times or the starts of the windows; `numbers` (n,) those of the
        rows among their key's; rows marked in `before` (n,) are reported in any case.
        """
        n, d = len(slots), len(self._plans)
        self._outputs = outputs
        score, voted, exceedance = np.full((d, n), np.nan), np.zeros((d, n), np.bool_), np.full((d, n), np.nan)
        ratios: list[F64] = [np.empty((0, n))] * d
        words = {number: detector.judge(outputs) for number, detector in self._plain.items()}
        words |= {number: forest.judge(names, slots, time_ns, outputs) for number, forest in self._population.items()}
        for number, said in words.items():
            score[number], voted[number], exceedance[number], ratios[number] = said.score, said.voted, said.exceedance, said.ratios
        if self._courses:
            self._train_and_judge(names, slots, time_ns, outputs, numbers, before, score, voted, exceedance)
        self._said = score, voted, exceedance, ratios
        weighed = np.array([ratios[number][term] for number, term in self._vote.ratios]).reshape(len(self._vote.ratios), n)
        return self._vote.decide(score, voted, exceedance, before, weighed)

    def no_spread(self) -> Counter[str]:
        """DETECTOR.VALUE → rows of the last batch in which the value was left out, as what is usual for it had no spread."""
        found: Counter[str] = Counter()
        for detector in self._plain.values():
            if isinstance(detector, Range):
                counts = detector.without_spread(self._outputs).tolist()
                found.update({f"{detector.name}.{value}": n for value, n in zip(detector.features, counts, strict=True) if n})
        return found

    @property
    def fires_early(self) -> int:
        """How many detectors may fire on windows that are still open."""
        return len(self._early)

    def early(self, outputs: F64) -> Decisions:
        """As `judge`, of n windows that are still open, by the detectors that can speak of such alone."""
        n, d = outputs.shape[1], len(self._plans)
        self._outputs = outputs
        score, voted, exceedance = np.full((d, n), np.nan), np.zeros((d, n), np.bool_), np.full((d, n), np.nan)
        ratios: list[F64] = [np.empty((0, n))] * d
        for number, detector in self._early.items():
            said = detector.judge(outputs, above=True) if isinstance(detector, Range) else detector.judge(outputs)
            score[number], voted[number], exceedance[number], ratios[number] = said.score, said.voted, said.exceedance, said.ratios
        self._said = score, voted, exceedance, ratios
        weighed = np.array([ratios[number][term] if number in self._early else np.full(n, np.nan) for number, term in self._vote.ratios])
        return self._vote.decide(score, voted, exceedance, _NOBODY, weighed.reshape(len(self._vote.ratios), n))

    def _train_and_judge(
        self,
        names: Sequence[str],
        slots: I32,
        time_ns: I64,
        outputs: F64,
        numbers: I64,
        before: Bools,
        score: F64,
        voted: Bools,
        exceedance: F64,
    ) -> None:
        n = len(slots)
        rounds: I32 = np.zeros(n, np.int32)
        for course in self._courses.values():
            course.open(names, slots, time_ns, outputs, numbers, rounds)
        order = np.arange(n) if _in_order(rounds, slots) else _sorted(rounds, slots)
        last = int(rounds[order[-1]]) if n else 0
        ends = np.searchsorted(rounds[order], np.arange(last + 1), side="right").tolist() if last else [n]
        for group, course in self._courses.items():
            course.sort(slots, outputs, order, VerdictMatrices(group, score, voted, exceedance))
        reported = before.copy() if len(before) else np.zeros(n, np.bool_)
        begin = 0
        for end in ends:
            for course in self._courses.values():
                course.judge(begin, end)
            found = self._vote.mark(score, voted, order[begin:end], reported)
            for course in self._courses.values():
                if found or len(before):
                    course.explain(begin, end, reported)
                course.learn(begin, end)
            begin = end

    def learn(self, names: Sequence[str], slots: I32, time_ns: I64, outputs: F64) -> None:
        """Show the models of all keys n rows that are not judged now."""
        for forest in self._population.values():
            forest.learn(names, slots, time_ns, outputs)

    def since(self, until_ns: int) -> int:
        """Start of the first window that some model of all keys learns from, where it is fixed at `until_ns`."""
        return min((forest.since(until_ns) for forest in self._population.values()), default=until_ns)

    def fix(self, until_ns: int) -> None:
        """From here on one model of all keys, of what was learnt up to `until_ns`, judges the very windows that it learnt from [S16].

        Raises ValueError where not all of it is kept.
        """
        for forest in self._population.values():
            forest.fix(forest.since(until_ns), until_ns)

    def newest(self) -> dict[str, bytes]:
        """By detector: the file of its newest model of all keys."""
        files = {self._plans[d].name: forest.newest() for d, forest in self._population.items()}
        return {name: file for name, file in files.items() if file is not None}

    @property
    def verdicts(self) -> Sequence[Verdicts]:
        """What each detector said of the last batch."""
        return [Verdicts(*said) for said in zip(*self._said, strict=True)]

    def evidence(self, index: I64, spans: Mapping[int, WindowSpan], *, early: bool = False) -> tuple[Evidence, ...]:
        """What each detector said of the reported rows of the last batch, which was one of `early` or of `judge`.

        `spans`: what the windows in `held` hold for those rows.
        """
        verdicts = self.verdicts
        found: dict[int, Evidence] = {}
        for d, detector in (self._early if early else self._plain).items():
            said, held = detector.evidence(self._outputs, verdicts[d], index), self.held[d]
            found[d] = said if held < 0 else replace(said, window=spans[held])
        if not early:
            found |= {d: forest.evidence(index) for d, forest in self._population.items()}
            for group, course in self._courses.items():
                found |= dict(zip(group, course.evidence(index), strict=True))
        why = _LATER if early else THERE
        return tuple(found.get(d) or Evidence.silent(plan.name, plan.type, len(index), why) for d, plan in enumerate(self._plans))

    def untrained(self) -> list[str]:
        """Why some detectors have no model for any key."""
        reasons = [course.untrained() for course in self._courses.values()]
        return [why for why in (*reasons, *(forest.untrained() for forest in self._population.values())) if why]

    def snapshot(self, slots: int, remake: Rebuild | None) -> Arrays:
        """State of the trained detectors for the first `slots` slots, without the rows that `remake` can make again."""
        out: Arrays = {}
        for group, course in self._courses.items():
            without = remake.covers(course.first(slots)) if remake is not None else np.zeros(slots, np.bool_)
            out |= prefixed(self._plans[group[0]].name, course.snapshot(slots, without))
        for d, forest in self._population.items():
            out |= prefixed(self._plans[d].name, forest.snapshot())
        return out

    def restore(self, arrays: Arrays, names: Sequence[str], remake: Rebuild | None) -> None:
        """Take over a snapshot."""
        for d, forest in self._population.items():
            forest.restore(under(self._plans[d].name, arrays))
        for group, course in self._courses.items():
            missing = course.restore(under(self._plans[group[0]].name, arrays), names)
            first = course.first(len(names))
            if remake is not None:
                for slots in remake.batches(missing):
                    course.fill(slots, *remake.outputs(slots, first[slots]))


def _speaks_early(plan: DetectorPlan) -> bool:
    return isinstance(plan, RulePlan | RangePlan) and plan.early


@compiled
def _in_order(rounds: I32, slots: I32) -> bool:
    """Whether rows stand by round, then by key, as those of a single key always do."""
    ordered = True
    for i in range(1, len(rounds)):
        ordered = ordered and (rounds[i] > rounds[i - 1] or (rounds[i] == rounds[i - 1] and slots[i] >= slots[i - 1]))
    return ordered


def _sorted(rounds: I32, slots: I32) -> I64:
    """Rows by round, then by key, then as they stand."""
    place = rounds.astype(np.int64) * (int(slots.max(initial=0)) + 1) + slots
    return np.argsort(place, kind="stable")
