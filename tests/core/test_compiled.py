"""Where compiled kernels are kept, and that an installation that cannot be written works [R28].

Tests may run as root, whom no permission stops: what cannot be written here is a file in the place of a folder, or a read-only mount.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from folders import ROOT

KERNEL = """
import json
from offbeat.core import compiled
from offbeat.core.co_occurrence import place_in as kernel
kept, keeps = compiled.is_kept(kernel), compiled.can_keep()
given = kernel(60, 200, 60)
loaded = sum(kernel.stats.cache_hits.values())
print(json.dumps({"kept": kept, "keeps": keeps, "loaded": loaded, "given": given, "file": compiled.__file__}))
"""
READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'
needs_mounts = pytest.mark.skipif(
    subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode != 0 if shutil.which("unshare") else True,
    reason="needs a mount namespace of its own",
)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A copy of the package as it would be installed, without anything compiled."""
    shutil.copytree(ROOT / "offbeat", tmp_path / "site" / "offbeat", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "site"


def env(site: Path, cache: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    return {**inherited, "PYTHONPATH": str(site), "XDG_CACHE_HOME": str(cache), "PYTHONDONTWRITEBYTECODE": "1"}


def started(site: Path, cache: Path, *before: str) -> dict[str, Any]:
    """What the kernel gave in a process of its own, and where it came from."""
    command = [*before, sys.executable, "-W", "error", "-c", KERNEL]
    done = subprocess.run(command, env=env(site, cache), capture_output=True, text=True, check=False, cwd=site.parent)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found.pop("given") == 3, "the window from 180 on is the third after the first"
    assert found.pop("file").startswith(str(site))
    return found


def kernels(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.nbi"))


@pytest.mark.heavy
def test_beside_the_package_where_that_can_be_written(site: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert started(site, cache) == {"kept": False, "keeps": True, "loaded": 0}
    assert started(site, cache) == {"kept": True, "keeps": True, "loaded": 1}
    assert kernels(site / "offbeat" / "__pycache__")
    assert not cache.exists(), "nothing is made that is not needed"


@pytest.mark.heavy
def test_in_the_users_cache_where_the_package_cannot_be_written(site: Path, tmp_path: Path) -> None:
    (site / "offbeat" / "__pycache__").write_text("a file, so no folder")
    cache = tmp_path / "cache"
    assert started(site, cache) == {"kept": False, "keeps": True, "loaded": 0}
    assert started(site, cache) == {"kept": True, "keeps": True, "loaded": 1}
    assert kernels(cache / "offbeat")
    assert (cache / "offbeat").stat().st_mode & 0o022 == 0, "others may not put kernels there"


@pytest.mark.heavy
def test_in_memory_where_neither_can_be_written(site: Path, tmp_path: Path) -> None:
    (site / "offbeat" / "__pycache__").write_text("")
    (tmp_path / "cache").write_text("")
    for _ in range(2):
        assert started(site, tmp_path / "cache") == {"kept": False, "keeps": False, "loaded": 0}
    assert not kernels(tmp_path)


@pytest.mark.heavy
def test_a_cache_that_everybody_may_write_is_not_read(site: Path, tmp_path: Path) -> None:
    (site / "offbeat" / "__pycache__").write_text("")
    cache = tmp_path / "cache"
    started(site, cache)
    assert started(site, cache)["loaded"] == 1
    (cache / "offbeat").chmod(0o777)
    assert started(site, cache) == {"kept": False, "keeps": False, "loaded": 0}


@pytest.mark.heavy
def test_half_a_file_is_compiled_again_and_replaced(site: Path, tmp_path: Path) -> None:
    started(site, tmp_path)
    for damaged in site.rglob("*.nbi"):
        damaged.write_bytes(damaged.read_bytes()[:20])
    assert started(site, tmp_path)["loaded"] == 0
    assert started(site, tmp_path)["loaded"] == 1
    for damaged in site.rglob("*.nbc"):
        damaged.write_bytes(b"")
    assert started(site, tmp_path)["loaded"] == 0
    assert started(site, tmp_path)["loaded"] == 1


@pytest.mark.heavy
@needs_mounts
def test_on_a_read_only_disk_what_was_compiled_before_is_used(site: Path, tmp_path: Path) -> None:
    """As in a container whose image was built with the kernels."""
    nowhere = tmp_path / "cache"
    nowhere.write_text("")
    mounted = ["unshare", "-m", "sh", "-c", READ_ONLY, "sh", str(site)]
    assert started(site, nowhere, *mounted) == {"kept": False, "keeps": False, "loaded": 0}
    started(site, nowhere)
    assert started(site, nowhere, *mounted) == {"kept": True, "keeps": False, "loaded": 1}
    shutil.rmtree(site / "offbeat" / "__pycache__")
    assert started(site, tmp_path / "home", *mounted) == {"kept": False, "keeps": True, "loaded": 0}
    assert started(site, tmp_path / "home", *mounted) == {"kept": True, "keeps": True, "loaded": 1}


@pytest.mark.heavy
def test_a_run_from_an_installation_that_cannot_be_written(site: Path, tmp_path: Path) -> None:
    (site / "offbeat" / "__pycache__").write_text("")
    (tmp_path / "cache").write_text("")
    call = [sys.executable, "-c", "from offbeat.cli.app import main; main()"]
    for words in (["generate", "bars", "--days", "2", "--out", "bars"], ["run", "bars", "bars", "--alerts", "alerts.jsonl"]):
        done = subprocess.run(
            [*call, *words], env=env(site, tmp_path / "cache"), capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "alerts.jsonl").stat().st_size > 0
    assert "XDG_CACHE_HOME" in done.stderr, "why each start takes long, and what to do"
    assert not kernels(tmp_path)
