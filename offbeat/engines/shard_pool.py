"""The shards of a fold, fed side by side: for each of them one thread makes chunks ready, and one folds them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from offbeat.core.batch import I64
from offbeat.core.chunk import Chunk
from offbeat.core.ledger import Ledger
from offbeat.engines.file_manifest import counted
from offbeat.fold.fold import Fold
from offbeat.fold.intake import Prepared
from offbeat.fold.shard import Output


@dataclass(frozen=True, slots=True)
class Fed:
    """What came of the rows of a chunk in one shard."""

    output: Output
    time_ns: I64
    """Times of the rows that could be judged."""
    before: Ledger
    after: Ledger
    """The shard's ledger before and after the chunk."""


class ShardPool:
    """Threads, as all that costs time runs compiled and holds no interpreter lock. Each shard gets its chunks in order."""

    def __init__(self, fold: Fold) -> None:
        self._fold = fold
        self._ready = {number: ThreadPoolExecutor(1, thread_name_prefix=f"offbeat-ready-{number}") for number in fold.shards}
        self._folds = {number: ThreadPoolExecutor(1, thread_name_prefix=f"offbeat-fold-{number}") for number in fold.shards}

    def feed(self, parts: Sequence[tuple[int, Chunk]]) -> list[Future[Fed]]:
        """Begin to fold (shard, chunk) of one chunk of the source. Windows are not closed meanwhile: see `Fold.advance`."""
        futures = []
        for number, chunk in parts:
            ready = self._ready[number].submit(self._fold.prepare, number, chunk)
            futures.append(self._folds[number].submit(self._feed, number, ready))
        return futures

    def _feed(self, number: int, ready: Future[Prepared]) -> Fed:
        return feed(self._fold, number, ready.result())

    def close(self) -> None:
        """Wait for chunks under way; those that have not begun are given up."""
        for pool in (*self._ready.values(), *self._folds.values()):
            pool.shutdown(wait=True, cancel_futures=True)


def feed(fold: Fold, number: int, prepared: Prepared) -> Fed:
    """Fold a chunk that was made ready."""
    before = counted(fold.shard_ledger(number))
    output = fold.feed(number, prepared)
    return Fed(output, prepared.batch.time_ns, before, counted(fold.shard_ledger(number)))
