"""A sink that breaks a promise does not pass the check."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from offbeat.testing import check_sink

SINK = """
import json
from pathlib import Path
from offbeat.extend import Settings, alert_records

class Where(Settings):
    location: str
    flaw: str = ""

class Lines:
    settings = Where

    def __init__(self, settings, opening):
        self.flaw, self.bounded = settings.flaw, opening.bounded
        self.path = Path(settings.location)
        self.done = opening.position["done"] if opening.position else 0
        self.lines, self.closed = [], False
        if self.path.exists() and self.flaw != "added" and not self.bounded:
            self.put(self.path.read_text().splitlines()[: self.done])

    def put(self, lines):
        text = "".join(line + chr(10) for line in lines)
        if self.flaw == "torn":
            self.path.write_text(text[: len(text) // 2])
            self.path.write_text(text)
        else:
            partial = self.path.with_suffix(".partial")
            partial.write_text(text)
            partial.replace(self.path)

    def write(self, alerts):
        records = alert_records(alerts)
        if self.flaw == "escaped":
            records = [record | {"key": record["key"].replace(chr(10), " ")} for record in records]
        self.lines += [json.dumps(record) for record in records]
        if self.flaw == "early":
            self.publish()

    def publish(self):
        before = self.path.read_text().splitlines() if self.path.exists() else []
        if not self.bounded:
            before = before[: self.done] if self.flaw != "added" else before
        else:
            before = []
        self.put(before + self.lines)
        self.done = len(before) + len(self.lines)
        self.lines = []

    def commit(self):
        if self.flaw == "forgets":
            self.lines = self.lines[1:]
        if not self.bounded or self.flaw == "impatient":
            self.publish()
        if self.flaw == "position":
            return {"done": self.path}
        return {"done": 0 if self.flaw == "restart" else self.done}

    def close(self, complete):
        if (complete or self.flaw == "keeps") and not self.closed:
            self.publish()
        if self.flaw == "once" and self.closed:
            raise ValueError("closed twice")
        self.closed = True
"""
FLAWS = {
    "early": "alerts are there that should not be",
    "forgets": "alerts are not there",
    "escaped": "key is",
    "position": "cannot be written as JSON",
    "restart": "after a restart",
    "added": "is there twice",
    "keeps": "alerts are there that should not be",
    "impatient": "after a commit of a bounded run",
}


@pytest.fixture
def sink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    name = f"flawed_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(SINK)
    return tmp_path / name


def read(uri: str) -> list[dict[str, Any]]:
    path = Path(uri.partition("://")[2].partition("?")[0])
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.heavy
def test_a_plain_one_passes(sink: Path) -> None:
    check_sink(lambda name: f"{sink.name}:Lines://{sink.parent}/{name}", read, crashes=2)


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flaw_is_found_and_named(sink: Path, flaw: str) -> None:
    with pytest.raises(AssertionError, match=FLAWS[flaw]):
        check_sink(lambda name: f"{sink.name}:Lines://{sink.parent}/{name}?flaw={flaw}", read, crashes=1)


@pytest.mark.heavy
def test_a_flaw_that_only_a_crash_shows(sink: Path) -> None:
    with pytest.raises(AssertionError, match="after a crash"):
        check_sink(lambda name: f"{sink.name}:Lines://{sink.parent}/{name}?flaw=torn", lenient, crashes=60)


def lenient(uri: str) -> list[dict[str, Any]]:
    """Half a line is none."""
    path = Path(uri.partition("://")[2].partition("?")[0])
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


def test_an_error_of_the_sink_is_shown(sink: Path) -> None:
    with pytest.raises(ValueError, match="closed twice"):
        check_sink(lambda name: f"{sink.name}:Lines://{sink.parent}/{name}?flaw=once", read)
