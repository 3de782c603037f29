"""A snapshot is one Arrow stream (named arrays, and a JSON document for text), followed by a checksum of it all. Never a pickle.

Nothing of a file is read before its checksum is verified: Arrow trusts the offsets it reads, and a damaged one would end the process.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import IO, Any

import numpy as np
import pyarrow as pa
import xxhash

from offbeat.errors import UserError

FORMAT = 6
"""Increased whenever an older offbeat could not read a newer snapshot, or the other way round."""

_MARK = b"offbeat\n"
"""Separates the Arrow stream from its checksum."""
_TAIL = len(_MARK) + 16
_DOCUMENT = "json"
_LARGE = 1 << 24
"""From this many bytes of arrays on, threads are worth starting."""
_SCHEMA = pa.schema(
    [
        pa.field("name", pa.string()),
        pa.field("dtype", pa.string()),
        pa.field("shape", pa.list_(pa.int64())),
        pa.field("bytes", pa.int64()),
        pa.field("data", pa.large_binary()),
    ],
    metadata={"offbeat.format": str(FORMAT)},
)

_CODEC: Any = import_module("pyarrow").Codec("zstd", compression_level=1)

Arrays = dict[str, np.ndarray]
Document = dict[str, Any]


def prefixed(prefix: str, arrays: Mapping[str, np.ndarray]) -> Arrays:
    """The arrays with `prefix/` before their names."""
    return {f"{prefix}/{name}": array for name, array in arrays.items()}


def under(prefix: str, arrays: Mapping[str, np.ndarray]) -> Arrays:
    """The arrays whose names begin with `prefix/`, without it."""
    head = f"{prefix}/"
    return {name[len(head) :]: array for name, array in arrays.items() if name.startswith(head)}


class _Checked(io.RawIOBase):
    """Passes bytes on to `file` and keeps their checksum."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._file = file
        self.digest = xxhash.xxh3_128()

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self.digest.update(data)
        return self._file.write(data)


def store(file: IO[bytes], arrays: Mapping[str, np.ndarray], document: Document) -> None:
    """Write a snapshot, each array compressed with Zstandard."""
    checked = _Checked(file)
    text = json.dumps(document, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass")  # file names may be any bytes
    with pa.ipc.new_stream(pa.PythonFile(checked, mode="w"), _SCHEMA) as writer:
        writer.write_batch(_entry("document", _DOCUMENT, (len(text),), memoryview(text)))
        for entry in _packed(arrays):
            writer.write_batch(entry)
    file.write(_MARK + checked.digest.digest())


def _packed(arrays: Mapping[str, np.ndarray]) -> Iterator[pa.RecordBatch]:
    """The arrays in the order of their names; large ones on two threads, because compression holds no interpreter lock."""

    def pack(name: str) -> pa.RecordBatch:
        array = np.ascontiguousarray(arrays[name])
        return _entry(name, array.dtype.str, array.shape, array.data)

    if sum(array.nbytes for array in arrays.values()) < _LARGE:
        yield from map(pack, sorted(arrays))
        return
    with ThreadPoolExecutor(2, thread_name_prefix="offbeat-pack") as pool:
        yield from pool.map(pack, sorted(arrays))


def _entry(name: str, dtype: str, shape: tuple[int, ...], data: memoryview) -> pa.RecordBatch:
    body = _CODEC.compress(pa.py_buffer(data))
    offsets = pa.py_buffer(np.array([0, body.size], np.int64).data)
    return pa.record_batch(
        [
            pa.array([name], pa.string()),
            pa.array([dtype], pa.string()),
            pa.array([list(shape)], pa.list_(pa.int64())),
            pa.array([len(data.cast("B")) if data.nbytes else 0], pa.int64()),
            pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, body]),
        ],
        schema=_SCHEMA,
    )


def encode(arrays: Mapping[str, np.ndarray], document: Document) -> bytes:
    """Bytes of a snapshot."""
    file = io.BytesIO()
    store(file, arrays, document)
    return file.getvalue()


def decode(data: bytes, name: str) -> tuple[Arrays, Document]:
    """Arrays and document of a snapshot; `name` is what an error calls it. Raises UserError when it is damaged or of another format."""
    again = "restore it, or read all sources again with --rebuild"
    body, tail = memoryview(data)[:-_TAIL], bytes(data[-_TAIL:])
    if len(tail) < _TAIL or not tail.startswith(_MARK):
        raise UserError(f"{name}: not a whole snapshot of offbeat; {again}")
    if xxhash.xxh3_128(body).digest() != tail[len(_MARK) :]:
        raise UserError(f"{name}: the snapshot is damaged (its checksum differs); {again}")
    arrays: Arrays = {}
    document: Document = {}
    with pa.ipc.open_stream(pa.py_buffer(body)) as stream:
        form = (stream.schema.metadata or {}).get(b"offbeat.format", b"?").decode()
        if form != str(FORMAT):
            raise UserError(
                f"{name}: written by another version of offbeat (format {form}, this one reads {FORMAT}); "
                "read all sources again with --rebuild, or name a new state directory"
            )
        for batch in stream:
            entry, dtype, shape = (batch.column(i)[0].as_py() for i in range(3))
            content = _CODEC.decompress(batch.column(4)[0].as_buffer(), batch.column(3)[0].as_py())
            if dtype == _DOCUMENT:
                document = json.loads(content.to_pybytes().decode("utf-8", "surrogatepass"))
            else:
                arrays[entry] = np.frombuffer(content, np.dtype(dtype)).reshape(shape).copy()
    return arrays, document
