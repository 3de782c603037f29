"""A folder of committed parts: brought back to where a state says that it ends, followed while it is written, and kept to few files."""

from __future__ import annotations

import fcntl
import glob
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from offbeat.core.chunk import Position
from offbeat.errors import UserError
from offbeat.io.write.append_file import GO_ON, unknown
from offbeat.io.write.atomic_file import PARTIAL, sync_folder

_NAME = re.compile(r"part-(\d{6,})(?:-(\d{6,}))?\.parquet")
MERGED = 16
"""Parts of like span that are merged into one: of n commits at most 15 · log16(n) parts remain."""
MERGED_BYTES = 64 << 20
"""Parts that are larger together stay as they are: what is gained by fewer files no longer pays for copying them."""


@dataclass(frozen=True, slots=True)
class Part:
    """The file of the commits `first` to `last`, counted from 1."""

    first: int
    last: int
    path: Path


def part_name(first: int, last: int | None = None) -> str:
    """Name of the part of one commit, or of those merged from several."""
    return f"part-{first:06d}.parquet" if last is None or last == first else f"part-{first:06d}-{last:06d}.parquet"


def parts_of(folder: Path) -> list[Part]:
    """The parts of a folder in the order of their commits, without those that another one already contains.

    Where a run died while it merged parts, both the merged one and those that it was made of may be there.
    """
    found = [(match, path) for path in folder.glob("part-*.parquet") if (match := _NAME.fullmatch(path.name))]
    parts = [Part(int(match[1]), int(match[2] or match[1]), path) for match, path in found]
    kept: list[Part] = []
    for part in sorted(parts, key=lambda part: (part.first, -part.last)):
        if not kept or part.last > kept[-1].last:
            kept.append(part)
    return kept


def part_files(folder: Path) -> list[Path]:
    """The files of `parts_of`, and after them `part-*` files of other programs."""
    others = sorted(path for path in folder.glob("part-*.parquet") if not _NAME.fullmatch(path.name))
    return [*(part.path for part in parts_of(folder)), *others]


class PartFolder:
    """The folder of one output, taken for this process until `close`.

    position: the value of a former commit, {"parts": number of the last commit, "first": that of the first part that must be there}; later
    parts are removed, as a crash left them. append, whole: as in `AppendFile`. Raises UserError where parts that are not known would be
    lost, or known ones are not there any more.
    """

    def __init__(self, path: Path, position: Position | None, *, append: bool, whole: bool) -> None:
        self.path = path
        self.notes: list[str] = []
        if path.exists() and not path.is_dir():
            raise UserError(
                f"cannot write {path}: a run with --state writes a folder there, but it is a file; move it, or choose another name"
            )
        self._handle = self._open()
        try:
            parent = path.absolute().parent
            beside = os.access(parent, os.W_OK) and parent.stat().st_dev == path.stat().st_dev
            self._staging = parent if beside else path
            """Where parts are written until they are whole: beside the folder, as some readers stumble over any other file in it."""
            self._begin(position or {}, append=append, whole=whole)
            for place in (path, path.absolute().parent):
                for file in place.glob(f".{glob.escape(path.name)}.part-*.parquet{PARTIAL}"):
                    file.unlink()
            sync_folder(path)
        except BaseException:
            self.close()
            raise

    def _open(self) -> int:
        self.path.mkdir(parents=True, exist_ok=True)
        handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            raise UserError(f"cannot write {self.path}: another run is writing it") from error
        except OSError:
            pass  # a file system without locks on folders
        return handle

    def _begin(self, position: Position, *, append: bool, whole: bool) -> None:
        upto, self.first = int(position.get("parts", 0)), int(position.get("first", 1))
        parts = parts_of(self.path)
        known = {part.path for part in parts}
        for file in self.path.glob("part-*.parquet"):
            # Left from a merge that was interrupted after it had put the merged part in its place.
            if _NAME.fullmatch(file.name) and file not in known:
                file.unlink()
        missing = missing_part(parts, self.first, upto)
        if missing is not None and not append:
            name = self.path / part_name(missing)
            raise UserError(f"{name} is missing, but the state says that it was written; restore it, or name another output; {GO_ON}")
        beyond = [part for part in parts if part.last > upto]
        if whole and beyond and not append:
            raise unknown(self.path)
        if missing is not None or (whole and beyond):
            if missing is not None:
                self.notes.append(f"{self.path} lacks parts that were written there; alerts go on after what is there now")
            self.parts = max([upto, *(part.last for part in parts)])
            self.first = self.parts + 1
            return
        for part in beyond:
            part.path.unlink()
        self.parts = upto

    def follow(self) -> None:
        """See whether the folder and the parts in it are still there; begin anew where they are not, with a note."""
        try:
            there = self.path.stat()
            mine = os.fstat(self._handle)
            moved = (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino)
        except FileNotFoundError:
            moved = True
        if moved:
            handle = self._open()
            os.close(self._handle)
            self._handle = handle
            self.notes.append(f"{self.path} was moved or removed during the run; rows go on in a new folder of that name")
        elif missing_part(parts_of(self.path), self.first, self.parts) is not None:
            self.notes.append(f"{self.path}: parts of it were removed during the run; rows go on after what is there now")
        else:
            return
        self.parts = max([self.parts, *(part.last for part in parts_of(self.path))])
        self.first = self.parts + 1

    def partial(self, name: str) -> Path:
        """The name of a part until it is whole."""
        return self._staging / f".{self.path.name}.{name}{PARTIAL}"

    def position(self) -> Position:
        """What a commit returns."""
        return {"parts": self.parts} if self.first == 1 else {"parts": self.parts, "first": self.first}

    def to_merge(self, upto: int) -> Sequence[Part]:
        """Parts, all of commits up to `upto`, that are to become one; none where there are few."""
        run: list[Part] = []
        for part in parts_of(self.path):
            if part.first < self.first or part.last > upto:
                continue
            if run and (part.first != run[-1].last + 1 or _span(part) != _span(run[-1])):
                run = []
            run.append(part)
            if len(run) == MERGED:
                if sum(part.path.stat().st_size for part in run) <= MERGED_BYTES:
                    return run
                run = []
        return []

    def replace(self, parts: Sequence[Part]) -> None:
        """Remove parts, once the one that they were merged into is there."""
        for part in parts:
            part.path.unlink(missing_ok=True)
        sync_folder(self.path)

    def close(self) -> None:
        """Let others write here."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            with suppress(OSError):
                os.close(handle)

    def __del__(self) -> None:
        """A folder whose sink is gone is free: the system knows nothing of who held it."""
        if hasattr(self, "_handle"):
            self.close()


def _span(part: Part) -> int:
    return part.last - part.first + 1


def missing_part(parts: Sequence[Part], first: int, upto: int) -> int | None:
    """The first commit from `first` to `upto` that no part has."""
    wanted = first
    for part in parts:
        if part.last < wanted:
            continue
        if part.first > wanted or wanted > upto:
            break
        wanted = part.last + 1
    return wanted if wanted <= upto else None
