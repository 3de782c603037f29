"""Files that were read, known again by path and content: unchanged, grown, or with their rows put into other files."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from xxhash import xxh3_64_intdigest, xxh3_128

from offbeat.core.batch import EVER, NULL_INT
from offbeat.io.read.files import InputFile, drawn_from_path
from offbeat.io.read.layout import Layout
from offbeat.io.read.parse_columns import Parsed
from offbeat.io.read.readers import Reader

_YOUNG_NS = 2 * 10**9
_BLOCK = 1 << 20
_WRAP = 1 << 64


def resolved(path: str) -> str:
    """The same name for every spelling of a path: absolute, links followed. `-` is standard input."""
    return path if path == "-" else os.path.realpath(path)


def stamp_of(path: str) -> list[int]:
    """As long as it is the same, the file's bytes are: size, times of the last change of content and of entry, inode, device.

    Size and time of modification do not tell: both can be set. The time at which the entry changed is set by the system alone. Its clock
    ticks, so a file that has changed just now may change again without a trace: it has no stamp ([]).
    """
    known = Path(path).stat()
    if abs(time.time_ns() - known.st_ctime_ns) < _YOUNG_NS:
        return []
    return [known.st_size, known.st_mtime_ns, known.st_ctime_ns, known.st_ino, known.st_dev]


@dataclass(slots=True)
class RowSum:
    """A multiset of rows, in whatever order and files: how many, the sum of their hashes, their first and last time."""

    rows: int = 0
    digest: int = 0
    first_ns: int = EVER
    last_ns: int = NULL_INT

    def __iadd__(self, other: RowSum) -> RowSum:
        self.rows, self.digest = self.rows + other.rows, (self.digest + other.digest) % _WRAP
        self.first_ns, self.last_ns = min(self.first_ns, other.first_ns), max(self.last_ns, other.last_ns)
        return self

    def __contains__(self, other: RowSum) -> bool:
        return self.first_ns <= other.first_ns and other.last_ns <= self.last_ns


@dataclass(frozen=True, slots=True)
class FileMark:
    """What is remembered of a file that was read."""

    path: str
    """Resolved."""
    rows: int
    """Rows of all files that were read as one with it."""
    size: int
    stamp: list[int]
    sum: RowSum = field(default_factory=RowSum)
    """Its own rows; none where they were not counted."""
    end: int = 0
    """`Parsed.mark` of its last block; 0 where it is not known."""

    def as_json(self) -> list[Any]:
        own = self.sum
        return [self.path, self.rows, self.size, self.stamp, own.rows, own.digest, own.first_ns, own.last_ns, self.end]

    @classmethod
    def of(cls, entry: Sequence[Any]) -> FileMark:
        """From `as_json`, also of a version that remembered less."""
        path, rows, size, stamp, *own = entry
        return cls(resolved(path), rows, size, stamp if isinstance(stamp, list) else [], RowSum(*own[:4]), *own[4:])


def sums_of(parsed: Parsed, file: int, key: str | None) -> dict[int, RowSum]:
    """The rows of a block by file. `file`, `key`: where all are of one file, and its key where no column holds it."""
    n = len(parsed.time_ns)
    if not n:
        return {}
    extra = [pl.Series("@time", parsed.time_ns), pl.Series("@fault", parsed.faults)]
    if parsed.keys is not None:
        extra.append(parsed.keys.cast(pl.String).alias("@key"))
    frame = parsed.frame.hstack(extra)
    hashes = frame.hash_rows(xxh3_64_intdigest(key.encode("utf-8", "surrogatepass")) if key is not None else 0).to_numpy()
    places = np.zeros(n, np.int32) if parsed.files is None else parsed.files
    sums: dict[int, RowSum] = {}
    for place in np.unique(places).tolist():
        mine = places == place
        times = parsed.time_ns[mine]
        times = times[times != NULL_INT]
        low, high = (int(times.min()), int(times.max())) if len(times) else (EVER, NULL_INT)
        sums[file if parsed.files is None else place] = RowSum(int(mine.sum()), int(hashes[mine].sum()), low, high)
    return sums


def prefix_print(file: InputFile, size: int) -> str:
    """What `files.fingerprint` would give of the file's first `size` bytes; '' where they do not end with a line."""
    digest, last = xxh3_128(), b""
    with Path(file.path).open("rb", buffering=0) as raw:
        while size > 0 and (block := raw.read(min(size, _BLOCK))):
            digest.update(block)
            size, last = size - len(block), block[-1:]
    digest.update(drawn_from_path(file))
    return digest.hexdigest() if last == b"\n" and not size else ""


def by_path(known: Mapping[str, Sequence[Any]]) -> dict[str, list[tuple[str, FileMark]]]:
    """Resolved path → fingerprints and marks of what was read there."""
    found: dict[str, list[tuple[str, FileMark]]] = {}
    for name, entry in known.items():
        mark = FileMark.of(entry)
        found.setdefault(mark.path, []).append((name, mark))
    return found


def grown(file: InputFile, reader: Reader, known: Sequence[tuple[str, FileMark]]) -> FileMark | None:
    """What was read of a file that has only been added to since, at its end: `end` is where what is new begins.

    Of plain text its beginning is the former file, byte by byte; of others the first rows are the former ones. known: what was read at
    its path.
    """
    before = [(name, mark) for name, mark in known if mark.size and mark.sum.rows]
    before.sort(key=lambda entry: -entry[1].sum.rows)
    plain = not file.packing and file.kind in {"csv", "ndjson"}
    for name, mark in before:
        if plain and mark.size < file.size and prefix_print(file, mark.size) == name:
            return replace(mark, end=mark.size)
        end = mark.sum.rows if file.kind == "parquet" else mark.end
        if not plain and end and first_rows(reader, file, mark.sum.rows) == mark.sum:
            return replace(mark, end=end)
    return None


def first_rows(reader: Reader, file: InputFile, rows: int) -> RowSum:
    """The first rows of a file."""
    total = RowSum()
    for work in reader.blocks():
        parsed = work()
        left = rows - total.rows
        if len(parsed.time_ns) > left:
            keys = None if parsed.keys is None else parsed.keys.head(left)
            parsed = replace(parsed, frame=parsed.frame.head(left), keys=keys, time_ns=parsed.time_ns[:left], faults=parsed.faults[:left])
        for own in sums_of(parsed, 0, file.key).values():
            total += own
        if total.rows == rows:
            break
    return total


class Rest:
    """The rows of a file after those that were read before it grew."""

    def __init__(self, reader: Reader, begin: int, rows_before: int) -> None:
        """begin: a `Parsed.mark`. rows_before: rows up to there."""
        self._reader, self.begin, self.rows_before = reader, begin, rows_before
        self.header = reader.header
        self.layout: Layout | None = getattr(reader, "layout", None)

    def like(self, reader: Reader) -> Rest:
        """The same part of what another reader of the file gives."""
        return Rest(reader, self.begin, self.rows_before)

    def statistics(self) -> None:
        """Those of the whole file do not hold."""

    def blocks(self, mark: int = 0) -> Iterator[Callable[[], Parsed]]:
        """See `Reader`; marks are places in the file."""
        return self._reader.blocks(max(mark, self.begin))


def regrouped(
    gone: Mapping[str, FileMark], come: Mapping[str, tuple[int, int]], total: Callable[[str], RowSum]
) -> list[tuple[list[str], list[str]]]:
    """Which files hold the rows, all of them and no others, of files that are no more: names of the gone and of the come.

    come: new files with their first and last time. `total` reads one to its end, which is done only where files are gone whose times lie
    within those of new ones.
    """
    found: list[tuple[list[str], list[str]]] = []
    left = {name: mark for name, mark in gone.items() if mark.sum.rows}
    sums: dict[str, RowSum] = {}

    def try_one(names: list[str]) -> bool:
        span = RowSum(first_ns=min(come[name][0] for name in names), last_ns=max(come[name][1] for name in names))
        inside = [name for name, mark in left.items() if mark.sum in span]
        if not inside:
            return False
        have, want = RowSum(), RowSum()
        for name in names:
            sums[name] = sums.get(name) or total(name)
            have += sums[name]
        for name in inside:
            want += left[name].sum
        if (have.rows, have.digest) != (want.rows, want.digest):
            return False
        found.append((inside, names))
        for name in inside:
            del left[name]
        return True

    rest = [name for name in come if not try_one([name])]
    for cluster in _clusters(rest, come):
        if len(cluster) > 1:
            try_one(cluster)
    if left and len(rest) > 1:
        try_one(rest)
    return found


def _clusters(names: Sequence[str], ranges: Mapping[str, tuple[int, int]]) -> list[list[str]]:
    """Names whose ranges of time overlap, directly or through others."""
    out: list[list[str]] = []
    high = NULL_INT
    for name in sorted(names, key=lambda name: ranges[name]):
        if out and ranges[name][0] <= high:
            out[-1].append(name)
        else:
            out.append([name])
        high = max(high, ranges[name][1])
    return out
