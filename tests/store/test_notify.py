"""Notifications to a real SMTP server and a real HTTP receiver: each thing once, nothing lost, a dead receiver in nobody's way."""

from __future__ import annotations

import email
import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from command import Command, offbeat, process
from http_servers import HttpServer
from small_runs import csv, day, here
from waiting import until

import offbeat as package

__all__ = ["here", "offbeat"]


class Receiver:
    """An HTTP receiver of Apprise's json://; it refuses while `refuses`."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.refuses = False
        outer = self

        class Taken(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if not outer.refuses:
                    outer.got.append(body)
                self.send_response(503 if outer.refuses else 200)
                self.end_headers()

        self.server = HttpServer(Taken)
        self.url = f"json://{self.server.place}/?retry=0"


@pytest.fixture
def http() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.server.stop()


@pytest.fixture
def mails() -> Iterator[tuple[int, list[Any]]]:
    """The port of an SMTP server, and the messages that came."""
    got: list[Any] = []

    async def take(_self: Any, _server: Any, _session: Any, envelope: Any) -> str:
        got.append((envelope.rcpt_tos, email.message_from_bytes(envelope.content)))
        return "250 OK"

    handler = type("Handler", (), {"handle_DATA": take})()
    controller: Any = import_module("aiosmtpd.controller").Controller(handler, hostname="127.0.0.1", port=free_port())
    controller.start()
    yield controller.port, got
    controller.stop()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def alerts(store: str, *values: float, number: int = 1) -> None:
    """A run that raises an alert for each value above 1, at hours of a day."""
    path = csv(f"in/{number}.csv", *day(number, *values))
    package.run("p.yaml", path, alerts=store)


def config(text: str) -> None:
    Path("notify.yaml").write_text(text)


def text_of(mail: Any) -> str:
    parts = [part for part in mail.walk() if part.get_content_type() == "text/plain"]
    return "\n".join(part.get_payload(decode=True).decode() for part in parts)


def subject(mail: Any) -> str:
    return str(email.header.make_header(email.header.decode_header(mail["Subject"])))


@pytest.mark.heavy
@pytest.mark.usefixtures("here")
def test_a_mail_tells_what_fired_and_each_alert_once(
    store: str, offbeat: Command, mails: tuple[int, list[Any]], http: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, got = mails
    monkeypatch.setenv("HOOK", http.url)
    config(
        f"zone: Asia/Kolkata\nreceivers:\n"
        f"  desk: {{url: 'mailto://localhost:{port}/?from=offbeat@example.com&to=desk@example.com&mode=insecure'}}\n"
        "  hook: {url: '${HOOK}', title: '{key} {what}', line: '{id}|{observed}|{time}'}\n"
    )
    alerts(store, 0, 2)
    done = offbeat("notify", store, "--once")
    assert done.code == 0
    assert "alerts from now on" in done.out
    assert got == http.got == []
    alerts(store, 0, 2, 0, 7.5, number=2)
    assert offbeat("notify", store, "--once").code == 0
    assert offbeat("notify", store, "--once").code == 0, "nothing new: nothing is told"
    [(to, mail)] = got
    assert to == ["desk@example.com"]
    assert subject(mail).startswith("2 alerts, the worst ")
    told = text_of(mail)
    assert "d 7.5 > 1" in told
    assert "2024-01-02 08:30:00 IST" in told, "03:00 UTC"
    assert told.count("  b/v, 1 of 1 votes, ") == 2
    [message] = http.got
    assert message["title"] == "2 alerts, the worst a d 7.5 > 1"
    assert message["message"].split("\n\n")[0].endswith("|7.5|2024-01-02 08:30:00 IST")


@pytest.mark.heavy
@pytest.mark.usefixtures("here")
def test_a_receiver_that_is_dead_loses_nothing_and_holds_up_nobody(store: str, offbeat: Command, http: Receiver) -> None:
    dead = f"json://127.0.0.1:{free_port()}/?retry=0"
    config(f"receivers:\n  dead: {{url: '{dead}'}}\n  alive: {{url: '{http.url}'}}\n")
    alerts(store, 0)
    offbeat("notify", store, "--once")
    http.refuses = True
    alerts(store, 0, 2, number=2)
    done = offbeat("notify", store, "--once")
    assert done.code == 3
    assert "alive: 1 alert not told yet: " in done.out
    assert "dead: 1 alert not told yet: " in done.out
    http.refuses = False
    alerts(store, 0, 3, number=3)
    done = offbeat("notify", store, "--once")
    assert done.code == 3, "the dead one is still dead"
    [message] = http.got
    assert message["title"].startswith("2 alerts")
    config(f"receivers:\n  dead: {{url: '{http.url}'}}\n")
    assert offbeat("notify", store, "--once").code == 0, "it lives at another address"
    assert [message["title"][:8] for message in http.got] == ["2 alerts"] * 2


@pytest.mark.heavy
def test_levels_templates_rates_and_corrections(here: Path, store: str, offbeat: Command, http: Receiver) -> None:
    levels = here / "days.yaml"
    levels.write_text(levels.read_text().replace("total > 10}}}}", "total > 10}}, severity: {levels: {high: 0.5, medium: 0.1}}}}"))
    config(f"receivers: {{r: {{url: '{http.url}', levels: [high], rate: {{messages: 1, every: 1h}}}}}}\n")
    package.run("days.yaml", csv("x.csv", *day(1, 0)), alerts=store)
    offbeat("notify", store, "--once")
    state: dict[str, Any] = {"alerts": store, "state": "state"}
    package.run("days.yaml", csv("in/a.csv", *day(2, 12), *day(3, 40)), **state)
    assert offbeat("notify", store, "--once").code == 0
    [message] = http.got
    assert message["title"].startswith("high: "), "day 2 is medium: 1 - 10/12"
    csv("in/a.csv", *day(2, 50), *day(3, 5))
    package.run("days.yaml", "in/a.csv", alerts=store, state="state")
    done = offbeat("notify", store, "--once")
    assert done.code == 3
    assert "1 messages in 1h" in done.out
    assert len(http.got) == 1


@pytest.mark.heavy
def test_it_goes_on_by_itself_and_after_kill_9(here: Path, store: str, http: Receiver) -> None:
    dead = f"json://127.0.0.1:{free_port()}/?retry=0"
    config(f"receivers:\n  dead: {{url: '{dead}'}}\n  alive: {{url: '{http.url}', digest: 1s}}\n")
    alerts(store, 0)

    def begun() -> subprocess.Popen[str]:
        log = (here / "log").open("a")
        running = process("notify", store, stdout=subprocess.DEVNULL, stderr=log)
        log.close()
        return running

    running = begun()
    until(lambda: "telling dead, alive" in (here / "log").read_text())
    alerts(store, 0, 2, number=2)
    until(lambda: len(http.got) == 1)
    http.refuses = True
    alerts(store, 0, 3, number=3)
    until(lambda: "alive: 1 alert not told" in (here / "log").read_text())
    running.kill()
    running.wait()
    http.refuses = False
    running = begun()
    until(lambda: len(http.got) == 2)
    running.send_signal(signal.SIGTERM)
    assert running.wait(30) == 0
    assert [message["title"].split(" d ")[1] for message in http.got] == ["2 > 1", "3 > 1"]


@pytest.mark.usefixtures("here")
def test_a_configuration_that_is_wrong_is_refused_in_a_line(store: str, offbeat: Command) -> None:
    alerts(store, 2)
    for text, said in (
        ("receivers: {a: {url: 'json://x', level: [high]}}", "receivers.a.level: unknown key"),
        ("receivers: {a: {url: 'nonsense'}}", "receivers.a.url: Apprise does not know"),
        ("receivers: {a: {url: '${NOT_SET}'}}", "NOT_SET is not set"),
        ("receivers: {a: {url: 'json://x', line: '{key.__class__}'}}", "is no field"),
        ("receivers: {a: {url: 'json://x', digest: soon}}", "is not a duration"),
        ("receivers: {}", "receivers"),
        ("zone: Mars/Here\nreceivers: {a: {url: 'json://x'}}", "unknown zone"),
        ("- a", "a mapping with `receivers`"),
    ):
        config(text)
        assert said in offbeat.refused("notify", store, "--once"), text


@pytest.mark.usefixtures("here")
def test_a_test_message(store: str, offbeat: Command, http: Receiver) -> None:
    config(f"receivers: {{hook: {{url: '{http.url}'}}}}")
    assert offbeat("notify", store, "--test").out == "hook: sent\n"
    assert http.got[0]["title"] == "offbeat: a test"


@pytest.mark.heavy
def test_incidents_are_told_once_and_nothing_of_what_is_muted_or_done_with(
    here: Path, store: str, offbeat: Command, http: Receiver
) -> None:
    (here / "p.yaml").write_text((here / "p.yaml").read_text() + "episodes: {quiet: 2h}\n")
    config(f"receivers: {{r: {{url: '{http.url}', about: incidents, line: '{{key}} {{alerts}} {{what}}'}}}}\n")

    def rows(name: str, *rows: tuple[str, str, float]) -> None:
        (here / name).write_text("k,ts,p\n" + "".join(f"{k},2024-01-02T{hour}:00,{p}\n" for k, hour, p in rows))
        package.run("p.yaml", name, alerts=store)

    def told() -> list[str]:
        http.got.clear()
        done = offbeat("notify", store, "--once", "--pipeline", "p.yaml")
        assert done.code == 0, done.err
        return [part for message in http.got for part in message["message"].split("\n\n")]

    rows("0.csv", ("old", "00:00", 9))
    assert told() == [], "new here"
    rows("1.csv", ("a", "01:00", 2), ("a", "01:10", 8), ("b", "01:00", 3))
    assert sorted(told()) == ["a 2 d 8 > 1 and 1 more alert until 2024-01-02 01:10:00 UTC", "b 1 d 3 > 1"]
    rows("2.csv", ("a", "01:20", 2), ("b", "01:20", 3))
    assert told() == [], "more of the same"
    done = offbeat("incidents", store, "mute", "c", "--why", "a test", "--pipeline", "p.yaml")
    assert done.code == 0, done.err
    rows("3.csv", ("c", "05:00", 99), ("d", "05:00", 4))
    assert told() == ["d 1 d 4 > 1"]
    assert told() == []
