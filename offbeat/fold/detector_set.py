"""All detectors of a view over a batch of its rows: verdicts, votes, and the evidence of what is reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from offbeat.core.batch import F64, I32, I64, NULL_INT, Bools
from offbeat.core.evidence import Evidence, WindowSpan
from offbeat.core.plan import ViewPlan
from offbeat.core.state import Arrays, prefixed, under
from offbeat.decide.surprise import Surprise
from offbeat.decide.vote import Decisions, Vote
from offbeat.detectors.build import Surroundings, detectors_of
from offbeat.detectors.detector import Detector, DetectorInput, Kind, RawRows, Verdicts
from offbeat.fold.held_against import held_against
from offbeat.fold.local_time import local_days
from offbeat.fold.rounds import Rounds, rounds_of

_VOTE = "(vote)"
"""Stands among the names of detectors in the state, where none can be called so."""
_NOT_ASKED = {
    Kind.ROWS: "no verdict: the window is not missing",
    Kind.OPEN: "no verdict: judges when the window is over",
    Kind.MISSING: "no verdict: the window has no row",
}
"""Why a detector has no verdict on rows that it does not judge."""


class DetectorSet:
    """The detectors of one view, and their vote. After `judge` come `verdicts` and `evidence` of the same batch."""

    def __init__(self, view: ViewPlan, seed: int, raw: RawRows | None = None) -> None:
        """raw: from which rows that detectors keep can be made again."""
        self._detectors = detectors_of(Surroundings(view, seed, local_days(view.rollup), raw))
        self._vote = Vote(view.quorum, tuple(limit for _, limit in view.levels), view.weights)
        self._surprise = Surprise(len(view.detectors), view.budget) if view.budget is not None else None
        self.held = held_against(view)
        """By detector, as `held_against` has them."""
        self._asked = {kind: {d: each for d, each in enumerate(self._detectors) if kind in each.judges} for kind in Kind}
        self._kind = Kind.ROWS
        self._rounds: Rounds | None = None
        self._cut: dict[int, Detector] = {}
        """Those that judged the last batch in rounds."""
        self.verdicts: list[Verdicts] = []
        """Each detector's verdicts on the last batch."""
        self.score: F64 = np.zeros((0, 0))
        self.voted: Bools = np.zeros((0, 0), np.bool_)
        """(detectors, n) of the same."""

    def judging(self, kind: Kind) -> int:
        """How many detectors judge a kind of rows."""
        return len(self._asked[kind])

    def judges(self, kind: Kind) -> list[int]:
        """Which detectors judge a kind of rows."""
        return list(self._asked[kind])

    def judge(self, batch: DetectorInput, before: Bools) -> Decisions:
        """Votes on n rows; those marked in `before` (n,) are reported in any case. Who does not judge such rows has no verdict."""
        n, asked = len(batch), self._asked[batch.kind]
        cuts = {d: cut for d, detector in asked.items() if (cut := detector.cuts(batch)) is not None}
        self._kind, self._rounds = batch.kind, rounds_of(batch, list(cuts.values())) if cuts else None
        self._cut = {} if self._rounds is None else {d: asked[d] for d in cuts}
        verdicts = {d: detector.judge(batch) for d, detector in asked.items() if d not in self._cut}
        self.verdicts = [verdicts[d] if d in verdicts else Verdicts.none(n) for d in range(len(self._detectors))]
        score = np.array([found.score for found in self.verdicts])
        voted = np.array([found.voted for found in self.verdicts])
        exceedance = np.array([found.exceedance for found in self.verdicts])
        surprise = self._surprise
        if surprise is not None:
            surprise.begin(n)
        if self._rounds is not None:
            self._judge_in_rounds(self._rounds, batch, before, score, voted, exceedance)
        elif surprise is not None:
            surprise.weigh(np.arange(n), len(batch.names), batch.slots, batch.time_ns, score, exceedance, voted)
        self.score, self.voted = score, voted
        weighed = np.full((len(self._vote.ratios), n), np.nan)
        for row, (d, term) in enumerate(self._vote.ratios):
            if d in asked:
                weighed[row] = self.verdicts[d].ratios[term]
        if surprise is None:
            return self._vote.decide(score, voted, exceedance, before, weighed)
        self.verdicts = [replace(found, voted=mine) for found, mine in zip(self.verdicts, voted, strict=True)]
        return self._vote.decide(score, voted, surprise.strength, before, weighed, surprise.silent)

    def vote_score(self) -> F64 | None:
        """(n,) by how much each row of the last batch surprises, from 0 to 1; None where votes are counted."""
        if self._surprise is None:
            return None
        totals = self._surprise.totals
        return np.where(self._surprise.silent, np.nan, totals / (1.0 + totals))

    def _judge_in_rounds(self, rounds: Rounds, batch: DetectorInput, before: Bools, score: F64, voted: Bools, exceedance: F64) -> None:
        """Let detectors whose models change judge round by round, and explain what is reported before they do."""
        reported = before.copy() if len(before) else np.zeros(score.shape[1], np.bool_)
        detectors = list(self._cut.values())
        for part, rows in rounds.parts:
            for d, detector in self._cut.items():
                found = detector.judge(part)
                score[d, rows], voted[d, rows], exceedance[d, rows] = found.score, found.voted, found.exceedance
            if self._surprise is not None:
                self._surprise.weigh(rows, len(batch.names), batch.slots, batch.time_ns, score, exceedance, voted)
            if len(rounds.parts) > 1 and (self._vote.mark(score, voted, rows, reported) or len(before)):
                rounds.explain(detectors, rows, np.flatnonzero(reported[rows]))
        for d in self._cut:
            self.verdicts[d] = Verdicts(score[d], voted[d], exceedance[d], np.empty((0, score.shape[1])))

    def evidence(self, index: I64, spans: Mapping[int, WindowSpan]) -> tuple[Evidence, ...]:
        """Each detector's evidence of the reported rows (m,) of the last batch. `spans`: what the windows in `held` hold for those rows."""
        cut: dict[int, Evidence] = {}
        if self._rounds is not None:
            cut = dict(zip(self._cut, self._rounds.evidence(list(self._cut.values()), index), strict=True))
        found = (cut[d] if d in cut else self._evidence(d, index, spans) for d in range(len(self._detectors)))
        if self._surprise is None:
            return tuple(found)
        return tuple(self._rarity(self._surprise, each, d, index) for d, each in enumerate(found))

    def _rarity(self, surprise: Surprise, found: Evidence, d: int, index: I64) -> Evidence:
        """The evidence with how rare it is in place of the detector's own vote."""
        voted = self.voted[d, index]
        rare = (told if mine else "" for told, mine in zip(surprise.told(d, index), voted.tolist(), strict=True))
        notes = ("; ".join(filter(None, pair)) for pair in zip(found.notes or ("",) * len(index), rare, strict=True))
        return replace(found, voted=voted, notes=tuple(notes))

    def _evidence(self, d: int, index: I64, spans: Mapping[int, WindowSpan]) -> Evidence:
        detector, held = self._detectors[d], self.held[d]
        if self._kind not in detector.judges:
            return Evidence.no_verdict(detector.name, detector.type, len(index), _NOT_ASKED[self._kind])
        return replace(detector.explain(index), window=spans[held]) if held in spans else detector.explain(index)

    def missing(self, slots: I32, starts: I64, keys: int, until_ns: int) -> list[tuple[I32, I64]]:
        """Windows that detectors miss, as `Detector.missing` has it."""
        return [detector.missing(slots, starts, keys, until_ns) for detector in self._detectors if Kind.MISSING in detector.judges]

    def no_spread(self) -> dict[str, int]:
        """DETECTOR.VALUE → rows of the last batch in which the value was left out, as what is usual for it had no spread."""
        return {f"{detector.name}.{value}": n for detector in self._detectors for value, n in detector.left_out().items()}

    def as_of(self, time_ns: int) -> int:
        """As `Detector.as_of`, of all detectors."""
        return min(detector.as_of(time_ns) for detector in self._detectors)

    def models(self) -> dict[str, bytes]:
        """By detector: the file of its newest model of all keys."""
        return {detector.name: file for detector in self._detectors if (file := detector.model()) is not None}

    def untrained(self) -> list[str]:
        """Why some detectors have no model for any key."""
        reasons: dict[str, list[str]] = {}
        for detector in self._detectors:
            reasons.setdefault(detector.untrained(), []).append(detector.name)
        return [f"{' and '.join(names)}: {why}" for why, names in reasons.items() if why]

    def learned_ns(self) -> dict[str, int]:
        """By detector with a model, the time of the last row that the newest one was trained on."""
        found = {detector.name: detector.learned_ns() for detector in self._detectors}
        return {name: time_ns for name, time_ns in found.items() if time_ns != NULL_INT}

    def snapshot(self, slots: I64) -> Arrays:
        """State of the detectors for some slots."""
        out: Arrays = {}
        for detector in self._detectors:
            out |= prefixed(detector.name, detector.snapshot(slots))
        return out if self._surprise is None else out | prefixed(_VOTE, self._surprise.snapshot(slots))

    def restore(self, arrays: Arrays, names: Sequence[str]) -> None:
        """Take over a snapshot; `names` are the keys of its slots."""
        for detector in self._detectors:
            detector.restore(under(detector.name, arrays), names)
        if self._surprise is not None:
            self._surprise.restore(under(_VOTE, arrays))
