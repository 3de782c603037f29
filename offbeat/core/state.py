"""A snapshot is one Arrow file: named arrays, a JSON document for what is text, and a checksum over both. Never a pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash

from offbeat.errors import UserError

FORMAT = 1
"""Raised whenever an older offbeat could not read a newer snapshot, or the other way round."""

Arrays = dict[str, np.ndarray]
Document = dict[str, Any]


def prefixed(prefix: str, arrays: Mapping[str, np.ndarray]) -> Arrays:
    """The arrays with `prefix/` before their names."""
    return {f"{prefix}/{name}": array for name, array in arrays.items()}


def under(prefix: str, arrays: Mapping[str, np.ndarray]) -> Arrays:
    """The arrays whose names begin with `prefix/`, without it."""
    head = f"{prefix}/"
    return {name[len(head) :]: array for name, array in arrays.items() if name.startswith(head)}


def encode(arrays: Mapping[str, np.ndarray], document: Document) -> bytes:
    """Bytes of a snapshot."""
    names = sorted(arrays)
    plain = [np.ascontiguousarray(arrays[name]) for name in names]
    table = pa.table(
        {
            "name": pa.array(names, pa.string()),
            "dtype": pa.array([a.dtype.str for a in plain], pa.string()),
            "shape": pa.array([list(a.shape) for a in plain], pa.list_(pa.int64())),
            "data": pa.array([a.tobytes() for a in plain], pa.large_binary()),
        }
    )
    text = json.dumps(document, sort_keys=True, ensure_ascii=False)
    digest = xxhash.xxh3_128(text.encode())
    for name, array in zip(names, plain, strict=True):
        digest.update(name.encode())
        digest.update(array.tobytes())
    table = table.replace_schema_metadata({"offbeat.format": str(FORMAT), "offbeat.document": text, "offbeat.checksum": digest.hexdigest()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def decode(data: bytes, name: str) -> tuple[Arrays, Document]:
    """Arrays and document of a snapshot; `name` is what an error calls it. Raises UserError when it is damaged or of another format."""
    try:
        table = pa.ipc.open_file(pa.BufferReader(data)).read_all()
        metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
        form, text, checksum = (metadata[f"offbeat.{part}"] for part in ("format", "document", "checksum"))
    except (pa.ArrowException, KeyError, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{name}: not a readable snapshot of offbeat; remove the state directory to start anew") from error
    if form != str(FORMAT):
        raise UserError(f"{name}: written by another version of offbeat (format {form}, this one reads {FORMAT}); start with a new state directory")
    digest = xxhash.xxh3_128(text.encode())
    arrays: Arrays = {}
    for row in table.to_pylist():
        digest.update(row["name"].encode())
        digest.update(row["data"])
        arrays[row["name"]] = np.frombuffer(row["data"], np.dtype(row["dtype"])).reshape(row["shape"]).copy()
    if digest.hexdigest() != checksum:
        raise UserError(f"{name}: the snapshot is damaged (checksum differs); remove the state directory to start anew")
    document: Document = json.loads(text)
    return arrays, document
