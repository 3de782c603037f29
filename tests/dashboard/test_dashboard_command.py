"""`offbeat dashboard`: what it refuses before anything is served."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from command import Command, offbeat

from offbeat.dashboard.login import Password, is_local
from offbeat.errors import UserError

__all__ = ["offbeat"]
EVERYWHERE = "0.0.0.0"  # noqa: S104 - it is refused


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ((), "name one source of alerts"),
        (("a.jsonl", "--alerts", "b.jsonl"), "name one source of alerts"),
        (("--alerts", "a.jsonl", "--host", EVERYWHERE), "set a password in OFFBEAT_DASHBOARD_PASSWORD"),
        (("--alerts", "a.jsonl", "--host", "::"), "set a password in OFFBEAT_DASHBOARD_PASSWORD"),
        (("--alerts", "mail://somebody"), "cannot be read back"),
        (("--alerts", "a.jsonl", "--pipeline", "nonsense"), "nonsense"),
    ],
)
def test_refusals(offbeat: Command, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], told: str) -> None:
    monkeypatch.delenv("OFFBEAT_DASHBOARD_PASSWORD", raising=False)
    assert told in offbeat.refused("dashboard", *args)


def test_a_taken_port_and_a_weak_password(offbeat: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"port {port}" in offbeat.refused("dashboard", "--alerts", tmp_path / "a.jsonl", "--port", port)
    monkeypatch.setenv("OFFBEAT_DASHBOARD_PASSWORD", "short")
    assert "at least 8 characters" in offbeat.refused("dashboard", "--alerts", tmp_path / "a.jsonl", "--host", EVERYWHERE)


def test_passwords() -> None:
    password = Password("correct horse")
    assert password.matches("correct horse")
    assert not password.matches("correct horse ")
    assert not password.matches("\ud800")
    with pytest.raises(UserError):
        Password("")


@pytest.mark.parametrize(("host", "local"), [("127.0.0.1", True), ("::1", True), ("localhost", True), (EVERYWHERE, False), ("::", False)])
def test_what_only_this_machine_reaches(host: str, local: bool) -> None:
    assert is_local(host) == local
    assert not is_local("192.168.1.7")
    assert not is_local("example.org")
