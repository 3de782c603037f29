"""What people said of a store's incidents, and the limits that follow from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from offbeat.core.batch import I64
from offbeat.core.plan import Plan
from offbeat.engines.calibration.calibrate import Settings, settings_for
from offbeat.engines.calibration.judged_alerts import Judged, judged_records
from offbeat.engines.calibration.learn import Lesson, learn
from offbeat.engines.episodes import ready
from offbeat.spec.yaml_edit import edited
from offbeat.store.database import Database
from offbeat.store.incident import FALSE, REAL, Incident
from offbeat.store.incidents import Incidents
from offbeat.store.lines import stored_alerts

_MUTE_FROM = 2
"""So many false incidents of a key, and no real one, are worth a word."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A pipeline's file with limits that were learned. Nothing is applied yet."""

    changed: str
    settings: Settings
    untouched: tuple[str, ...]
    lesson: Lesson
    run: Judged
    """The store's alerts."""
    labelled: tuple[Incident, ...]
    staying: tuple[Incident, ...]
    """False incidents that stay."""
    mutes: tuple[str, ...]
    """Keys with false incidents alone."""


def propose(database: Database, plan: Plan, text: str, since_ns: int | None = None, overrides: Sequence[str] = ()) -> Proposal:
    """Learn limits from the labels in a store. `text`: the pipeline's file. Raises UserError where there are too few labels."""
    incidents = Incidents(database, ready(plan.episodes), since_ns, most=None)
    labelled = [incident for incident in incidents.every() if incident.label is not None]
    run = judged_records(plan, stored_alerts(database, plan.name, [view.name for view in plan.views], since_ns))
    numbers = {row.tobytes().hex(): place for place, row in enumerate(run.facts.ids)}

    def alerts(label: str) -> list[I64]:
        own = [incident.episode["alert_ids"] for incident in labelled if incident.label == label]
        return [np.array([numbers[one] for one in ids if one in numbers], np.int64) for ids in own]

    lesson = learn(run, alerts(REAL), alerts(FALSE))
    settings, untouched = settings_for(text, run, lesson.factors, lesson.shares, overrides)
    left = run.left(lesson.factors)
    staying = [
        incident
        for incident in labelled
        if incident.label == FALSE and any(left[numbers[one]] for one in incident.episode["alert_ids"] if one in numbers)
    ]
    return Proposal(edited(text, settings), settings, untouched, lesson, run, tuple(labelled), tuple(staying), _mutes(labelled))


def _mutes(labelled: Sequence[Incident]) -> tuple[str, ...]:
    false = Counter(key for one in labelled if one.label == FALSE for key in one.episode["keys"])
    real = {key for one in labelled if one.label == REAL for key in one.episode["keys"]}
    return tuple(key for key, count in false.most_common() if count >= _MUTE_FROM and key not in real)
