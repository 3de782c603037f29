"""Runs with a database as their output: the store goes away and comes back; a run dies between its commit and that of the state."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import postgres_server
import pytest
from command import Command, offbeat, process
from small_runs import csv, day, here, ran, times
from sqlalchemy import text
from stores import NewStore
from waiting import until

import offbeat as package
from offbeat.evaluate.generate_bars import generate_bars
from offbeat.io.read.alert_files import read_alerts
from offbeat.store.open import open_database
from offbeat.store.store import Filters, Store

__all__ = ["here", "offbeat"]

_DIES = """
import os, sys
from offbeat.engines.checkpoint import Checkpoint
kept, left = Checkpoint.save, [int(sys.argv[1])]
def save(*args, **named):
    left[0] -= 1
    if not left[0]:
        os._exit(137)
    return kept(*args, **named)
Checkpoint.save = save
from offbeat.engines.local import LocalEngine
LocalEngine.__init__.__kwdefaults__["commit_seconds"] = 0.0
from offbeat.cli.app import main
sys.argv = ["offbeat", *sys.argv[2:]]
main()
"""


@pytest.mark.heavy
def test_killed_between_the_stores_commit_and_the_states_commit(here: Path, store: str, offbeat: Command) -> None:
    files = [csv(here / f"in/{number}.csv", *day(number, 0, 2, 3, 0, 5)) for number in range(1, 7)]
    words = ["run", "p.yaml", *files, "--alerts", store, "--state", "state", "--workers", "1"]
    for dies_at in (1, 2, 3):
        died = subprocess.run([sys.executable, "-c", _DIES, str(dies_at), *map(str, words)], capture_output=True, check=False)
        assert died.returncode == 137, died.stderr
    assert offbeat(*words).code == 0
    whole = here / "whole.jsonl"
    ran(offbeat, "p.yaml", *files, "--alerts", whole)
    assert times(store) == times(whole)
    lines = {json.dumps(json.loads(line), sort_keys=True) for line in whole.read_text().splitlines()}
    with Store.open(store) as there:
        assert {json.dumps(alert.record, sort_keys=True) for alert in there.since(0)} == lines


def test_a_store_of_another_run_or_an_older_copy_is_refused(here: Path, new_store: NewStore, offbeat: Command) -> None:
    store = new_store()
    files = [csv(here / f"in/{number}.csv", *day(number, 0, 2)) for number in (1, 2, 3)]
    assert offbeat("run", "p.yaml", files[0], "--alerts", store, "--state", "state").code == 0
    assert offbeat("run", "p.yaml", *files[:2], "--alerts", store, "--state", "state").code == 0
    database = open_database(store, write=True)
    with database.writing() as connection:  # as a backup that was brought back
        connection.execute(text("UPDATE writers SET commits = commits - 1"))
    database.close()
    said = offbeat.refused("run", "p.yaml", *files, "--alerts", store, "--state", "state")
    assert "older copy" in said
    assert "--append" in said
    assert offbeat("run", "p.yaml", *files, "--alerts", store, "--state", "state", "--append").code == 0
    assert times(store) == ["01-01T01", "01-02T01", "01-03T01"]


Coming = tuple[str, Callable[[], object], Callable[[], object]]
"""A store, what takes it away, and what brings it back."""


def _moving(folder: Path) -> Coming:
    disk, away = folder / "disk", folder / "away"
    disk.mkdir()
    return f"sqlite:///{disk}/a.db", lambda: disk.rename(away), lambda: away.rename(disk)


def _stopping(server: postgres_server.Server, monkeypatch: pytest.MonkeyPatch) -> Coming:
    monkeypatch.setenv("PGPASSWORD", postgres_server.PASSWORD)
    return server.database(), server.stop, server.start


@pytest.mark.heavy
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_stream_waits_for_a_store_that_is_gone_and_loses_nothing(
    here: Path, kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, gone, back = _moving(here) if kind == "sqlite" else _stopping(request.getfixturevalue("postgres"), monkeypatch)
    said = here / "said"
    with said.open("w") as errors:
        running = process("run", "p.yaml", "-", "--alerts", store, "--state", "state", stdin=subprocess.PIPE, stderr=errors)
    assert running.stdin is not None

    def row(hour: int) -> None:
        assert running.stdin is not None
        running.stdin.write(json.dumps({"k": "a", "ts": f"2024-01-01T{hour:02d}:00:00", "p": 2}) + "\n")
        running.stdin.flush()

    def there() -> int:
        try:
            return read_alerts(store).height
        except Exception:
            return -1

    try:
        row(0)
        row(1)  # a key's first row waits for its second
        until(lambda: there() >= 1)
        gone()
        try:
            row(2)
            until(lambda: "waiting for it" in said.read_text())
            row(3)
            time.sleep(1.5)
            assert running.poll() is None
        finally:
            back()
        until(lambda: "is back after" in said.read_text())
        row(4)
        running.stdin.close()
        assert running.wait(120) == 0, said.read_text()
    finally:
        running.kill()
        running.wait()
        running.stdin.close()
        if running.stdout is not None:
            running.stdout.close()
    assert times(store) == [f"01-01T{hour:02d}" for hour in range(5)]
    assert "only for tests" not in said.read_text()
    assert b"only for tests" not in b"".join(file.read_bytes() for file in Path("state").rglob("*") if file.is_file())


@pytest.mark.heavy
def test_a_password_is_never_shown_nor_kept(here: Path, postgres: postgres_server.Server, offbeat: Command, tmp_path: Path) -> None:
    csv(here / "a.csv", *day(1, 0, 2))
    without = postgres.database()
    secret = postgres_server.PASSWORD.replace(" ", "%20")
    for uri in (without.replace("postgres@", f"postgres:{secret}@"), f"{without}?password={secret}"):
        done = offbeat("run", "p.yaml", "a.csv", "--alerts", uri, "--state", "state")
        assert done.code == 0, done.err
        listed = offbeat("alerts", uri)
        wrong = offbeat("alerts", uri.replace(secret, "wrong%20one"))
        assert wrong.code == 2
        for shown in (done, listed, wrong):
            for word in (secret, postgres_server.PASSWORD, "wrong one", "wrong%20one"):
                assert word not in shown.out + shown.err
    kept = b"".join(file.read_bytes() for file in Path("state").rglob("*") if file.is_file())
    assert secret.encode() not in kept
    pgpass = tmp_path / "pgpass"
    pgpass.write_text(f"127.0.0.1:{postgres.port}:*:postgres:{postgres_server.PASSWORD}\n")
    pgpass.chmod(0o600)
    env = {name: value for name, value in os.environ.items() if name != "PGPASSWORD"}
    running = process("alerts", without, env=env | {"PGPASSFILE": str(pgpass)})
    assert running.communicate()[0].startswith("1 alert"), running.returncode


def test_prune_removes_what_is_old_and_nothing_else(here: Path, store: str, offbeat: Command) -> None:
    csv(here / "a.csv", *[row for number in range(1, 29) for row in day(number, 0, 2, 3)])
    assert offbeat("run", "p.yaml", "a.csv", "--alerts", store).code == 0
    done = offbeat("store", "prune", store, "--before", "2024-01-20", "--dry-run")
    assert done.out.startswith("38 of 56 alerts are before 2024-01-20")
    assert len(times(store)) == 56
    done = offbeat("store", "prune", store, "--before", "2024-01-20")
    assert done.code == 0
    assert times(store) == [f"01-{number:02d}T{hour:02d}" for number in range(20, 29) for hour in (1, 2)]
    assert offbeat("store", "prune", store, "--older-than", "90d").code == 0, "by today's clock they are all older"
    with Store.open(store) as there:
        assert there.count(Filters()) == 0
    assert "--older-than" in offbeat.refused("store", "prune", store)


def test_prune_keeps_what_somebody_worked_on(here: Path, store: str, offbeat: Command) -> None:
    """Each alert is an incident, an hour apart. One was acknowledged, one labelled, one commented; a mute is no work on an incident."""
    csv(here / "a.csv", *[row for number in range(1, 11) for row in day(number, 0, 2, 3)])
    assert offbeat("run", "p.yaml", "a.csv", "--alerts", store).code == 0
    on, by = ("incidents", store), ("--pipeline", "p.yaml", "--who", "ana")

    def listed() -> dict[str, dict[str, Any]]:
        lines = offbeat(*on, "list", "--state", "all", *by, "--json").out.splitlines()
        return {one["episode"]["start"][5:13]: one for one in map(json.loads, lines)}

    before = listed()
    assert len(before) == 20
    for at, *words in (("01-02T01", "ack"), ("01-03T02", "comment", "--why", "seen"), ("01-09T01", "ack")):
        assert offbeat(*on, words[0], before[at]["incident_id"], *words[1:], *by).code == 0
    assert offbeat("label", before["01-04T01"]["incident_id"], "false", "--store", store, *by).code == 0
    worked_on = ["01-02T01", "01-03T02", "01-04T01"]
    done = offbeat("store", "prune", store, "--before", "2024-01-09", "--dry-run")
    assert done.out.startswith("13 of 20 alerts are before 2024-01-09")
    assert offbeat("store", "prune", store, "--before", "2024-01-09").code == 0
    left = [*worked_on, "01-09T01", "01-09T02", "01-10T01", "01-10T02"]
    assert times(store) == left
    after = listed()
    assert sorted(after) == left
    for at in left:
        wanted = before[at] | _done(at)
        assert all(after[at][part] == wanted[part] for part in ("incident_id", "state", "label")), at
    # The same rows once more bring back what was pruned, and what was done stays.
    assert offbeat("run", "p.yaml", "a.csv", "--alerts", store).code == 0
    assert len(listed()) == 20
    assert listed()["01-02T01"]["state"] == "acknowledged"


def _done(at: str) -> dict[str, str]:
    return {"01-02T01": {"state": "acknowledged"}, "01-09T01": {"state": "acknowledged"}, "01-04T01": {"label": "false"}}.get(at, {})


@pytest.mark.heavy
def test_explain_finds_alert_and_row_in_the_store(store: str, tmp_path: Path, offbeat: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    generate_bars(tmp_path / "bars", symbols=2, days=3, seed=6)
    assert offbeat("run", "bars", "bars", "--alerts", store, "--alerts", "a.jsonl").code == 0
    assert offbeat("run", "bars", "bars", "--alerts", store).code == 0, "again: nothing is there twice"
    for words in (("worst",), (read_alerts("a.jsonl")["alert_id"][5][:12],)):
        for number, source in enumerate((store, "a.jsonl")):
            done = offbeat("explain", *words, "--alerts", source, "--plot", f"{number}.html")
            assert done.code == 0, done.err
        assert Path("0.html").read_text() == Path("1.html").read_text()
        assert offbeat("explain", *words, "--alerts", store).out == offbeat("explain", *words, "--alerts", "a.jsonl").out
    assert offbeat.refused("explain", "ffff" * 8, "--alerts", store).startswith("no alert ")


@pytest.mark.heavy
def test_alerts_are_shown_as_they_come(here: Path, store: str) -> None:
    package.run("p.yaml", csv(here / "in/1.csv", *day(1, 0, 2)), alerts=store)
    running = process("alerts", store, "--follow", "--key", "a")
    seen: list[str] = []
    reader = threading.Thread(target=lambda: seen.extend(iter(running.stdout.readline, "")) if running.stdout is not None else None)
    reader.start()
    try:
        until(lambda: any("1 alert" in line for line in seen))
        package.run("p.yaml", csv(here / "in/2.csv", *day(2, 0, 3)), alerts=store)
        until(lambda: any("2024-01-02 01:00:00 UTC" in line and "d 3 > 1" in line for line in seen))
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == 0
    finally:
        running.kill()
        running.wait()
        reader.join()
        for pipe in (running.stdout, running.stderr):
            if pipe is not None:
                pipe.close()
