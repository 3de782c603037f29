"""Everything that leaves a run: alerts, where their rows came from, and rows that were set aside; committed together."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from offbeat._version import __version__
from offbeat.core.plan import Plan
from offbeat.decide.block import RETRACTED, AlertBlock, Quarantined
from offbeat.engines.sink_offsets import Known, SinkOffsets
from offbeat.errors import UserError
from offbeat.io.address import shown
from offbeat.io.contract import Sink
from offbeat.io.report.console import alert_records
from offbeat.io.stores import is_store
from offbeat.io.write.alert_table import alert_table, is_lean
from offbeat.io.write.jsonl_sink import JsonlSink
from offbeat.io.write.parquet_sink import ParquetSink
from offbeat.io.write.provenance import open_provenance, provenance_path, provenance_table
from offbeat.io.write.quarantine import open_quarantine, quarantine_table
from offbeat.io.write.schema_union import plan_schema
from offbeat.io.write.sinks import local_path, open_sink


def table_of(plan: Plan, block: AlertBlock) -> pa.Table:
    """Alerts of a plan as records."""
    return alert_table(block, pipeline=plan.name, plan_hash=plan.plan_hash, version=__version__, lean=is_lean(plan))


class Delivery:
    """The sinks of one run.

    `uris` are the outputs of alerts; `places` says how far they and the others are; `bounded` and `append` as in `open_sink`; `watch` is
    shown what the sinks get; `tell` as in `open_sink`.
    """

    def __init__(
        self,
        plan: Plan,
        uris: Sequence[str],
        quarantine: Path | None,
        places: SinkOffsets,
        *,
        bounded: bool,
        append: bool = False,
        watch: Callable[[pa.Table], None] | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self._plan, self._places, self._watch = plan, places, watch
        self.alerts = 0
        self.known: Known = {}
        """What the last `commit` gave."""
        self.files: list[str] = []
        self.headers: list[str | None] = []
        self._sinks: dict[str, Sink] = {}
        self._origins: dict[str, Sink] = {}
        self._quarantine: dict[str, Sink] = {}
        schema = plan_schema(plan)

        def at(name: str, path: Path | None) -> dict[str, Any]:
            position, whole = places.position(name, path)
            return {"position": position, "whole": whole, "bounded": bounded, "append": append}

        try:
            for uri in uris:
                path, known = local_path(uri), shown(uri)
                if known in self._sinks:
                    raise UserError(f"{known} is named twice as an output of alerts")
                self._sinks[known] = open_sink(uri, schema=schema, tell=tell, **at(known, path))
                if path is not None:
                    name = f"provenance {uri}"
                    self._origins[name] = open_provenance(uri, **at(name, provenance_path(uri)))
                elif is_store(uri):
                    name = f"provenance {known}"
                    self._origins[name] = open_provenance(uri, tell=tell, **at(name, None))
            if quarantine is not None:
                name = f"quarantine {quarantine}"
                self._quarantine[name] = open_quarantine(quarantine, **at(name, quarantine))
        except BaseException:
            self.close(complete=False)
            raise

    def deliver(self, blocks: Sequence[AlertBlock], quarantined: Sequence[Quarantined]) -> None:
        """Hand everything to the sinks; it counts as delivered from the next `commit`."""
        for block in blocks:
            self.alerts += len(block)
            if self._sinks or self._watch is not None:
                table = table_of(self._plan, block)
                if self._watch is not None:
                    self._watch(table)
                for sink in self._sinks.values():
                    sink.write(table)
            if self._origins:
                origins = provenance_table(block, self.files)
                for sink in self._origins.values():
                    sink.write(origins)
        for sink in self._quarantine.values():
            for rows in quarantined:
                sink.write(quarantine_table(rows, self.files, self.headers))

    def _all(self) -> dict[str, Sink]:
        return self._sinks | self._origins | self._quarantine

    def commit(self) -> Known:
        """Make everything handed over durable; what a restart needs for its `SinkOffsets`."""
        self.known = self._places.committed({name: sink.commit() for name, sink in self._all().items()})
        return self.known

    def stored(self) -> None:
        """What `commit` returned is stored, or need not be: outputs may be tidied up."""
        for sink in self._all().values():
            if isinstance(sink, ParquetSink):
                sink.stored()

    def notes(self) -> list[str]:
        """What became of the outputs that a person has to know."""
        ours = (sink for sink in self._all().values() if isinstance(sink, (JsonlSink, ParquetSink)))
        return [note for sink in ours for note in sink.notes]

    def close(self, complete: bool) -> None:
        """End of the run. Every sink is closed, even if another one refuses."""
        failed: BaseException | None = None
        for sink in self._all().values():
            try:
                sink.close(complete and failed is None)
            except Exception as error:
                failed = failed or error
        if failed is not None:
            raise failed


WORST = 10
"""Alerts that a report shows."""
Ranked = tuple[tuple[float, ...], dict[str, Any]]
"""What an alert is ranked by, the least first, and its record."""


class Worst:
    """The `WORST` worst alerts so far, by severity, then votes, then score, then the earlier: as `report.ranked` has them."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, float, int, int, AlertBlock]] = []
        self._seen = 0

    def add(self, block: AlertBlock) -> None:
        """Look through a block."""
        bar = self._heap[0][0] if len(self._heap) == WORST else -1.0
        score = np.sum([np.where(d.voted, d.score, 0.0) for d in block.detectors], axis=0) / np.maximum(block.votes, 1)
        good = np.flatnonzero((block.severity >= bar) & (block.status != RETRACTED))
        order = np.lexsort((good, block.time_ns[good], -score[good], -block.votes[good], -block.severity[good]))[:WORST]
        for i in good[order].tolist():
            self._seen += 1
            rank = (float(block.severity[i]), int(block.votes[i]), float(score[i]), -int(block.time_ns[i]), -self._seen)
            if len(self._heap) < WORST:
                heapq.heappush(self._heap, (*rank, block.take(np.array([i]))))
            elif rank > self._heap[0][:5]:
                heapq.heapreplace(self._heap, (*rank, block.take(np.array([i]))))

    def records(self, plan: Plan) -> list[dict[str, Any]]:
        """The worst first, as records: as their JSON lines read."""
        return [record for _, record in self.ranked(plan)]

    def ranked(self, plan: Plan) -> list[Ranked]:
        """As `records`, with what they are ranked by, to be merged with those of others."""
        best = sorted(self._heap, key=lambda entry: entry[:5], reverse=True)
        ranks = [tuple(-value for value in entry[:4]) for entry in best]
        return [(rank, record) for rank, entry in zip(ranks, best, strict=True) for record in alert_records(table_of(plan, entry[5]))]


def check_apart(files: Sequence[str], alerts: Sequence[str], *others: Path | None) -> None:
    """Raise UserError where an output is also an input, or another output: what is in it would be lost."""
    taken = {Path(file).resolve(): "reads" for file in files if file != "-"}
    outputs = [path for path in map(local_path, alerts) if path is not None]
    for path in [*outputs, *(provenance_path(str(path)) for path in outputs), *(path for path in others if path is not None)]:
        real = path.resolve()
        if real in taken:
            raise UserError(f"cannot write {path}: this run already {taken[real]} it; name another file")
        taken[real] = "writes"
