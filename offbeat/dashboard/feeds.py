"""Where the page's alerts come from: a file that grows, a folder of parts, a topic; a thread follows it and never gives up."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from offbeat.dashboard.alert_buffer import AlertBuffer
from offbeat.errors import OffbeatError, UserError
from offbeat.io.report.console import safe

_EVERY = 0.25
"""Seconds between two looks at a source."""
_RETRY = 1.0
"""Seconds after which a source that is gone is tried again."""
_AT_ONCE = 4 * 1024 * 1024
_MOST_LINE = 64 * 1024 * 1024
_MOST_LOG = 200


class Follower(Protocol):
    """Reads a source for as long as it is there."""

    def steps(self, buffer: AlertBuffer) -> Iterator[list[str]]:
        """Fill the buffer, again and again; each step gives what was wrong, a line each. Raises UserError or OSError where it is gone."""
        ...


@dataclass(frozen=True, slots=True)
class Status:
    """How a source is."""

    there: bool
    """Whether it can be read at the moment."""
    read: bool
    """Whether it has been read to its end at least once."""
    why: str = ""
    """If not: one line."""


@dataclass(slots=True)
class Log:
    """What went wrong, the last lines; the same line again is counted."""

    lines: deque[tuple[datetime, str, int]] = field(default_factory=lambda: deque(maxlen=_MOST_LOG))

    def say(self, text: str) -> None:
        """Note a line, under the clock of this machine."""
        text = safe(text, 400)
        now = datetime.now(UTC)
        if self.lines and self.lines[-1][1] == text:
            self.lines[-1] = (now, text, self.lines[-1][2] + 1)
        else:
            self.lines.append((now, text, 1))


class Feed:
    """A source, the buffer that is filled from it, and the thread that does it."""

    def __init__(self, name: str, follower: Callable[[], Follower], buffer: AlertBuffer) -> None:
        self.name, self.buffer, self.log = name, buffer, Log()
        self.status = Status(there=True, read=False)
        self._make = follower
        self._begun = float("inf")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="offbeat-dashboard-feed", daemon=True)

    def start(self) -> None:
        """Begin to follow the source."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._ended.set()
        self._thread.join(5)

    def is_new(self, arrived: float) -> bool:
        """Whether what came then was not there already when the page began."""
        return arrived > self._begun

    def _follow(self) -> None:
        while not self._ended.is_set():
            steps: Iterator[list[str]] | None = None
            try:
                steps = self._make().steps(self.buffer)
                for wrong in steps:
                    for line in wrong:
                        self.log.say(line)
                    if not (self.status.there and self.status.read):
                        if self.status.why:
                            self.log.say(f"{self.name} is there again")
                        if not self.status.read:
                            self._begun = time.monotonic()
                        self.status = Status(there=True, read=True)
                    if self._ended.wait(_EVERY):
                        return
            except (OffbeatError, OSError) as error:
                self._gone(str(error))
            except Exception as error:  # the page says what happened and goes on
                self._gone(f"{type(error).__name__}: {error}")
            finally:
                if steps is not None:
                    getattr(steps, "close", lambda: None)()
            self._ended.wait(_RETRY)

    def _gone(self, why: str) -> None:
        why = safe(why.splitlines()[0] if why else "it cannot be read", 300)
        if self.status.there or self.status.why != why:
            self.log.say(why)
        self.status = Status(there=False, read=self.status.read, why=why)


class LinesFile:
    """A file of JSON lines, as it grows; one that was replaced or cut is read anew."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def steps(self, buffer: AlertBuffer) -> Iterator[list[str]]:
        """See `Follower`."""
        if not self._path.exists():
            raise UserError(f"no alerts at {self._path}: it does not exist")
        buffer.clear()
        with self._path.open("rb") as file:
            inode, rest = self._path.stat().st_ino, b""
            while True:
                there = self._path.stat()
                if there.st_ino != inode or there.st_size < file.tell():
                    return
                wrong, data = [], file.read(_AT_ONCE)
                while data:
                    *lines, rest = (rest + data).split(b"\n")
                    wrong += buffer.add(line for line in lines if line.strip())
                    if len(rest) > _MOST_LINE:
                        raise UserError(f"{self._path}: a line longer than {_MOST_LINE // 1024 // 1024} MB is no alert")
                    data = file.read(_AT_ONCE)
                yield wrong


class WholeFiles:
    """A Parquet file or a folder of parts: read again when it has changed."""

    def __init__(self, path: Path, read: Callable[[Path], Iterator[bytes]]) -> None:
        self._path, self._read = path, read

    def steps(self, buffer: AlertBuffer) -> Iterator[list[str]]:
        """See `Follower`."""
        before: object = None
        while True:
            now = self._signature()
            wrong: list[str] = []
            if now != before:
                lines = list(self._read(self._path))
                buffer.clear()
                wrong = buffer.add(lines)
                before = now
            yield wrong

    def _signature(self) -> object:
        files = sorted(file for file in self._path.iterdir() if file.is_file()) if self._path.is_dir() else [self._path]
        return [(file.name, (at := file.stat()).st_ino, at.st_size, at.st_mtime_ns) for file in files]
