"""Classes of other packages: how they are found, what is said where they are not, and what becomes of their settings."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from command import STREAM, Command, offbeat

import offbeat as package
from offbeat import extend, testing
from offbeat.core.extensions import SINKS, SOURCES, find, installed
from offbeat.errors import SpecError, UserError
from offbeat.io.address import address_of
from offbeat.io.write.sinks import open_sink
from offbeat.spec.document import read_document
from offbeat.spec.reference import source_section
from offbeat.spec.schema import pipeline_schema

__all__ = ["offbeat"]
CODE = """
from pydantic import Field
from offbeat.extend import Settings, UserError, chunk_of_records

class CountSettings(Settings):
    '''So many rows, a second apart.'''
    rows: int = Field(ge=1, description="How many.")
    step: float = Field(default=1.0, description="From one value to the next.")

class Count:
    settings = CountSettings

    def __init__(self, settings, plan):
        self._settings, self._plan = settings, plan
        self.files, self.headers, self.notes, self.live = ["count"], [None], ["counted"], False

    def size_bytes(self):
        return None

    def done_bytes(self):
        return 0

    def close(self):
        pass

    def chunks(self, start):
        if start is not None and "row" not in start:
            raise UserError("no place of mine")
        first = start["row"] if start else 0
        places = range(first, self._settings.rows)
        rows = [{"k": "a", "t": f"2024-01-01T00:{i // 60:02d}:{i % 60:02d}Z", "v": i * self._settings.step} for i in places]
        if rows:
            yield chunk_of_records(self._plan, rows, {"row": len(rows) + first}, first_row=first + 1)

class Bare:
    settings = CountSettings
    size_bytes = done_bytes = chunks = close = lambda self: None
    def __init__(self, settings, plan):
        pass

class NoSettings(Count):
    settings = dict

class Taken(Count):
    class settings(CountSettings):
        key: str = "k"

class Sore(Count):
    def __init__(self, settings, plan):
        raise ValueError("no, not today")

class NoSource:
    settings = CountSettings
    chunks = close = 5

number = 7

class Where(Settings):
    location: str = Field(min_length=1)
    table: str = "alerts"
    batch: int = Field(default=10, ge=1)

class Gone:
    settings = Where
    opened = []

    def __init__(self, settings, opening):
        Gone.opened.append((settings, opening))

    def write(self, alerts):
        pass

    def commit(self):
        return {"commits": 1}

    def close(self, complete):
        pass
"""
METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
PIPELINE = STREAM.replace("source: {", "source: {type: TYPE, rows: 30, ")


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module with sources and sinks, in the current folder; and p.yaml, whose source is of a `TYPE` to be put in."""
    name = "mine_" + re.sub(r"\W", "_", tmp_path.name)
    (tmp_path / f"{name}.py").write_text(CODE)
    (tmp_path / "p.yaml").write_text(PIPELINE.replace("TYPE", f"{name}:Count"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return name


def put_in(folder: Path, package_name: str, groups: dict[str, dict[str, str]]) -> None:
    """An installed package with these entry points."""
    about = folder / f"{package_name}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(METADATA.format(name=package_name))
    text = "".join(f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in names.items()) for group, names in groups.items())
    (about / "entry_points.txt").write_text(text)


@pytest.fixture
def site(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages, one of them with a source `count` and a sink `gone`."""
    put_in(tmp_path, "first", {"offbeat.sources": {"count": f"{code}:Count"}, "offbeat.sinks": {"gone": f"{code}:Gone"}})
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def refused(call: Callable[..., Any], *arguments: Any) -> str:
    with pytest.raises(UserError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere.at_all:Class", "there is no module 'nowhere'"),
        ("CODE:Counts", "CODE has no Counts; did you mean Count?"),
        ("CODE:number", "that is no class"),
        ("CODE:NoSource", "no method size_bytes and no done_bytes and no chunks and no close"),
        ("CODE:NoSettings", "its attribute `settings` must be a subclass of offbeat.extend.Settings"),
        ("CODE:Taken", "its setting 'key' has the name of a key that every source has"),
        ("CODE:", "write package.module:Class"),
        ("two words:Class", "write package.module:Class"),
        ("lacking:Class", "lacking needs the module 'nowhere', which is not installed"),
        ("broken:Class", "importing broken fails: ZeroDivisionError: division by zero"),
        ("leaving:Class", "importing leaving fails: SystemExit: 3"),
        ("unread:Class", "importing unread fails: SyntaxError"),
        ("count", "there is no source 'count'; install the package that brings it, or name a class: package.module:Class"),
    ],
)
def test_a_wrong_class_is_one_problem_of_its_line(offbeat: Command, code: str, name: str, said: str) -> None:
    Path("lacking.py").write_text("import nowhere")
    Path("broken.py").write_text("1 / 0")
    Path("leaving.py").write_text("import sys; sys.exit(3)")
    Path("unread.py").write_text("class:")
    Path("p.yaml").write_text(PIPELINE.replace("TYPE", repr(name.replace("CODE", code))))
    line = next(number for number, text in enumerate(PIPELINE.splitlines(), 1) if "TYPE" in text)
    for command in ("lint", "run"):
        message = offbeat.refused(command, "p.yaml")
        assert message.startswith(f"p.yaml:{line}: source.type: ")
        assert said.replace("CODE", code) in message


def test_a_class_that_lacks_attributes_or_raises(offbeat: Command, code: str) -> None:
    assert "its class has no attribute 'files'" in offbeat.refused("run", "p.yaml", f"{code}:Bare://?rows=1")
    assert "cannot be opened: ValueError: no, not today" in offbeat.refused("run", "p.yaml", f"{code}:Sore://?rows=1")


def test_settings_are_checked_as_all_keys_are(offbeat: Command, code: str) -> None:
    assert offbeat("lint", "p.yaml").code == 0
    Path("q.yaml").write_text(PIPELINE.replace("TYPE", f"{code}:Count").replace("rows: 30", "rows: 30, stap: 2"))
    assert "unknown key 'stap'; did you mean 'step'?" in offbeat.refused("lint", "q.yaml")
    assert "source.rows: must be at least 1, not 0" in offbeat.refused("lint", "p.yaml", "--set", "source.rows=0")
    assert "source.step: expected a number, got 'far'" in offbeat.refused("lint", "p.yaml", "--set", "source.step=far")


def test_rows_come_from_the_class(offbeat: Command, code: str) -> None:
    done = offbeat("run", "p.yaml", "--json")
    figures = json.loads(done.out)
    assert (figures["rows_in"], figures["notes"]) == (30, ["counted"])
    assert json.loads(offbeat("run", "p.yaml", "--json", "--set", "source.rows=12").out)["rows_in"] == 12
    assert json.loads(offbeat("run", "p.yaml", f"{code}:Count://?rows=5&step=2", "--json").out)["rows_in"] == 5
    Path("rows.ndjson").write_text('{"k": "a", "t": "2024-01-01", "v": 1}\n')
    assert json.loads(offbeat("run", "p.yaml", "rows.ndjson", "--json").out)["rows_in"] == 1, "a file stands in place of the class"
    assert "is read alone" in offbeat.refused("run", "p.yaml", f"{code}:Count://?rows=5", "rows.ndjson")
    assert package.run("p.yaml").ledger["rows_in"] == 30


def test_a_state_belongs_to_its_source(offbeat: Command, code: str) -> None:
    assert offbeat("run", "p.yaml", "--state", "state").code == 0
    Path("p.yaml").write_text(Path("p.yaml").read_text().replace(f"type: {code}:Count, rows: 30, ", ""))
    Path("rows.ndjson").write_text('{"k": "a", "t": "2024-01-01", "v": 1}\n')
    assert "source.type" in offbeat.refused("run", "p.yaml", "rows.ndjson", "--state", "state")


def test_installed_names(offbeat: Command, code: str, site: Path) -> None:
    assert installed(SOURCES) == {"count": [f"{code}:Count"]}
    assert find(SINKS, "gone") is find(SINKS, f"{code}:Gone")
    Path("p.yaml").write_text(PIPELINE.replace("TYPE", "count"))
    assert offbeat("lint", "p.yaml").code == 0
    assert json.loads(offbeat("run", "p.yaml", "--json").out)["rows_in"] == 30
    Path("plain.yaml").write_text(STREAM)
    assert json.loads(offbeat("run", "plain.yaml", "count://?rows=4", "--json").out)["rows_in"] == 4
    assert "did you mean 'count'?" in offbeat.refused("lint", "p.yaml", "--set", "source.type=counts")
    put_in(site, "second", {"offbeat.sources": {"count": f"{code}:Sore"}})
    message = offbeat.refused("lint", "p.yaml")
    assert f"several installed packages: name the class instead, {code}:Count or {code}:Sore" in message
    put_in(site, "third", {"offbeat.sources": {"wrong": "nonsense"}})
    assert "write package.module:Class" in offbeat.refused("lint", "p.yaml", "--set", "source.type=wrong")


@pytest.mark.usefixtures("site")
def test_the_schema_knows_the_settings_of_installed_sources(code: str) -> None:
    validator: Any = import_module("jsonschema").Draft202012Validator
    schema = pipeline_schema()
    validator.check_schema(schema)

    def right(text: str) -> bool:
        return not list(validator(schema).iter_errors(read_document(text).value))

    assert right(STREAM)
    assert right(PIPELINE.replace("TYPE", "count"))
    assert not right(PIPELINE.replace("TYPE", "count").replace("rows: 30", "rows: 0"))
    assert not right(PIPELINE.replace("TYPE", "count").replace("rows: 30", "rowz: 30"))
    assert not right(PIPELINE.replace("TYPE", "counts"))
    assert not right(STREAM.replace("source: {", "source: {rows: 30, "))
    assert right(PIPELINE.replace("TYPE", f"{code}:Count")), "a class may have whatever settings"


def test_the_reference_of_a_source_of_ones_own(code: str) -> None:
    page = source_section(f"{code}:Count")
    assert "So many rows, a second apart." in page
    assert "| `rows` | whole number | required | How many. |" in page
    assert "| `step` | number | `1.0` | From one value to the next. |" in page


def test_a_sink_gets_its_settings_and_what_it_must_know(code: str) -> None:
    sink: Any = find(SINKS, f"{code}:Gone")
    open_sink(f"{code}:Gone://user:secret@host/a%20b?table=2024&batch=3", position={"commits": 7}, bounded=False)
    settings, opening = sink.opened[-1]
    assert (settings.location, settings.table, settings.batch) == ("user:secret@host/a b", "2024", 3)
    assert (opening.position, opening.bounded) == ({"commits": 7}, False)
    assert opening.name == f"{code}:Gone://user@host/a%20b?table=2024&batch=3", "a password is not shown"
    for end, said in (
        ("", "it names no location: write it behind ://"),
        ("://x?bath=1", "there is no setting 'bath'; it has table, batch"),
        ("://x?batch=0", "the setting 'batch': input should be greater than or equal to 1"),
        ("://x?batch=many", "the setting 'batch': input should be a valid integer"),
        ("://x?batch=1&batch=2", "the setting 'batch' stands twice"),
        ("://x?location=y", "the setting 'location' stands twice"),
    ):
        assert said in refused(open_sink, f"{code}:Gone{end}")
    assert "no method write" in refused(open_sink, f"{code}:Count://x")


def test_a_state_keeps_an_outputs_position_but_no_password(offbeat: Command, code: str) -> None:
    sink: Any = find(SINKS, f"{code}:Gone")
    place = f"{code}:Gone://user:secret@host/x"
    for before in (None, {"commits": 1}):
        done = offbeat("run", "p.yaml", "--alerts", place, "--state", "state")
        assert done.code == 0, done.err
        assert sink.opened[-1][1].position == before
        assert "secret" not in done.out + done.err
    assert b"secret" not in Path("state/state.arrow").read_bytes()
    assert not [path for path in Path().iterdir() if "provenance" in path.name or "quarantine" in path.name]
    again = place.replace("secret", "other")
    assert offbeat("run", "p.yaml", "--alerts", again, "--state", "state").code == 0
    assert sink.opened[-1][1].position == {"commits": 1}, "a new password does not make a new output"
    assert "alerts are read back from files, topics and databases only" in offbeat.refused("alerts", place)
    assert "named twice" in offbeat.refused("run", "p.yaml", "--alerts", place, "--alerts", again)


def test_alerts_are_kept_in_memory_where_no_output_can_be_read_back(code: str) -> None:
    result = package.run("p.yaml", alerts=f"{code}:Gone://x")
    assert result.alerts.height == result.run.alerts > 0


def test_paths_are_no_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for text in ("a.jsonl", "out/a.jsonl", "-", "", "file:///tmp/a.jsonl", "C:/x", "2024:01", "a.b:c.jsonl", "data/a:b", "x y://z"):
        assert address_of(text) is None, text
    assert address_of("data:bars") is not None
    Path("data:bars").touch()
    assert address_of("data:bars") is None, "a file of that name is meant"


def test_what_is_public_is_what_is_promised() -> None:
    for module in (extend, testing):
        assert module.__all__ == sorted(module.__all__, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
        for name in module.__all__:
            assert getattr(getattr(module, name), "__doc__", None) or name.isupper() or name == "Position", f"{name} says what it is for"


def test_a_problem_of_another_class_is_a_problem_of_the_pipeline() -> None:
    with pytest.raises(SpecError) as caught:
        package.load_plan({**read_document(STREAM).value, "source": {"type": "nothing"}})
    assert "source.type: there is no source 'nothing'" in caught.value.problems[0]
