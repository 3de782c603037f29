"""Snapshots of shards in a folder: immutable files, each named by what it is a state of and how far that had come [R34]."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from offbeat.errors import UserError
from offbeat.io.write.atomic_file import sync_folder

_NAME = re.compile(r"(?P<at>\d{20})-(?P<hash>[0-9a-f]{16,})\.arrow")


class Snapshots:
    """One folder a source and shard, in it a file a position.

    The folder is named by the source's own id (a topic's id, not its name; a query's checkpoint) and the shard (a partition, a hash
    bucket), so a topic that was deleted and created again under its name never meets old snapshots. A file is written whole under another
    name, then renamed: what can be seen is complete, and it is never changed. Several workers may share a folder.
    """

    def __init__(self, folder: Path, source: str, shard: int) -> None:
        """source: letters, digits, `-`, `_` and `.` only. Raises UserError for any other."""
        if not re.fullmatch(r"[\w.-]+", source, re.ASCII):
            raise UserError(f"cannot keep snapshots of {source!r}: an id has letters, digits, '-', '_' and '.' only")
        self._folder = folder / source / f"{shard:05d}"

    def put(self, at: int, state_hash: str, data: bytes) -> Path:
        """Keep the state after everything before position `at`; durable when this returns. What is there already stays."""
        path = self._folder / f"{at:020d}-{state_hash}.arrow"
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                with partial.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                partial.rename(path)
                sync_folder(self._folder)
        except OSError as error:
            raise UserError(f"cannot write the snapshot {path}: {error.strerror}; what was kept before is still valid") from error
        return path

    def newest(self, upto: int, state_hash: str) -> tuple[int, bytes] | None:
        """The state with the greatest position that is not after `upto`, and that position; None where there is none of this pipeline."""
        while True:
            found = max((at for at, kept in self._kept() if at <= upto and kept == state_hash), default=None)
            if found is None:
                return None
            path = self._folder / f"{found:020d}-{state_hash}.arrow"
            try:
                return found, path.read_bytes()
            except FileNotFoundError:  # another worker has just kept a newer one, and forgot this
                continue
            except OSError as error:
                raise UserError(f"cannot read the snapshot {path}: {error.strerror}") from error

    def place(self, upto: int, state_hash: str) -> int | None:
        """The position that `newest` gives, without reading anything."""
        return max((at for at, kept in self._kept() if at <= upto and kept == state_hash), default=None)

    def hashes(self) -> set[str]:
        """State hashes of all snapshots here, to tell what differs where none fits."""
        return {kept for _, kept in self._kept()}

    def forget(self, before: int) -> None:
        """Remove snapshots of positions before one that will not be gone back to."""
        for at, kept in self._kept():
            if at < before:
                with suppress(FileNotFoundError):  # another worker may have been faster
                    (self._folder / f"{at:020d}-{kept}.arrow").unlink()

    def _kept(self) -> Iterator[tuple[int, str]]:
        with suppress(FileNotFoundError):
            for path in sorted(self._folder.iterdir()):
                if match := _NAME.fullmatch(path.name):
                    yield int(match["at"]), match["hash"]


def register(folder: Path, sources: Iterable[str]) -> bool:
    """Note that snapshots of these sources are kept in a folder from now on; False where it has others, and lacks one of these.

    Raises UserError where the folder cannot be used.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        known = {path.name for path in folder.iterdir() if path.is_dir()}
        wanted = set(sources)
        if not (known >= wanted or known <= wanted):  # fewer: another worker is about to note them
            return False
        for source in sources:
            (folder / source).mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot keep snapshots in {folder}: {error.strerror}; name another folder") from error
    return True
