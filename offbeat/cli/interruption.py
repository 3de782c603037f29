"""Ctrl-C and SIGTERM during a run: the first asks it to end in good order, the second ends it at once."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_ASKED = b"\noffbeat: finishing the current batch; interrupt again to stop at once\n"


class Interruption:
    """While entered, the first signal calls `stop`; `live`: a wait for rows on standard input ends, too."""

    def __init__(self, stop: Callable[[], None], *, live: bool) -> None:
        self._stop, self._live = stop, live
        self._before: dict[signal.Signals, Any] = {}
        self.asked = False

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as Python calls it
        if self.asked:
            os._exit(130)
        self.asked = True
        os.write(2, _ASKED)
        self._stop()
        if self._live:
            # A read that waits goes on after this handler, on the same descriptor: there it now finds the end of input.
            os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
