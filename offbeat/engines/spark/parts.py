"""Outputs that tasks write side by side: each leaves parts in a hidden folder, and the driver gives those of finished tasks their names."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from offbeat.core.plan import Plan
from offbeat.engines.delivery import check_apart
from offbeat.engines.spark import HIVE
from offbeat.engines.spark.job import Job
from offbeat.engines.spark.tasks import RECORDS, Batches, Task, arrow_batch, table_in, this_task
from offbeat.errors import UserError
from offbeat.io.contract import Sink
from offbeat.io.write.atomic_file import cannot_write, whole_file
from offbeat.io.write.part_folder import part_name
from offbeat.io.write.provenance import open_provenance, provenance_path
from offbeat.io.write.quarantine import open_quarantine
from offbeat.io.write.schema_union import plan_schema
from offbeat.io.write.sinks import local_path, open_sink

_DONE = "_SUCCESS"
"""Says that a folder holds the parts of one whole batch and nothing else, so that the next one may take its place."""


@dataclass(frozen=True, slots=True)
class _Output:
    """One output: what is written to it, in which format, and where."""

    kind: str
    path: Path
    staging: Path

    @property
    def lines(self) -> bool:
        return self.kind == "alerts" and self.path.suffix.lower() not in {".parquet", ".pq"}


class Outputs:
    """The outputs of one batch: files of alerts, where their rows came from beside them, and rows set aside.

    Raises UserError for one that cannot be written or holds what would be lost.
    """

    def __init__(self, files: Sequence[str], alerts: Sequence[str] = (), quarantine: Path | None = None) -> None:
        """files: what is read."""
        self.tables = [uri for uri in alerts if uri.startswith(HIVE)]
        """Those that are tables, which Spark itself writes."""
        alerts, written = [uri for uri in alerts if uri not in self.tables], alerts
        check_apart(files, alerts, quarantine)
        self.alerts, self.aside = bool(written), quarantine is not None
        run = uuid.uuid4().hex[:12]
        wanted: list[tuple[str, Path]] = []
        for uri in alerts:
            path = local_path(uri)
            if path is None:
                raise UserError(
                    f"--alerts {uri}: a batch on Spark writes FILE.jsonl, FILE.parquet and {HIVE}DATABASE.TABLE in this version"
                )
            wanted += [("alerts", path), ("origins", provenance_path(uri))]
        if quarantine is not None:
            wanted.append(("aside", quarantine))
        self._all = [
            _Output(kind, path.absolute(), path.absolute().with_name(f".{path.name}.{run}-{number}"))
            for number, (kind, path) in enumerate(wanted)
        ]
        for output in self._all:
            _check(output)

    def begin(self) -> dict[str, str]:
        """Make room for the parts; for `Job.outputs`."""
        try:
            for output in self._all:
                output.staging.mkdir(parents=True)
        except OSError as error:
            raise cannot_write(output.path, error) from error
        # By kind and number, as there may be several of a kind.
        return {f"{output.kind}/{number}": str(output.staging / output.path.name) for number, output in enumerate(self._all)}

    def publish(self, written: Sequence[dict[str, str]]) -> None:
        """Give the parts of finished tasks, in the order of tasks, their names; nothing else that tasks left stays."""
        for number, output in enumerate(self._all):
            parts = [Path(files[name]) for files in written for name in files if name.endswith(f"/{number}")]
            try:
                (_join if output.lines else _gather)(output, parts)
            except OSError as error:
                raise cannot_write(output.path, error) from error

    def close(self) -> None:
        """Remove what is left of parts."""
        for output in self._all:
            shutil.rmtree(output.staging, ignore_errors=True)


def _check(output: _Output) -> None:
    path = output.path
    if output.lines:
        if path.is_dir():
            raise UserError(f"cannot write {path}: it is a folder; name a file")
    elif path.exists() and not _whole(path):
        raise UserError(f"cannot write {path}: Spark writes a folder of parts there, and it holds something else; move it, or name another")


def _whole(folder: Path) -> bool:
    """Whether a folder is what a batch on Spark left there."""
    names = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set[str]()
    return _DONE in names and all(name == _DONE or name.startswith("part-") for name in names)


def _gather(output: _Output, parts: Sequence[Path]) -> None:
    made = output.staging / "whole"
    made.mkdir()
    for number, part in enumerate(parts, 1):
        part.rename(made / part_name(number))
    (made / _DONE).touch()
    if output.path.exists():
        output.path.rename(output.staging / "before")
    made.rename(output.path)


def _join(output: _Output, parts: Sequence[Path]) -> None:
    with whole_file(output.path, durable=True) as whole:
        for part in parts:
            with part.open("rb") as lines:
                shutil.copyfileobj(lines, whole, 1 << 20)


def write_records(job: Job) -> Task:
    """Alerts and rows set aside into parts of this attempt's own; what is told goes on, with the names of parts that have rows."""

    def run(batches: Batches) -> Batches:
        context = this_task()
        own = f"{context.partitionId():06d}-{context.taskAttemptId()}"
        sinks, files = dict[str, Sink](), dict[str, str]()
        try:
            for batch in batches:
                for row, kind in enumerate(batch.column("kind").to_pylist()):
                    if kind in {"told", "gaps"}:
                        yield batch.slice(row, 1)
                        continue
                    table = table_in(batch.column("data")[row].as_py())
                    for name, place in job.outputs.items():
                        if name.partition("/")[0] == kind:
                            if name not in sinks:
                                path = Path(place)
                                files[name] = str(path.with_name(f"{own}{path.suffix}"))
                                sinks[name], files[name] = _open(kind, files[name], job.plan)
                            sinks[name].write(table)
            for sink in sinks.values():
                sink.close(complete=True)
        except BaseException:
            for sink in sinks.values():
                with suppress(Exception):
                    sink.close(complete=False)
            raise
        yield arrow_batch(RECORDS, [0], [context.partitionId()], ["written"], [json.dumps(files).encode()])

    return run


def _open(kind: str, path: str, plan: Plan) -> tuple[Sink, str]:
    if kind == "alerts":
        return open_sink(path, schema=plan_schema(plan)), path
    if kind == "origins":
        return open_provenance(path), str(provenance_path(path))
    return open_quarantine(path), path
