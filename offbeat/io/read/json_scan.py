"""Where the wanted values of JSON objects lie: one pass over the bytes, nothing copied, no object built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from offbeat.core.batch import I8, I32, I64
from offbeat.core.compiled import compiled, compiled_inner
from offbeat.io.read.csv_tokens import Bytes
from offbeat.io.read.json_tokens import NEVER, QUOTE, blanks, is_utf8, scalar, string, unescape

BROKEN, NESTED, NOT_UTF8, ESCAPES = 1, 2, 4, 8
"""Marks of a record, as bits: it is no JSON object; a wanted value is an object or a list; not UTF-8; a wanted value may have escapes."""

DEEPEST = 512
"""Objects and lists that may be open at once. Python's own parser stops where its stack ends, which depends on who calls it."""

_OFFSET, _LENGTH, _INSIDE, _OWN, _FIRST, _LAST = range(6)
_ABSENT, _CONTAINER = -1, -2
_UNWANTED, _LIST = -1, -2
_NODE, _BEGIN, _SIZE, _NAME = range(4)
_SHAPE = 128
"""Names of a record that are expected where the record before had them."""
_COMMA, _COLON, _OPEN_LIST, _CLOSE_LIST, _OPEN_OBJECT, _CLOSE_OBJECT = b",:[]{}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Values that are looked for in each object, as arrays for the kernel. w values."""

    text: Bytes
    """All names, one behind the other, as UTF-8."""
    names: I32
    """(names, 6): offset and length in `text`; node of what is wanted inside the value, -1: nothing; number of the value itself among the
    targets, -1: not wanted; first target that the value decides, and the one behind the last."""
    nodes: I32
    """(nodes, 2): an object in which something is wanted, the record itself first; its first name, and the one behind its last."""
    picks: I32
    """Targets of each of the w values, the one that counts most first; those of the i-th from `firsts[i]` to `firsts[i + 1]`."""
    firsts: I32
    """(w + 1,)."""


@dataclass(slots=True)
class _Name:
    own: int = -1
    inside: dict[str, _Name] = field(default_factory=dict)


def wanted(values: Sequence[Sequence[str]]) -> Wanted:
    """What is looked for: for each value its spellings, the first that an object has counts.

    `a.b` is the field of that very name, or, where an object lacks it, the field `b` of the object in its field `a`.
    """
    root = _Name()
    paths = [[path for spelling in spellings for path in dict.fromkeys([(spelling,), tuple(spelling.split("."))])] for spellings in values]
    for path in (path for several in paths for path in several):
        name = root
        for part in path:
            name = name.inside.setdefault(part, _Name())
        name.own = 0
    targets = 0
    text = bytearray()
    names: list[list[int]] = []
    nodes: list[tuple[int, int]] = []

    def lay(name: _Name) -> int:
        """Number the names inside and all that is below them; returns the node."""
        nonlocal targets
        node = len(nodes)
        first = len(names)
        nodes.append((first, first + len(name.inside)))
        names.extend([0] * 6 for _ in name.inside)
        for row, (spelt, below) in enumerate(name.inside.items(), first):
            coded = spelt.encode("utf-8", "replace")
            offset = len(text)
            text.extend(coded)
            begin = targets
            if below.own >= 0:
                below.own = targets
                targets += 1
            inside = lay(below) if below.inside else -1
            names[row] = [offset, len(coded), inside, below.own, begin, targets]
        return node

    lay(root)

    def target(path: tuple[str, ...]) -> int:
        name = root
        for part in path:
            name = name.inside[part]
        return name.own

    picks = [[target(path) for path in several] for several in paths]
    return Wanted(
        np.frombuffer(bytes(text), np.uint8),
        np.array(names, np.int32).reshape(-1, 6),
        np.array(nodes, np.int32),
        np.array([one for several in picks for one in several], np.int32),
        np.cumsum([0, *map(len, picks)], dtype=np.int32),
    )


@compiled_inner
def _equal(data: Bytes, at: int, other: Bytes, begin: int, length: int) -> bool:
    i = 0
    while i < length and data[at + i] == other[begin + i]:
        i += 1
    return i == length


@compiled_inner
def _look_up(data: Bytes, begin: int, length: int, node: int, text: Bytes, names: I32, nodes: I32) -> int:
    """Which of the names of `node` the bytes are, -1: none."""
    for i in range(nodes[node, 0], nodes[node, 1]):
        if names[i, _LENGTH] == length and _equal(data, begin, text, names[i, _OFFSET], length):
            return i
    return -1


@compiled_inner
def _name(
    data: Bytes, at: int, end: int, node: int, ordinal: int, text: Bytes, names: I32, nodes: I32, shape: I32, room: Bytes
) -> tuple[int, int, bool]:
    """Of the name whose first character is at `at`: number, -1: nobody wants it; closing quote, -1: none; has it bytes above 127."""
    if node < 0:
        close, _, high = string(data, at, end)
        return -1, close, high
    if ordinal < _SHAPE:
        # Objects mostly have the names of the one before, in its order.
        first, size = shape[ordinal, _BEGIN], shape[ordinal, _SIZE]
        if shape[ordinal, _NODE] == node and at + size < end and data[at + size] == QUOTE and _equal(data, at, data, first, size):
            return shape[ordinal, _NAME], at + size, False
    close, escapes, high = string(data, at, end)
    size = close - at
    if close < 0:
        return -1, close, high
    if escapes:
        known = size <= len(room)
        return _look_up(room, 0, unescape(data, at, close, NEVER, room, 0), node, text, names, nodes) if known else -1, close, high
    which = _look_up(data, at, size, node, text, names, nodes)
    if ordinal < _SHAPE and not high:
        shape[ordinal, _NODE], shape[ordinal, _BEGIN], shape[ordinal, _SIZE], shape[ordinal, _NAME] = node, at, size, which
    return which, close, high


@compiled_inner
def _object(
    data: Bytes, at: int, end: int, text: Bytes, names: I32, nodes: I32, shape: I32, room: Bytes, open_: I32, found: I32
) -> tuple[bool, bool, bool]:
    """Fill in the targets of one record; whether it is a JSON object, has bytes above 127, and escapes in a target.

    open_ (DEEPEST,): node of each object that is open, or _LIST. found (targets, 2): begin and end of the values.
    """
    high = escaped = False
    at = blanks(data, at, end)
    if at == end or data[at] != _OPEN_OBJECT:
        return False, high, escaped
    at += 1
    depth = node = ordinal = 0
    open_[0] = 0
    fresh = True
    while True:
        at = blanks(data, at, end)
        if at == end:
            return False, high, escaped
        if not fresh or data[at] != (_CLOSE_LIST if node == _LIST else _CLOSE_OBJECT):
            which = -1
            if node != _LIST:
                if data[at] != QUOTE:
                    return False, high, escaped
                which, at, above = _name(data, at + 1, end, node, ordinal, text, names, nodes, shape, room)
                high |= above
                if at < 0:
                    return False, high, escaped
                ordinal += node >= 0
                at = blanks(data, at + 1, end)
                if at == end or data[at] != _COLON:
                    return False, high, escaped
                at = blanks(data, at + 1, end)
                if at == end:
                    return False, high, escaped
            begin = at
            own = -1
            if which >= 0:
                # Of a name that comes twice the last value counts.
                for target in range(names[which, _FIRST], names[which, _LAST]):
                    found[target, 0] = _ABSENT
                own = names[which, _OWN]
            if data[at] == QUOTE:
                begin = at + 1
                stop, escapes, above = string(data, begin, end)
                high |= above
                if stop < 0:
                    return False, high, escaped
                at = stop + 1
                escaped |= escapes and own >= 0
            elif data[at] == _OPEN_OBJECT or data[at] == _OPEN_LIST:
                depth += 1
                if depth == DEEPEST:
                    return False, high, escaped
                node = _LIST if data[at] == _OPEN_LIST else _UNWANTED if which < 0 else names[which, _INSIDE]
                open_[depth] = node
                if own >= 0:
                    found[own, 0] = _CONTAINER
                at += 1
                fresh = True
                continue
            else:
                at = stop = scalar(data, at, end)
                if at < 0:
                    return False, high, escaped
                if data[begin] == 110:
                    stop = begin
            if own >= 0:
                found[own, 0], found[own, 1] = begin, stop
        fresh = False
        while True:
            at = blanks(data, at, end)
            if at == end:
                return False, high, escaped
            if data[at] == _COMMA:
                at += 1
                break
            if data[at] != (_CLOSE_LIST if node == _LIST else _CLOSE_OBJECT):
                return False, high, escaped
            at += 1
            depth -= 1
            if depth < 0:
                return blanks(data, at, end) == end, high, escaped
            node = open_[depth]


@compiled
def scan(
    data: Bytes,
    begins: I64,
    ends: I64,
    text: Bytes,
    names: I32,
    nodes: I32,
    picks: I32,
    firsts: I32,
    value_begins: I32,
    value_ends: I32,
    marks: I8,
) -> int:
    """Find the wanted values of n records; returns how many have escapes.

    begins, ends (n,): places of the records, negative where there is none. value_begins, value_ends (w, n): places of the values, quotes
    left out; equal where a value is empty, null, nested or not there. marks (n,).
    """
    shape = np.full((_SHAPE, 4), -1, np.int32)
    room = np.empty(8 * (len(text) + 1), np.uint8)
    open_ = np.empty(DEEPEST, np.int32)
    found = np.full((len(names), 2), _ABSENT, np.int32)
    odd = 0
    for i in range(len(begins)):
        for w in range(len(value_begins)):
            value_begins[w, i] = value_ends[w, i] = 0
        marks[i] = 0
        if begins[i] < 0:
            continue
        for target in range(len(found)):
            found[target, 0] = _ABSENT
        whole, high, escaped = _object(data, begins[i], ends[i], text, names, nodes, shape, room, open_, found)
        if (high or not whole) and not is_utf8(data, begins[i], ends[i]):
            marks[i] |= NOT_UTF8
        if not whole:
            marks[i] |= BROKEN
            continue
        if escaped:
            marks[i] |= ESCAPES
            odd += 1
        for w in range(len(value_begins)):
            for pick in range(firsts[w], firsts[w + 1]):
                begin = found[picks[pick], 0]
                if begin != _ABSENT:
                    if begin == _CONTAINER:
                        marks[i] |= NESTED
                    else:
                        value_begins[w, i] = begin
                        value_ends[w, i] = found[picks[pick], 1]
                    break
    return odd
