"""Rows of the shipped pipelines for topics, and the alerts that files give for them; made once for all tests that ask."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from kafka_topics import Brokers

_ROWS = 6000


@dataclass(frozen=True)
class Trades:
    """A topic of four partitions, and the records of its alerts as files give them."""

    topic: str
    wanted: list[bytes]
    lines: list[bytes]


@dataclass(frozen=True)
class Rows:
    """Rows of a shipped pipeline, in the order of their times, and what a run over a file of them gives."""

    pipeline: str
    field: str
    """Of the key."""
    lines: list[bytes]
    wanted: list[dict[str, Any]]
    figures: dict[str, Any]


def first_lines(source: object, pipeline: str, rows: int) -> list[bytes]:
    """The first rows of a replay, as JSON lines."""
    from command import process  # noqa: PLC0415 - other tests need none of it

    lines: list[bytes] = []
    with process("replay", source, "-", "--pipeline", pipeline, "--speed", "max") as running:
        assert running.stdout is not None
        while len(lines) < rows and (line := running.stdout.readline()):
            lines.append(line.rstrip("\n").encode())
        running.kill()
    return lines


@pytest.fixture(scope="session")
def trades(kafka: Brokers, tmp_path_factory: pytest.TempPathFactory) -> Trades:
    from command import DATA, finished  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("trades")
    file, out = folder / "rows.ndjson", folder / "alerts.jsonl"
    lines = first_lines(DATA / "trades", "trades", _ROWS)
    file.write_bytes(b"\n".join(lines) + b"\n")
    assert finished("run", "trades", file, "--alerts", out).code == 0
    topic = kafka.topic(4)
    kafka.fill(topic, lines, "symbol")
    wanted = sorted(out.read_bytes().splitlines())
    assert len(wanted) >= 10, "too few alerts to lose one"
    return Trades(topic, wanted, lines)


@pytest.fixture(scope="session", params=["trades", "bars", "cdr"])
def rows(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Rows:
    from command import DATA, finished  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("rows")
    pipeline: str = request.param
    source: Path = DATA / "trades"
    made = {
        "bars": ("bars", "--symbols", 8, "--days", 4),
        "cdr": ("cdr", "--rows", 8_000, "--days", 40, "--customers", 40),
    }
    if pipeline in made:
        source = folder / "source"
        done = finished("generate", *made[pipeline], "--out", source)
        assert done.code == 0, done.err
    lines = first_lines(source, pipeline, 8_000)
    file, out = folder / "rows.ndjson", folder / "alerts.jsonl"
    file.write_bytes(b"\n".join(lines) + b"\n")
    with file.open() as text:  # files of bars would be named by their keys: standard input has them in its rows
        done = finished("run", pipeline, "-", "--alerts", out, "--json", stdin=text)
    assert done.code == 0, done.err
    wanted = [json.loads(line) for line in out.read_bytes().splitlines()]
    assert wanted, "no alerts: nothing is compared"
    field = {"trades": "symbol", "bars": "key", "cdr": "customer_id"}[pipeline]
    return Rows(pipeline, field, lines, wanted, json.loads(done.out))
