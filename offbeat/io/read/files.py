"""Files of a source: finding them, knowing them again, and reading their bytes."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import lzma
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

from offbeat.errors import UserError
from offbeat.io.read.formats import ACCEPTED, Kind, format_of
from offbeat.io.read.unpack import Packing, unpacked

_BLOCK = 1 << 20
_PIPE = 1 << 20
"""Bytes that a pipe into standard input may hold; the system's own size is 64 KiB."""
_PATH_COLUMN = re.compile(r"([^=]+)=(.*)", re.DOTALL)
_STATE = "state.arrow"
_JOB_FILES = frozenset({"symbology.csv", "symbology.json", "metadata.json", "manifest.json", "condition.json"})
"""What lies in the folder of a Databento job beside its data."""
"""What lies in every state directory."""
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file to read."""

    path: str
    """As given or found; names the file in messages, notes and the ledger. `-` is standard input."""
    kind: Kind
    packing: Packing
    key: str | None
    """The key drawn from the file's name; None where a column holds it."""
    size: int
    """Bytes on disk; 0 for standard input."""
    path_columns: tuple[tuple[str, str | None], ...] = ()
    """Columns that stand in the names of folders, `name=value`, and their values as text."""
    sure: bool = True
    """See `Format.sure`."""


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """What paths stand for."""

    files: list[InputFile]
    left_out: list[tuple[str, str]]
    """Files in folders that are not read, and what they are."""


def _key_of(path: str, pattern: str) -> str:
    found = re.search(pattern, Path(path).name)
    if found is None:
        raise UserError(f"{path}: the file name does not match the key pattern {pattern!r}; rename the file, or change `key: {{file: …}}`")
    key = found.groupdict().get("key") or (found.group(1) if found.groups() else found.group(0))
    if not key:
        raise UserError(f"{path}: the key pattern {pattern!r} finds an empty key in the file name; change `key: {{file: …}}`")
    return cast("str", key)


def _hidden(path: Path) -> bool:
    """Names that writers of data folders give to what is not data (`_SUCCESS`, `.crc` …)."""
    return any(part.startswith((".", "_")) for part in path.parts)


def path_columns(path: str) -> tuple[tuple[str, str | None], ...]:
    """The columns in the names of a file's folders, as Hive and Spark write them."""
    found = [_PATH_COLUMN.fullmatch(part) for part in Path(path).parts[:-1]]
    return tuple((unquote(hit[1]), None if hit[2] == _NO_VALUE else unquote(hit[2])) for hit in found if hit is not None)


def _expand(path: str) -> tuple[list[str], list[tuple[str, str]]]:
    """The files a path, folder or glob stands for, sorted, and hidden ones left out; a folder is searched with its subfolders."""
    place = Path(path)
    if place.is_dir():
        there = sorted(p for p in place.rglob("*") if p.is_file())
        states = {p.parent for p in there if p.name == _STATE}
        there = [p for p in there if states.isdisjoint(p.parents)]
        hidden = [p for p in there if _hidden(p.relative_to(place))]
        left_out = [*((str(p), "hidden") for p in hidden), *((str(p), "a state directory of offbeat") for p in sorted(states))]
        return [str(p) for p in there if p not in set(hidden)], left_out
    if place.exists():
        return [path], []
    if glob.has_magic(path):
        matches = [str(p) for p in sorted(glob.glob(path, recursive=True)) if Path(p).is_file()]  # noqa: PTH207 (absolute patterns)
        if matches:
            return matches, []
        raise UserError(f"{path}: no file matches the pattern; check it, and quote it so that the shell does not expand it")
    near = sorted(p.name for p in place.parent.iterdir())[:5] if place.parent.is_dir() else []
    hint = f"; its folder has {', '.join(near)}" if near else "; its folder does not exist either" if not place.parent.is_dir() else ""
    raise UserError(f"{path}: no such file or folder{hint}")


def find_files(paths: Sequence[str], wanted: str = "auto", key_pattern: str = "") -> FoundFiles:
    """Files behind `paths` (files, folders, globs, `-`) in a stable order, each once.

    wanted: the plan's format. key_pattern: regular expression on the file's name, '' where a column holds the key.
    Raises UserError where nothing is found, a file that was named is of no format that can be read, or the pattern does not fit.
    """
    if not paths:
        raise UserError("no source: name a file, a folder, a pattern in quotes, or - for standard input")
    files: dict[str, InputFile] = {}
    left_out: dict[str, str] = {}
    for path in paths:
        if path == "-":
            files["-"] = InputFile("-", "ndjson", "", None, 0)
            continue
        if "://" in path:
            raise UserError(f"{path}: remote files cannot be read; copy them to a local folder first")
        folder = Path(path).is_dir()
        names, hidden = _expand(path)
        if folder and not names:
            raise UserError(f"{path}: the folder is empty; put data files in it ({ACCEPTED}), or name another")
        before = set(files)
        left_out |= hidden
        for name in names:
            real = str(Path(name).resolve())
            if real in files:
                continue
            if folder and wanted == "databento" and Path(name).name in _JOB_FILES:
                left_out[name] = "what a Databento job says of its files"
                continue
            found = format_of(name, wanted)
            if isinstance(found, str):
                if not folder:
                    raise UserError(f"{name}: this is {found}; expected {ACCEPTED}, or set the source's `format`")
                left_out[name] = found
                continue
            key = _key_of(name, key_pattern) if key_pattern else None
            known = Path(name).stat()
            sure = found.sure or not folder
            files[real] = InputFile(name, found.kind, found.packing, key, known.st_size, path_columns(name), sure)
        for real in _packed_copies({real: file for real, file in files.items() if real not in before}) if folder else ():
            copy = files.pop(real)
            left_out[copy.path] = f"{Path(copy.path).stem}, packed: that is read"
        if folder and len(files) == len(before) and left_out:
            first = next(name for name in names)
            raise UserError(f"{path}: no data file in this folder, only files like {Path(first).name!r}; expected {ACCEPTED}")
    return FoundFiles(list(files.values()), list(left_out.items()))


def _packed_copies(found: Mapping[str, InputFile]) -> Iterator[str]:
    """Resolved paths of those that are another of them, packed (`a.csv.gz` beside `a.csv`): byte by byte, as a name may lie.

    found: by resolved path.
    """
    plain = {file.path: file for file in found.values() if not file.packing}
    for real, file in found.items():
        other = plain.get(str(Path(file.path).with_suffix("")))
        if file.packing and other is not None and other.kind == file.kind and _same_bytes(file, other):
            yield real


def _same_bytes(file: InputFile, other: InputFile) -> bool:
    """Whether both hold the same once unpacked; a stream that is cut off or corrupt is its own, to be named when it is read."""
    streams = ByteStream(file), ByteStream(other)
    try:
        while True:
            block = streams[1].read(_BLOCK)
            if _exactly(streams[0], len(block) or 1) != block:
                return False
            if not block:
                return True
    except UserError:
        return False
    finally:
        for stream in streams:
            stream.close()


def _exactly(stream: ByteStream, size: int) -> bytes:
    """The next `size` bytes, fewer only at the end."""
    parts: list[bytes] = []
    while size > 0 and (part := stream.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def left_out_note(left_out: Sequence[tuple[str, str]]) -> list[str]:
    """For people: files that are not read, with what they are."""
    if not left_out:
        return []
    named = ", ".join(f"{path} ({what})" for path, what in left_out)
    return [f"{len(left_out)} file{'s were' if len(left_out) > 1 else ' was'} not read: {named}"]


def check_text(file: InputFile, head: bytes) -> None:
    """Raise UserError if the first bytes of a text file are those of a binary file."""
    if b"\0" in head:
        utf16 = head.startswith((b"\xff\xfe", b"\xfe\xff"))
        what = "UTF-16 text; save it as UTF-8" if utf16 else "a binary file (it has NUL bytes); name a text file"
        raise UserError(f"{file.path}: this is {what}")


class ByteStream:
    """The unpacked bytes of a file, or of standard input as they arrive."""

    def __init__(self, file: InputFile) -> None:
        """Raises UserError if the file cannot be opened."""
        self._file = file
        self._live = file.path == "-"
        self._raw: Any
        self._read: Callable[[int], bytes]
        if self._live:
            self._raw = sys.stdin.buffer
            with contextlib.suppress(OSError, ValueError, AttributeError):  # no pipe, or not Linux
                # While a batch is judged more rows can gather, so that a fast feed is read in larger batches.
                fcntl.fcntl(self._raw, fcntl.F_SETPIPE_SZ, _PIPE)
            self._read = self._raw.read1  # what has arrived, without waiting for more
            return
        try:
            self._raw = Path(file.path).open("rb", buffering=0 if not file.packing else -1)  # noqa: SIM115 (closed by `close`)
        except OSError as error:
            raise UserError(f"{file.path}: cannot be read: {error.strerror or error}") from error
        self._read = unpacked(self._raw, file.packing)

    def read(self, size: int) -> bytes:
        """The next bytes, at most `size`; empty at the end. Raises UserError if the packed stream is broken or cut off."""
        try:
            return self._read(size)
        except (EOFError, zlib.error, lzma.LZMAError, OSError) as error:
            if not self._file.packing and isinstance(error, OSError):
                raise UserError(f"{self._file.path}: cannot be read: {error.strerror or error}") from error
            why = "cut off" if isinstance(error, EOFError) else f"corrupt ({error})"
            raise UserError(f"{self._file.path}: the {self._file.packing} stream is {why}; fetch the file again") from error

    def skip(self, offset: int) -> None:
        """Go to `offset` of the unpacked bytes, from the beginning."""
        if not self._file.packing:
            self._raw.seek(offset)
            return
        while offset > 0:
            got = len(self.read(min(offset, _BLOCK)))
            if got == 0:
                return
            offset -= got

    def packed_at(self) -> int:
        """How many bytes of the file on disk have been read."""
        return 0 if self._live else int(self._raw.tell())

    def close(self) -> None:
        if not self._live:
            self._raw.close()


def drawn_from_path(file: InputFile) -> bytes:
    """What a file's rows have from its path, in one text: for two keys the same bytes are two deliveries."""
    return b"".join([b"\0", (file.key or "").encode(), *(f"\0{name}={value}".encode() for name, value in file.path_columns)])


def fingerprint(file: InputFile) -> str:
    """32 hex digits of the file's bytes, and of the key and columns drawn from its path [S8]: for two keys they are two deliveries."""
    digest = import_module("xxhash").xxh3_128()
    try:
        with Path(file.path).open("rb", buffering=0) as raw:
            block = bytearray(_BLOCK)
            view = memoryview(block)
            while got := raw.readinto(block):
                digest.update(view[:got])
    except OSError as error:
        raise UserError(f"{file.path}: cannot be read: {error.strerror or error}") from error
    digest.update(drawn_from_path(file))
    return str(digest.hexdigest())
