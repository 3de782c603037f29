"""docs/files-from.md: every example on small files of the shape that the system writes, as they stand on the page."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest
from command import Command, adds_up, offbeat
from folders import DOCS

from offbeat.io.read.alert_files import read_alerts

__all__ = ["offbeat"]
PAGE = DOCS / "files-from.md"
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"`([^`\s]+)`:\s*$")


class Example(NamedTuple):
    files: dict[str, str]
    words: list[str]


class Expected(NamedTuple):
    """By hand: rows, keys, and the alerts as (key, UTC time)."""

    rows: int
    alerts: list[tuple[str, str]]
    warming_up: int = 0
    filtered: int = 0
    quarantined: dict[str, int] = {}  # noqa: RUF012


EXPECTED: dict[str, list[Expected]] = {
    # 1624 / 1610.5 = 1.0084, after 1610.5 / 1611; 09:17 IST
    "Kite, NSE": [Expected(3, [("INFY", "2024-03-05T03:47:00")], 1), Expected(3, [("RELIANCE", "2024-03-04T18:30:00")], 0, 1)],
    # 169.1 / 170.4 = 0.9924; 416.1 / 412.8 = 1.008
    "Yahoo Finance": [
        Expected(3, [("AAPL", "2024-03-05T14:32:00")], 1),
        Expected(3, [("MSFT", "2024-03-05T14:32:00")], 1),
    ],
    # 92700.10 / 93405 = 0.9925, over the change of unit at 1735689600 = 2025-01-01T00:00
    "Binance": [Expected(4, [("BTCUSDT", "2025-01-01T00:00:00")], 1)],
    # 188.2 / 189.9 = 0.991
    "Alpha Vantage": [Expected(3, [("IBM", "2024-03-05T14:32:00")], 1)],
    # 1.09195 / 1.08548 = 1.006 at 00:02 EET (UTC+2); 1.2611 / 1.2692 = 0.9936 at 00:01
    "MetaTrader": [Expected(3, [("EURUSD", "2024-03-04T22:02:00")], 1), Expected(3, [("GBPUSD", "2024-03-04T22:01:00")], 1)],
    "Databento": [Expected(3, [], 2, 1), Expected(2, [], 2)],
    # 67400 / 68250.5 = 0.9875; the first trade of each symbol has none before it
    "BitMEX": [Expected(4, [("XBTUSD", "2024-03-05T00:00:00.871")], 2)],
    "Tardis": [Expected(3, [("XBTUSD", "2024-03-05T00:00:00.88015")], 1)],
    # 15,000 s; 13:15:02 in Algiers is UTC+1. A null has no verdict.
    "Hive, Spark, Impala": [Expected(3, [("0550000001", "2024-03-05T12:15:02")], 1)],
    "Asterisk": [Expected(3, [("1001", "2024-03-05T13:15:02")])],
    "FreeSWITCH": [Expected(3, [("1001", "2024-03-05T13:15:02")])],
    # 1709644502 = 2024-03-05T13:15:02Z
    "CUCM": [Expected(5, [("1001", "2024-03-05T13:15:02")], quarantined={"type": 2})],
}


def sections() -> dict[str, list[Example]]:
    """By system: the files of each command, and its words."""
    found: dict[str, list[Example]] = {}
    for part in re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]:
        files: dict[str, str] = {}
        examples = found.setdefault(part.partition("\n")[0], [])
        for block in FENCED.finditer(part):
            language, text = block.groups()
            if language == "sh":
                examples.append(Example(files, shlex.split(text.replace("\\\n", " "))[1:]))
                files = {}
                continue
            name = NAMED.search(part[: block.start()])
            assert name, f"a block without a file's name above it: {text[:40]!r}"
            files[name[1]] = text
    return found


def test_every_system_is_tested() -> None:
    assert {name: len(examples) for name, examples in sections().items()} == {name: len(found) for name, found in EXPECTED.items()}


@pytest.mark.heavy
@pytest.mark.parametrize(("system", "number"), [(system, i) for system, found in EXPECTED.items() for i in range(len(found))])
def test_the_example(offbeat: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str, number: int) -> None:
    example, expected = sections()[system][number], EXPECTED[system][number]
    monkeypatch.chdir(tmp_path)
    for name, text in example.files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text.replace("^A", "\x01"))
    done = offbeat(*example.words, "--json")
    assert done.code == 0, done.err
    figures = json.loads(done.out)
    assert adds_up(figures)
    assert figures["rows_in"] == expected.rows, figures
    assert (figures["quarantined"], figures["late"], figures["duplicate"]) == (expected.quarantined, 0, 0), figures
    assert (figures.get("filtered", 0), figures["warming_up"]) == (expected.filtered, expected.warming_up), figures
    alerts = read_alerts("alerts.jsonl").sort("time")
    found = [(str(key), time.strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".")) for key, time in alerts.select("key", "time").rows()]
    assert found == expected.alerts
