"""Arrow arrays made from NumPy arrays without a Python object per value; the one place where pyarrow's incomplete types are widened.

From buffers, as `pyarrow.array` imports pandas where it is installed: a second of the start.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from offbeat.core.batch import F64, I64, NULL_INT, Bools

Array: TypeAlias = "pa.Array[Any]"
_pa: Any = import_module("pyarrow")

TIME = pa.timestamp("ns", tz="UTC")
WORD = pa.dictionary(pa.int32(), pa.string())
"""Text that repeats: codes while in flight, plain text in every file."""
_HEX = np.array([int.from_bytes(f"{i:02x}".encode(), "little") for i in range(256)], dtype="<u2")
"""The two hex digits of each byte, as they lie in memory."""


def floats(values: F64) -> Array:
    """(m,) doubles; NaN and infinities become null."""
    data = np.ascontiguousarray(values, dtype=np.float64)
    return _array(_pa.float64(), data, _bitmap(np.isfinite(data)))


def integers(values: npt.NDArray[Any], kind: pa.DataType, known: Bools | None = None) -> Array:
    """(m,) integers of the given Arrow type; null where they are not `known` (m,)."""
    bitmap = None if known is None else _bitmap(known)
    return _array(kind, np.ascontiguousarray(values, np.int32 if kind == _pa.int32() else np.int64), bitmap)


def times(values: I64) -> Array:
    """(m,) nanoseconds UTC → timestamps; NULL_INT becomes null."""
    return _array(TIME, np.ascontiguousarray(values, dtype=np.int64), _bitmap(values != NULL_INT))


def hex_ids(ids: npt.NDArray[np.uint8]) -> Array:
    """(m, 16) bytes → m strings of 32 hex digits."""
    m = len(ids)
    offsets = np.arange(0, 32 * (m + 1), 32, dtype=np.int32)
    array: Array = _pa.StringArray.from_buffers(m, _pa.py_buffer(offsets), _pa.py_buffer(_HEX[ids]))
    return array


def texts_of(characters: npt.NDArray[np.uint8], known: Bools) -> Array:
    """(m, w) bytes → m strings of w characters; null where they are not `known` (m,)."""
    m, width = characters.shape
    offsets = np.arange(0, width * (m + 1), width, dtype=np.int32)
    array: Array = _pa.StringArray.from_buffers(m, _pa.py_buffer(offsets), _pa.py_buffer(np.ascontiguousarray(characters)), _bitmap(known))
    return array


def byte_ids(ids: npt.NDArray[np.uint8]) -> Array:
    """(m, 16) bytes → m values of 16 bytes."""
    array: Array = _pa.FixedSizeBinaryArray.from_buffers(_pa.binary(16), len(ids), [None, _pa.py_buffer(np.ascontiguousarray(ids))])
    return array


def words(codes: npt.NDArray[Any], texts: Sequence[str | None]) -> Array:
    """(m,) indices into `texts`, -1 for null → text stored once each."""
    indices = np.asarray(codes, dtype=np.int32)
    array: Array = _pa.DictionaryArray.from_arrays(_array(_pa.int32(), indices, _bitmap(indices >= 0)), strings(texts))
    return array


def coded(codes: npt.NDArray[Any], texts: pl.Series) -> Array:
    """(m,) indices into `texts`, none of them null → text stored once each."""
    column: Any = whole(texts.cast(pl.String).to_arrow()).cast(_pa.string())
    array: Array = _pa.DictionaryArray.from_arrays(_array(_pa.int32(), np.ascontiguousarray(codes, np.int32), None), column)
    return array


def constant(text: str, m: int) -> Array:
    """The same text m times, stored once."""
    return words(np.zeros(m, dtype=np.int32), [text])


def truths(values: Bools, known: Bools | None = None) -> Array:
    """(m,) truth values; null where they are not `known` (m,)."""
    bits = _pa.py_buffer(np.packbits(values, bitorder="little"))
    bitmap = None if known is None else _bitmap(known)
    array: Array = _pa.Array.from_buffers(_pa.bool_(), len(values), [bitmap, bits])
    return array


def lists(offsets: npt.NDArray[Any], values: Array, absent: Array | None = None) -> Array:
    """Lists over `values`: the i-th is values[offsets[i]:offsets[i + 1]]; offsets (m + 1,) for m lists.

    Null where `absent` (truth values) says so.
    """
    array: Array = _pa.ListArray.from_arrays(integers(offsets, _pa.int32()), values, mask=absent)
    return array


def structs(children: Sequence[Array], fields: Sequence[pa.Field[Any]], absent: Array | None = None) -> Array:
    """Rows of the children; null where `absent` (truth values) says so."""
    array: Array = _pa.StructArray.from_arrays(list(children), fields=list(fields), mask=absent)
    return array


def child(array: Array, name: str) -> Array:
    """A field of a struct array, without the nulls of the struct itself."""
    loose: Any = array
    found: Array = loose.field(name)
    return found


def fields_of(kind: pa.DataType) -> list[pa.Field[Any]]:
    """The fields of a struct type."""
    loose: Any = kind
    return list(loose)


def field_type(kind: pa.DataType, name: str) -> pa.DataType | None:
    """Type of a struct's field, None where it has none of that name."""
    return next((f.type for f in fields_of(kind) if f.name == name), None)


def whole(column: pa.ChunkedArray[Any] | Array) -> Array:
    """The column in one piece."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    loose: Any = column
    array: Array = (
        loose.chunk(0) if loose.num_chunks == 1 else _pa.concat_arrays(loose.chunks) if loose.num_chunks else _pa.nulls(0, loose.type)
    )
    return array


def gathered(array: Array, places: npt.NDArray[Any]) -> Array:
    """The values at `places` (m,) of the array; null for -1."""
    loose: Any = array
    indices = np.ascontiguousarray(places, np.int64)
    found: Array = loose.take(_array(_pa.int64(), indices, _bitmap(indices >= 0)))
    return found


def joined(arrays: Sequence[Array]) -> Array:
    """Arrays of one type, one after the other."""
    array: Array = _pa.concat_arrays(list(arrays))
    return array


def nulls(m: int, kind: pa.DataType) -> Array:
    """Null m times, as a value of the given type."""
    array: Array = _pa.nulls(m, kind)
    return array


def strings(texts: Sequence[str | None]) -> Array:
    """Texts, stored each."""
    words = [None if text is None else text.encode() for text in texts]
    ends = np.cumsum([0, *(len(word or b"") for word in words)], dtype=np.int32)
    known = _bitmap(np.array([word is not None for word in words], np.bool_))
    body = _pa.py_buffer(b"".join(word or b"" for word in words))
    array: Array = _pa.StringArray.from_buffers(len(words), _pa.py_buffer(ends), body, known)
    return array


def _array(kind: pa.DataType, data: npt.NDArray[Any], bitmap: pa.Buffer | None) -> Array:
    array: Array = _pa.Array.from_buffers(kind, len(data), [bitmap, _pa.py_buffer(data)])
    return array


def _bitmap(valid: Bools) -> pa.Buffer | None:
    """Arrow's validity bits, or None where everything is valid."""
    if valid.all():
        return None
    bits: pa.Buffer = _pa.py_buffer(np.packbits(valid, bitorder="little"))
    return bits
