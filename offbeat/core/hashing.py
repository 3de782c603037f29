"""Hashes that must never change with a library's version: alert ids [S21] and the row hashes for duplicates [S8]."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from offbeat.core.batch import I32, I64, U64
from offbeat.core.compiled import compiled
from offbeat.core.text_codes import coded

_C1, _C2 = np.uint64(0x87C37B91114253D5), np.uint64(0x4CF5AD432745937F)
_M1, _M2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
_A1, _A2 = np.uint64(0x52DCE729), np.uint64(0x38495AB5)
_FIVE = np.uint64(5)
_NULL = np.uint64(0x9E3779B97F4A7C15)
_MAGNITUDE, _INFINITY = np.uint64(0x7FFFFFFFFFFFFFFF), np.uint64(0x7FF0000000000000)
_FNV, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)


@compiled
def _rotl(x: np.uint64, r: int) -> np.uint64:
    return np.uint64((x << np.uint64(r)) | (x >> np.uint64(64 - r)))


@compiled
def _fmix(k: np.uint64) -> np.uint64:
    """The finaliser of MurmurHash3 (Appleby, public domain)."""
    k ^= k >> np.uint64(33)
    k *= _M1
    k ^= k >> np.uint64(33)
    k *= _M2
    k ^= k >> np.uint64(33)
    return k


@compiled
def _mixed(words: U64, out: U64) -> None:
    for i in range(len(words)):
        out[i] = _fmix(words[i])


def mixed(words: U64) -> U64:
    """(n,) hashes of words; different ones for different words."""
    out = np.empty(len(words), np.uint64)
    _mixed(words, out)
    return out


@compiled
def _put(out: npt.NDArray[np.uint8], at: int, x: np.uint64) -> None:
    for b in range(8):
        out[at + b] = np.uint8((x >> np.uint64(56 - 8 * b)) & np.uint64(255))


@compiled
def alert_ids(prefixes: U64, key: I32, time_ns: I64, ordinals: I64, out: npt.NDArray[np.uint8]) -> None:
    """murmur3_x64_128 of (prefix of the key, time, ordinal) into (m, 16) bytes. `prefixes` (keys, 2)."""
    for i in range(len(key)):
        h1 = np.uint64(0)
        h2 = np.uint64(0)
        for block in range(2):
            k1 = prefixes[key[i], 0] if block == 0 else np.uint64(time_ns[i])
            k2 = prefixes[key[i], 1] if block == 0 else np.uint64(ordinals[i])
            h1 ^= _rotl(k1 * _C1, 31) * _C2
            h1 = (_rotl(h1, 27) + h2) * _FIVE + _A1
            h2 ^= _rotl(k2 * _C2, 33) * _C1
            h2 = (_rotl(h2, 31) + h1) * _FIVE + _A2
        h1 ^= np.uint64(32)
        h2 ^= np.uint64(32)
        h1 += h2
        h2 += h1
        h1 = _fmix(h1)
        h2 = _fmix(h2)
        h1 += h2
        h2 += h1
        _put(out[i], 0, h1)
        _put(out[i], 8, h2)


def alert_prefix(pipeline: str, view: str, key: str) -> tuple[int, int]:
    """The prefix of an alert id: BLAKE2b-128 of pipeline, view and key, as two little-endian words."""
    digest = blake2b(b"\x1f".join(part.encode() for part in (pipeline, view, key)), digest_size=16).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


@compiled
def extended(hashed: np.uint64, word: np.uint64) -> np.uint64:
    """A row hash with one more column, given by its `word`. Different hashes stay different with the same word."""
    return _fmix(hashed * _FIVE ^ word)


@compiled
def time_word(time_ns: int) -> np.uint64:
    """The word of a time in row hashes."""
    return _fmix(np.uint64(time_ns) + _C2)


TEXT, INTEGER, TIME, NUMBER = range(4)
"""Kinds of columns in a row hash."""


@compiled
def row_hashes(kinds: I64, places: I64, bits: U64, integers: I64, words: U64, time_ns: I64, hashes: U64) -> None:
    """(n,) hashes of rows over some columns: column c is of kinds[c] and stands in row places[c] of its kind's matrix.

    `bits` (·, n): those of the doubles; all nulls are alike, and so are the two zeros. `words` (·, n): of texts, by `text_words`.
    """
    hashes[:] = 0
    for c in range(len(kinds)):
        kind, row = kinds[c], places[c]
        if kind == TEXT:
            for i in range(len(hashes)):
                hashes[i] = extended(hashes[i], words[row, i])
        elif kind == INTEGER:
            for i in range(len(hashes)):
                hashes[i] = _fmix(hashes[i] * _FIVE ^ _fmix(np.uint64(integers[row, i]) + _C2))
        elif kind == TIME:
            for i in range(len(hashes)):
                hashes[i] = extended(hashes[i], time_word(time_ns[i]))
        else:
            for i in range(len(hashes)):
                x = bits[row, i]
                magnitude = x & _MAGNITUDE
                word = _NULL if magnitude > _INFINITY else (np.uint64(0) if magnitude == np.uint64(0) else x)
                hashes[i] = _fmix(hashes[i] * _FIVE ^ _fmix(word + _C1))


@compiled
def text_words(offsets: I64, data: npt.NDArray[np.uint8], nulls: npt.NDArray[np.bool_], words: U64) -> None:
    """A word for each of n texts (UTF-8, Arrow offsets): FNV-1a."""
    for i in range(len(words)):
        h = _NULL
        if not nulls[i]:
            h = _FNV
            for b in range(offsets[i], offsets[i + 1]):
                h = (h ^ np.uint64(data[b])) * _PRIME
        words[i] = h


def words_of(texts: pl.Series) -> U64:
    """(n,) words of n texts."""
    few = coded(texts)
    if few is not None:
        return np.append(_words_of(few.distinct), _NULL)[few.codes]
    return _words_of(texts)


def _words_of(texts: pl.Series) -> U64:
    array: Any = texts.to_arrow().cast(pa.large_string())
    _, offsets, data = array.buffers()
    body = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(0, np.uint8)
    words = np.empty(len(texts), np.uint64)
    text_words(np.frombuffer(offsets, np.int64)[array.offset :], body, texts.is_null().to_numpy(), words)
    return words
