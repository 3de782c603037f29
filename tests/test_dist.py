"""The wheel of `make dist` is all that one needs: installed into an empty environment, it works without the repository."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Sequence
from email.parser import Parser
from hashlib import sha256
from pathlib import Path

import pytest
from folders import ROOT

from offbeat._version import __version__

pytestmark = pytest.mark.heavy
UV = Path(sys.executable).with_name("uv")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    # What is installed here stays as it is while other tests run.
    call(["make", "-o", "setup", "dist", f"DIST={folder}"], ROOT)
    return folder


def call(command: Sequence[str | Path], folder: Path) -> str:
    env = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    done = subprocess.run([*map(str, command)], cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def test_the_wheel_holds_the_package_and_nothing_else(built: Path) -> None:
    with zipfile.ZipFile(only(built, "*.whl")) as wheel:
        names = wheel.namelist()
        about = Parser().parsestr(wheel.read(f"offbeat-{__version__}.dist-info/METADATA").decode())
    assert {name.split("/")[0] for name in names} == {"offbeat", f"offbeat-{__version__}.dist-info"}
    ours = (path for path in (ROOT / "offbeat").rglob("*") if "__pycache__" not in path.parts)
    wanted = [path for path in ours if path.suffix in {".py", ".yaml", ".typed", ".css", ".js", ".svg"}]
    assert {name for name in names if name.startswith("offbeat/")} == {str(path.relative_to(ROOT)) for path in wanted}
    assert (about["Name"], about["Version"], about["License-Expression"]) == ("offbeat", __version__, "Apache-2.0")


def test_the_source_distribution_can_be_built_and_tested(built: Path) -> None:
    with tarfile.open(only(built, "*.tar.gz")) as source:
        names = {name.split("/", 1)[1] for name in source.getnames()}
    assert {"pyproject.toml", "requirements.lock", "Makefile", "README.md", "LICENSE", "tests/test_dist.py"} <= names
    assert not [name for name in names if name.startswith((".venv", "build/", "dist/"))]


def test_the_wheel_works_in_an_empty_environment(built: Path, tmp_path: Path) -> None:
    wheel = only(built, "*.whl")
    venv.create(tmp_path / "venv", symlinks=True)
    python, offbeat = (tmp_path / "venv" / "bin" / name for name in ("python", "offbeat"))
    # The wheel's own dependencies only, each in the version and with a hash of the lock file; from uv's cache where they are there.
    wanted = tmp_path / "wanted.txt"
    wanted.write_text(f"offbeat @ {wheel.as_uri()} --hash=sha256:{sha256(wheel.read_bytes()).hexdigest()}\n")
    call([UV, "pip", "install", "--python", python, "--require-hashes", "-r", wanted, "-c", ROOT / "requirements.lock"], tmp_path)
    work = tmp_path / "work"
    work.mkdir()
    where = call([python, "-c", "import offbeat; print(offbeat.__file__)"], work)
    assert where.startswith(str(tmp_path / "venv"))
    assert "run" in call([offbeat, "--help"], work)
    assert call([offbeat, "--version"], work) == f"offbeat {__version__}\n"
    call([offbeat, "generate", "bars", "--days", "2", "--out", "bars"], work)
    call([offbeat, "run", "bars", "bars", "--alerts", "alerts.jsonl"], work)
    lines = (work / "alerts.jsonl").read_text().splitlines()
    assert lines
    assert "volume_surge" in call([offbeat, "explain", "worst", "--alerts", "alerts.jsonl"], work)
    call([offbeat, "explain", "worst", "--alerts", "alerts.jsonl", "--plot", "worst.html"], work)
    call([offbeat, "report", "alerts.jsonl", "-o", "report.html"], work)
    page = subprocess.run([offbeat, "dashboard", "--alerts", "alerts.jsonl"], cwd=work, capture_output=True, text=True, check=False)
    assert page.returncode == 2
    assert "pip install 'offbeat[dashboard]'" in page.stderr, "what a smaller installation lacks is named with what brings it"
