"""Lines of text: a stream of bytes cut into blocks of whole ones, and their places in a block."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from offbeat.core.batch import I64
from offbeat.core.compiled import compiled
from offbeat.io.read.csv_tokens import Bytes, line_ends_in

LONGEST = 16 << 20
"""Bytes of a line. A longer one is no row, and only its beginning is kept."""
_KEPT = 1 << 16
_STRIDE = 64


def blocks_of_lines(read: Callable[[int], bytes], size: int, at: int = 0) -> Iterator[tuple[bytes, int]]:
    """Whole lines as they arrive, of which the very last may lack its end, and the offset behind them.

    read: gives at most as many bytes as it is asked for, and none only at the end. size: bytes to ask for, at most LONGEST. at: offset of
    the first of them. A line longer than LONGEST comes as its beginning and a remark how long it is, which makes it no JSON.
    """
    held: list[bytes] = []
    length = 0
    while True:
        fresh = read(size)
        at += len(fresh)
        first = fresh.find(b"\n")
        length += len(fresh) if first < 0 else first
        if length > LONGEST:
            held = [b"".join((*held, fresh))[:_KEPT]]
        if first < 0 and fresh:
            if length <= LONGEST:
                held.append(fresh)
            continue
        begin, end = 0, fresh.rfind(b"\n") + 1
        if length > LONGEST:
            begin = max(first, 0)
            held = [held[0].decode("utf-8", "ignore").encode(), f"… [the first {_KEPT:,} of {length:,} bytes]".encode()]
        body = b"".join((*held, memoryview(fresh)[begin:end]))
        if body:
            yield body, at - len(fresh) + end
        if not fresh:
            return
        held = [fresh[end:]]
        length = len(fresh) - end


@compiled
def _find(data: Bytes, begins: I64, ends: I64) -> int:
    size = len(data)
    n = begin = at = 0
    while begin < size:
        while at + _STRIDE <= size:
            # A whole stretch at once: most have no line end.
            ended = False
            for i in range(at, at + _STRIDE):
                ended |= data[i] == 10
            if ended:
                break
            at += _STRIDE
        while at < size and data[at] != 10:
            at += 1
        end = at - 1 if at > begin and data[at - 1] == 13 else at
        first = begin
        while first < end and (data[first] == 32 or data[first] == 9 or data[first] == 13):
            first += 1
        if first < end:
            begins[n], ends[n] = begin, end
            n += 1
        at += 1
        begin = at
    return n


def find_lines(body: bytes) -> tuple[I64, I64]:
    """Where the lines that are not blank begin and end; their line ends (LF or CR LF) left out."""
    data: Bytes = np.frombuffer(body, np.uint8)
    room = line_ends_in(data) + 1
    begins: I64 = np.empty(room, np.int64)
    ends: I64 = np.empty(room, np.int64)
    n = _find(data, begins, ends)
    return begins[:n], ends[:n]
