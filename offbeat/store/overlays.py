"""What people did about episodes, in the tables of a store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, insert, select, update

from offbeat.core.episode_plan import MutePlan
from offbeat.errors import UserError
from offbeat.store.database import insert_into
from offbeat.store.incident import Action, Incident, Overlay
from offbeat.store.models import ACTIONS, ALERTS, INCIDENT_ALERTS, INCIDENTS, MUTES
from offbeat.store.rows import indexed_text

_AT_ONCE = 5_000


def storable(text: str) -> str:
    """What a person wrote, without what no database stores: NUL, and bytes that are no UTF-8."""
    return text.replace("\0", "␀").encode("utf-8", "replace").decode()


def overlays_of(connection: Connection, pipeline: str, since_ns: int | None) -> tuple[dict[str, str], dict[str, Overlay]]:
    """alert_id → incident_id of all alerts of a pipeline that are of an incident, from a time on; and the incidents by id."""
    rows = connection.execute(select(INCIDENTS).where(INCIDENTS.c.pipeline == indexed_text(pipeline))).all()
    found = {row.incident_id: Overlay(*row) for row in rows}
    if not found:
        return {}, {}
    asked = select(INCIDENT_ALERTS.c.alert_id, INCIDENT_ALERTS.c.incident_id).join(ALERTS, ALERTS.c.alert_id == INCIDENT_ALERTS.c.alert_id)
    asked = asked.where(ALERTS.c.pipeline == indexed_text(pipeline))
    if since_ns is not None:
        asked = asked.where(ALERTS.c.time_ns >= since_ns)
    return {row[0]: row[1] for row in connection.execute(asked)}, found


def act(connection: Connection, incident: Incident, action: str, who: str, at_ns: int, text: str, changes: dict[str, Any]) -> None:
    """Note an action, and make `changes` to the incident's row; all alerts that it has now are attached to it.

    Incidents that have become one with it go on as this one.
    """
    own, who = incident.incident_id, storable(who)
    changes = {name: storable(value) if isinstance(value, str) else value for name, value in changes.items()}
    for other in incident.others:
        connection.execute(update(INCIDENTS).where(INCIDENTS.c.incident_id == other).values(merged_into=own))
        connection.execute(update(INCIDENT_ALERTS).where(INCIDENT_ALERTS.c.incident_id == other).values(incident_id=own))
        _note(connection, own, "merged", who, at_ns, other)
    values = {"state": incident.state, "who": who, "at_ns": at_ns, "label": incident.label, "label_why": incident.label_why}
    values |= {"snoozed_until_ns": incident.snoozed_until_ns, **changes}
    if "state" not in changes and incident.who is not None:
        values |= {"who": incident.who, "at_ns": incident.at_ns}
    known = connection.execute(select(INCIDENTS.c.incident_id).where(INCIDENTS.c.incident_id == own)).first()
    if known is None:
        row = {"incident_id": own, "pipeline": indexed_text(incident.episode["pipeline"]), **values}
        connection.execute(insert_into(connection, INCIDENTS).values(row).on_conflict_do_nothing())
    # A comment settles nothing: alerts that came after a resolution still open the incident again.
    if changes or known is None:
        connection.execute(update(INCIDENTS).where(INCIDENTS.c.incident_id == own).values(**values))
        attach(connection, own, incident.episode["alert_ids"])
    _note(connection, own, action, who, at_ns, text)


def attach(connection: Connection, incident_id: str, alert_ids: Sequence[str]) -> None:
    """The alerts belong to the incident from now on."""
    statement = insert_into(connection, INCIDENT_ALERTS)
    statement = statement.on_conflict_do_update(index_elements=["alert_id"], set_={"incident_id": statement.excluded.incident_id})
    for start in range(0, len(alert_ids), _AT_ONCE):
        rows = [{"alert_id": one, "incident_id": incident_id} for one in alert_ids[start : start + _AT_ONCE]]
        connection.execute(statement, rows)


def _note(connection: Connection, incident_id: str, action: str, who: str, at_ns: int, text: str) -> None:
    row = {"incident_id": incident_id, "at_ns": at_ns, "who": storable(who), "action": action, "text": storable(text)}
    connection.execute(insert(ACTIONS).values(row))


def actions_of(connection: Connection, incident: Incident, overlays: dict[str, Overlay]) -> list[Action]:
    """Who did what to an incident and to those that are one with it, in that order."""
    ids = {incident.incident_id, *incident.others}
    while more := {name for name, one in overlays.items() if one.merged_into in ids} - ids:
        ids |= more
    asked = select(ACTIONS.c.incident_id, ACTIONS.c.at_ns, ACTIONS.c.who, ACTIONS.c.action, ACTIONS.c.text)
    return [Action(*row) for row in connection.execute(asked.where(ACTIONS.c.incident_id.in_(sorted(ids))).order_by(ACTIONS.c.number))]


def mutes_of(connection: Connection, pipeline: str) -> list[tuple[int, MutePlan]]:
    """The mutes of a pipeline that nobody has removed, by number."""
    columns = (MUTES.c.number, MUTES.c.key, MUTES.c.view, MUTES.c.reason, MUTES.c.since_ns, MUTES.c.until_ns)
    asked = select(*columns).where(MUTES.c.pipeline == indexed_text(pipeline), MUTES.c.removed_ns.is_(None)).order_by(MUTES.c.number)
    return [(row[0], MutePlan(*row[1:])) for row in connection.execute(asked)]


def add_mute(connection: Connection, pipeline: str, mute: MutePlan, who: str, at_ns: int) -> int:
    """Add a mute; its number."""
    row: dict[str, Any] = {"key": storable(mute.key), "view": storable(mute.view), "reason": storable(mute.reason)}
    row |= {"since_ns": mute.from_ns, "until_ns": mute.until_ns}
    row |= {"pipeline": indexed_text(pipeline), "who": storable(who), "at_ns": at_ns}
    return int(connection.execute(insert(MUTES).values(row).returning(MUTES.c.number)).scalar_one())


def remove_mute(connection: Connection, pipeline: str, number: int, who: str, at_ns: int) -> None:
    """Take a mute back; who and when is kept. Raises UserError where there is none of this number."""
    mine = (MUTES.c.number == number, MUTES.c.pipeline == indexed_text(pipeline), MUTES.c.removed_ns.is_(None))
    done = connection.execute(update(MUTES).where(*mine).values(removed_by=storable(who), removed_ns=at_ns))
    if not done.rowcount:
        raise UserError(f"there is no mute {number}")
