"""Files as one source: in the order of S2, each delivery once [S8], restartable."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from offbeat.core.batch import I64, NULL_INT
from offbeat.core.chunk import Chunk, Position
from offbeat.core.plan import SourcePlan
from offbeat.errors import UserError
from offbeat.io.contract import Arrival
from offbeat.io.read.ambiguous_times import RowBefore
from offbeat.io.read.by_time import ByTime, TimedFile
from offbeat.io.read.csv import BLOCK
from offbeat.io.read.files import find_files, fingerprint, left_out_note
from offbeat.io.read.known_files import FileMark, Rest, RowSum, by_path, grown, regrouped, resolved, stamp_of, sums_of
from offbeat.io.read.local_times import zone_of
from offbeat.io.read.merge_overlapping import Merged, clusters, time_range
from offbeat.io.read.parse_columns import Parsed
from offbeat.io.read.path_columns import draw
from offbeat.io.read.prefetch import Ahead
from offbeat.io.read.readers import Reader, absences, mixtures, open_all, reader_of, spellings, zone_note
from offbeat.io.read.row_tables import Member, readable_times
from offbeat.io.read.sorted_file import SortedFile
from offbeat.quality.row_filter import RowFilter

DEPTH = 4
"""Blocks parsed ahead of the consumer: bounds the memory."""

_UNPACKED = 6
"""Bytes of text behind a byte of a packed file, roughly: decides only how many buckets a merge uses."""


@dataclass(frozen=True, slots=True)
class Unit:
    """What is read as one: a file, or files of overlapping times merged."""

    indices: tuple[int, ...]
    prints: tuple[str, ...]
    """Fingerprints; '' where there is nothing to know again (empty file, standard input)."""
    reader: Reader
    rows_before: int = 0
    """Rows of its only file that were read before that grew."""
    floor_ns: int = NULL_INT
    """No row of this unit or a later one is earlier; NULL_INT: not known."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened while reading ahead: a unit begins (`begin`), has rows, or ends (neither); or a note alone (no unit)."""

    unit: Unit | None
    parsed: Parsed | None = None
    begin: bool = False
    note: str = ""
    sums: Mapping[int, RowSum] = field(default_factory=dict)


class FileSource:
    """Files of one plan as a `Source`."""

    def __init__(self, plan: SourcePlan, paths: Sequence[str], *, block: int = BLOCK, workers: int = 2) -> None:
        """Finds the files and reads their headers. block: bytes of text parsed at a time."""
        zone_of(plan.time.zone)
        self._plan = plan
        self._block = block
        self._workers = workers
        found = find_files(paths, plan.format, plan.key_pattern)
        self._readers = open_all(found, plan, block)
        self._found = [draw(file, plan)[0] for file in found.files]
        self.files = [f.path for f in self._found]
        self._places = {path: index for index, path in enumerate(self.files)}
        about = self._found, self._readers, plan
        self.notes = [*left_out_note(found.left_out), *spellings(*about), *absences(*about), *mixtures(*about)]
        self.headers = [r.header for r in self._readers]
        self.live = "-" in self.files
        if plan.sort and not self.live:
            self._readers = [SortedFile(self._member(index)) for index in range(len(self._found))]
        elif plan.sort:
            self.notes.append("standard input is taken as it comes: `source.sort` is for files")
        self._where = None if plan.where is None else RowFilter(plan.where, plan.columns)
        self._done = 0
        self.counts = False
        """Whether rows are summed up by file, so that they are known again in other files; for runs that keep their positions."""
        self._said_zone = False
        self._prints: dict[int, str] = {}
        self._stamps: dict[int, list[int]] = {}
        self._sums: dict[int, RowSum] = {}
        self._ends: dict[int, int] = {}
        self._ranges: dict[int, tuple[int, int]] = {}
        self._told: set[str] = set()
        self._ahead: Ahead[Step] | None = None

    def size_bytes(self) -> int | None:
        return None if self.live else sum(f.size for f in self._found)

    def done_bytes(self) -> int:
        return self._done

    def close(self) -> None:
        """Stop reading ahead; safe to call again."""
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None

    def chunks(self, start: Position | None) -> Iterator[Chunk]:
        """Rows after `start`. Raises UserError if a file that was being read then has changed or is gone."""
        finished = _finished(start)
        current = start["current"] if start else None
        self.close()
        work = self._work(finished, current)
        steps: Iterator[Step] = (piece() for piece in work)
        if not self.live:
            self._ahead = Ahead(work, self._workers, DEPTH)
            steps = iter(self._ahead)
        waiting: Chunk | None = None
        before = self._done = rows = 0
        row_before = RowBefore(int(start.get("row_before", NULL_INT)) if start is not None and self.live else NULL_INT)
        try:
            for step in steps:
                if step.note:
                    self.notes.append(step.note)
                unit, parsed = step.unit, step.parsed
                if unit is None:
                    continue
                if step.begin:
                    resumed = current is not None and tuple(current["prints"]) == unit.prints
                    rows = int(current["rows"]) if current is not None and resumed else unit.rows_before
                    if not self.live:
                        row_before = RowBefore(int(current.get("row_before", NULL_INT)) if current is not None and resumed else NULL_INT)
                    current = None if resumed else current
                elif parsed is None:
                    # A new dict: positions handed out before keep the old one.
                    finished = finished | {p: self._record(i, rows) for i, p in zip(unit.indices, unit.prints, strict=True) if p}
                    if waiting is not None:
                        yield replace(waiting, position={"finished": finished, "current": None})
                        waiting = None
                    elif rows == 0:
                        self.notes += [f"{self.files[i]}: no rows" for i in unit.indices if self.files[i] != "-"]
                    before += sum(self._found[i].size for i in unit.indices)
                    self._done = before
                else:
                    self._done = before + parsed.done
                    for index, own in step.sums.items():
                        self._sums.setdefault(index, RowSum()).__iadd__(own)
                    if parsed.files is None:
                        self._ends[unit.indices[0]] = parsed.mark
                    if not self._said_zone and parsed.local:
                        self._said_zone = True
                        self.notes.append(zone_note(self.files[unit.indices[0]], self._plan))
                    n = len(parsed.time_ns)
                    if n == 0:
                        continue  # blank lines at the end must not keep the last rows from calling the file finished
                    if waiting is not None:
                        yield waiting
                        waiting = None
                    chunk = self._chunk(unit, row_before.decided(parsed), rows, finished, row_before.time_ns)
                    rows += n
                    if self.live:
                        yield chunk
                    else:
                        # The last rows of a file carry the position that calls it finished, so one chunk waits for what follows.
                        waiting = chunk
        finally:
            self.close()

    @property
    def has_headers(self) -> bool:
        """Whether some file says which columns it has, so that they were looked for; JSON lines do not."""
        return any(getattr(reader, "layout", None) is not None for reader in self._readers)

    def times(self) -> Iterator[I64]:
        """Times of all rows that can be read and are of this pipeline, in pieces and in no order; no other column is read."""
        where = self._plan.where
        asked = {name.removesuffix("@code") for name in where.program.inputs} if where is not None else set()
        plan = replace(self._plan, columns=tuple(c for c in self._plan.columns if c.name in asked), key_column=())
        for file in self._found:
            for work in reader_of(replace(file, key=""), plan, self._block).blocks():
                yield readable_times(work(), self._where)

    def in_order_of_time(self) -> ByTime:
        """The rows of all files and keys in one order, each content once; not restartable."""
        prints: set[str] = set()
        files: list[TimedFile] = []
        for index, file in enumerate(self._found):
            name = fingerprint(file) if file.size else ""
            if not name or name in prints:
                continue
            prints.add(name)
            files.append(TimedFile(file.path, file.key, self._readers[index], self._times(index)))
        return ByTime(files, self._where)

    def _chunk(self, unit: Unit, parsed: Parsed, rows: int, finished: dict[str, list[Any]], row_before: int) -> Chunk:
        position: Position = {"finished": finished, "current": None}
        if all(unit.prints):
            names = [resolved(self.files[i]) for i in unit.indices]
            current = {"names": names, "prints": list(unit.prints), "mark": parsed.mark, "rows": rows + len(parsed.time_ns)}
            if self.counts:
                current["sums"] = [self._so_far(i) for i in unit.indices]
            position["current"] = current | {"row_before": row_before}
        elif self.live:
            position["row_before"] = row_before
        return Chunk(
            frame=parsed.frame,
            key=None if parsed.keys is not None else self._found[unit.indices[0]].key,
            keys=parsed.keys,
            time_ns=parsed.time_ns,
            faults=parsed.faults,
            file=unit.indices[0],
            first_row=rows + 1 if parsed.rows is None else int(parsed.rows[0]),
            rows=parsed.rows,
            files=parsed.files,
            raw=parsed.raw,
            position=position,
            details=parsed.details,
            floor_ns=NULL_INT if unit.floor_ns == NULL_INT else max(unit.floor_ns, parsed.floor_ns),
        )

    def _work(self, finished: dict[str, list[Any]], current: dict[str, Any] | None) -> Iterator[Callable[[], Step]]:
        """Everything to be done, in order; runs on the thread that reads."""
        known, taken = dict(finished), set[int]()
        if current is not None:
            unit = self._resumed(current)
            taken.update(unit.indices)
            known.update({p: self._record(i, 1) for i, p in zip(unit.indices, unit.prints, strict=True)})
            yield from self._pieces(unit, int(current["mark"]))
        for item in self._to_read(known, by_path(finished), taken):
            if isinstance(item, Unit):
                yield from self._pieces(item, 0)
            else:
                yield partial(Step, None, note=item)

    def _to_read(
        self, known: dict[str, list[Any]], there: Mapping[str, Sequence[tuple[str, FileMark]]], taken: Set[int]
    ) -> Iterator[Unit | str]:
        """What is to be read, in order, and notes on what is not. known: what was read, by fingerprint. taken: files not to be read."""
        groups = self._groups()
        again = 0
        for group in groups:
            members: list[tuple[int, str]] = []
            for index in group:
                file = self._found[index]
                if index in taken:
                    continue
                name = self._fingerprint(index, there)
                if name in known:
                    earlier, rows = known[name][:2]
                    if name in self._told:
                        continue
                    if resolved(earlier) == resolved(file.path):
                        again += 1
                    elif rows and _has_rows(self._readers[index]):
                        yield f"{file.path}: same content as {earlier}, skipped"
                    continue
                if name:
                    before = there.get(resolved(file.path), ()) if self.counts and not self._plan.sort else ()
                    if (mark := grown(file, self._readers[index], before)) is not None:
                        self._go_on(index, mark)
                    known[name] = self._record(index, 1)
                members.append((index, name))
            yield from self._units(members, alone=len(groups) == 1)
        if again:
            yield f"{again} file{'s were' if again > 1 else ' was'} already read"

    def units(self) -> list[tuple[int, ...]]:
        """Files (indices) by what is read as one, in the order in which `chunks` reads them, each content once: for many readers.

        A source of the files of one unit alone gives the same rows in the same order. What is left out goes to `notes`.
        """
        found = list(self._to_read({}, {}, frozenset()))
        self.notes += [item for item in found if isinstance(item, str)]
        return [item.indices for item in found if isinstance(item, Unit)]

    def about(self) -> list[tuple[str, int, int]]:
        """Of each file its fingerprint and the times of its first and last row: all that `units` asks of contents. Reads whole files."""
        return [(self._fingerprint(index, {}), *self._range(index)) for index in range(len(self._found))]

    def learn(self, index: int, about: tuple[str, int, int]) -> None:
        """Take over what another source said of a file."""
        name, *times = about
        self._prints[index], self._ranges[index] = name, (times[0], times[1])

    @property
    def keys(self) -> list[str | None]:
        """The key that each file's name gives to all its rows; None where a column does."""
        return [file.key for file in self._found]

    def _pieces(self, unit: Unit, mark: int) -> Iterator[Callable[[], Step]]:
        yield partial(Step, unit, begin=True)
        for work in unit.reader.blocks(mark):
            yield partial(self._step, unit, work)
        yield partial(Step, unit)

    def _step(self, unit: Unit, work: Callable[[], Parsed]) -> Step:
        parsed, first = work(), unit.indices[0]
        return Step(unit, parsed, sums=sums_of(parsed, first, self._found[first].key) if self.counts else {})

    def _record(self, index: int, rows: int) -> list[Any]:
        """What is remembered of a file that was read."""
        file = self._found[index]
        sum_, end = self._sums.get(index, RowSum()), self._ends.get(index, 0)
        return FileMark(resolved(file.path), rows, file.size, self._stamps.get(index, []), sum_, end).as_json()

    def _go_on(self, index: int, before: FileMark) -> None:
        """Of a file that has grown, read what was added."""
        self._readers[index] = Rest(self._readers[index], before.end, before.sum.rows)
        self._sums[index] = replace(before.sum)

    def _fingerprint(self, index: int, there: Mapping[str, Sequence[tuple[str, FileMark]]]) -> str:
        """Of a file's content; a file at the path of one read before, and not changed since (see `stamp_of`), is taken for that one."""
        file = self._found[index]
        if file.path == "-" or file.size == 0:
            return ""
        if index not in self._prints:
            stamp = stamp_of(file.path)
            same = (name for name, mark in there.get(resolved(file.path), ()) if stamp and mark.stamp == stamp)
            self._prints[index], self._stamps[index] = next(same, "") or fingerprint(file), stamp
        return self._prints[index]

    def arrivals(self, start: Position | None, times: tuple[int, int]) -> list[Arrival]:
        """Files with content that was not read before `start`, or at whose path other content was, in order of their first row.

        times: the first and last that a row may have; others do not count for the range of a file.
        """
        read, prints = _read(start), self._all_prints(start)
        present = set(prints.values())
        found: dict[str, Arrival] = {}
        for index, name in prints.items():
            path, real = self.files[index], resolved(self.files[index])
            new = bool(name) and name not in read and name not in found
            gone = () if read.get(name) == real else tuple(old for old, at in read.items() if at == real and old not in present)
            if new or gone:
                low, high = self._range(index) if new else (NULL_INT, NULL_INT)
                if low != NULL_INT and (low < times[0] or high > times[1]):
                    low, high = time_range(self._times(index), times)
                found[name if new else path] = Arrival(path, name if new else "", gone, low, high)
        return sorted(found.values(), key=lambda arrival: (arrival.first_ns, arrival.path))

    def regrouped(self, start: Position) -> tuple[Position, list[tuple[list[str], dict[str, str]]]]:
        """The place in the source once files that hold the rows of others, which are no more, count as read in their stead.

        Also fingerprints of those others, and fingerprint → path of the files that have their rows now.
        """
        finished, prints = _finished(start), self._all_prints(start)
        marks = {name: FileMark.of(entry) for name, entry in finished.items()}
        here = set(prints.values())
        gone = {name: mark for name, mark in marks.items() if name not in here and not os.path.exists(mark.path)}  # noqa: PTH110
        current = start["current"]
        if not gone or current is not None:
            return start, []
        new = {name: index for index, name in prints.items() if name and name not in finished}
        old = {mark.path for mark in marks.values()}
        come = {name: self._range(index) for name, index in new.items() if resolved(self.files[index]) not in old}
        pairs = regrouped(gone, come, lambda name: self._total(new[name]))
        told: list[tuple[list[str], dict[str, str]]] = []
        for before, after in pairs:
            finished = {name: entry for name, entry in finished.items() if name not in before}
            for name in after:
                self._sums[new[name]] = self._total(new[name])
                finished[name] = self._record(new[name], self._sums[new[name]].rows)
            self._told |= set(after)
            told.append((before, {name: self.files[new[name]] for name in after}))
        return {**start, "finished": finished}, told

    def _so_far(self, index: int) -> list[int]:
        """Of a file that is being read: where it went on and after how many rows, if it grew; and the sum of all rows so far."""
        reader, own = self._readers[index], self._sums.get(index, RowSum())
        before = [reader.begin, reader.rows_before] if isinstance(reader, Rest) else [0, 0]
        return [*before, own.rows, own.digest, own.first_ns, own.last_ns]

    def _total(self, index: int) -> RowSum:
        """All rows of a file."""
        if index not in self._sums:
            total = RowSum()
            for work in self._readers[index].blocks():
                for own in sums_of(work(), index, self._found[index].key).values():
                    total += own
            self._sums[index] = total
        return self._sums[index]

    def contents(self, start: Position | None) -> set[str]:
        """Fingerprints of all files that are here."""
        return set(self._all_prints(start).values())

    def known_as(self, path: str) -> str:
        """Fingerprint of a file of which rows were given."""
        return self._prints[self._places[path]]

    def after(self, start: Position | None, rows: Mapping[str, int], apart: FileSource) -> Position:
        """The place in the source once whole files, fingerprint → rows, were read besides, through `apart`."""
        self._told |= rows.keys()
        for index, own in apart._sums.items():
            self._sums[self._places[apart.files[index]]] = own
        added = {name: self._record(i, rows[name]) for i, name in self._prints.items() if name in rows}
        return {"finished": _finished(start) | added, "current": start["current"] if start else None}

    def before(self, start: Position, prints: Set[str]) -> Position:
        """The place in the source as if these files had not been read."""
        current = start["current"]
        if current is not None and not prints.isdisjoint(current["prints"]):
            current = None
        return {"finished": {name: record for name, record in start["finished"].items() if name not in prints}, "current": current}

    def alone(self, arrivals: Sequence[Arrival]) -> FileSource:
        """These files as a source of their own."""
        apart = FileSource(self._plan, [arrival.path for arrival in arrivals], block=self._block, workers=self._workers)
        apart.counts = self.counts
        return apart

    def _all_prints(self, start: Position | None) -> dict[int, str]:
        there = by_path(_finished(start))
        return {index: self._fingerprint(index, there) for index, file in enumerate(self._found) if file.path != "-"}

    def _groups(self) -> list[list[int]]:
        """Files that may hold rows of the same key."""
        groups: dict[str | None, list[int]] = {}
        for index, file in enumerate(self._found):
            groups.setdefault(file.key, []).append(index)
        return list(groups.values())

    def _units(self, members: list[tuple[int, str]], *, alone: bool) -> Iterator[Unit]:
        """What is read as one, in order. alone: there are no other groups, so nothing earlier can follow."""
        prints = dict(members)
        if len(members) < 2 or self.live:
            for index, name in members:
                reader = self._readers[index]
                known = reader.statistics() if alone and not self.live else None
                yield Unit((index,), (name,), reader, _rows_before(reader), NULL_INT if known is None else known[0])
            return
        ordered = [self._member(index) for index, _ in members]
        ranges = {m.index: self._range(m.index) for m in ordered}
        for group in clusters(ordered, [ranges[m.index] for m in ordered]):
            indices = tuple(m.index for m in group)
            merged: Reader = self._readers[indices[0]] if len(group) == 1 else self._merged(group)
            floor_ns = min(ranges[i][0] for i in indices) if alone else NULL_INT
            yield Unit(indices, tuple(prints[i] for i in indices), merged, _rows_before(merged), floor_ns)

    def _merged(self, group: Sequence[Member]) -> Merged:
        return Merged(group, self._where, self._plan.max_jump_ns)

    def _member(self, index: int) -> Member:
        file = self._found[index]
        packed = bool(file.packing) or file.kind == "parquet"
        reader = self._readers[index]
        return Member(index, file.path, file.size * (_UNPACKED if packed else 1), file.size, reader, _rows_before(reader))

    def _range(self, index: int) -> tuple[int, int]:
        """Times of a file, read from its footer or its time column alone."""
        if index not in self._ranges:
            self._ranges[index] = self._readers[index].statistics() or time_range(self._times(index))
        return self._ranges[index]

    def _times(self, index: int) -> Reader:
        """A reader of nothing but the times of a file."""
        plan = replace(self._plan, columns=(), key_column=(), where=None)
        times: Reader = reader_of(replace(self._found[index], key="", path_columns=()), plan, self._block)
        whole = self._readers[index]
        return whole.like(times) if isinstance(whole, Rest) else times

    def _resumed(self, current: dict[str, Any]) -> Unit:
        indices = [self._stopped_in(name, known) for name, known in zip(current["names"], current["prints"], strict=True)]
        for index, (begin, rows, *own) in zip(indices, current.get("sums", []), strict=False):
            if begin:
                self._readers[index] = Rest(self._readers[index], begin, rows)
            self._sums[index] = RowSum(*own)
        reader: Reader = self._readers[indices[0]] if len(indices) == 1 else self._merged([self._member(i) for i in indices])
        return Unit(tuple(indices), tuple(current["prints"]), reader)

    def _stopped_in(self, path: str, known: str) -> int:
        """The file in the middle of which a run stopped: by its path, however spelled, or by its content at another one."""
        at = [index for index, file in enumerate(self._found) if resolved(file.path) == resolved(path)]
        others = (index for index, file in enumerate(self._found) if index not in at and file.size and file.path != "-")
        for index in (*at, *others):
            if fingerprint(self._found[index]) == known:
                return index
        if at:
            raise UserError(
                f"{self.files[at[0]]}: changed since the last run stopped in the middle of it; restore it, or read all sources again with "
                "--rebuild"
            )
        raise UserError(
            f"{path}: the last run stopped in the middle of it, and it is not among the sources now; put it back, or read all sources "
            "again with --rebuild"
        )


def _rows_before(reader: object) -> int:
    return reader.rows_before if isinstance(reader, Rest) else 0


def _read(start: Position | None) -> dict[str, str]:
    """Fingerprint → resolved path of what was read, wholly or in part."""
    if start is None:
        return {}
    finished, current = _finished(start), start["current"]
    busy = {} if current is None else dict(zip(current["prints"], map(resolved, current["names"]), strict=True))
    return {name: resolved(record[0]) for name, record in finished.items()} | busy


def _finished(start: Position | None) -> dict[str, list[Any]]:
    """What was read to its end, by fingerprint. Raises UserError where the place is in another kind of source."""
    if start is not None and "finished" not in start:
        raise UserError("the state holds a place in another source than files: name that source again, or a new state directory")
    return dict(start["finished"]) if start else {}


def _has_rows(reader: Reader) -> bool:
    return any(len(work().time_ns) for work in reader.blocks())
