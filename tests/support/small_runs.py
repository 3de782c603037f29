"""Small runs for the tests of states and outputs: a row alerts where p > 1, a day where its sum is > 10."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from command import Command

from offbeat.io.read.alert_files import latest, read_alerts

ROWS = """
name: b
source: {key: k, time: ts, columns: {p: float}}
views: {v: {detectors: {d: {type: rule, when: p > 1}}}}
"""
DAYS = """
name: days
source: {key: k, time: ts, columns: {p: {type: decimal, scale: 2}}}
views: {day: {rollup: {key: k, size: 1d, columns: {total: sum(p)}}, detectors: {d: {type: rule, when: total > 10}}}}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.yaml").write_text(ROWS)
    (tmp_path / "days.yaml").write_text(DAYS)
    return tmp_path


def csv(path: str | Path, *rows: tuple[str, float]) -> Path:
    """Rows of key a: time, p."""
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("k,ts,p\n" + "".join(f"a,{ts},{p}\n" for ts, p in rows))
    return place


def day(number: int, *values: float) -> list[tuple[str, float]]:
    return [(f"2024-01-{number:02d}T{hour:02d}:00:00", value) for hour, value in enumerate(values)]


def times(uri: str | Path) -> list[str]:
    """Times of the alerts that stand, in order; each once."""
    alerts = read_alerts(uri)
    assert not alerts.select("alert_id", "revision", "status").is_duplicated().any(), "delivered twice"
    return sorted(latest(alerts).filter(pl.col("status") != "retracted")["time"].dt.strftime("%m-%dT%H").to_list())


def ran(offbeat: Command, *args: object) -> dict[str, Any]:
    done = offbeat("run", *args, "--json")
    assert done.code == 0, done.err
    figures: dict[str, Any] = json.loads(done.out)
    return figures


class Feed:
    """Standard input that arrives in pieces; something may happen before one of them is read."""

    def __init__(self, *pieces: bytes | Callable[[], object]) -> None:
        self._pieces = list(pieces)

    def read1(self, size: int = -1) -> bytes:  # noqa: ARG002 - as streams have it
        while self._pieces:
            piece = self._pieces.pop(0)
            if isinstance(piece, bytes):
                return piece
            piece()
        return b""

    def fileno(self) -> int:
        raise io.UnsupportedOperation


def line(ts: str, p: float = 2) -> bytes:
    return json.dumps({"k": "a", "ts": ts, "p": p}).encode() + b"\n"


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    return lambda *pieces: monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=Feed(*pieces)))
