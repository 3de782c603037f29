"""The `offbeat` command under test: in this process, which is quick, or as a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from folders import ROOT

from offbeat.cli.app import main

DATA = ROOT.parent / "shared" / "data"
OFFBEAT = Path(sys.executable).with_name("offbeat")
BARS = "timestamp,open,high,low,close,volume\n"
STREAM = """
name: stream
source: {key: k, time: t, columns: {v: float}}
views: {v: {windows: {w: {over: 3 rows, features: {m: mean(v)}}}, detectors: {high: {type: rule, when: v > 2 * m, expected: m}}}}
"""


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


class Command:
    """Calls the command in this process."""

    def __init__(self, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capfd, self._monkeypatch = capfd, monkeypatch
        monkeypatch.delenv("COLUMNS", raising=False)  # pytest-xdist sets it

    def __call__(self, *args: object) -> Done:
        self._capfd.readouterr()
        self._monkeypatch.setattr(sys, "argv", ["offbeat", *map(str, args)])
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            with pytest.raises(SystemExit) as end:
                main()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        out, err = self._capfd.readouterr()
        return Done(int(end.value.code or 0), out, err)

    def refused(self, *args: object) -> str:
        """The one line with which the command refuses, without `offbeat: `."""
        done = self(*args)
        assert (done.code, done.out) == (2, ""), done
        # Where nothing was compiled before, the first start says so: that is no part of the refusal.
        said = [line for line in done.err.splitlines() if not line.startswith("offbeat: first start:")]
        assert len(said) == 1, done.err
        assert said[0].startswith("offbeat: ")
        return said[0].removeprefix("offbeat: ").rstrip()


@pytest.fixture
def offbeat(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    return Command(capfd, monkeypatch)


def process(
    *args: object, env: Mapping[str, str] | None = None, before: Callable[[], Any] | None = None, **more: Any
) -> subprocess.Popen[str]:
    """The command as a process of its own, its output piped; `before` is called in it first, to set limits."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(
        [OFFBEAT, *map(str, args)],
        env={name: value for name, value in os.environ.items() if name != "COLUMNS"} | dict(env or {}),
        preexec_fn=before,
        **{**pipes, **more},
    )


def finished(*args: object, **more: Any) -> Done:
    """As `process`, to its end."""
    running = process(*args, **more)
    out, err = running.communicate(timeout=300)
    return Done(running.returncode, out or "", err or "")


def adds_up(figures: dict[str, Any]) -> bool:
    """Whether every row is accounted for [S6]."""
    parts = sum(figures[part] for part in ("scored", "warming_up", "late", "duplicate", "filtered", "pending"))
    return bool(figures["rows_in"] == parts + sum(figures["quarantined"].values()))
