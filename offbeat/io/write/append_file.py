"""A file that only grows: opened where a state says that it ends, and followed when somebody moves, removes or cuts it meanwhile."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import IO

from xxhash import xxh3_64_hexdigest

from offbeat.core.chunk import Position
from offbeat.errors import UserError
from offbeat.io.write.atomic_file import lock, prepare, sync_folder

TAIL = 4096
"""Bytes before the committed end by which a file is known again."""
GO_ON = "--append goes on after what is there (alerts since the last commit may be there twice)"
"""What a person can do about an output that is not as the state left it."""


def unknown(path: Path, *, what: str = "alerts or other content") -> UserError:
    """The refusal of an output that holds something of which a run knows nothing: it would be lost."""
    return UserError(
        f"cannot write {path}: it exists and holds {what} that this run did not write; --append adds to it, "
        "or name another output, or the --state that wrote it"
    )


class AppendFile:
    """Lines for one file; each `commit` adds them at its end.

    position: the value of a former `commit`, {"bytes": n, "tail": hash of what stands before}; what lies beyond it is cut off, as a crash
    left it there. append: what is there stays, whatever it is. whole: nothing of ours can lie beyond the position. Raises UserError where
    content that is not known would be lost, or is not there any more.
    """

    def __init__(self, path: Path, position: Position | None, *, append: bool, whole: bool) -> None:
        self._path, self._real = path, prepare(path)
        self.notes: list[str] = []
        missing = not self._real.exists()
        self._handle = self._open()
        try:
            self._begin(position or {}, append=append, whole=whole)
            sync_folder(self._real.parent)
        except BaseException:
            if missing:
                self._real.unlink(missing_ok=True)
            self._handle.close()
            raise

    @property
    def folder(self) -> Path:
        """Where the file lies, links followed."""
        return self._real.parent

    def _open(self) -> IO[bytes]:
        handle = os.fdopen(os.open(self._real, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666), "r+b", buffering=0)
        try:
            lock(handle, self._path)
        except BaseException:
            handle.close()
            raise
        return handle

    def _begin(self, position: Position, *, append: bool, whole: bool) -> None:
        length, committed = self._size(), int(position.get("bytes", 0))
        why = self._changed(position, length, committed)
        if why and not append:
            raise UserError(f"{self._path} {why}; restore it, or name another output; {GO_ON}")
        if why:
            self.notes.append(f"{self._path} {why}; alerts go on after what is there now, those since the last commit may be there twice")
        if length > committed and not why and whole and not append:
            raise unknown(self._path)
        if why or (whole and length > committed):
            self._stands(length)
            return
        os.ftruncate(self._handle.fileno(), committed)
        self._stands(committed)

    def _changed(self, position: Position, length: int, committed: int) -> str:
        if length < committed:
            there = f"has {length} bytes" if length else "is missing or empty"
            return f"{there}, but the state says that {committed} were written"
        if not committed:
            return ""
        tail = self._read(max(committed - TAIL, 0), committed)
        same = xxh3_64_hexdigest(tail) == position["tail"] if "tail" in position else tail[-1:] == b"\n"
        return "" if same else f"was changed since the last run (other content before byte {committed})"

    def _stands(self, length: int) -> None:
        self._committed = length
        self._tail = self._read(max(length - TAIL, 0), length)
        self._torn = bool(length) and self._tail[-1:] != b"\n"

    def _size(self) -> int:
        return os.fstat(self._handle.fileno()).st_size

    def _read(self, start: int, end: int) -> bytes:
        self._handle.seek(start)
        got = b""
        while len(got) < end - start and (data := self._handle.read(end - start - len(got))):
            got += data
        return got

    def follow(self) -> None:
        """See whether the file is still the one that was opened, and as long as it was left; begin anew where it is not, with a note."""
        try:
            there = self._real.stat()
            mine = os.fstat(self._handle.fileno())
            moved = (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino)
        except FileNotFoundError:
            moved = True
        if moved:
            self._real.parent.mkdir(parents=True, exist_ok=True)
            handle = self._open()
            self._handle.close()
            self._handle = handle
            sync_folder(self._real.parent)
            self.notes.append(f"{self._path} was moved or removed during the run; alerts go on in a new file of that name")
            self._stands(self._size())
        elif (size := self._size()) != self._committed:
            what = "cut" if size < self._committed else "written to by somebody else"
            self.notes.append(f"{self._path} was {what} during the run; alerts go on after what is there now")
            self._stands(size)

    def append(self, data: bytes) -> None:
        """Put bytes at the end; they stay only if `settle` follows."""
        if self._torn:
            data, self._torn = b"\n" + data, False
        rest = memoryview(data)
        while rest:
            rest = rest[self._handle.write(rest) :]
        self._tail = (self._tail + data[-TAIL:])[-TAIL:]

    def settle(self) -> Position:
        """What was appended is on the disk and counts."""
        os.fsync(self._handle.fileno())
        self._committed = self._size()
        return {"bytes": self._committed, "tail": xxh3_64_hexdigest(self._tail)}

    def take_back(self) -> None:
        """Remove what was appended since the last `settle`, as far as the system lets us."""
        with contextlib.suppress(OSError):
            if self._size() > self._committed:
                os.ftruncate(self._handle.fileno(), self._committed)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._handle.close()
