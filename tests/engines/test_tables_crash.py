"""A run killed while it writes a day of a table: the old day is there whole, or the new one."""

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
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from folders import SUPPORT
from table_files import DAY, SCHEMA, read, some

from offbeat import run
from offbeat.evaluate.generate_cdr import generate_cdr
from offbeat.io.write.tables.open import open_tables


class Killed(BaseException):
    """The process is gone: nothing catches it."""


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Dies before or after the n-th step that touches the disk."""
    left = [-1]

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            for turn in ("before", "after"):
                if left[0] == 0:
                    left[0] = -1
                    raise Killed
                left[0] -= 1
                if turn == "before":
                    result = real(*args, **kwargs)
            return result

        return call

    def arm(at: int) -> None:
        left[0] = at

    gc.freeze()  # so that each collection after a kill only looks at what the test made
    with monkeypatch.context() as patch:
        for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "mkdir")):
            patch.setattr(owner, name, counted(getattr(owner, name)))
        yield arm
    gc.unfreeze()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_killed_at_every_step_the_old_day_or_the_new_one_is_there_whole(tmp_path: Path, steps: Callable[[int], None]) -> None:
    for at in itertools.count():
        out = tmp_path / str(at)
        sink = open_tables(str(out), {"t": SCHEMA})
        sink.write("t", DAY, some(3))
        steps(at)
        try:
            sink.write("t", DAY, some(7))
            sink.write("t", date(2024, 3, 2), some(2))
            died = False
        except Killed:
            died = True
        steps(-1)
        sink.close()
        gc.collect()
        found = read(out, "t")
        assert found.filter(pl.col("day") == DAY).height in (3, 7)
        assert found.filter(pl.col("day") != DAY).height in (0, 2)
        open_tables(str(out), {"t": SCHEMA}).close()
        assert {path.name for path in (out / "t").rglob("*") if path.is_file()} == {"part-0.parquet"}
        if not died:
            assert found.height == 9
            break
    assert at > 5


CHILD = textwrap.dedent("""
    import sys
    sys.path.insert(0, sys.argv[2])
    from table_files import DAY, SCHEMA, some
    from offbeat.io.write.tables.open import open_tables
    sink = open_tables(sys.argv[1], {"t": SCHEMA})
    print("ready", flush=True)
    for turn in range(10_000):
        sink.write("t", DAY, some(200_000 + turn))
""")


@pytest.mark.heavy
@pytest.mark.parametrize("scheme", ["", "delta:"])
def test_kill_9_during_a_write_leaves_the_old_day_whole(tmp_path: Path, scheme: str) -> None:
    uri = f"{scheme}{tmp_path / 'out'}"
    sink = open_tables(uri, {"t": SCHEMA})
    sink.write("t", DAY, some(200_000))
    sink.close()
    for delay in (0.02, 0.15):
        command = [sys.executable, "-c", CHILD, uri, str(SUPPORT)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL
        found = read(uri, "t")
        assert found.height >= 200_000
        assert found["n"].null_count() == 1
        assert found["n"].max() == found.height - 1
    sink = open_tables(uri, {"t": SCHEMA})
    sink.write("t", DAY, some(4))
    sink.close()
    assert read(uri, "t").height == 4
    assert not list(Path(uri.removeprefix("delta:")).rglob("*.partial"))


RUN = textwrap.dedent("""
    import sys
    from pathlib import Path
    from offbeat.engines.local import LocalEngine
    from offbeat.io.read.open_source import open_source
    from offbeat.spec.load import load_plan
    records, tables, state = sys.argv[1:]
    plan = load_plan("cdr")
    engine = LocalEngine(plan, open_source(plan.source, [records]), tables=[tables], state=Path(state), commit_seconds=0.0)
    print("ready", flush=True)
    engine.run(lambda progress: print(progress.rows, flush=True))
""")


@pytest.mark.heavy
def test_a_run_killed_between_days_and_started_again_leaves_the_tables_of_one_run(tmp_path: Path) -> None:
    generate_cdr(tmp_path / "records", rows=60_000, days=30, customers=100, seed=11)
    run("cdr", tmp_path / "records", tables=tmp_path / "whole")
    command = [sys.executable, "-c", RUN, *(str(tmp_path / name) for name in ("records", "killed", "state"))]
    kills = 0
    for chunks in (3, 4, 6):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(chunks):
                process.stdout.readline()
            process.send_signal(signal.SIGKILL)
            kills += process.wait() == -signal.SIGKILL
    assert kills == 3
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    for table in ("baselines", "zscores", "region_hours", "patterns", "consolidated"):
        whole, killed = (read(tmp_path / name, table) for name in ("whole", "killed"))
        order = [whole.columns[0], "start"]
        assert killed.sort(order).equals(whole.sort(order)), table
        assert whole.height > 10
