"""A package with a detector, made by following docs/write-a-detector.md alone: installed, linted, in the schema, run."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from command import Command, offbeat
from fenced import blocks, write_modules
from folders import DOCS

from offbeat.core.extensions import DETECTORS, installed
from offbeat.spec.document import read_document
from offbeat.spec.reference import detector_section
from offbeat.spec.schema import pipeline_schema

__all__ = ["offbeat"]
PAGE = DOCS / "write-a-detector.md"
PIPELINE = blocks(PAGE, "yaml")[0].replace('"my_detectors:Cusum"', "cusum")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page's package was installed, as `pip install .` does it."""
    package, site = tmp_path_factory.mktemp("package"), tmp_path_factory.mktemp("site")
    write_modules(PAGE, package)
    for extra in ("my_river.py", "my_population.py", "test_my_detectors.py"):
        (package / extra).unlink()
    (project,) = blocks(PAGE, "toml")
    (package / "pyproject.toml").write_text(project)
    uv: list[str | Path] = [Path(sys.executable).with_name("uv"), "pip", "install", "--python", sys.executable, "--target", site]
    subprocess.run([*uv, "--offline", "--no-deps", "--no-build-isolation", "--quiet", package], check=True)
    return site


@pytest.fixture
def here(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, with the package installed."""
    monkeypatch.syspath_prepend(site)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "my_detectors", raising=False)
    return tmp_path


@pytest.mark.usefixtures("here")
def test_an_installed_detector_runs_by_its_short_name(offbeat: Command) -> None:
    """±1 in turn, then 3: the second row of 3 is the first above 8 (2.5 to 3 deviations less 0.5 each, after about 0.6)."""
    Path("sensors.yaml").write_text(PIPELINE)
    values = [1 if i % 2 else -1 for i in range(200)] + [3] * 6
    rows = [f"s,2024-01-01T{i // 3600:02}:{i // 60 % 60:02}:{i % 60:02}Z,{value}" for i, value in enumerate(values)]
    Path("rows.csv").write_text("\n".join(["sensor,at,value", *rows]) + "\n")
    assert installed(DETECTORS)["cusum"] == ["my_detectors:Cusum"]
    assert offbeat("lint", "sensors.yaml").code == 0
    done = offbeat("run", "sensors.yaml", "rows.csv", "--alerts", "alerts.jsonl", "--json")
    assert json.loads(done.out)["alerts"] > 0, done.err
    first = json.loads(Path("alerts.jsonl").read_text().splitlines()[0])
    assert first["detectors"][0]["type"] == "cusum"
    assert first["time"] > "2024-01-01T00:03:20"
    assert offbeat("explain", "worst", "--alerts", "alerts.jsonl").code == 0


@pytest.mark.usefixtures("here")
def test_lint_knows_its_settings(offbeat: Command) -> None:
    Path("sensors.yaml").write_text(PIPELINE.replace("drift: 0.5", "drifd: 0.5"))
    assert "unknown key 'drifd'; did you mean 'drift'?" in offbeat.refused("lint", "sensors.yaml")
    Path("sensors.yaml").write_text(PIPELINE)
    assert "drift: must be at least 0.0, not -1.0" in offbeat.refused("lint", "sensors.yaml", "--set", "reading.shift.drift=-1.0")
    assert "unknown type 'cusun'; did you mean 'cusum'?" in offbeat.refused("lint", "sensors.yaml", "--set", "reading.shift.type=cusun")


@pytest.mark.usefixtures("here")
def test_the_schema_knows_its_settings(offbeat: Command) -> None:
    validator: Any = import_module("jsonschema").Draft202012Validator
    schema = json.loads(offbeat("schema").out)
    validator.check_schema(schema)
    assert schema == pipeline_schema()

    def right(text: str) -> bool:
        return not list(validator(schema).iter_errors(read_document(text).value))

    assert right(PIPELINE)
    assert not right(PIPELINE.replace("drift: 0.5", "drift: -0.5"))
    assert not right(PIPELINE.replace("drift: 0.5", "drifd: 0.5"))
    assert not right(PIPELINE.replace("cusum", "cusun"))
    assert right(blocks(PAGE, "yaml")[0]), "a class may have whatever settings"
    assert right(blocks(PAGE, "yaml")[1])


@pytest.mark.usefixtures("here")
def test_the_reference_of_a_detector() -> None:
    page = detector_section("cusum")
    assert "| `drift` | number | `0.5` |" in page
    assert "| `limit` | number | `1.0` |" in page
