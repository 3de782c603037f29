"""A run killed between any two steps of a sink, and started again from the position that was stored: no alert lost, none twice (S24)."""

from __future__ import annotations

import gc
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from alert_blocks import many
from folders import SUPPORT

from offbeat.core.chunk import Position
from offbeat.io.read.alert_files import read_alerts
from offbeat.io.write.jsonl_sink import JsonlSink
from offbeat.io.write.sinks import open_sink

BATCHES = [many(n, seed) for seed, n in enumerate((3, 0, 2, 5, 1))]
EXPECTED = [i for table in BATCHES for i in table["alert_id"].to_pylist()]


# The files that a process killed in the simulation had open are closed by the collector, which warns of them.
forgotten = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")


class Killed(BaseException):
    """No `except OSError` or `except Exception` may catch it: the process is gone."""


class Steps:
    """Counts the steps that touch the disk; dies before or after the one whose turn it is."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.left = -1
        for owner, name in ((os, "fsync"), (os, "ftruncate"), (Path, "replace"), (Path, "unlink"), (Path, "mkdir")):
            patch.setattr(owner, name, self._counted(getattr(owner, name)))
        put = JsonlSink._put

        def torn(sink: JsonlSink, data: bytes) -> None:
            self._step()
            if self.left == 0:
                put(sink, data[: len(data) // 2])
            self._step()
            put(sink, data)

        patch.setattr(JsonlSink, "_put", torn)

    def _counted(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self._step()
            result = real(*args, **kwargs)
            self._step()
            return result

        return call

    def _step(self) -> None:
        if self.left == 0:
            self.left = -1
            raise Killed
        self.left -= 1


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[Steps]:
    gc.freeze()  # so that each collection after a kill only looks at what the test made
    with monkeypatch.context() as patch:
        yield Steps(patch)
    gc.unfreeze()


class Engine:
    """What an engine does with a sink: (position in the input, position of the sink) are stored as one, after the commit."""

    def __init__(self, uri: Path) -> None:
        self.uri = str(uri)
        self.done = 0
        self.position: Position | None = None

    def run(self) -> None:
        sink = open_sink(self.uri, position=self.position, bounded=False)
        for number in range(self.done, len(BATCHES)):
            sink.write(BATCHES[number])
            position = sink.commit()
            self.done, self.position = number + 1, position
        sink.close(True)


def killed(run: Callable[[], None]) -> bool:
    try:
        run()
    except Killed:
        died = True
    else:
        died = False
    gc.collect()  # a dead process holds no files
    return died


@pytest.mark.heavy
@forgotten
@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
@pytest.mark.parametrize("again", [None, 0, 7])
def test_killed_at_every_step_and_started_again(tmp_path: Path, steps: Steps, name: str, again: int | None) -> None:
    for at in itertools.count():
        engine = Engine(tmp_path / str(at) / name)
        steps.left = at
        died = killed(engine.run)
        if died and again is not None:
            steps.left = again
            killed(engine.run)
        steps.left = -1
        engine.run()
        assert read_alerts(engine.uri)["alert_id"].to_list() == EXPECTED, f"killed at step {at}"
        assert not [p for p in (tmp_path / str(at)).rglob("*") if p.name.endswith(".partial")]
        if not died:
            break
    assert at > 10


@forgotten
@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_a_bounded_run_killed_anywhere_leaves_the_old_file_or_the_whole_new_one(tmp_path: Path, steps: Steps, name: str) -> None:
    out = tmp_path / name
    for at in itertools.count():
        sink = open_sink(str(out))
        sink.write(many(4, 99))
        sink.close(True)
        old = read_alerts(out)["alert_id"].to_list()

        def run() -> None:
            sink = open_sink(str(out))
            for table in BATCHES:
                sink.write(table)
                sink.commit()
            sink.close(True)

        steps.left = at
        died = killed(run)
        steps.left = -1
        found = read_alerts(out)["alert_id"].to_list()
        assert found in (old, EXPECTED)
        if not died:
            assert found == EXPECTED
            assert [p.name for p in tmp_path.iterdir()] == [name]
            break
    assert at >= 2


CHILD = textwrap.dedent("""
    import json, os, sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    from alert_blocks import many
    from offbeat.io.write.sinks import open_sink
    out = Path(sys.argv[1])
    state = out.with_name(out.name + ".state.json")
    done, position = json.loads(state.read_text()) if state.exists() else (0, None)
    sink = open_sink(str(out), position=position, bounded=False)
    print("ready", flush=True)
    for number in range(done, 400):
        sink.write(many(50, number))
        if number % 3 == 2 or number == 399:
            position = sink.commit()
            new = state.with_suffix(".new")
            new.write_text(json.dumps([number + 1, position]))
            os.replace(new, state)
    sink.close(True)
""")


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_kill_9_of_a_real_process(tmp_path: Path, name: str) -> None:
    command = [sys.executable, "-c", CHILD, str(tmp_path / name), str(SUPPORT)]
    kills = 0
    for delay in (0.01, 0.05, 0.12, 0.3):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
            kills += process.wait() == -signal.SIGKILL
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert kills
    expected = pa.concat_tables([many(50, number).select(["alert_id"]) for number in range(400)])["alert_id"].to_pylist()
    assert read_alerts(tmp_path / name)["alert_id"].to_list() == expected
