"""The pages on sources and sinks: their classes, commands and tests, as they stand there."""

from __future__ import annotations

import csv
import json
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from command import Command, offbeat
from fenced import blocks, write_modules
from folders import DOCS

import offbeat as package
from offbeat.io.read.alert_files import latest, read_alerts
from offbeat.testing import check_sink

__all__ = ["offbeat"]
Modules = Callable[[str], dict[str, ModuleType]]


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Modules:
    """Writes a page's modules into an empty folder, which becomes the current one, and imports them."""

    def written(page: str) -> dict[str, ModuleType]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(tmp_path)
        names = write_modules(DOCS / page, tmp_path)
        for name in names:
            monkeypatch.delitem(sys.modules, name, raising=False)
        return {name: import_module(name) for name in names}

    return written


def typed(page: str) -> list[list[str]]:
    """The commands of a page, without `offbeat`."""
    return [shlex.split(line)[1:] for block in blocks(DOCS / page, "sh") for line in block.splitlines()]


def test_a_sink_from_the_page_takes_the_alerts_of_its_commands(offbeat: Command, modules: Modules) -> None:
    page = modules("write-a-sink.md")
    for words in typed("write-a-sink.md"):
        done = offbeat(*words)
        assert done.code == 0, done.err
    found = page["test_my_sinks"].in_database("my_sinks:Sqlite://alerts.db")
    offbeat("run", "bars", "bars", "--alerts", "same.jsonl")
    expected = [json.loads(line) for line in Path("same.jsonl").read_text().splitlines()]
    assert len(found) > 100
    assert sorted(found, key=lambda record: record["alert_id"]) == sorted(expected, key=lambda record: record["alert_id"])


def test_a_sink_with_a_position_goes_on_where_a_run_ended(offbeat: Command, modules: Modules) -> None:
    modules("write-a-sink.md")
    offbeat("generate", "bars", "--days", "2", "--out", "bars")
    files = sorted(Path("bars").glob("*.csv"))
    place = "my_files:CsvFolder://alerts?delimiter=%3B"
    for file in (files[:1], files[:2]):
        done = offbeat("run", "bars", *file, "--state", "state", "--alerts", place, "--alerts", "same.jsonl")
        assert done.code == 0, done.err
        assert place in done.out, "where the alerts are"
    texts = [path.read_text().splitlines() for path in sorted(Path("alerts").glob("*.csv"))]
    lines = [row for text in texts for row in csv.DictReader(text, delimiter=";")]
    assert [row["alert_id"] for row in lines] == read_alerts("same.jsonl")["alert_id"].to_list()
    assert len({row["key"] for row in lines}) == 2
    assert sorted(path.name for path in Path("alerts").iterdir()) == ["000001.csv", "000002.csv"]


@pytest.mark.heavy
def test_the_sinks_of_the_page_keep_the_contract(modules: Modules, tmp_path: Path) -> None:
    page = modules("write-a-sink.md")
    check_sink(lambda name: f"my_sinks:Sqlite://{tmp_path}/{name}.db", page["test_my_sinks"].in_database, crashes=3)
    check_sink(lambda name: f"my_files:CsvFolder://{tmp_path}/{name}", page["test_my_sinks"].in_folder, crashes=3)


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["test_sqlite", "test_csv_folder"])
def test_the_tests_of_the_sink_page(modules: Modules, tmp_path: Path, name: str) -> None:
    getattr(modules("write-a-sink.md")["test_my_sinks"], name)(tmp_path)


@contextmanager
def service(page: ModuleType) -> Iterator[str]:
    """The page's own fixture, as pytest would run it."""
    with contextmanager(page.address.__wrapped__)() as address:
        yield address


def test_a_source_from_the_page(offbeat: Command, modules: Modules) -> None:
    page = modules("write-a-source.md")["test_my_sources"]
    (pipeline,) = blocks(DOCS / "write-a-source.md", "yaml")
    with service(page) as address:
        Path("sensors.yaml").write_text(pipeline.replace("localhost:8080/events", address))
        page.test_pages(address)
        for words in typed("write-a-source.md"):
            done = offbeat(*(word.replace("localhost:8080/events", address) for word in words))
            assert done.code == 0, done.err
        found = latest(read_alerts("alerts.jsonl"))
        assert found.select("key", "votes").rows() == [("s1", 1)], "the one event of 95 degrees, of 700 = 1 modulo 3"
        result = package.run("sensors.yaml")
        assert (result.ledger["rows_in"], result.ledger["quarantined"]) == (1200, {"type": 1})
        assert result.alerts["alert_id"].to_list() == found["alert_id"].to_list()
    lines = [json.dumps(event) for event in page.EVENTS]
    Path("events.ndjson").write_text("\n".join(lines))
    assert offbeat("run", "sensors.yaml", "events.ndjson", "--alerts", "file.jsonl").code == 0
    assert read_alerts("file.jsonl")["alert_id"].to_list() == found["alert_id"].to_list(), "the same rows from a file"


def test_a_source_of_the_page_that_is_not_there(offbeat: Command, modules: Modules) -> None:
    modules("write-a-source.md")
    (pipeline,) = blocks(DOCS / "write-a-source.md", "yaml")
    Path("sensors.yaml").write_text(pipeline.replace("localhost:8080", "localhost:1"))
    assert offbeat.refused("run", "sensors.yaml").startswith("http://localhost:1/events cannot be read: ")


def test_a_run_over_a_source_of_the_page_goes_on_from_its_state(offbeat: Command, modules: Modules) -> None:
    page = modules("write-a-source.md")["test_my_sources"]
    (pipeline,) = blocks(DOCS / "write-a-source.md", "yaml")
    whole = list(page.EVENTS)
    with service(page) as address:
        Path("sensors.yaml").write_text(pipeline.replace("localhost:8080/events", address))
        offbeat("run", "sensors.yaml", "--alerts", "whole.jsonl")
        page.EVENTS[:] = whole[:650]
        assert offbeat("run", "sensors.yaml", "--alerts", "parts.jsonl", "--state", "state").code == 0
        page.EVENTS[:] = whole
        done = offbeat("run", "sensors.yaml", "--alerts", "parts.jsonl", "--state", "state", "--json")
        assert json.loads(done.out)["rows_in"] == 1200
        assert Path("parts.jsonl").read_text() == Path("whole.jsonl").read_text()
        said = offbeat.refused("run", "sensors.yaml", "whole.jsonl", "--state", "state")
        assert "another source than files" in said
