"""Incidents: what people did stays with the alerts, whatever later alerts make of the episodes. On SQLite and on PostgreSQL."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Command, offbeat
from small_runs import ran
from sqlalchemy import text

from offbeat.core.episode_plan import MutePlan
from offbeat.engines.episodes import ready
from offbeat.engines.incidents import open_incidents
from offbeat.errors import UserError
from offbeat.spec.load import load_plan
from offbeat.store.incident import Incident
from offbeat.store.incidents import Incidents
from offbeat.store.open import open_database

__all__ = ["offbeat"]

PIPELINE = """
name: p
source: {key: k, time: ts, columns: {v: float, team: {type: text, required: false}}}
views: {row: {detectors: {high: {type: rule, when: v > 1}}}}
"""
Put = Callable[..., None]


@pytest.fixture
def put(offbeat: Command, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Put:
    """Alerts at some minutes after 9:00 of key a, or as `KEY MINUTE`; the severity of one is 1 - 1/v."""
    monkeypatch.chdir(tmp_path)
    Path("p.yaml").write_text(PIPELINE)

    def write(*alerts: int | str, v: float = 4) -> None:
        pairs = [("a", one) if isinstance(one, int) else (one.split()[0], int(one.split()[1])) for one in alerts]
        rows = "".join(f"{key},2024-01-01T{9 + minute // 60:02d}:{minute % 60:02d}:00,{v},{key}-team\n" for key, minute in sorted(pairs))
        Path("rows.csv").write_text("k,ts,v,team\n" + rows)
        ran(offbeat, "p.yaml", "rows.csv", "--alerts", store)

    return write


@pytest.fixture
def opened(store: str) -> Callable[..., Incidents]:
    return lambda **more: open_incidents(store, "p.yaml", **more)


def minutes(incident: Incident) -> tuple[str, str, int]:
    return incident.episode["start"][11:16], incident.episode["end"][11:16], incident.episode["alerts"]


@pytest.mark.heavy
def test_a_late_alert_that_merges_two_episodes_keeps_the_acknowledgement(put: Put, opened: Callable[..., Incidents]) -> None:
    put(0, 10, 50)
    with opened() as incidents:
        first, second = sorted(incidents.waiting(), key=minutes)
        acknowledged = incidents.acknowledge(second, "ana", "on it")
        assert (acknowledged.state, acknowledged.who, acknowledged.incident_id) == ("acknowledged", "ana", second.incident_id)
        put(30)
        assert incidents.refresh()
        (merged,) = incidents.every()
        assert (merged.state, merged.who, minutes(merged)) == ("acknowledged", "ana", ("09:00", "09:50", 4))
        assert merged.episode["episode_id"] == first.incident_id, "the episode has the name of its first alert"
        assert merged.incident_id == second.incident_id, "the incident has the name by which people know it"
        for name in (first.incident_id[:10], second.incident_id):
            assert incidents.incident(name) == merged
        assert [(one.who, one.action, one.text) for one in incidents.actions(merged)] == [("ana", "acknowledged", "on it")]


def test_two_that_people_know_become_one_with_the_work_that_is_left(put: Put, opened: Callable[..., Incidents]) -> None:
    put(0, 50)
    with opened() as incidents:
        first, second = sorted(incidents.waiting(), key=minutes)
        incidents.close_incident(first, "ana")
        incidents.acknowledge(second, "ben")
        put(25)
        incidents.refresh()
        (merged,) = incidents.every()
        assert (merged.incident_id, merged.state, merged.who, merged.others) == (
            first.incident_id,
            "acknowledged",
            "ben",
            (second.incident_id,),
        )
        done = incidents.resolve(merged, "cem", "cable")
        assert (done.state, done.others) == ("resolved", ())
        assert incidents.incident(second.incident_id).incident_id == first.incident_id
        told = [(one.who, one.action) for one in incidents.actions(done)]
        assert told == [("ana", "closed"), ("ben", "acknowledged"), ("cem", "merged"), ("cem", "resolved")]


def test_an_earlier_alert_renames_the_episode_and_not_the_incident(put: Put, opened: Callable[..., Incidents]) -> None:
    put(30)
    with opened() as incidents:
        (before,) = incidents.waiting()
        incidents.comment(before, "ana", "odd")
        put(10)
        incidents.refresh()
        (after,) = incidents.waiting()
        assert after.episode["episode_id"] != before.episode["episode_id"]
        assert after.incident_id == before.incident_id
        assert [one.text for one in incidents.actions(after)] == ["odd"]


STATES = [
    ("acknowledge", "acknowledged", False),
    ("resolve", "open", True),
    ("close_incident", "open", True),
    ("suppress", "suppressed", False),
]


@pytest.mark.heavy
@pytest.mark.parametrize(("does", "state", "reopened"), STATES)
def test_an_alert_that_comes_later(put: Put, opened: Callable[..., Incidents], does: str, state: str, reopened: bool) -> None:
    put(0)
    with opened() as incidents:
        (before,) = incidents.waiting()
        done = getattr(incidents, does)(before, "ana")
        put(0, v=5)  # the same alert again, more severe: nothing new came
        incidents.refresh()
        assert incidents.incident(before.incident_id).state == done.state
        put(10)
        incidents.refresh()
        (after,) = incidents.every()
        assert (after.state, after.reopened, after.episode["alerts"]) == (state, reopened, 2)
        commented = incidents.comment(after, "ben", "again?")
        assert (commented.state, commented.reopened) == (state, reopened), "a comment settles nothing"


def test_snoozed_muted_labelled(put: Put, opened: Callable[..., Incidents]) -> None:
    put("a 0", "b 5", "c 9", v=4)
    with opened() as incidents:
        a, b, c = sorted(incidents.waiting(), key=minutes)
        now = time.time_ns()
        incidents.snooze(a, "ana", now + 10**12)
        number = incidents.mute("ana", MutePlan("b*", "", "test bench", None, None))
        label = incidents.label(c, "ben", "false", "a fair")
        assert (label.label, label.label_why, label.state) == ("false", "a fair", "open")
        assert [one.incident_id for one in incidents.waiting()] == [c.incident_id]
        assert {one.incident_id for one in incidents.waiting(now_ns=now + 2 * 10**12)} == {a.incident_id, c.incident_id}
        assert [one.muted for one in incidents.listed(quiet=True, keys=["b"])] == ["test bench"]
        incidents.unmute("ana", number)
        assert incidents.mutes() == []
        assert b.incident_id in {one.incident_id for one in incidents.waiting()}
        assert incidents.label(c, "ben", None).label is None
        with pytest.raises(UserError, match="there is no mute 99"):
            incidents.unmute("ana", 99)
        with pytest.raises(UserError, match="a label is real or false"):
            incidents.label(c, "ben", "perhaps")


def test_people_at_once_lose_nothing(put: Put, opened: Callable[..., Incidents]) -> None:
    put(0)
    refused: list[BaseException] = []

    def works(who: str) -> None:
        try:
            with opened() as incidents:
                for number in range(5):
                    (one,) = incidents.every()
                    incidents.comment(one, who, str(number))
                    incidents.acknowledge(one, who)
        except BaseException as error:
            refused.append(error)

    people = [threading.Thread(target=works, args=(who,)) for who in ("ana", "ben", "cem")]
    for person in people:
        person.start()
    for person in people:
        person.join()
    assert refused == []
    with opened() as incidents:
        (one,) = incidents.every()
        told = [(action.who, action.text) for action in incidents.actions(one) if action.action == "comment"]
        assert sorted(told) == [(who, str(number)) for who in ("ana", "ben", "cem") for number in range(5)]
        assert one.state == "acknowledged"


def test_the_store_has_the_episodes_of_the_run(offbeat: Command, put: Put, store: str, opened: Callable[..., Incidents]) -> None:
    put("a 0", "b 5", "a 20", "a 55", "b 100")
    for setting in ("episodes.quiet=30m", "episodes.group={column: team}"):
        ran(offbeat, "p.yaml", "rows.csv", "--episodes", "e.jsonl", "--set", setting)
        run = [json.loads(line) | {"detectors": []} for line in Path("e.jsonl").read_text().splitlines()]
        with open_incidents(store, "p.yaml", overrides=[setting]) as incidents:
            told = [incident.episode | {"detectors": []} for incident in incidents.every()]
            assert sorted(told, key=lambda one: one["episode_id"]) == sorted(run, key=lambda one: one["episode_id"])
    with opened(since_ns=1704105000_000000000) as incidents:  # 10:30
        assert [minutes(one) for one in incidents.every()] == [("10:40", "10:40", 1)]
    with opened() as incidents:
        a = next(one for one in incidents.every() if minutes(one) == ("09:00", "09:20", 2))
        incidents.acknowledge(a, "ana")
    database = open_database(store, write=False)
    newest = Incidents(database, ready(load_plan("p.yaml").episodes), most=3)
    states = {minutes(one): one.state for one in newest.every()}
    assert states == {("09:20", "09:20", 1): "acknowledged", ("09:55", "09:55", 1): "open", ("10:40", "10:40", 1): "open"}
    newest.close()


@pytest.mark.heavy
def test_through_the_command(offbeat: Command, put: Put, store: str) -> None:
    put("a 0", "b 5")
    on = ("incidents", store)
    by = ("--pipeline", "p.yaml", "--who", "ana")
    listed = [json.loads(line) for line in offbeat(*on, "list", *by, "--json").out.splitlines()]
    assert [one["episode"]["group"] for one in listed] == ["a", "b"]
    a, b = (one["incident_id"] for one in listed)
    for words, said in (
        (("ack", a[:12]), f"{a[:12]} acknowledged"),
        (("comment", a, "--why", "see \x1b[31mhere\0 \udcff <b>'; DROP TABLE incidents; --"), f"{a[:12]} commented"),
        (("snooze", b, "--until", "4h"), f"{b[:12]} snoozed"),
    ):
        done = offbeat(*on, *words, *by)
        assert (done.code, done.out.strip()) == (0, said), done.err
    assert "acknowledged, by ana" in offbeat(*on, "list", *by).out
    assert "snoozed until" in offbeat(*on, "list", "--state", "all", *by).out
    shown = offbeat(*on, "show", a, *by).out
    assert "ana: comment - see" in shown
    assert "\x1b[31m" not in shown
    assert [one["action"] for one in json.loads(offbeat(*on, "show", a, "--json", *by).out)["actions"]] == ["acknowledged", "comment"]
    assert offbeat(*on, "mute", "b", "--why", "bench", "--until", "2024-06-30", *by).out.strip() == "mute 1: b"
    assert "bench" in offbeat(*on, "mutes", *by).out
    assert offbeat(*on, "unmute", "1", *by).code == 0
    refused: list[tuple[tuple[str, ...], str]] = [
        (("ack",), "ack needs an incident"),
        (("ack", "zz"), "no incident 'zz'"),
        (("snooze", a), "snooze needs --until"),
        (("snooze", a, "--until", "soon"), "--until soon: expected a time"),
        (("mute", "b"), "mute needs --why"),
        (("mute", "b", "--why", "x", "--view", "rows"), "pipeline 'p' has no view 'rows'"),
        (("list", "--state", "done"), "--state done: states are open"),
        (("list", a), "list takes no"),
    ]
    for wrong, said in refused:
        assert said in offbeat.refused(*on, *wrong, *by)


def test_an_incident_of_many_alerts_is_found_by_an_index(put: Put, store: str, opened: Callable[..., Incidents]) -> None:
    put(*range(120))
    with opened() as incidents:
        incidents.acknowledge(incidents.waiting()[0], "ana")
    database = open_database(store, write=False)
    with database.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM incident_alerts")).scalar() == 120
        if database.sqlite:
            plan = connection.execute(text("EXPLAIN QUERY PLAN SELECT * FROM incident_alerts WHERE incident_id = 'x'")).all()
            assert "incident_alerts_of" in str(plan)
    database.close()
