"""A run's alerts with how far each detector was over its limit: enough to know which of them stricter limits would leave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from offbeat.core.batch import F64, I64, Bools
from offbeat.core.plan import Plan
from offbeat.decide.block import RETRACTED
from offbeat.engines.cadence import with_cadence
from offbeat.engines.calibration.row_days import CountedSource, Days
from offbeat.engines.episodes import ready
from offbeat.engines.local import LocalEngine, cores
from offbeat.engines.run_result import Progress
from offbeat.errors import UserError
from offbeat.fold.episode_alerts import AlertFacts
from offbeat.fold.episodes import EpisodeFold, Episodes, episodes_of
from offbeat.io.read.open_source import open_source
from offbeat.spec.load import Pipeline, load_plan

Watch = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Judged:
    """n alerts of one run, each once."""

    plan: Plan
    days: Days
    keys: int
    facts: AlertFacts
    texts: list[str]
    fold: EpisodeFold
    ratio: F64
    """(d, n) of each detector of all views: how many times over its limit; NaN where it did not vote, or is of another view."""

    def __len__(self) -> int:
        return len(self.facts)

    @property
    def detectors(self) -> list[tuple[str, str]]:
        """(view, detector) of each row of `ratio`."""
        return detectors_of(self.plan)

    def left(self, factors: F64) -> Bools:
        """(n,) which alerts are left when a limit is `factors` (d,) times what it was: those with votes enough."""
        votes = (self.ratio >= factors[:, None]).sum(axis=0)
        quorum = np.array([view.quorum for view in self.plan.views])[self.facts.view]
        left: Bools = votes >= quorum
        return left

    def episodes(self, among: Bools | None = None) -> Episodes:
        """The episodes of these alerts, or of some of them."""
        facts = self.facts if among is None else self.facts.take(among)
        return episodes_of(self.fold.plan, self.fold.mutes, facts, self.texts)

    def attended(self) -> Bools:
        """(n,) alerts that are not muted."""
        names = [view.name for view in self.fold.plan.views]
        return self.fold.mutes.of(self.facts, self.texts, names) < 0


def detectors_of(plan: Plan) -> list[tuple[str, str]]:
    """(view, detector) of all detectors."""
    return [(view.name, detector.name) for view in plan.views for detector in view.detectors]


def judged(pipeline: Pipeline, sources: Sequence[str], overrides: Sequence[str], watch: Watch | None = None) -> Judged:
    """Run a pipeline over files, and keep what calibration needs. Raises UserError for a source that has no end."""
    plan = load_plan(pipeline, overrides)
    source = open_source(plan.source, list(sources))
    if source.live or "-" in sources:
        source.close()
        raise UserError("calibration reads its source several times: name files or folders")
    plan = with_cadence(plan, lambda known: load_plan(pipeline, (*overrides, known)), source, None)
    counted = CountedSource(source)
    engine = LocalEngine(plan, counted, keep=True, workers=cores())
    blocks = [block for block in engine.run(watch).blocks if len(block)]
    fold = EpisodeFold(ready(plan.episodes))
    order = {name: place for place, name in enumerate(detectors_of(plan))}
    ratios: list[F64] = []
    for block in blocks:
        fold.add(block)
        own = np.full((len(order), len(block)), np.nan)
        for detector in block.detectors:
            with np.errstate(divide="ignore"):
                ratio = np.where(detector.voted, detector.score / (1 - detector.score), np.nan)
            own[order[block.view, detector.name]] = ratio
        ratios.append(own)
    facts = fold.facts()
    # One alert may have come several times: the ratios are those of the record that counts.
    emitted = [record for block in blocks for record in _records(block.ids, block.revision, block.status)]
    at = {record: place for place, record in enumerate(emitted)}
    places: I64 = np.array([at[record] for record in _records(facts.ids, facts.revision, facts.status)], np.int64)
    ratio = np.concatenate(ratios, axis=1) if ratios else np.zeros((len(order), 0))
    standing = facts.status != RETRACTED
    days = Days(counted.hours, plan.zone)
    return Judged(plan, days, len(counted.keys), facts.take(standing), fold.texts, fold, ratio[:, places][:, standing])


def judged_records(plan: Plan, parts: Iterable[pl.DataFrame]) -> Judged:
    """As `judged`, of alerts read back: from a store, or from a file; nothing is known of days and keys."""
    fold = EpisodeFold(ready(plan.episodes))
    order = {name: place for place, name in enumerate(detectors_of(plan))}
    ratios: list[F64] = [np.zeros((len(order), 0))]
    for alerts in parts:
        fold.add_alerts(alerts)
        ratios.append(_ratios(alerts, order))
    facts = fold.facts()
    ratio = np.concatenate(ratios, axis=1)
    if len(facts) != ratio.shape[1]:
        raise UserError("alerts come several times: read the latest record of each")
    standing = facts.status != RETRACTED
    return Judged(plan, Days(Counter(), plan.zone), 0, facts.take(standing), fold.texts, fold, ratio[:, standing])


def _ratios(alerts: pl.DataFrame, order: Mapping[tuple[str, str], int]) -> F64:
    out = np.full((len(order), alerts.height), np.nan)
    field = pl.col("detectors").struct.field
    entries = alerts.select(pl.int_range(pl.len()).alias("at"), pl.col("view").cast(pl.String), "detectors").explode("detectors")
    voted = entries.filter(field("voted") & field("score").is_not_null())
    for at, view, name, score in voted.select("at", "view", field("name").cast(pl.String), field("score")).iter_rows():
        if (view, name) in order:
            out[order[view, name], at] = score / (1 - score) if score < 1 else np.inf
    return out


def _records(ids: np.ndarray, revision: I64, status: np.ndarray) -> list[tuple[bytes, int, int]]:
    data = ids.tobytes()
    names = [data[16 * place : 16 * place + 16] for place in range(len(revision))]
    return list(zip(names, revision.tolist(), status.tolist(), strict=True))
