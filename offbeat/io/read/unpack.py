"""Packed bytes as they were."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from importlib import import_module
from typing import Any, Literal

Packing = Literal["", "gzip", "zstd", "bz2", "xz"]

PACKINGS: dict[bytes, Packing] = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2", b"\xfd7zXZ\x00": "xz"}
"""First bytes of a packed file."""


def unpacked(raw: Any, packing: Packing) -> Callable[[int], bytes]:
    """`read` of the bytes behind an open binary file."""
    opened: Any = raw
    if packing == "gzip":
        opened = gzip.GzipFile(fileobj=raw)
    elif packing == "zstd":
        arrow: Any = import_module("pyarrow")  # here, so that finding files stays light
        opened = arrow.CompressedInputStream(arrow.PythonFile(raw, mode="r"), "zstd")
    elif packing == "bz2":
        opened = import_module("bz2").BZ2File(raw)
    elif packing == "xz":
        opened = import_module("lzma").LZMAFile(raw)
    read: Callable[[int], bytes] = opened.read
    return read
