"""Files of a source: finding them, knowing them again, and reading their bytes."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import gzip
import re
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, cast

from offbeat.errors import UserError

Kind = Literal["csv", "parquet", "ndjson", "dbn"]

_ENDINGS: dict[str, Kind] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".parquet": "parquet",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".dbn": "dbn",
}
_FREE = frozenset({"auto", "databento"})
"""Formats of a plan that leave the kind of a file to its name."""
_PACKED = {".gz": "gzip", ".zst": "zstd"}
_MAGIC = {
    b"\x1f\x8b": "gzip (name it .gz)",
    b"\x28\xb5\x2f\xfd": "zstd (name it .zst)",
    b"PAR1": "Parquet (name it .parquet)",
    b"PK\x03\x04": "a zip archive (unpack it)",
    b"ARROW1": "an Arrow file",
    b"DBN\x01": "DBN (name it .dbn)",
    b"DBN\x02": "DBN (name it .dbn)",
    b"DBN\x03": "DBN (name it .dbn)",
}
_ACCEPTED = ".csv, .tsv, .txt, .ndjson, .jsonl, .dbn (each also .gz, .zst) or .parquet"
_BLOCK = 1 << 20
_PIPE = 1 << 20
"""Bytes that a pipe into standard input may hold; the system's own size is 64 KiB."""


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file to read."""

    path: str
    """As given or found; names the file in messages, notes and the ledger. `-` is standard input."""
    kind: Kind
    packing: Literal["", "gzip", "zstd"]
    key: str | None
    """The key drawn from the file's name; None where a column holds it."""
    size: int
    """Bytes on disk; 0 for standard input."""


def _kind_of(path: str, wanted: str) -> tuple[Kind, Literal["", "gzip", "zstd"]] | None:
    """By the name's endings; a plan that names the format decides it for names that do not tell."""
    suffixes = [s.lower() for s in Path(path).suffixes[-2:]]
    packing = _PACKED.get(suffixes[-1], "") if suffixes else ""
    ending = (suffixes[-2] if len(suffixes) > 1 else "") if packing else (suffixes[-1] if suffixes else "")
    kind = _ENDINGS.get(ending)
    if kind is None:
        if wanted in _FREE or ending in {".json", ".xlsx", ".xls", ".zip"}:
            return None
        kind = cast("Kind", wanted)
    return kind, cast('Literal["", "gzip", "zstd"]', packing)


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


def _expand(path: str) -> list[str]:
    """The files a path, folder or glob stands for, sorted; a folder is searched with its subfolders."""
    place = Path(path)
    if place.is_dir():
        found = sorted(str(p) for p in place.rglob("*") if p.is_file() and not _hidden(p.relative_to(place)))
        usable = [p for p in found if _kind_of(p, "auto")]
        if not found:
            raise UserError(f"{path}: the folder is empty; put data files in it ({_ACCEPTED}), or name another")
        if not usable:
            raise UserError(f"{path}: no data file in this folder, only files like {Path(found[0]).name!r}; expected {_ACCEPTED}")
        return usable
    if place.exists():
        return [path]
    if glob.has_magic(path):
        matches = [str(p) for p in sorted(glob.glob(path, recursive=True)) if Path(p).is_file()]  # noqa: PTH207 (absolute patterns)
        if matches:
            return matches
        raise UserError(f"{path}: no file matches the pattern; check it, and quote it so that the shell does not expand it")
    near = sorted(p.name for p in place.parent.iterdir())[:5] if place.parent.is_dir() else []
    hint = f"; its folder has {', '.join(near)}" if near else "; its folder does not exist either" if not place.parent.is_dir() else ""
    raise UserError(f"{path}: no such file or folder{hint}")


def find_files(paths: Sequence[str], wanted: str = "auto", key_pattern: str = "") -> list[InputFile]:
    """Files behind `paths` (files, folders, globs, `-`) in a stable order, each once.

    wanted: the plan's format. key_pattern: regular expression on the file's name, '' where a column holds the key.
    Raises UserError where nothing is found, a name does not tell a format, or the pattern does not fit.
    """
    if not paths:
        raise UserError("no source: name a file, a folder, a pattern in quotes, or - for standard input")
    files: dict[str, InputFile] = {}
    for path in paths:
        if path == "-":
            files["-"] = InputFile("-", "ndjson", "", None, 0)
            continue
        if "://" in path:
            raise UserError(f"{path}: remote files cannot be read; copy them to a local folder first")
        for name in _expand(path):
            kind = _kind_of(name, wanted)
            if kind is None:
                raise UserError(f"{name}: cannot tell the format from the name; expected {_ACCEPTED}, or set the source's `format`")
            key = _key_of(name, key_pattern) if key_pattern else None
            known = Path(name).stat()
            found = InputFile(name, kind[0], kind[1], key, known.st_size)
            files.setdefault(str(Path(name).resolve()), found)
    return list(files.values())


def check_magic(file: InputFile, head: bytes) -> None:
    """Raise UserError if the first bytes of a text file are those of another format."""
    for magic, what in _MAGIC.items():
        if head.startswith(magic):
            raise UserError(f"{file.path}: this is not text but {what}; rename or convert it")


def check_text(file: InputFile, head: bytes) -> None:
    """Raise UserError if the first bytes of a text file are those of a binary file."""
    check_magic(file, head)
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
        if file.packing == "gzip":
            self._read = gzip.GzipFile(fileobj=self._raw).read
        elif file.packing == "zstd":
            arrow: Any = import_module("pyarrow")  # here, so that finding files stays light
            self._read = arrow.CompressedInputStream(arrow.PythonFile(self._raw, mode="r"), "zstd").read
        else:
            self._read = self._raw.read

    def read(self, size: int) -> bytes:
        """The next bytes, at most `size`; empty at the end. Raises UserError if the packed stream is broken or cut off."""
        try:
            return self._read(size)
        except (EOFError, zlib.error, OSError) as error:
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


def fingerprint(file: InputFile) -> str:
    """32 hex digits of the file's bytes and the key drawn from its name [S8]; the same bytes for two keys are two deliveries."""
    digest = import_module("xxhash").xxh3_128()
    try:
        with Path(file.path).open("rb", buffering=0) as raw:
            block = bytearray(_BLOCK)
            view = memoryview(block)
            while got := raw.readinto(block):
                digest.update(view[:got])
    except OSError as error:
        raise UserError(f"{file.path}: cannot be read: {error.strerror or error}") from error
    digest.update(b"\0" + (file.key or "").encode())
    return str(digest.hexdigest())
