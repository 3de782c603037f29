"""Runs with a state directory for the tests of restarts: what a run left behind, files to read, and a process that dies on command."""

from __future__ import annotations

import gc
import gzip
import os
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from case import Case
from under_test import BUFFERED, ROLLED

from offbeat.core.chunk import Chunk, Position
from offbeat.core.plan import Plan
from offbeat.engines.checkpoint import Checkpoint
from offbeat.engines.delivery import Delivery
from offbeat.engines.local import LocalEngine
from offbeat.engines.run_result import Run
from offbeat.fold.merge_stage import MergeStage
from offbeat.fold.shard import Shard
from offbeat.io.read import merge_overlapping
from offbeat.io.read.alert_files import latest, read_alerts
from offbeat.io.read.file_source import FileSource
from offbeat.io.write.jsonl_sink import JsonlSink
from offbeat.io.write.parquet_sink import ParquetSink

START = 1_600_000_000


@dataclass(frozen=True)
class Job:
    """A pipeline, its files and where everything goes; `run` goes on where the last one ended."""

    plan: Plan
    sources: tuple[str, ...]
    out: Path
    block: int = 4 << 20

    @property
    def outputs(self) -> tuple[Path, Path]:
        return self.out / "a.jsonl", self.out / "a.parquet"

    @property
    def state(self) -> Path:
        return self.out / "state"

    def engine(self, *, state: bool = True, commit_seconds: float = 0.0) -> LocalEngine:
        return LocalEngine(
            self.plan,
            FileSource(self.plan.source, self.sources, block=self.block),
            alerts=[str(path) for path in self.outputs],
            quarantine=self.out / "quarantine.parquet",
            state=self.state if state else None,
            commit_seconds=commit_seconds,
        )

    def run(self, *, state: bool = True) -> Run:
        return self.engine(state=state).run()


Left = dict[str, Any]


def plain(alerts: pl.DataFrame) -> list[str]:
    """Alerts whatever file they come from: a table of several views has columns that some have not, a line of JSON has no dictionary."""

    def bare(value: Any) -> Any:
        if isinstance(value, dict):
            return sorted((name, bare(each)) for name, each in value.items() if each is not None)
        return [bare(each) for each in value] if isinstance(value, list) else value

    return sorted(repr(bare(row)) for row in alerts.to_dicts())


def rows_of(path: Path) -> list[tuple[Any, ...]]:
    """Rows of a Parquet file or of a folder of parts, sorted."""
    files = sorted(path.glob("part-*.parquet")) if path.is_dir() else [path]
    return sorted((row for file in files for row in pl.read_parquet(file).rows()), key=repr)


def left(job: Job, run: Run) -> Left:
    """Everything that a run, or several with one state, left behind, in one order; nothing may be there twice."""
    jsonl, parquet = (read_alerts(path) for path in job.outputs)
    for alerts in (jsonl, parquet):
        assert not alerts.select("alert_id", "revision", "status").is_duplicated().any(), "delivered twice"
    assert plain(jsonl) == plain(parquet)
    assert run.ledger.accounted() == run.ledger.rows_in
    return {
        "jsonl": sorted(job.outputs[0].read_text().splitlines()),
        "parquet": sorted(map(repr, parquet.rows())),
        "provenance": [rows_of(path.with_name(path.name + ".provenance.parquet")) for path in job.outputs],
        "quarantine": rows_of(job.out / "quarantine.parquet"),
        "ledger": run.ledger.as_dict(),
    }


def standing(path: Path) -> list[str]:
    """Alerts as they stand: the greatest revision of each, without retracted ones."""
    alerts = latest(read_alerts(path)).filter(pl.col("status") != "retracted")
    return plain(alerts)


class Killed(BaseException):
    """No `except Exception` may catch it."""


@dataclass
class Fate:
    """Counts what a run does and ends it at a step: with an exception that it may clean up after, or so that nothing more is written.

    A run has several threads; the one whose step it is dies there, and no other.
    """

    at: int = -1
    hard: bool = False
    count: int = 0
    dead: bool = False
    seen: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def step(self, name: str, last_act: Callable[[], object] = lambda: None) -> None:
        """`last_act`: what is done by who dies here."""
        with self.lock:
            if self.dead and self.hard:
                raise Killed
            if self.dead:
                return
            if self.count != self.at:
                self.count += 1
                self.seen.append(name)
                return
            self.dead = True
        last_act()
        raise Killed

    def kills(self, run: Callable[[], object]) -> bool:
        """Whether it died; a dead process holds no files and no locks."""
        try:
            run()
        except Killed:
            died = True
        else:
            died = False
        gc.collect()
        return died


def _around(fate: Fate, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        fate.step(f"before {name}")
        result = real(*args, **kwargs)
        fate.step(f"after {name}")
        return result

    return call


@contextmanager
def fated(at: int = -1, *, hard: bool = False) -> Iterator[Fate]:
    """Within it every run dies at its step `at` (-1: never)."""
    fate = Fate(at, hard)
    put, chunks = JsonlSink._put, FileSource.chunks

    def synced(handle: int) -> None:
        """The disk is not waited for: no test here cuts the power."""
        os.fstat(handle)

    def torn(sink: JsonlSink, data: bytes) -> None:
        fate.step("before a line")
        fate.step("in a line", lambda: put(sink, data[: len(data) // 2]))
        put(sink, data)

    def counted(source: FileSource, start: Position | None) -> Iterator[Chunk]:
        fate.step("before the first chunk")
        for chunk in chunks(source, start):
            fate.step("before a chunk")
            yield chunk
        fate.step("after the last chunk")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(JsonlSink, "_put", torn)
        patch.setattr(FileSource, "chunks", counted)
        owners: tuple[tuple[Any, str], ...] = (
            (Shard, "admit"), (Shard, "fold"), (Shard, "drain"), (MergeStage, "take_windows"), (MergeStage, "finish"),
            (Checkpoint, "save"), (Delivery, "commit"), (Delivery, "deliver"), (Delivery, "close"), (JsonlSink, "commit"),
            (ParquetSink, "commit"),
            (ParquetSink, "write"), (os, "ftruncate"), (Path, "replace"), (Path, "unlink"),
        )  # fmt: skip
        for owner, name in owners:
            patch.setattr(owner, name, _around(fate, f"{owner.__name__}.{name}", getattr(owner, name)))
        patch.setattr(os, "fsync", _around(fate, "fsync", synced))
        gc.freeze()  # so that each collection after a death looks only at what the test made
        yield fate
        gc.unfreeze()


def crashed_and_run_again(job: Job, crashes: Sequence[tuple[int, bool]]) -> tuple[Run, list[str]]:
    """Die at each of these steps in turn, each time starting anew, then run to the end; the last steps before each death."""
    steps: list[str] = []
    for at, hard in crashes:
        with fated(at, hard=hard) as fate:
            died = fate.kills(job.run)
        steps.append(fate.seen[-1] if died and fate.seen else "lived")
    with fated():
        return job.run(), steps


# -- files ---------------------------------------------------------------------------------------------------------------------------


def write(path: Path, lines: Sequence[str], header: str) -> Path:
    text = "".join(f"{line}\n" for line in (header, *lines))
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode(), mtime=0))
    else:
        path.write_text(text)
    return path


HEADERS = {ROLLED.name: "key,time,price,volume,side", BUFFERED.name: "key,time,x,n,seq"}


def _stamp(second: int, zone: str) -> str:
    return datetime.fromtimestamp(second, ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M:%S")


def line(case: Case, key: str, second: int, chance: random.Random, number: int) -> str:
    """A row that now and then is wrong."""
    odd = chance.random()
    if case is ROLLED:
        price = "abc" if odd < 0.02 else "" if odd < 0.06 else f"{chance.choice((1, 3, 9.5, 11)):.2f}"
        return f"{key},{_stamp(second, 'Asia/Kolkata')},{price},{chance.choice((1, 5, 6, 40))},{chance.choice('AAB')}"
    x = "inf" if odd < 0.05 else "x?" if odd < 0.07 else "" if odd < 0.1 else str(chance.choice((0, 1, 2.5, -1.5, 0.1)))
    when = second if odd < 0.95 else second + 10**7
    return f"{key},{_stamp(when, 'UTC')},{x},{chance.choice((1, 2.25, 3))},{number % 7}"


def disordered(case: Case, rows: int, *, step: int, reach: int, seed: int, start: int = START) -> list[str]:
    """Lines of four keys whose times go forward by `step` seconds and back by up to `reach`, with repetitions."""
    chance = random.Random(seed)
    lines: list[str] = []
    now = start
    for number in range(rows):
        now += chance.randrange(step + 1)
        if lines and chance.random() < 0.06:
            lines.append(chance.choice(lines[-9:]))
            continue
        lines.append(line(case, f"k{chance.randrange(4)}", now - chance.choice((0, 0, 0, chance.randrange(reach + 1))), chance, number))
    return lines


@contextmanager
def small_pieces() -> Iterator[None]:
    """Files that are merged come in pieces of few rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merge_overlapping, "ROWS", 23)
        yield


def split_over(folder: Path, case: Case, lines: Sequence[str], names: Sequence[str], seed: int) -> tuple[str, ...]:
    """The lines dealt out to files whose times overlap and that share keys."""
    folder.mkdir(parents=True, exist_ok=True)
    chance = random.Random(seed)
    hands: dict[str, list[str]] = {name: [] for name in names}
    for each in lines:
        hands[chance.choice(names)].append(each)
    return tuple(str(write(folder / name, hand, HEADERS[case.name])) for name, hand in hands.items())
