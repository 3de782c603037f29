"""Outputs of a worker that are no topics: how far each is travels with the offsets, so that after a crash neither is ahead of the other."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

from offbeat.decide.block import AlertBlock
from offbeat.engines.delivery import Delivery
from offbeat.engines.kafka.job import Work
from offbeat.engines.kafka.places import Place
from offbeat.engines.sink_offsets import Known, SinkOffsets
from offbeat.io.address import shown
from offbeat.io.write.provenance import provenance_path
from offbeat.io.write.sinks import local_path

Marks = dict[str, Any]
"""By short name of an output: [number of the commit, the sink's position]. JSON."""


class SideOutputs:
    """The outputs of one session. Raises UserError where one cannot be written, or another worker writes it.

    A file belongs to one worker at a time, whatever its name is. In a database each worker has a name of its own.
    """

    def __init__(self, work: Work, places: Iterable[Place]) -> None:
        """places: what is committed in all partitions, whoever has them now."""
        job = work.job
        newest: Marks = {}
        for place in places:
            for short, (number, at) in place.outputs.items():
                if short not in newest or newest[short][0] < number:
                    newest[short] = [number, at]
        self._number = max((number for number, _ in newest.values()), default=0)
        self._shorts: dict[str, str] = {}
        known: Known = {}
        for uri in job.outputs:
            path = local_path(uri)
            real = f"{job.instance} {shown(uri)}" if path is None else str(path.resolve())
            self._know(shown(uri), real, "" if path is None else real, newest, known)
            if path is not None:
                beside = str(provenance_path(uri).resolve())
                self._know(f"provenance {uri}", beside, beside, newest, known)
        places_of = SinkOffsets(known)
        self._delivery = Delivery(work.plan, job.outputs, None, places_of, bounded=False, append=job.append, tell=job.tell)
        self._delivery.files = [f"{work.topic.name}/{number}" for number in range(work.topic.partitions)]
        self.joined = places_of.joined
        """Whether an output begins: that is committed before anything is written, or nobody could tell whose it is."""
        self._dirty = False

    def _know(self, name: str, real: str, path: str, newest: Marks, known: Known) -> None:
        short = self._shorts[name] = blake2b(real.encode("utf-8", "surrogateescape"), digest_size=6).hexdigest()
        if short in newest:
            known[name] = {"path": path, "at": newest[short][1]}

    def deliver(self, block: AlertBlock) -> None:
        """Take alerts; they are there from the next `commit`."""
        if self._shorts:
            self._delivery.deliver([block], [])
            self._dirty = True

    def commit(self) -> Marks:
        """Make them durable, before the offsets are committed with what this returns."""
        if not self._dirty and not self.joined:
            return {}
        self._dirty = self.joined = False
        self._number += 1
        return {self._shorts[name]: [self._number, entry["at"]] for name, entry in self._delivery.commit().items() if name in self._shorts}

    def stored(self) -> None:
        """The offsets are committed."""
        self._delivery.stored()

    def notes(self) -> list[str]:
        """What became of the outputs that a person has to know."""
        return self._delivery.notes()

    def close(self, *, complete: bool) -> None:
        """The end. Not complete: what the offsets do not know of is removed when a session begins again."""
        self._delivery.close(complete)
