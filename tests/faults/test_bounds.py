"""Faults of what is without bounds: YAML that is larger than it looks, names that are no text, Ctrl-C before anything runs [R26]."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import Command, offbeat
from small_runs import ROWS, csv, here

__all__ = ["here", "offbeat"]
pytestmark = pytest.mark.usefixtures("here")

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 10)}]\n" for i in range(9)
)


@pytest.mark.heavy
@pytest.mark.parametrize(
    "text",
    [
        f"{ROWS}\nseed: {'9' * 5000}\n",
        f"{ROWS}\nseed: -{'9' * 41}\n",
        f"{ROWS}\nseed: {'[' * 100}{']' * 100}\n",
        f"{ROWS}\nseed: {'[' * 5000}{']' * 5000}\n",
        f"{ROWS}\nseed: {'{a: ' * 100}{'}' * 100}\n",
        ROWS + LAUGHS,
    ],
    ids=["integer", "negative", "lists", "many lists", "mappings", "aliases"],
)
def test_a_pipeline_without_bounds_is_refused_at_once(offbeat: Command, text: str) -> None:
    Path("p.yaml").write_text(text)
    began = time.process_time()
    done = offbeat("lint", "p.yaml")
    assert done.code == 2
    assert all(line.startswith("offbeat: p.yaml:") for line in done.err.splitlines())
    assert "internal" not in done.err
    assert len(done.err) < 5000
    assert time.process_time() - began < 20


@pytest.mark.parametrize("name", ["a\x1b[2Jb.csv", "a\rb.csv", "a\nb.csv", "a\u202eb.csv", "a\x9bb.csv", "gone\x1b]0;x\x07.csv"])
def test_names_are_printed_without_control_characters(offbeat: Command, name: str) -> None:
    if not name.startswith("gone"):
        csv(name, ("2024-01-01", 2)).write_text("k,ts,q\na,2024-01-01,2\n")  # lacks a column, which is said with the file's name
    done = offbeat("run", "p.yaml", name)
    assert done.code == 2
    told = done.err.rstrip("\n")
    assert told.isprintable()
    csv(name, ("2024-01-01", 2))
    done = offbeat("run", "p.yaml", name, "--alerts", "al.jsonl", "--quarantine", f"q{name}.parquet")
    assert done.code == 0
    assert not [c for c in done.out + done.err if not c.isprintable() and c != "\n"]


def test_interrupted_while_it_loads(tmp_path: Path) -> None:
    """The signal comes while the first module of the commands is imported."""
    finder = "import sys, time\nclass F:\n    def find_spec(self, name, *_):\n        if name == 'offbeat.cli.commands':\n"
    finder += "            print('loading', flush=True); time.sleep(30)\nsys.meta_path.insert(0, F())\n"
    code = f"{finder}from offbeat.cli.app import main\nsys.argv = ['offbeat', 'lint', 'bars']\nmain()\n"
    running = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdout is not None
    assert running.stdout.readline() == "loading\n"
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (130, "")
