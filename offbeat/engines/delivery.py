"""Everything that leaves a run: alerts, where their rows came from, and rows that were set aside; committed together."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from offbeat._version import __version__
from offbeat.core.plan import Plan
from offbeat.decide.block import AlertBlock, SetAside
from offbeat.io.alerts import alert_table
from offbeat.io.console import alert_records
from offbeat.io.contract import Position, Sink
from offbeat.io.provenance import open_provenance, provenance_table
from offbeat.io.quarantine import open_quarantine, quarantine_table
from offbeat.io.shape import plan_schema
from offbeat.io.sinks import open_sink


class Delivery:
    """The sinks of one run.

    `uris` are the outputs of alerts; `positions` what `commit` returned when the state was last stored ({} at the first run);
    `bounded` as in `open_sink`.
    """

    def __init__(self, plan: Plan, uris: Sequence[str], quarantine: Path | None, positions: dict[str, Position], *, bounded: bool) -> None:
        self._plan = plan
        self.alerts = 0
        self.files: list[str] = []
        self.headers: list[str | None] = []
        self._sinks: dict[str, Sink] = {}
        self._origins: dict[str, Sink] = {}
        self._quarantine: Sink | None = None
        schema = plan_schema(plan)
        try:
            for uri in uris:
                self._sinks[uri] = open_sink(uri, position=positions.get(uri), bounded=bounded, schema=schema)
                if uri != "-":
                    at = positions.get(f"provenance {uri}")
                    self._origins[f"provenance {uri}"] = open_provenance(uri, position=at, bounded=bounded)
            if quarantine is not None:
                self._quarantine = open_quarantine(quarantine, position=positions.get("quarantine"), bounded=bounded)
        except BaseException:
            self.close(complete=False)
            raise

    def deliver(self, blocks: Sequence[AlertBlock], set_aside: Sequence[SetAside]) -> None:
        """Hand everything to the sinks; it counts as delivered from the next `commit`."""
        for block in blocks:
            self.alerts += len(block)
            if self._sinks:
                table = self.table(block)
                for sink in self._sinks.values():
                    sink.write(table)
            if self._origins:
                origins = provenance_table(block, self.files)
                for sink in self._origins.values():
                    sink.write(origins)
        if self._quarantine is not None:
            for rows in set_aside:
                self._quarantine.write(quarantine_table(rows, self.files, self.headers))

    def table(self, block: AlertBlock) -> pa.Table:
        """Alerts as records."""
        return alert_table(block, pipeline=self._plan.name, plan_hash=self._plan.plan_hash, version=__version__)

    def _all(self) -> dict[str, Sink]:
        quarantine = {"quarantine": self._quarantine} if self._quarantine is not None else {}
        return self._sinks | self._origins | quarantine

    def commit(self) -> dict[str, Position]:
        """Make everything handed over durable; what a restart needs, by sink."""
        return {name: sink.commit() for name, sink in self._all().items()}

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


class Worst:
    """The `most` worst alerts so far, by severity, then votes, then score, then the earlier: as `report.ranked` has them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._heap: list[tuple[float, int, float, int, int, AlertBlock]] = []
        self._seen = 0

    def add(self, block: AlertBlock) -> None:
        """Look through a block."""
        bar = self._heap[0][0] if len(self._heap) == self._most else -1.0
        score = np.sum([np.where(d.voted, d.score, 0.0) for d in block.detectors], axis=0) / np.maximum(block.votes, 1)
        good = np.flatnonzero(block.severity >= bar)
        order = np.lexsort((good, block.time_ns[good], -score[good], -block.votes[good], -block.severity[good]))[: self._most]
        for i in good[order].tolist():
            self._seen += 1
            rank = (float(block.severity[i]), int(block.votes[i]), float(score[i]), -int(block.time_ns[i]), -self._seen)
            if len(self._heap) < self._most:
                heapq.heappush(self._heap, (*rank, block.take(np.array([i]))))
            elif rank > self._heap[0][:5]:
                heapq.heapreplace(self._heap, (*rank, block.take(np.array([i]))))

    def records(self, delivery: Delivery) -> list[dict[str, Any]]:
        """The worst first, as records: as their JSON lines read."""
        best = sorted(self._heap, key=lambda entry: entry[:5], reverse=True)
        return [record for entry in best for record in alert_records(delivery.table(entry[5]))]
