"""Real trades in a topic, and the alerts that files give for them; made once for all tests that ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

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
