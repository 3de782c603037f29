"""Files that come late, and files that come again with other content: what has to be worked out again so that all is as of one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from offbeat.core.batch import EVER, NULL_INT
from offbeat.core.chunk import Position
from offbeat.core.ledger import Ledger
from offbeat.core.plan import Plan
from offbeat.engines.file_manifest import FileManifest, FileRecord
from offbeat.engines.tables.values import local_date
from offbeat.errors import UserError
from offbeat.fold.fold import Fold
from offbeat.io.contract import Arrival
from offbeat.io.read.file_source import FileSource
from offbeat.io.read.known_files import resolved

_NAMED = 3
"""Files that are named one by one."""


@dataclass(frozen=True, slots=True)
class Rewound:
    """A state that was taken back to a time, and what has to be read again before it is whole."""

    from_ns: int
    starts: dict[str, int]
    """By view the start of the first window that is filled again; rows of earlier ones count once."""
    days: list[int]
    """Days of tables that are to be written again."""
    files: dict[str, str]
    """Fingerprint → path."""


@dataclass(slots=True)
class _Course:
    """What is to be done before a run goes on."""

    corrected: dict[str, list[FileRecord]] = field(default_factory=dict)
    """Path → what was read there and does not hold any more."""
    late: list[Arrival] = field(default_factory=list)
    fresh: list[Arrival] = field(default_factory=list)
    """Corrected files that have rows."""

    @property
    def void(self) -> list[FileRecord]:
        return [reading for readings in self.corrected.values() for reading in readings]


class Corrections:
    """Before a run goes on: has late files added to closed windows, or takes the state back to where a file was corrected."""

    def __init__(self, plan: Plan, readings: FileManifest) -> None:
        self._plan, self._manifest = plan, readings
        self._zone = plan.zone
        q = plan.quality
        self._crossing = bool(q.cadence_ns) or (bool(q.unique) and "time" not in q.unique)
        """Whether a row can matter to rows of any later time: then all is read again."""
        self.rewound: Rewound | None = None
        self.notes: list[str] = []

    def regroup(self, source: FileSource, position: Position) -> Position:
        """See whether files that are no more have their rows in new ones, which then count as read; the place in the source then."""
        position, told = source.regrouped(position)
        for before, after in told:
            olds = self._manifest.of(before)
            lost = sorted({_short(path) for old in olds for name, path in old.files.items() if name in before})
            self._manifest.regroup(olds, before, {name: resolved(path) for name, path in after.items()})
            what = f" ({_listed(lost)})" if lost else ""
            has = f"{_listed(sorted(after.values()))} {'has' if len(after) == 1 else 'have'}"
            self.notes.append(f"{has} the rows of {_counted(len(before))} read before{what}; nothing is new")
        return position

    def put_right(self, source: FileSource, position: Position, fold: Fold, add: Callable[[FileSource], dict[str, int]]) -> Position:
        """Bring the state to where the source's files can be read on; returns the position there.

        `add` reads late files into closed windows and gives their rows by fingerprint. Raises UserError, with nothing changed, where
        files have to be read again that are not among the sources.
        """
        q = self._plan.quality
        arrivals = source.arrivals(position, (q.not_before_ns, EVER if q.not_after_ns is None else q.not_after_ns))
        course = self._course(arrivals)
        here = source.contents(position)
        owed = self.rewound.files if self.rewound is not None else {}
        if course.corrected or self.rewound is not None:
            # A file that was corrected once more before it was read again, or after that, is there in its newest form.
            paths = set(map(resolved, source.files))
            lost = [path for name, path in owed.items() if name not in here and resolved(path) not in paths]
            course.late = [arrival for arrival in course.late if arrival.fingerprint not in owed]
            if not course.corrected and not course.late and not lost:
                return position
            from_ns, again = self._reach(course, fold)
            lost += self._lost(course, again, here)
            if lost:
                day = self._day(fold, from_ns)
                what = f"{', '.join(course.corrected) or 'the last run'}: "
                what += "its content has changed" if course.corrected else "a correction was interrupted"
                raise UserError(
                    f"{what}, so all files from {day} on must be read again, but {_listed(lost)} {'is' if len(lost) == 1 else 'are'} not "
                    f"among the sources; name the folder with all files from {day} on"
                )
            return self._rewind(source, position, fold, course, from_ns, again, here)
        reaching = [a for a in course.late if self._crossing or any(r.overlaps(a.first_ns, a.last_ns) for r in self._manifest.all)]
        apart = [arrival for arrival in reaching if not _goes_on(fold, source.alone([arrival]))]
        if apart:
            from_ns, again = self._reach(course, fold)
            lost = self._lost(course, again, here)
            if not lost:
                return self._rewind(source, position, fold, course, from_ns, again, here)
            day = self._day(fold, from_ns)
            for arrival in apart:
                self.notes.append(
                    f"{arrival.path}: overlaps times already read, so rows older than the last of their key are late; to read them in "
                    f"order, name the folder with all files from {day} on ({_listed(lost)} missing)"
                )
        late = [arrival for arrival in course.late if arrival not in reaching]
        if not late:
            return position
        for arrival in late:
            day = self._day(fold, arrival.first_ns)
            self.notes.append(f"{arrival.path}: arrived late; windows from {day} on were scored again")
        besides = source.alone(late)
        return source.after(position, add(besides), besides)

    def _course(self, arrivals: Sequence[Arrival]) -> _Course:
        course = _Course()
        newest_ns = max((reading.last_ns for reading in self._manifest.all), default=NULL_INT)
        for arrival in arrivals:
            there = bool(arrival.fingerprint) and arrival.first_ns != NULL_INT
            old = self._manifest.of(arrival.replaces)
            # What is later than all that was read under that name is a further file.
            old = [reading for reading in old if reading.last_ns >= arrival.first_ns] if there else old[-1:]
            if old:
                course.corrected[arrival.path] = old
                course.fresh += [arrival] * there
            elif there and arrival.first_ns < newest_ns:
                course.late.append(arrival)
        return course

    def _reach(self, course: _Course, fold: Fold) -> tuple[int, list[FileRecord]]:
        """From which time on everything is to be worked out again, and what was read from there on."""
        void, come = course.void, [*course.fresh, *course.late]
        if self._crossing:
            return NULL_INT, list(self._manifest.all)
        kept = [reading for reading in self._manifest.all if reading not in void]
        firsts = [*(reading.first_ns for reading in void), *(arrival.first_ns for arrival in come)]
        if self.rewound is not None:
            firsts.append(self.rewound.from_ns)
        # No window counts as over only because of rows that are no more.
        newest_ns = max([*(reading.last_ns for reading in kept), *(arrival.last_ns for arrival in come)], default=EVER)
        from_ns = fold.settled_ns(min([newest_ns, *firsts]))
        low = min(fold.aligned(from_ns).values())
        while True:
            again = [reading for reading in self._manifest.all if reading in void or reading.last_ns >= low]
            lower = min([low, *(reading.first_ns for reading in again if reading not in void)])
            if lower == low:
                return from_ns, again
            low = lower

    def _lost(self, course: _Course, again: Sequence[FileRecord], here: set[str]) -> list[str]:
        """Paths of what has to be read again and is not here."""
        names = {name: path for reading in again for name, path in reading.files.items()}
        corrected = set(map(resolved, course.corrected))
        return sorted(_short(path) for name, path in names.items() if name not in here and resolved(path) not in corrected)

    def _rewind(
        self,
        source: FileSource,
        position: Position,
        fold: Fold,
        course: _Course,
        from_ns: int,
        again: Sequence[FileRecord],
        here: set[str],
    ) -> Position:
        starts = fold.aligned(from_ns)
        names = {name: path for reading in again for name, path in reading.files.items()}
        files = {name: path for name, path in names.items() if name in here}
        files |= {arrival.fingerprint: arrival.path for arrival in (*course.fresh, *course.late)}
        if self.rewound is not None:
            files |= {name: path for name, path in self.rewound.files.items() if name in here}
        self._manifest.all = [reading for reading in self._manifest.all if reading not in again]
        ledger = Ledger()
        for reading in self._manifest.all:
            ledger.add(reading.ledger)
        days = fold.rewind(starts, ledger)
        day, count = self._day(fold, from_ns), f"{len(files)} file{'s' * (len(files) != 1)} read again"
        worked_out = f"everything from {day} on was recomputed ({count})"
        self.notes += [f"{path}: its content has changed; {worked_out}" for path in course.corrected]
        self.notes += [f"{arrival.path}: arrived late; {worked_out}" for arrival in course.late]
        self.rewound = Rewound(from_ns, starts, sorted({*days, *(self.rewound.days if self.rewound is not None else [])}), files)
        return source.before(position, set(names))

    def _day(self, fold: Fold, time_ns: int) -> str:
        if time_ns == NULL_INT:
            return "the beginning"
        return local_date(max(fold.aligned(time_ns).values()), self._zone).isoformat()

    def resume(self, fold: Fold) -> None:
        """Set what a state that was taken back asks of the fold until all is read."""
        if self.rewound is not None:
            fold.skip_before(self.rewound.starts)
            fold.expect(self.rewound.days)

    def done(self, fold: Fold) -> None:
        """The input was read to its end, so all that had to come again has come."""
        if self.rewound is not None:
            fold.skip_before(dict.fromkeys(self.rewound.starts, NULL_INT))
            self.rewound = None

    def document(self) -> dict[str, Any] | None:
        """State, as JSON."""
        return asdict(self.rewound) if self.rewound is not None else None

    def restore(self, document: dict[str, Any] | None) -> None:
        """Take over what `document` gave."""
        self.rewound = Rewound(**document) if document is not None else None


def _counted(files: int) -> str:
    return f"{files} file{'s' * (files != 1)}"


def _short(path: str) -> str:
    """A path below the current folder without that."""
    return path.removeprefix(f"{Path.cwd()}/")


def _listed(paths: Sequence[str]) -> str:
    if len(paths) <= _NAMED:
        return ", ".join(paths)
    return f"{', '.join(paths[:_NAMED])} and {len(paths) - _NAMED} others"


def _goes_on(fold: Fold, source: FileSource) -> bool:
    """Whether all rows of a source, which is read for this, are later than those that their keys had."""
    try:
        return fold.goes_on(source.chunks(None))
    finally:
        source.close()
