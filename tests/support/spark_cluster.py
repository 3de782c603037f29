"""Jobs that are handed to a cluster of Spark by `spark-submit`, as docs/spark.md says it: two workers in processes of their own."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyspark
from folders import ROOT

MASTER = "local-cluster[2,1,1024]"
_ENDS_SECONDS = 200


def documented() -> list[str]:
    """The words of the command in the docs."""
    (text,) = re.findall(r"^spark-submit .*?(?<!\\)$", (ROOT / "docs" / "spark.md").read_text(), re.MULTILINE | re.DOTALL)
    return shlex.split(text.replace("\\\n", " "))


def pack(folder: Path) -> None:
    """`pack` and `offbeat.tar.gz` as the docs make them, but with everything that is not offbeat left where it is.

    The kernels that were compiled here go along.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "pack"], check=True)
    site = next((folder / "pack" / "lib").glob("python*")) / "site-packages"
    shutil.copytree(ROOT / "offbeat", site / "offbeat")
    (site / "there.pth").write_text(sysconfig.get_paths()["purelib"])
    subprocess.run(["tar", "-C", folder / "pack", "-czf", folder / "offbeat.tar.gz", "."], check=True)


@contextmanager
def submitted(folder: Path, words: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A job in its folder, which is ended with all its processes. words: after `spark-submit`."""
    home = folder / "spark"  # workers keep their files below it
    if not home.exists():
        home.mkdir()
        for path in Path(pyspark.__file__).parent.iterdir():
            (home / path.name).symlink_to(path)
    env = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYSPARK_PYTHON", "COLUMNS"}}
    with (folder / "said.txt").open("w") as said:
        running = subprocess.Popen(
            [home / "bin" / "spark-submit", *words],
            cwd=folder,
            env=env | {"SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1"},
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            start_new_session=True,
        )
    try:
        yield running
    finally:
        for number in [running.pid, *_below(running.pid)]:
            try:
                os.kill(number, signal.SIGKILL)
            except ProcessLookupError:
                continue
        running.communicate()


def lose_an_executor(running: subprocess.Popen[str], when: Callable[[], bool]) -> None:
    """Kill the Java of one of a job's executors as soon as something holds."""
    until = time.monotonic() + _ENDS_SECONDS
    while not when():
        assert running.poll() is None, "the job ended before"
        assert time.monotonic() < until
        time.sleep(0.02)
    executor = next(pid for pid in _below(running.pid) if b"CoarseGrainedExecutorBackend" in _read(pid, "cmdline"))
    os.kill(executor, signal.SIGKILL)


def ended(running: subprocess.Popen[str], folder: Path) -> str:
    """The output of a job of a folder that ended well."""
    out, _ = running.communicate(timeout=_ENDS_SECONDS)
    assert running.returncode == 0, (folder / "said.txt").read_text()[-3000:]
    return out


def _below(pid: int) -> list[int]:
    """All processes that a process started, and they."""
    parents = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            fields = _read(int(path.name), "stat").rpartition(b")")[2].split()
            parents[int(path.name)] = int(fields[1]) if len(fields) > 1 else 0
    found, todo = list[int](), [pid]
    while todo:
        one = todo.pop()
        found += (new := [child for child, parent in parents.items() if parent == one])
        todo += new
    return found


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
