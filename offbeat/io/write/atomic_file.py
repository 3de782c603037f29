"""Files that appear whole or not at all: written under another name, renamed when they are complete."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from offbeat.errors import UserError

PARTIAL = ".partial"


def cannot_write(path: Path, error: OSError) -> UserError:
    """What a person is told when the system refuses to write `path`."""
    reason = error.strerror or str(error) or type(error).__name__
    return UserError(f"cannot write {path}: {reason}")


def prepare(path: Path) -> Path:
    """The file that `path` stands for (links followed), its folder made where it is missing. Raises UserError for a folder."""
    try:
        real = path.resolve()
        if real.is_dir():
            raise UserError(f"cannot write {path}: it is a folder; name a file")
        real.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    return real


def is_stream(path: Path) -> bool:
    """Whether `path` is a pipe, terminal or device, which can be neither renamed nor cut."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def sync_folder(path: Path) -> None:
    """Make new names in the folder `path` survive a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def lock(handle: IO[bytes], path: Path) -> None:
    """Take `path` for this process until it ends or closes `handle`; raises UserError where another run has it."""
    try:
        fcntl.flock(handle.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UserError(f"cannot write {path}: another run is writing it") from error


class StagedFile:
    """A file under construction beside its final place; `publish` gives it its name, `discard` removes it.

    `partial`: its name until then, on the same disk; without it, the final name and `.partial`.
    """

    def __init__(self, path: Path, partial: Path | None = None) -> None:
        self.path = prepare(path)
        if is_stream(self.path):
            raise UserError(f"cannot write {path}: it is a pipe or a device; name a file")
        self.partial = partial or self.path.with_name(self.path.name + PARTIAL)
        try:
            self.handle = self._open()
        except OSError as error:
            raise cannot_write(path, error) from error

    def _open(self) -> IO[bytes]:
        while True:
            handle = os.fdopen(os.open(self.partial, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=1 << 20)
            try:
                lock(handle, self.path)
                # Another run may have renamed or removed the file between our open and our lock: then it is not ours to write.
                if self.partial.exists() and os.fstat(handle.fileno()).st_ino == self.partial.stat().st_ino:
                    os.ftruncate(handle.fileno(), 0)
                    return handle
            except BaseException:
                handle.close()
                raise
            handle.close()

    def restart(self) -> IO[bytes]:
        """Begin anew with an empty file; what was written stays readable through the returned handle, which the caller closes."""
        self.handle.flush()
        old = self.partial.open("rb")
        self.partial.unlink()
        self.handle.close()
        self.handle = self._open()
        return old

    def publish(self, *, durable: bool) -> None:
        """Give the file its name, in one step. `durable`: it also survives a power cut from here on. Raises OSError."""
        self.handle.flush()
        if durable:
            os.fsync(self.handle.fileno())
        self.partial.replace(self.path)
        self.handle.close()
        if durable:
            sync_folder(self.path.parent)

    def discard(self) -> None:
        """Remove what was written; the final name is untouched, also when `publish` gave it and failed after that."""
        with contextlib.suppress(OSError, ValueError):
            if os.fstat(self.handle.fileno()).st_ino == self.partial.stat().st_ino:
                self.partial.unlink()
                os.ftruncate(self.handle.fileno(), 0)  # what lies in the buffer has no place to go on a full disk
        with contextlib.suppress(OSError, ValueError):
            self.handle.close()


@contextlib.contextmanager
def whole_file(path: Path, *, durable: bool) -> Iterator[IO[bytes]]:
    """What is written within has the name `path` at the end; where anything fails, nothing changes there. `durable`: as of `publish`.

    Raises UserError where the system refuses.
    """
    staged = StagedFile(path)
    try:
        yield staged.handle
        staged.publish(durable=durable)
    except OSError as error:
        staged.discard()
        raise cannot_write(path, error) from error
    except BaseException:
        staged.discard()
        raise
