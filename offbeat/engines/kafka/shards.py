"""Shards of a group: a partition of rows, or the merge of what these tell of windows on other keys."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from offbeat.core.batch import I64, NULL_INT
from offbeat.core.chunk import Chunk
from offbeat.core.ledger import Ledger
from offbeat.core.plan import Plan
from offbeat.core.state import decode, encode
from offbeat.engines.kafka.places import Place
from offbeat.errors import UserError
from offbeat.fold.fold import Fold
from offbeat.fold.late_files import Lateness
from offbeat.fold.merge_fold import MergeFold
from offbeat.fold.shard import Output
from offbeat.io.read.ambiguous_times import follow

_END = "offbeat.end"
"""The one field of a record in the topic of partials that says: this shard has come to the end of its input."""
_EPOCH, _PART = "offbeat-epoch", "offbeat-part"
"""Headers: SHARD/EPOCH of who tells, and PART/PARTS where what is told is larger than brokers take by default."""
_LARGEST = 900_000
_CHEAP_SECONDS = 2.0
_TIMES = 10
"""A snapshot is due when the rows folded since the last one took so many times as long as it did."""


class Shard:
    """What rows and the merge have in common: where they are, what is to be replayed in silence, and when a snapshot is due."""

    def __init__(self, number: int, place: Place, start: int) -> None:
        """start: offset of the snapshot that the shard begins with; records up to the committed place are replayed from there."""
        self.number, self.place = number, place
        self.next = start
        """Offset of the first record not yet taken."""
        self.silent = True
        """Whether what comes of records was sent before."""
        self.before = Ledger()
        """What had become of its rows before this worker read on."""
        self._replayed_ends = sorted(at for at in place.ends if at >= start)
        self.work_seconds = 0.0
        self._cost_seconds = 0.0
        self.snapshot_at = start
        self.until: int | None = None
        """Where the run ends, if it does."""
        self.ended = False

    def stops(self) -> list[int]:
        """Offsets, rising, before which `arrive` is to be called, as something was done there."""
        return sorted({self.place.offset, *self._replayed_ends}) if self.silent else []

    def arrive(self) -> None:
        """During a replay, at `next`: do what was done here, and end the replay where it has come to what is committed."""
        if not self.silent:
            return
        while self._replayed_ends and self._replayed_ends[0] <= self.next:
            self._replayed_ends.pop(0)
            self.end()  # what came of it was sent
        if self.next >= self.place.offset:
            self.silent = False
            self.before = Ledger()
            self.before.add(self.ledger)
            self._forget_told()

    def _forget_told(self) -> None:
        """What a replay has gathered to be told was told."""

    def snapshot_due(self) -> bool:
        """Whether replaying would take so long that a snapshot is worth it; never in the middle of a replay."""
        return not self.silent and self.next > self.snapshot_at and self.work_seconds >= max(_CHEAP_SECONDS, _TIMES * self._cost_seconds)

    def snapshot(self) -> bytes:
        """The state, to be kept under the offset `next`."""
        began = time.monotonic()
        data = self._state()
        self._cost_seconds = time.monotonic() - began
        self.work_seconds, self.snapshot_at = 0.0, self.next
        return data

    def _state(self) -> bytes:
        raise NotImplementedError

    def end(self) -> Output:
        """The input has come to its end: fold what is held back."""
        raise NotImplementedError

    @property
    def ledger(self) -> Ledger:
        """The rows of this shard, or what the merge has decided of them."""
        raise NotImplementedError

    def learned_ns(self) -> dict[tuple[str, str], int]:
        """As `Fold.learned_ns`."""
        raise NotImplementedError

    @property
    def newest_ns(self) -> int:
        """Greatest time of a row folded before the input's end."""
        raise NotImplementedError


class RowShard(Shard):
    """The rows of one partition."""

    def __init__(self, plan: Plan, number: int, place: Place, start: int, snapshot: bytes | None) -> None:
        super().__init__(number, place, start)
        self.remote = any(view.rollup is not None for view in plan.views)
        self._fold = Fold(plan, live=True, remote=self.remote)
        self._fold.assign(number)
        self._row_before_ns = NULL_INT
        """Time of the last row, by which times that come twice are told apart [R17]."""
        if snapshot is not None:
            arrays, document = decode(snapshot, "snapshot")
            self._row_before_ns = document.pop("row_before_ns")
            self._fold.restore(number, arrays, document)
        self.seen = 0
        """Records looked at for their keys."""
        self._grown = False
        self.arrive()

    def feed(self, chunk: Chunk, later: I64 | None) -> Output:
        """Fold rows. later: see `Records.later`."""
        began = time.monotonic()
        self._row_before_ns = follow(chunk.time_ns, later, self._row_before_ns)
        out = self._fold.feed(self.number, self._fold.prepare(self.number, chunk))
        self.work_seconds += time.monotonic() - began
        self._grown = True
        return out

    def punctuate(self, time_ns: int) -> Output:
        """No row before this will come."""
        self._grown = True
        return self._fold.punctuate(self.number, time_ns)

    def end(self) -> Output:
        self._grown = True
        return self._fold.end()

    def untrained(self) -> list[str]:
        """As `Fold.untrained`."""
        return self._fold.untrained()

    def late_files(self) -> dict[int, Lateness]:
        """As `Fold.late_files`."""
        return self._fold.late_files()

    def unseen(self, others: Sequence[RowShard]) -> list[str]:
        """As `Fold.unseen`, with other shards' rows."""
        return self._fold.unseen(*(other._fold for other in others))

    def unanswered(self) -> str:
        """As `Fold.unanswered`."""
        return self._fold.unanswered()

    def partials(self) -> bytes | None:
        """For the merge: what has come to windows since this was last asked; None where there is nothing to tell."""
        if not self.remote or not self._grown:
            return None
        self._grown = False
        return self._fold.partials(self.number)

    def _forget_told(self) -> None:
        self.partials()

    def _state(self) -> bytes:
        arrays, document = self._fold.state(self.number)
        self._fold.tidy()
        return encode(arrays, document | {"row_before_ns": self._row_before_ns})

    @property
    def ledger(self) -> Ledger:
        return self._fold.shard_ledger(self.number)

    def learned_ns(self) -> dict[tuple[str, str], int]:
        return self._fold.learned_ns()

    @property
    def newest_ns(self) -> int:
        return self._fold.newest_ns


class MergeShard(Shard):
    """The merge of all partitions' windows: one shard, fed from the topic of partials."""

    def __init__(self, plan: Plan, shards: int, place: Place, start: int, snapshot: bytes | None) -> None:
        super().__init__(0, place, start)
        self._merge = MergeFold(plan, shards)
        self._ends: dict[int, int] = {}
        """Where the input of each shard was said to end last."""
        self._epochs: dict[str, str] = {}
        """By shard, of which beginning of the group everything is that it has told."""
        self._parts: dict[str, bytes] = {}
        """By shard, the parts so far of what it is about to tell."""
        if snapshot is not None:
            arrays, document = decode(snapshot, "snapshot of the merge")
            self._ends, self._epochs = dict(document.pop("ends")), document.pop("epochs")
            self._parts = {name: arrays.pop(f"{_PART}/{name}").tobytes() for name in document.pop("parts")}
            self._merge.restore(arrays, document)
        self.arrive()

    def feed(self, record: bytes | None, headers: Mapping[str, bytes], where: str) -> Output:
        """Take a record of the topic of partials. Raises UserError where it is damaged, or its windows may be counted already."""
        if record is None:
            return Output()
        number, _, epoch = headers.get(_EPOCH, b"").decode().partition("/")
        if self._epochs.setdefault(number, epoch) != epoch:
            raise UserError(
                f"{where}: partition {number} began anew after the brokers had forgotten how far the group was in it, and its windows of "
                "before are counted already; name a new --group"
            )
        part, _, parts = headers.get(_PART, b"1/1").partition(b"/")
        if part != b"1":
            record = self._parts.pop(number, b"") + record
        if part != parts:
            self._parts[number] = record
            return Output()
        if record.startswith(b"{"):
            control: dict[str, int] = json.loads(record)
            self._ends[control[_END]] = control.get("at", -1)
            return Output()
        began = time.monotonic()
        try:
            out = self._merge.feed(record)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
        self.work_seconds += time.monotonic() - began
        return out

    def has_all(self, ends: Mapping[int, int]) -> bool:
        """Whether all shards have come to where their input ends in this run; that an earlier run ended before does not count."""
        return all(self._ends.get(number, -1) >= at for number, at in ends.items())

    def end(self) -> Output:
        return self._merge.end()

    def _state(self) -> bytes:
        arrays, document = self._merge.state()
        arrays |= {f"{_PART}/{name}": np.frombuffer(data, np.uint8) for name, data in self._parts.items()}
        own = {"ends": sorted(self._ends.items()), "epochs": self._epochs, "parts": list(self._parts)}
        return encode(arrays, document | own)

    @property
    def ledger(self) -> Ledger:
        return self._merge.ledger

    def learned_ns(self) -> dict[tuple[str, str], int]:
        return self._merge.learned_ns()

    @property
    def newest_ns(self) -> int:
        return self._merge.newest_ns


def model_ages(shards: Iterable[Shard]) -> dict[tuple[str, str], float]:
    """By view and detector: how long before the shards' newest row the last row lies that its newest model was trained on, in seconds.

    By event time, so that rows of the past, read again, find their models as young as they were.
    """
    newest_ns, learned = NULL_INT, dict[tuple[str, str], int]()
    for shard in shards:
        newest_ns = max(newest_ns, shard.newest_ns)
        for name, time_ns in shard.learned_ns().items():
            learned[name] = max(time_ns, learned.get(name, NULL_INT))
    return {name: max(newest_ns - time_ns, 0) / 1e9 for name, time_ns in sorted(learned.items())}


def unseen_in(shards: Sequence[RowShard]) -> list[str]:
    """As `Fold.unseen`, of several shards."""
    return shards[0].unseen(shards[1:]) if shards else []


Told = tuple[bytes, list[tuple[str, bytes]]]
"""A record for the topic of partials: its value and its headers."""


def end_record(number: int, at: int, epoch: str) -> Told:
    """The record by which a shard says that its input has ended before an offset."""
    return json.dumps({_END: number, "at": at}).encode(), [(_EPOCH, f"{number}/{epoch}".encode())]


def parts_of(told: bytes, number: int, epoch: str) -> list[Told]:
    """What a shard tells as records, none larger than brokers take by default."""
    parts = -(-len(told) // _LARGEST)
    who = (_EPOCH, f"{number}/{epoch}".encode())
    return [
        (told[part * _LARGEST : (part + 1) * _LARGEST], [who, (_PART, f"{part + 1}/{parts}".encode())] if parts > 1 else [who])
        for part in range(parts)
    ]
