"""Incidents of a store, by the pipeline that raised its alerts."""

from __future__ import annotations

from collections.abc import Sequence

from offbeat.core.plan import Plan
from offbeat.engines.episodes import ready
from offbeat.spec.load import plan_of_alerts
from offbeat.store.incidents import MOST_ALERTS, Incidents
from offbeat.store.store import Store


def plan_of_store(uri: str, pipeline: str | None = None, overrides: Sequence[str] = ()) -> Plan:
    """The pipeline whose alerts a store has: `pipeline` (a shipped name or a file), else the shipped one of that name.

    Raises UserError where that is not known, or the store has none of its alerts.
    """
    with Store.open(uri) as store:
        names = store.pipelines()
    return plan_of_alerts(names, "the store", pipeline, overrides)


def open_incidents(
    uri: str,
    pipeline: str | None = None,
    since_ns: int | None = None,
    overrides: Sequence[str] = (),
    most: int | None = MOST_ALERTS,
) -> Incidents:
    """The incidents of a pipeline in a store; `pipeline` as in `plan_of_store`, the rest as in `Incidents.open`."""
    return Incidents.open(uri, ready(plan_of_store(uri, pipeline, overrides).episodes), since_ns, most)
