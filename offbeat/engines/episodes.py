"""Episodes of a run, and of alerts that a run wrote before: the same ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from offbeat.core.episode_plan import EpisodePlan
from offbeat.core.plan import Plan
from offbeat.decide.block import AlertBlock
from offbeat.fold.episode_groups import unmatched_groups
from offbeat.fold.episodes import EpisodeFold, Episodes
from offbeat.fold.inhibitions import unmatched_rules
from offbeat.fold.mutes import Mutes
from offbeat.io.read.key_files import read_groups, read_mutes
from offbeat.io.write.episode_file import check_episode_file, write_episodes
from offbeat.io.write.episode_table import episode_table

_FEW = 1_000
"""A file of so many episodes is written after each batch,"""
_SELDOM = 20
"""and one of more after so many times as long as it took."""


def ready(plan: EpisodePlan, mutes: Path | None = None) -> EpisodePlan:
    """The plan with what its files hold. `mutes`: a file in the place of the plan's own. Raises UserError for one that cannot be read."""
    file = mutes or (Path(plan.mutes_file) if plan.mutes_file else None)
    if file is not None:
        plan = replace(plan, mutes=(*plan.mutes, *read_mutes(file)), mutes_file="")
    if plan.mapping_file is not None:
        plan = replace(plan, mapping=(*plan.mapping, *read_groups(plan.mapping_file)), mapping_file=None)
    return plan


def unmatched(plan: EpisodePlan, keys: Sequence[str]) -> list[str]:
    """What in a plan matches none of the keys, all that were seen: mutes, the mapping of groups, rules of inhibition [R20]."""
    return [*Mutes(plan.mutes).unmatched(keys), *unmatched_groups(plan, keys), *unmatched_rules(plan, keys)]


def episodes_of(plan: EpisodePlan, alerts: pl.DataFrame) -> Episodes:
    """The episodes of alerts as `read_alerts` gives them. Raises UserError for alerts that are not of this pipeline."""
    fold = EpisodeFold(plan)
    fold.add_alerts(alerts)
    return fold.episodes()


class RunEpisodes:
    """The episodes of one run.

    output: a file that holds them all at the end, and while a live run goes on. mutes: as in `ready`. Once a run with a state was asked
    for episodes, its state keeps what they are made of.
    """

    def __init__(self, plan: Plan, output: Path | None, mutes: Path | None) -> None:
        self.fold = EpisodeFold(ready(plan.episodes, mutes))
        self._output = output
        if output is not None:
            check_episode_file(output)
        self.kept = output is not None
        self._changed = True
        self._known: Episodes | None = None
        self._missed = 0
        self._next = 0.0
        """When a live run may write again."""

    @property
    def told(self) -> bool:
        """Whether their number belongs to what a run tells machines."""
        return self.kept or bool(self.fold.mutes.plans)

    def add(self, block: AlertBlock) -> None:
        """Alerts that the run emits."""
        self.fold.add(block)
        self._known, self._changed = None, True

    def now(self) -> Episodes:
        """The episodes of all alerts so far."""
        if self._known is None:
            self._known = self.fold.episodes()
        return self._known

    def write(self, *, goes_on: bool = False) -> None:
        """Bring the output up to date. Raises UserError where it cannot be written.

        goes_on: a live run, which comes back: a large file is written less often than each batch of rows.
        """
        began = time.monotonic()
        if self._output is None or not self._changed or (goes_on and began < self._next):
            return
        write_episodes(self._output, episode_table(self.now()))
        self._changed = False
        ended = time.monotonic()
        self._next = ended + _SELDOM * (ended - began) if len(self.now()) > _FEW else ended

    def notes(self, keys: Callable[[], Sequence[str]]) -> list[str]:
        """What a person has to know; `keys` tells all that the run saw."""
        plan = self.fold.plan
        notes = unmatched(plan, keys()) if plan.mutes or plan.mapping or plan.inhibit else []
        if self._missed and self.kept:
            notes.append(
                f"episodes: {self._missed:,} of earlier runs' alerts are not in them, as those ran without --episodes; "
                "`offbeat episodes ALERTS` has the episodes of all"
            )
        return notes

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any] | None]:
        """For a checkpoint; nothing where no run with this state was asked for episodes."""
        if not self.kept:
            return {}, None
        arrays, document = self.fold.state()
        return arrays, {**document, "missed": self._missed}

    def restore(self, arrays: Mapping[str, np.ndarray], document: Mapping[str, Any] | None, alerts: int) -> None:
        """Go on from a state with so many alerts."""
        if document is None:
            self._missed = alerts
            return
        self.kept, self._missed, self._known = True, int(document["missed"]), None
        self.fold.restore(arrays, document)
