"""Incidents of a store, by the pipeline that raised its alerts."""

from __future__ import annotations

from collections.abc import Sequence

from offbeat.core.plan import Plan
from offbeat.engines.episodes import ready
from offbeat.errors import UserError
from offbeat.spec.load import load_plan, shipped
from offbeat.store.incidents import MOST_ALERTS, Incidents
from offbeat.store.store import Store


def plan_of_store(uri: str, pipeline: str | None = None, overrides: Sequence[str] = ()) -> Plan:
    """The pipeline whose alerts a store has: `pipeline` (a shipped name or a file), else the shipped one of that name.

    Raises UserError where that is not known, or the store has none of its alerts.
    """
    with Store.open(uri) as store:
        names = store.pipelines()
    if pipeline is not None:
        plan = load_plan(pipeline, overrides)
        if plan.name not in names:
            others = f"; it has those of {', '.join(names)}" if names else ""
            raise UserError(f"the store has no alerts of pipeline {plan.name!r}{others}")
        return plan
    if not names:
        raise UserError("the store has no alerts")
    if len(names) > 1:
        raise UserError(f"the store has alerts of pipelines {', '.join(names)}; name one with --pipeline")
    if names[0] not in shipped():
        raise UserError(f"the alerts are of pipeline {names[0]!r}, which is not shipped: name its file with --pipeline FILE.yaml")
    return load_plan(names[0], overrides)


def open_incidents(
    uri: str,
    pipeline: str | None = None,
    since_ns: int | None = None,
    overrides: Sequence[str] = (),
    most: int | None = MOST_ALERTS,
) -> Incidents:
    """The incidents of a pipeline in a store; `pipeline` as in `plan_of_store`, the rest as in `Incidents.open`."""
    return Incidents.open(uri, ready(plan_of_store(uri, pipeline, overrides).episodes), since_ns, most)
