"""Work done ahead of its consumer, in order, on a few threads, with a bound on how much is ready."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Queue
from typing import Generic, TypeVar

T = TypeVar("T")


class Ahead(Generic[T]):
    """Iterates over the results of `work`, in its order.

    One thread takes the pieces (it does the reading), `workers` threads do them; at most `depth` pieces are done or under way.
    An error in a piece, or in the taking, is raised at its place in the order. `close` stops early.
    """

    def __init__(self, work: Iterator[Callable[[], T]], workers: int, depth: int) -> None:
        self._work = work
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="offbeat-parse")
        self._room = threading.Semaphore(depth)
        self._ready: Queue[Future[T] | BaseException | None] = Queue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._take, name="offbeat-read", daemon=True)
        self._thread.start()

    def _take(self) -> None:
        last: BaseException | None = None
        try:
            while True:
                self._room.acquire()
                if self._stop.is_set():
                    break
                piece = next(self._work, None)
                if piece is None:
                    break
                self._ready.put(self._pool.submit(piece))
            close = getattr(self._work, "close", None)
            if close is not None:
                close()  # files that a generator holds open
        except BaseException as error:  # handed to the consumer, who raises it
            last = error
        self._ready.put(last)

    def __iter__(self) -> Iterator[T]:
        while not self._stop.is_set():
            item = self._ready.get()
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            result = item.result()
            self._room.release()
            yield result
            del item, result

    def close(self) -> None:
        """Stop after the pieces under way; safe to call again."""
        self._stop.set()
        self._room.release()
        self._thread.join(timeout=10)
        self._pool.shutdown(wait=True, cancel_futures=True)
