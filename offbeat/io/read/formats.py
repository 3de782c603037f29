"""What a file is: told by its first bytes, where these tell, and else by its name [R19]."""

from __future__ import annotations

import json
import lzma
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from offbeat.errors import UserError
from offbeat.io.read.unpack import PACKINGS, Packing, unpacked

Kind = Literal["csv", "parquet", "ndjson", "dbn", "arrow"]

ENDINGS: dict[str, Kind] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".parquet": "parquet",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".dbn": "dbn",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
ACCEPTED = ".csv, .tsv, .txt, .ndjson, .jsonl, .dbn (each also .gz, .zst, .bz2, .xz), .parquet, .arrow or .feather"
_PACKED: dict[str, Packing] = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2", ".xz": "xz"}
_FREE = frozenset({"auto", "databento"})
"""Formats of a plan that leave the kind of a file to itself."""
_BINARY: dict[bytes, Kind] = {b"PAR1": "parquet", b"ARROW1": "arrow", b"\xff\xff\xff\xff": "arrow", b"DBN": "dbn"}
_UNREADABLE = {
    b"PK\x03\x04": "a zip archive, as Excel's files are, too; unpack it, or save it as CSV",
    b"FEA1": "Feather of version 1; write it as version 2 or Parquet",
    b"Obj\x01": "Avro; convert it to Parquet",
    b"ORC": "ORC; convert it to Parquet",
    b"\xff\xfe": "UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8",
    b"%PDF": "a PDF",
    b"\xd0\xcf\x11\xe0": "an Excel sheet; save it as CSV",
}
_HEAD = 1 << 16


@dataclass(frozen=True, slots=True)
class Format:
    """How a file is to be read."""

    kind: Kind
    packing: Packing
    sure: bool = True
    """False: it is text under a name that tells nothing, so its columns must tell whether it is data."""


def format_of(path: str, wanted: str) -> Format | str:
    """The format of a file, or in words what it is that cannot be read. wanted: the plan's format, for what does not tell itself."""
    suffixes = [s.lower() for s in Path(path).suffixes[-2:]]
    packing = _PACKED.get(suffixes[-1], "") if suffixes else ""
    ending = (suffixes[-2] if len(suffixes) > 1 else "") if packing else (suffixes[-1] if suffixes else "")
    named = ENDINGS.get(ending)
    given = None if wanted in _FREE else cast("Kind", wanted)
    if not Path(path).is_file():  # a pipe, which can be read only once
        kind = named or given
        return Format(kind, packing) if kind is not None else "of a name that does not tell its format"
    packing, head, whole = _head(path, packing)
    for magic, found in _BINARY.items():
        if head.startswith(magic):
            if packing and found in ("parquet", "arrow"):
                return f"{found.capitalize()} packed as a whole; unpack it"
            return Format(found, packing)
    if named in ("parquet", "arrow", "dbn"):
        return Format(named, packing)  # its reader says what is wrong
    for magic, what in _UNREADABLE.items():
        if head.startswith(magic):
            return what
    if named is not None and ending != ".txt":
        return Format(named, packing)
    if b"\0" in head.split(b"\n", 1)[0]:
        return "a binary file"
    if not head.strip():
        return Format(named or given or "csv", packing) if named or given else "empty"
    text = _text_kind(head, whole)
    if text is None or (text == "csv" and ending == ".json"):
        return "JSON that is not one object a line"
    if named is not None:
        return Format(text, packing)
    return Format("csv" if given == "csv" else text, packing, sure=False)


def _head(path: str, named: Packing) -> tuple[Packing, bytes, bool]:
    """How a file is packed, its first unpacked bytes, and whether these are all."""
    try:
        with Path(path).open("rb") as raw:
            first = raw.read(_HEAD)
            known: Packing = next((packing for magic, packing in PACKINGS.items() if first.startswith(magic)), "")
            if not known:
                # What is named after a packing and is not packed so is broken, unless it is plain text.
                return (named if named and not first[:1].isascii() else ""), first, len(first) < _HEAD
            raw.seek(0)
            try:
                head = unpacked(raw, known)(_HEAD)
            except (EOFError, OSError, zlib.error, lzma.LZMAError):
                return known, b"", False  # reading it will say what is wrong
            return known, head, len(head) < _HEAD
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error


def _text_kind(head: bytes, whole: bool) -> Literal["csv", "ndjson"] | None:
    """Whether text is JSON lines or something else in lines; None: JSON of another form."""
    lines = [line for line in head.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip()]
    first = lines[0].strip()
    if first[:1] not in (b"{", b"["):
        return "csv"
    if len(lines) == 1 and not whole:
        return "ndjson" if first[:1] == b"{" else None
    try:
        found: Any = json.loads(first.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return "ndjson" if isinstance(found, dict) else None
