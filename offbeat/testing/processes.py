"""Starts the process that `crash` is, and sends it its jobs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from offbeat.testing.crash import KILLED, Ended, Job

_TOLD = 2000
"""Characters of what a failing sink printed that are shown."""


@contextmanager
def processes() -> Iterator[Callable[[Job], Ended]]:
    """Runs jobs one by one, each in a process of its own, which finds the same modules as this one.

    Raises AssertionError where a sink fails there otherwise than by dying at its step.
    """
    places = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-m", "offbeat.testing.crash"]
    with TemporaryDirectory(prefix="offbeat-") as folder:
        said = Path(folder) / "stderr"
        with (
            said.open("w") as errors,
            subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, "PYTHONPATH": places},
            ) as process,
        ):

            def run(job: Job) -> Ended:
                answer = ""
                if process.stdin is not None and process.stdout is not None:
                    process.stdin.write(json.dumps(asdict(job)) + "\n")
                    process.stdin.flush()
                    answer = process.stdout.readline()
                if not answer:
                    raise AssertionError(f"{job.uri}: no process for it can be started:\n{said.read_text()[-_TOLD:]}")
                given = json.loads(answer)
                ended = Ended(given["code"], tuple(given["marks"]))
                if ended.code == -signal.SIGALRM:
                    raise AssertionError(f"{job.uri}: the sink hangs in a process of its own")
                if ended.code not in {0, KILLED}:
                    raise AssertionError(f"{job.uri}: the sink failed in a process of its own:\n{said.read_text()[-_TOLD:]}")
                return ended

            yield run
